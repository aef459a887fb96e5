// Where the picture stands on the screen: zoom and pan. Lengths are CSS pixels; knows no canvas.

const MOST_SCALE = 64;

export class View {
  /** CSS pixels a pixel of the picture. */
  scale = 1;
  /** The picture's upper left corner. */
  x = 0;
  y = 0;
  /** Of the picture, and of the canvas. */
  width = 0;
  height = 0;
  canvasWidth = 1;
  canvasHeight = 1;
  #fits = true;

  /** @param {number} width @param {number} height */
  setPicture(width, height) {
    this.width = width;
    this.height = height;
    this.fit();
  }

  /** @param {number} width @param {number} height */
  setCanvas(width, height) {
    const [middleX, middleY] = this.toPicture(this.canvasWidth / 2, this.canvasHeight / 2);
    this.canvasWidth = width;
    this.canvasHeight = height;
    if (this.#fits) this.fit();
    else {
      this.x = width / 2 - middleX * this.scale;
      this.y = height / 2 - middleY * this.scale;
      this.#keepInSight();
    }
  }

  get fitScale() {
    if (!this.width) return 1;
    const margin = Math.min(24, this.canvasWidth / 20);
    return Math.min((this.canvasWidth - 2 * margin) / this.width, (this.canvasHeight - 2 * margin) / this.height, 16);
  }

  fit() {
    this.scale = Math.max(this.fitScale, 1e-3);
    this.x = (this.canvasWidth - this.width * this.scale) / 2;
    this.y = (this.canvasHeight - this.height * this.scale) / 2;
    this.#fits = true;
  }

  /** Zooms; what is at the place of the canvas stays there. @param {number} factor @param {number} x @param {number} y */
  zoom(factor, x = this.canvasWidth / 2, y = this.canvasHeight / 2) {
    const scale = Math.min(Math.max(this.scale * factor, this.fitScale / 4), MOST_SCALE);
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.#fits = false;
    this.#keepInSight();
  }

  /** @param {number} dx @param {number} dy */
  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.#fits = false;
    this.#keepInSight();
  }

  /** Brings a box of the picture into sight, if it is not. @param {import("../types").Box} bbox */
  reveal([x, y, width, height]) {
    const [left, top] = this.toCanvas(x, y);
    const [right, bottom] = this.toCanvas(x + width, y + height);
    const inside = left >= 0 && top >= 0 && right <= this.canvasWidth && bottom <= this.canvasHeight;
    const fills = right - left > this.canvasWidth || bottom - top > this.canvasHeight;
    if (!inside && !fills) this.pan(this.canvasWidth / 2 - (left + right) / 2, this.canvasHeight / 2 - (top + bottom) / 2);
  }

  /** @param {number} x @param {number} y @returns {[number, number]} */
  toPicture(x, y) {
    return [(x - this.x) / this.scale, (y - this.y) / this.scale];
  }

  /** @param {number} x @param {number} y @returns {[number, number]} */
  toCanvas(x, y) {
    return [x * this.scale + this.x, y * this.scale + this.y];
  }

  /** Some of the picture stays on the canvas, so that nobody loses it. */
  #keepInSight() {
    const rest = 48;
    this.x = Math.min(Math.max(this.x, rest - this.width * this.scale), this.canvasWidth - rest);
    this.y = Math.min(Math.max(this.y, rest - this.height * this.scale), this.canvasHeight - rest);
  }
}
