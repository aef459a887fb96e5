// The canvas: draws the picture, the objects and what the pointer does, once a frame at most. Knows no request.

import { Layers, bySize, overlaps } from "./layers.js";
import { outlineOf } from "./outline.js";
import { LARGEST_SIDE, Pyramid, contextOf, newCanvas } from "./pyramid.js";
import { View } from "./view.js";

/** @typedef {import("../types").Box} Box */
/** @typedef {import("../types").Region} Region */
/** @typedef {import("./layers.js").Shape} Shape */

const MOST_VERTICES = 14_000;
const LINE = 1.75;
const ACCENT = "#2fd0ff";

/**
 * What lies over the objects.
 * @typedef {object} Overlay
 * @property {Region | null} preview of the mask under the pointer
 * @property {Region | null} candidate the chosen mask of the prompt
 * @property {import("../types").Prompt} prompt
 * @property {Box | null} draft the box that is being dragged
 * @property {Shape | null} highlight
 * @property {[number, number] | null} cross the keyboard's pointer, in pixels of the picture
 * @property {[number, number][]} ruler the ends of the line that sets the scale
 */

export class Stage {
  view = new View();
  /** @type {import("../types").Look} */
  look = { fill: true, outline: true, opacity: 0.45, cutout: false };
  /** @type {Overlay} */
  overlay = { preview: null, candidate: null, prompt: { points: [], box: null }, draft: null, highlight: null, cross: null, ruler: [] };
  /** Milliseconds that the last frame took to draw. */
  frameMs = 0;
  /** @type {Pyramid | null} */ #picture = null;
  /** @type {Layers | null} */ #layers = null;
  /** @type {Shape[]} */ #shapes = [];
  /** Whether the layers have small objects below large ones. */
  #isRough = false;
  #asked = false;
  #density = 1;
  #scratch = newCanvas(1, 1);

