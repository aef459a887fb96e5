// The pointer over the canvas: clicks, boxes, panning, pinching, the wheel.

const DRAG_PX = 5;

/** @typedef {{id: number, x: number, y: number, startX: number, startY: number, button: number, alt: boolean, moved: boolean}} Press */

export class Pointer {
  /** @type {Map<number, Press>} */ #presses = new Map();
  #space = false;
  /** Where a mouse or pen is on the canvas. @type {[number, number] | null} */ #at = null;

  /** @param {import("./main.js").App} app */
  constructor(app) {
    this.app = app;
    const { canvas } = app.stage;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointercancel", (event) => this.#end(event.pointerId));
    canvas.addEventListener("pointerleave", () => this.#leave());
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("dblclick", (event) => event.preventDefault());
    addEventListener("keydown", (event) => {
      if (event.key === " " && event.target === canvas) this.#space = true;
    });
    addEventListener("keyup", (event) => {
      if (event.key === " ") this.#space = false;
    });
  }

  /** The picture has changed below the pointer, which may not move. */
  rest() {
    if (this.#at && !this.#presses.size) this.app.hover(...this.#at);
  }

  /** @param {PointerEvent} event */
  #down(event) {
    const { stage } = this.app;
    stage.canvas.focus({ preventScroll: true });
    stage.overlay.cross = null;
    stage.canvas.setPointerCapture(event.pointerId);
    const [x, y] = this.#place(event);
    this.#presses.set(event.pointerId, { id: event.pointerId, x, y, startX: x, startY: y, button: event.button, alt: event.altKey, moved: false });
    if (this.#pans(event.button)) stage.canvas.dataset.dragging = "";
    // Two fingers zoom and pan: what the first began is no click.
    if (this.#presses.size > 1) for (const press of this.#presses.values()) press.moved = true;
    event.preventDefault();
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const [x, y] = this.#place(event);
    const press = this.#presses.get(event.pointerId);
    if (event.pointerType !== "touch") this.#at = [x, y];
    if (!press) {
      this.rest();
      return;
    }
    const [dx, dy] = [x - press.x, y - press.y];
    if (Math.hypot(x - press.startX, y - press.startY) > DRAG_PX) press.moved = true;
    if (this.#presses.size === 2) this.#pinch(press, x, y);
    else if (press.moved && this.#pans(press.button)) this.app.stage.view.pan(dx, dy);
    else if (press.moved && press.button === 0) this.app.draft(press.startX, press.startY, x, y);
    press.x = x;
    press.y = y;
    if (press.moved) this.app.stage.changedView();
  }

  /** @param {PointerEvent} event */
  #up(event) {
    const press = this.#presses.get(event.pointerId);
    const [x, y] = this.#place(event);
    const alone = this.#presses.size === 1;
    this.#end(event.pointerId);
    if (!press || !alone) return;
    if (!press.moved) this.app.press(x, y, press.button === 2 || press.alt);
    else if (!this.#pans(press.button) && press.button === 0) this.app.drop(press.startX, press.startY, x, y);
  }

  /** @param {number} id */
  #end(id) {
    this.#presses.delete(id);
    delete this.app.stage.canvas.dataset.dragging;
    this.app.stage.overlay.draft = null;
    this.app.stage.ask();
  }

  #leave() {
    this.#at = null;
    if (!this.#presses.size) this.app.leave();
  }

  /** @param {Press} press @param {number} x @param {number} y */
  #pinch(press, x, y) {
    const other = [...this.#presses.values()].find((one) => one !== press);
    if (!other) return;
    const before = Math.hypot(press.x - other.x, press.y - other.y);
    const after = Math.hypot(x - other.x, y - other.y);
    const { view } = this.app.stage;
    view.pan((x - press.x) / 2, (y - press.y) / 2);
    if (before > 10 && after > 10) view.zoom(after / before, (x + other.x) / 2, (y + other.y) / 2);
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    event.preventDefault();
    const { view } = this.app.stage;
    const [x, y] = this.#place(event);
    const pixels = event.deltaMode === 1 ? 16 : 1;
    if (event.shiftKey) view.pan(-(event.deltaX || event.deltaY) * pixels, 0);
    // A trackpad's pinch comes as small steps with the control key.
    else view.zoom(Math.exp((-event.deltaY * pixels * (event.ctrlKey ? 6 : 1)) / 600), x, y);
    this.app.stage.changedView();
  }

  /** @param {number} button */
  #pans(button) {
    return button === 1 || (button === 0 && (this.#space || (this.app.tool === "move" && !this.app.scale.measuring)));
  }

  /** @param {MouseEvent} event @returns {[number, number]} */
  #place(event) {
    const { left, top } = this.app.stage.canvas.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }
}
