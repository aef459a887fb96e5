// Outlines of masks as paths. A path follows the pixels' edges; corners are cut by half a pixel, so that stairs of single
// pixels become straight slopes while straight edges stay where they are.

import { cropOf } from "./rle.js";

/** @typedef {import("../types").Region} Region */
/** @typedef {{path: Path2D, vertices: number}} Outline */

/** @type {WeakMap<Region, Outline>} */
const outlines = new WeakMap();

/**
 * The outline in pixels of the picture, holes included; made once.
 * @param {Region} region
 * @returns {Outline}
 */
export function outlineOf(region) {
  let found = outlines.get(region);
  if (!found) outlines.set(region, (found = trace(region)));
  return found;
}

// Directions along the edges: right, down, left, up. The mask lies to the right of the way.
const DX = [1, 0, -1, 0];
const DY = [0, 1, 0, -1];

/**
 * @param {Region} region
 * @returns {Outline}
 */
function trace(region) {
  const path = new Path2D();
  let vertices = 0;
  if (!region.area) return { path, vertices };
  const { pixels, stride } = cropOf(region);
  const [left, top] = region.bbox;
  // Corner (x, y) is the upper left one of pixel (x, y). The pixels right and left ahead of a corner, by direction:
  const ahead = [0, -1, -1 - stride, -stride];
  const aheadLeft = [-stride, 0, -1, -1 - stride];
  for (let start = stride; start < pixels.length; start++) {
    // A run along the upper edge of a pixel starts every outline; the mark 2 says that it has been followed.
    if (!pixels[start] || pixels[start - stride] || pixels[start] === 2) continue;
    const corners = [];
    let corner = start;
    let direction = 0;
    do {
      if (direction === 0) pixels[corner] = 2;
      corner += DX[direction] + DY[direction] * stride;
      const turned = pixels[corner + aheadLeft[direction]] && pixels[corner + ahead[direction]]
        ? (direction + 3) % 4
        : pixels[corner + ahead[direction]] ? direction : (direction + 1) % 4;
      if (turned !== direction) corners.push((corner % stride) - 1 + left, Math.floor(corner / stride) - 1 + top);
      direction = turned;
    } while (corner !== start || direction !== 0);
    vertices += chamfer(path, corners);
  }
  return { path, vertices };
}

/**
 * Adds a closed outline with its corners cut. Of points on a straight line, only the ends are kept.
 * @param {Path2D} path
 * @param {number[]} corners x, y, x, y, ...
 */
function chamfer(path, corners) {
  const count = corners.length / 2;
  /** @type {number[]} */
  const points = [];
  const add = (/** @type {number} */ x, /** @type {number} */ y) => {
    const end = points.length;
    const [x1, y1] = [points[end - 2], points[end - 1]];
    if (x === x1 && y === y1) return;
    const straight = end > 3 && (x1 - points[end - 4]) * (y - y1) === (y1 - points[end - 3]) * (x - x1);
    if (straight) points.length = end - 2;
    points.push(x, y);
  };
  for (let index = 0; index < count; index++) {
    const [x, y] = [corners[2 * index], corners[2 * index + 1]];
    const before = 2 * ((index + count - 1) % count);
    const after = 2 * ((index + 1) % count);
    add(x + Math.sign(corners[before] - x) / 2, y + Math.sign(corners[before + 1] - y) / 2);
    add(x + Math.sign(corners[after] - x) / 2, y + Math.sign(corners[after + 1] - y) / 2);
  }
  path.moveTo(points[0], points[1]);
  for (let place = 2; place < points.length; place += 2) path.lineTo(points[place], points[place + 1]);
  path.closePath();
  return points.length / 2;
}
