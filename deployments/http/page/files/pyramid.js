// A large bitmap at half, a quarter, ... of its size, so that a frame reads about as many pixels as it shows.

/** @typedef {{x: number, y: number, width: number, height: number}} Rectangle */

/** Pixels. Browsers draw nothing on canvases that are much larger. */
export const LARGEST_SIDE = 8192;

export class Pyramid {
  /** @type {HTMLCanvasElement[]} */ #levels;
  /** What of each level is out of date. @type {(Rectangle | null)[]} */ #stale = [null];

  /** @param {number} width @param {number} height pixels of the largest level */
  constructor(width, height) {
    this.#levels = [newCanvas(width, height)];
    while (Math.min(width, height) > 256) {
      width = Math.ceil(width / 2);
      height = Math.ceil(height / 2);
      this.#levels.push(newCanvas(width, height));
      this.#stale.push(null);
    }
  }

  get width() {
    return this.#levels[0].width;
  }

  get height() {
    return this.#levels[0].height;
  }

  /** To draw on. */
  get context() {
    return contextOf(this.#levels[0]);
  }

  /** Tells what has been drawn. @param {Rectangle} [area] of the largest level; all of it by default */
  touch(area = { x: 0, y: 0, width: this.width, height: this.height }) {
    for (let level = 1; level < this.#levels.length; level++) this.#stale[level] = union(this.#stale[level], area);
  }

  /**
   * The level to draw at this zoom, with its pixels a pixel of the largest.
   * @param {number} zoom device pixels a pixel of the largest level
   * @returns {{image: HTMLCanvasElement, reduction: number}}
   */
  at(zoom) {
    let level = 0;
    while (level + 1 < this.#levels.length && zoom * 2 ** (level + 1) <= 1) level++;
    for (let next = 1; next <= level; next++) this.#refresh(next);
    return { image: this.#levels[level], reduction: 2 ** level };
  }

  /** @param {number} level */
  #refresh(level) {
    const area = this.#stale[level];
    if (!area) return;
    this.#stale[level] = null;
    const unit = 2 ** level;
    const [source, target] = [this.#levels[level - 1], this.#levels[level]];
    const left = Math.max(Math.floor(area.x / unit) - 1, 0);
    const top = Math.max(Math.floor(area.y / unit) - 1, 0);
    const width = Math.min(Math.ceil((area.x + area.width) / unit) + 1, target.width) - left;
    const height = Math.min(Math.ceil((area.y + area.height) / unit) + 1, target.height) - top;
    const context = contextOf(target);
    context.clearRect(left, top, width, height);
    context.drawImage(source, 2 * left, 2 * top, 2 * width, 2 * height, left, top, width, height);
  }
}

/** @param {number} width @param {number} height */
export function newCanvas(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, width);
  canvas.height = Math.max(1, height);
  return canvas;
}

/** @param {HTMLCanvasElement} canvas */
export function contextOf(canvas) {
  const context = canvas.getContext("2d");
  if (!context) throw new Error("the browser has no 2D canvas");
  return context;
}

/** @param {Rectangle | null} a @param {Rectangle} b @returns {Rectangle} */
function union(a, b) {
  if (!a) return b;
  const [x, y] = [Math.min(a.x, b.x), Math.min(a.y, b.y)];
  return {
    x,
    y,
    width: Math.max(a.x + a.width, b.x + b.width) - x,
    height: Math.max(a.y + a.height, b.y + b.height) - y,
  };
}
