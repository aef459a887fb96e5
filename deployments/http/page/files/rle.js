// COCO's compressed run lengths: decoded, hit-tested. Runs go down the columns, background first.

/** @typedef {import("../types").Rle} Rle */
/** @typedef {import("../types").Region} Region */

/**
 * @param {Rle} rle
 * @returns {Region}
 */
export function toRegion(rle) {
  const ends = cumulative(rle.counts);
  return { rle, ends, ...extent(ends, rle.size[0]) };
}

/**
 * The ends of the runs. Each count is written in groups of five bits plus a continuation bit, from character 48 on;
 * from the fourth on, as the difference from the count two before (pycocotools, `rleFrString`).
 * @param {string} counts
 */
function cumulative(counts) {
  /** @type {number[]} */
  const runs = [];
  const ends = new Int32Array(counts.length);
  let position = 0;
  let end = 0;
  while (position < counts.length) {
    let value = 0;
    let shift = 0;
    let more = true;
    while (more) {
      const piece = counts.charCodeAt(position++) - 48;
      value |= (piece & 0x1f) << shift;
      more = (piece & 0x20) !== 0;
      shift += 5;
      if (!more && piece & 0x10) value |= -1 << shift;
    }
    if (runs.length > 2) value += runs[runs.length - 2];
    ends[runs.length] = end += value;
    runs.push(value);
  }
  return ends.slice(0, runs.length);
}

/**
 * @param {Int32Array} ends
 * @param {number} height
 * @returns {{bbox: import("../types").Box, area: number}}
 */
function extent(ends, height) {
  let area = 0;
  let [left, top, right, bottom] = [Infinity, Infinity, -1, -1];
  for (let run = 1; run < ends.length; run += 2) {
    const first = ends[run - 1];
    const last = ends[run] - 1;
    if (last < first) continue;
    area += last - first + 1;
    const [from, to] = [Math.floor(first / height), Math.floor(last / height)];
    left = Math.min(left, from);
    right = Math.max(right, to);
    top = from === to ? Math.min(top, first % height) : 0;
    bottom = from === to ? Math.max(bottom, last % height) : height - 1;
  }
  return { bbox: area ? [left, top, right - left + 1, bottom - top + 1] : [0, 0, 0, 0], area };
}

/**
 * Whether the pixel is in the mask.
 * @param {Region} region @param {number} x @param {number} y
 */
export function contains({ ends, bbox, rle }, x, y) {
  if (x < bbox[0] || y < bbox[1] || x >= bbox[0] + bbox[2] || y >= bbox[1] + bbox[3]) return false;
  const index = Math.floor(x) * rle.size[0] + Math.floor(y);
  let [low, high] = [0, ends.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ends[middle] <= index) low = middle + 1;
    else high = middle;
  }
  return low % 2 === 1;
}

/**
 * The pixels of the bounding box with a border of one empty pixel: 1 inside the mask.
 * @param {Region} region
 * @returns {{pixels: Uint8Array, stride: number}}
 */
export function cropOf({ ends, bbox, rle }) {
  const height = rle.size[0];
  const stride = bbox[2] + 2;
  const pixels = new Uint8Array(stride * (bbox[3] + 2));
  for (let run = 1; run < ends.length; run += 2) {
    for (let index = ends[run - 1]; index < ends[run]; ) {
      const column = Math.floor(index / height);
      const stop = Math.min(ends[run], (column + 1) * height);
      let target = (index - column * height - bbox[1] + 1) * stride + column - bbox[0] + 1;
      for (; index < stop; index++, target += stride) pixels[target] = 1;
    }
  }
  return { pixels, stride };
}