  /** @param {HTMLCanvasElement} canvas @param {() => void} onView told when zoom or place have changed */
  constructor(canvas, onView) {
    this.canvas = canvas;
    this.onView = onView;
    new ResizeObserver(() => this.#resize()).observe(canvas); // once at the start, too
  }

  /**
   * @param {ImageBitmap | null} bitmap
   * @param {[number, number]} [size] height, width of the picture, which the bitmap may be a reduced one of
   */
  setPicture(bitmap, size = [0, 0]) {
    this.#picture = null;
    this.#layers = null;
    this.#shapes = [];
    if (bitmap) {
      const reduction = Math.min(1, LARGEST_SIDE / Math.max(bitmap.width, bitmap.height));
      this.#picture = new Pyramid(Math.ceil(bitmap.width * reduction), Math.ceil(bitmap.height * reduction));
      this.#picture.context.drawImage(bitmap, 0, 0, this.#picture.width, this.#picture.height);
      this.#picture.touch();
      this.view.setPicture(size[1], size[0]);
    }
    this.changedView();
  }

  /**
   * The objects that are to be seen.
   * @param {Shape[]} shapes
   * @param {boolean} [rough] more are coming: those that have come are laid over the others
   */
  setShapes(shapes, rough = false) {
    const before = this.#shapes;
    this.#shapes = bySize(shapes);
    const changed = difference(before, this.#shapes);
    if (rough && this.#layers?.ready && changed.length + before.length === shapes.length) {
      this.#layers.add(changed);
      this.#isRough = true;
    } else if (this.#layers?.ready && !this.#isRough) {
      if (changed.length <= 8) for (const shape of changed) this.#layers.redraw(this.#shapes, shape.region.bbox);
      else this.#drawLayers();
    } else this.#drawLayers();
    this.ask();
  }

  /** Draws soon. */
  ask() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      const start = performance.now();
      this.#draw(contextOf(this.canvas), this.#density, true);
      this.frameMs = performance.now() - start;
    });
  }

  /** Whether all objects are drawn as they are to stay. */
  get isSettled() {
    return !this.#layers || (this.#layers.ready && !this.#isRough);
  }

  changedView() {
    this.onView();
    this.ask();
  }

  /** The part of the picture that is seen, as it is seen. @returns {Promise<Blob>} */
  async snapshot() {
    const copy = newCanvas(this.canvas.width, this.canvas.height);
    this.#draw(contextOf(copy), this.#density, false);
    const { view } = this;
    const left = Math.max(0, view.x * this.#density);
    const top = Math.max(0, view.y * this.#density);
    const right = Math.min(copy.width, (view.x + view.width * view.scale) * this.#density);
    const bottom = Math.min(copy.height, (view.y + view.height * view.scale) * this.#density);
    const cut = newCanvas(Math.round(right - left), Math.round(bottom - top));
    contextOf(cut).drawImage(copy, -Math.round(left), -Math.round(top));
    return new Promise((resolve, reject) => cut.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the browser can't write a PNG")))));
  }

  #resize() {
    const { clientWidth, clientHeight } = this.canvas;
    this.#density = Math.min(window.devicePixelRatio || 1, 3);
    this.canvas.width = Math.max(1, Math.round(clientWidth * this.#density));
    this.canvas.height = Math.max(1, Math.round(clientHeight * this.#density));
    this.view.setCanvas(Math.max(1, clientWidth), Math.max(1, clientHeight));
    this.changedView();
  }

  #drawLayers() {
    const vertices = this.#shapes.reduce((sum, { region }) => sum + outlineOf(region).vertices, 0);
    if (vertices <= MOST_VERTICES || !this.#picture) {
      this.#layers = null;
      return;
    }
    this.#isRough = false;
    this.#layers ??= new Layers(this.view.width, this.view.height, Math.max(1, LINE / this.view.fitScale));
    this.#layers.draw(this.#shapes, () => this.ask());
  }

  /** @param {CanvasRenderingContext2D} context @param {number} density @param {boolean} live with what the pointer does */
  #draw(context, density, live) {
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, context.canvas.width, context.canvas.height);
    if (!this.#picture) return;
    const { view, look } = this;
    const place = () => context.setTransform(density * view.scale, 0, 0, density * view.scale, density * view.x, density * view.y);
    place();
    if (look.cutout) {
      this.#drawCutout(context, density);
    } else {
      this.#drawBitmap(context, this.#picture, density);
      this.#drawShapes(context, density);
    }
    place();
    if (live) this.#drawOverlay(context);
  }

  /**
   * Draws a bitmap of the whole picture.
   * @param {CanvasRenderingContext2D} context placed
   * @param {Pyramid} pyramid @param {number} density
   */
  #drawBitmap(context, pyramid, density) {
    const { view } = this;
    const zoom = (density * view.scale * view.width) / pyramid.width;
    const { image, reduction } = pyramid.at(zoom);
    // Pixels of the picture a pixel of the image. The last column and row of a reduced image may stand for half a pixel.
    const unitX = (view.width * reduction) / pyramid.width;
    const unitY = (view.height * reduction) / pyramid.height;
    // Only what is in sight is read.
    const left = Math.max(0, Math.floor(-view.x / view.scale / unitX) - 1);
    const top = Math.max(0, Math.floor(-view.y / view.scale / unitY) - 1);
    const right = Math.min(image.width, Math.ceil((view.canvasWidth - view.x) / view.scale / unitX) + 1);
    const bottom = Math.min(image.height, Math.ceil((view.canvasHeight - view.y) / view.scale / unitY) + 1);
    if (right <= left || bottom <= top) return;
    context.imageSmoothingEnabled = zoom * reduction < 6;
    context.drawImage(image, left, top, right - left, bottom - top, left * unitX, top * unitY, (right - left) * unitX, (bottom - top) * unitY);
  }

  /** @param {CanvasRenderingContext2D} context placed @param {number} density */
  #drawShapes(context, density) {
    const { look } = this;
    const near = this.#inSight();
    if (this.#layers?.ready && !near) {
      const { fills, outlines } = this.#layers;
      context.globalAlpha = look.opacity;
      if (look.fill) this.#drawBitmap(context, fills, density);
      context.globalAlpha = 1;
      if (look.outline) this.#drawBitmap(context, outlines, density);
      return;
    }
    const shapes = near ?? this.#shapes;
    if (look.fill && look.opacity > 0) {
      // Drawn opaque beside and laid over as one, so that objects over objects do not add up.
      const scratch = this.#fills(shapes, density, context);
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.globalAlpha = look.opacity;
      context.drawImage(scratch, 0, 0);
      context.globalAlpha = 1;
      this.#place(context, density);
    }
    if (look.outline) {
      context.lineWidth = LINE / this.view.scale;
      context.lineJoin = "round";
      for (const { region, colour } of shapes) {
        context.strokeStyle = colour;
        context.stroke(outlineOf(region).path);
      }
    }
  }

  /** @param {Shape[]} shapes @param {number} density @param {CanvasRenderingContext2D} like */
  #fills(shapes, density, like) {
    this.#scratch.width = like.canvas.width;
    this.#scratch.height = like.canvas.height;
    const context = contextOf(this.#scratch);
    this.#place(context, density);
    for (const { region, colour } of shapes) {
      context.fillStyle = colour;
      context.fill(outlineOf(region).path);
    }
    return this.#scratch;
  }

  /** The picture inside the objects only. @param {CanvasRenderingContext2D} context @param {number} density */
  #drawCutout(context, density) {
    let masks;
    const near = this.#inSight();
    if (this.#layers?.ready && !near) {
      this.#scratch.width = context.canvas.width;
      this.#scratch.height = context.canvas.height;
      masks = this.#scratch;
      const scratch = contextOf(masks);
      this.#place(scratch, density);
      this.#drawBitmap(scratch, this.#layers.fills, density);
    } else masks = this.#fills(near ?? this.#shapes, density, context);
    const scratch = contextOf(masks);
    scratch.globalCompositeOperation = "source-in";
    this.#place(scratch, density);
    if (this.#picture) this.#drawBitmap(scratch, this.#picture, density);
    scratch.globalCompositeOperation = "source-over";
    context.fillStyle = "#808080";
    context.globalAlpha = 0.16;
    context.fillRect(0, 0, this.view.width, this.view.height);
    context.globalAlpha = 1;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(masks, 0, 0);
  }

  /** The shapes in sight if they are few enough to be drawn as paths; null otherwise. */
  #inSight() {
    if (this.#shapes.length > 4000 && this.view.scale <= this.view.fitScale) return null;
    const [x, y] = this.view.toPicture(0, 0);
    /** @type {Box} */
    const sight = [x, y, this.view.canvasWidth / this.view.scale, this.view.canvasHeight / this.view.scale];
    const shapes = [];
    let vertices = 0;
    for (const shape of this.#shapes) {
      if (!overlaps(shape.region.bbox, sight, 0)) continue;
      vertices += outlineOf(shape.region).vertices;
      if (vertices > MOST_VERTICES) return null;
      shapes.push(shape);
    }
    return shapes;
  }

  /** @param {CanvasRenderingContext2D} context */
  #drawOverlay(context) {
    const { overlay } = this;
    const pixel = 1 / this.view.scale;
    if (overlay.highlight) {
      const { path } = outlineOf(overlay.highlight.region);
      context.fillStyle = overlay.highlight.colour;
      context.globalAlpha = 0.35;
      context.fill(path);
      context.globalAlpha = 1;
      edge(context, path, pixel, "#fff");
    }
    for (const [region, alpha] of /** @type {[Region | null, number][]} */ ([[overlay.candidate, 0.45], [overlay.preview, 0.3]])) {
      if (!region) continue;
      const { path } = outlineOf(region);
      context.fillStyle = ACCENT;
      context.globalAlpha = alpha;
      context.fill(path);
      context.globalAlpha = 1;
      edge(context, path, pixel, ACCENT);
    }
    for (const box of [overlay.prompt.box, overlay.draft]) {
      if (!box) continue;
      const path = new Path2D();
      path.rect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
      edge(context, path, pixel, "#fff");
    }
    for (const { x, y, label } of overlay.prompt.points) dot(context, x + 0.5, y + 0.5, pixel, label === 1);
    if (overlay.ruler.length) {
      const path = new Path2D();
      overlay.ruler.forEach(([x, y], index) => {
        if (index) path.lineTo(x, y);
        else path.moveTo(x, y);
      });
      edge(context, path, pixel, "#ffd400");
      for (const [x, y] of overlay.ruler) {
        const end = new Path2D();
        end.arc(x, y, 4 * pixel, 0, 2 * Math.PI);
        edge(context, end, pixel, "#ffd400");
      }
    }
    if (overlay.cross) {
      const [x, y] = [overlay.cross[0] + 0.5, overlay.cross[1] + 0.5];
      const path = new Path2D();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        path.moveTo(x + dx * 4 * pixel, y + dy * 4 * pixel);
        path.lineTo(x + dx * 16 * pixel, y + dy * 16 * pixel);
      }
      edge(context, path, pixel, "#fff");
    }
  }

  /** @param {CanvasRenderingContext2D} context @param {number} density */
  #place(context, density) {
    const { view } = this;
    context.setTransform(density * view.scale, 0, 0, density * view.scale, density * view.x, density * view.y);
  }
}

