// The objects drawn as bitmaps, for when there are too many to draw as paths in each frame: one of fills, one of outlines.

import { outlineOf } from "./outline.js";
import { LARGEST_SIDE, Pyramid } from "./pyramid.js";
import { nextFrame } from "./dom.js";

/** @typedef {import("../types").Region} Region */
/** @typedef {{region: Region, colour: string}} Shape */

const MOST_PIXELS = 16e6;
const SLICE_MS = 9;

export class Layers {
  #run = 0;
  ready = false;

  /**
   * @param {number} width @param {number} height of the picture
   * @param {number} stroke width of outlines in pixels of the picture
   */
  constructor(width, height, stroke) {
    /** Pixels of the bitmaps a pixel of the picture. */
    this.resolution = Math.min(1, Math.sqrt(MOST_PIXELS / (width * height)), LARGEST_SIDE / Math.max(width, height));
    this.stroke = stroke;
    const size = [Math.ceil(width * this.resolution), Math.ceil(height * this.resolution)];
    this.fills = new Pyramid(size[0], size[1]);
    this.outlines = new Pyramid(size[0], size[1]);
    /** The same along x and y, as whole bitmaps have them. */
    this.scale = [size[0] / width, size[1] / height];
  }

  /**
   * Draws all shapes anew, a slice a frame; the largest come first and lie below.
   * @param {Shape[]} shapes
   * @param {() => void} onDrawn
   */
  async draw(shapes, onDrawn) {
    const run = ++this.#run;
    this.ready = false;
    const sorted = bySize(shapes);
    for (const layer of [this.fills, this.outlines]) {
      layer.context.setTransform(1, 0, 0, 1, 0, 0);
      layer.context.clearRect(0, 0, layer.width, layer.height);
    }
    let sliceEnd = performance.now() + SLICE_MS;
    for (const shape of sorted) {
      this.#paint(shape);
      if (performance.now() < sliceEnd) continue;
      await nextFrame();
      if (run !== this.#run) return;
      sliceEnd = performance.now() + SLICE_MS;
    }
    this.fills.touch();
    this.outlines.touch();
    this.ready = true;
    onDrawn();
  }

  /**
   * Draws more shapes over those that are there: for the moment, whatever their size.
   * @param {Shape[]} shapes
   */
  add(shapes) {
    for (const shape of shapes) {
      this.#paint(shape);
      const [x, y, width, height] = shape.region.bbox;
      const margin = this.stroke + 1;
      const area = { x: (x - margin) * this.resolution, y: (y - margin) * this.resolution, width: (width + 2 * margin) * this.resolution, height: (height + 2 * margin) * this.resolution };
      this.fills.touch(area);
      this.outlines.touch(area);
    }
  }

  /**
   * Draws one part anew.
   * @param {Shape[]} shapes all that are to be seen
   * @param {import("../types").Box} bbox of what has changed, in pixels of the picture
   */
  redraw(shapes, bbox) {
    const margin = this.stroke + 2 / this.resolution;
    const area = {
      x: Math.floor((bbox[0] - margin) * this.resolution),
      y: Math.floor((bbox[1] - margin) * this.resolution),
      width: Math.ceil((bbox[2] + 2 * margin) * this.resolution) + 1,
      height: Math.ceil((bbox[3] + 2 * margin) * this.resolution) + 1,
    };
    for (const layer of [this.fills, this.outlines]) {
      layer.context.save();
      layer.context.setTransform(1, 0, 0, 1, 0, 0);
      layer.context.beginPath();
      layer.context.rect(area.x, area.y, area.width, area.height);
      layer.context.clip();
      layer.context.clearRect(area.x, area.y, area.width, area.height);
    }
    for (const shape of bySize(shapes.filter(({ region }) => overlaps(region.bbox, bbox, margin)))) this.#paint(shape);
    for (const layer of [this.fills, this.outlines]) {
      layer.context.restore();
      layer.touch(area);
    }
  }

  /** @param {Shape} shape */
  #paint({ region, colour }) {
    const { path } = outlineOf(region);
    const [fill, line] = [this.fills.context, this.outlines.context];
    for (const context of [fill, line]) context.setTransform(this.scale[0], 0, 0, this.scale[1], 0, 0);
    fill.fillStyle = colour;
    fill.fill(path);
    // What lies below an object does not shine through it.
    line.globalCompositeOperation = "destination-out";
    line.fill(path);
    line.globalCompositeOperation = "source-over";
    line.strokeStyle = colour;
    line.lineWidth = this.stroke;
    line.lineJoin = "round";
    line.stroke(path);
  }
}

/** @param {Shape[]} shapes */
export function bySize(shapes) {
  return shapes.slice().sort((a, b) => b.region.area - a.region.area);
}

/** @param {import("../types").Box} a @param {import("../types").Box} b @param {number} margin */
export function overlaps(a, b, margin) {
  return a[0] <= b[0] + b[2] + margin && b[0] <= a[0] + a[2] + margin && a[1] <= b[1] + b[3] + margin && b[1] <= a[1] + a[3] + margin;
}