/** A line that is seen on light and on dark. @param {CanvasRenderingContext2D} context @param {Path2D} path @param {number} pixel @param {string} colour */
function edge(context, path, pixel, colour) {
  context.lineJoin = "round";
  context.strokeStyle = "rgb(0 0 0 / 70%)";
  context.lineWidth = 4 * pixel;
  context.stroke(path);
  context.strokeStyle = colour;
  context.lineWidth = 2 * pixel;
  context.stroke(path);
}

/** A point of the prompt: plus or minus. @param {CanvasRenderingContext2D} context @param {number} x @param {number} y @param {number} pixel @param {boolean} adds */
function dot(context, x, y, pixel, adds) {
  context.beginPath();
  context.arc(x, y, 8 * pixel, 0, 2 * Math.PI);
  context.fillStyle = adds ? "#0a7f3f" : "#c02626";
  context.fill();
  context.lineWidth = 2 * pixel;
  context.strokeStyle = "#fff";
  context.stroke();
  context.beginPath();
  context.moveTo(x - 4 * pixel, y);
  context.lineTo(x + 4 * pixel, y);
  if (adds) {
    context.moveTo(x, y - 4 * pixel);
    context.lineTo(x, y + 4 * pixel);
  }
  context.stroke();
}

/** The shapes that only one of two lists has, or that differ in colour. @param {Shape[]} a @param {Shape[]} b */
function difference(a, b) {
  const [before, after] = [new Map(a.map((s) => [s.region, s])), new Map(b.map((s) => [s.region, s]))];
  return [
    ...a.filter((shape) => after.get(shape.region)?.colour !== shape.colour),
    ...b.filter((shape) => !before.has(shape.region)),
  ];
}
