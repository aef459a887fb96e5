// The keyboard: on the picture, and everywhere. Single letters work on the picture only (WCAG 2.1.4).

import { byId, make, onClick } from "./dom.js";

/** @type {[string, [string, string][]][]} */
const SHEET = [
  ["On the picture, with the pointer", [
    ["Click", "adds a point"],
    ["Right or Alt click", "takes away"],
    ["Drag", "makes a box"],
    ["Wheel, pinch", "zooms at the pointer"],
    ["Space or middle drag", "moves the picture"],
    ["Click, with Move", "hides the object, or shows it again"],
  ]],
  ["On the picture, with the keyboard", [
    ["Arrows", "move the cross, with Shift by one pixel"],
    ["Enter", "adds a point at the cross"],
    ["Alt Enter", "takes away"],
    ["X", "starts a box at the cross, and ends it"],
    ["Tab, Shift Tab", "next, previous candidate"],
    ["Esc", "lets Tab leave the picture; ends a box or a run"],
    ["K", "keeps the mask"],
    ["H", "hides the object at the cross or the pointer"],
    ["C B M", "Click, Box, Move"],
    ["+ − 0", "zoom in, out, fit"],
  ]],
  ["Everywhere", [
    ["Ctrl Z", "undoes"],
    ["Ctrl Shift Z, Ctrl Y", "does again"],
    ["Ctrl V", "opens a picture from the clipboard"],
    ["?", "shows this sheet"],
  ]],
];
const STEP_PX = 10;

export class Keys {
  /** Whether Tab leaves the picture. */
  #tabLeaves = false;
  /** @type {[number, number] | null} */ #corner = null;

  /** @param {import("./main.js").App} app */
  constructor(app) {
    this.app = app;
    const { canvas } = app.stage;
    this.#fillSheet();
    onClick("keys-open", () => this.#open());
    document.addEventListener("keydown", (event) => this.#anywhere(event));
    canvas.addEventListener("keydown", (event) => {
      if (this.#onCanvas(event)) event.preventDefault();
    });
    canvas.addEventListener("blur", () => {
      this.#tabLeaves = false;
      app.stage.overlay.cross = null;
      app.stage.ask();
    });
    app.store.subscribe((doc, before) => {
      if (doc.candidates !== before.candidates) this.#tabLeaves = false;
    });
  }

  #open() {
    /** @type {HTMLDialogElement} */
    const dialog = byId("keys");
    if (!dialog.open) dialog.showModal();
  }

  get #single() {
    return /** @type {HTMLInputElement} */ (byId("single-keys")).checked;
  }

  /** @param {KeyboardEvent} event */
  #anywhere(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    const types = target instanceof HTMLInputElement && ["text", "number", "password"].includes(target.type);
    if (types || target instanceof HTMLSelectElement || document.querySelector("dialog[open]")) return;
    const control = event.ctrlKey || event.metaKey;
    const key = event.key.toLowerCase();
    if (control && key === "z") this.#do(event, () => (event.shiftKey ? this.app.redo() : this.app.undo()));
    else if (control && key === "y") this.#do(event, () => this.app.redo());
    else if (event.key === "?" && this.#single) this.#do(event, () => this.#open());
    else if (event.key === "Escape" && !event.defaultPrevented) this.app.cancel();
  }

  /** @param {Event} event @param {() => void} act */
  #do(event, act) {
    event.preventDefault();
    act();
  }

  /** @param {KeyboardEvent} event @returns {boolean} whether it is done with */
  #onCanvas(event) {
    const { app } = this;
    const { key } = event;
    if (key === "Tab") return !this.#tabLeaves && app.clicks.cycle(event.shiftKey ? -1 : 1);
    if (event.ctrlKey || event.metaKey) return false;
    if (key === "Escape") return this.#escape();
    if (key.startsWith("Arrow")) return this.#arrow(key, event.shiftKey);
    if (key === "Enter") return this.#enter(event.altKey);
    if (key === "Delete") return this.#hide();
    if (!this.#single || event.altKey) return false;
    /** @type {Record<string, () => void>} */
    const letters = {
      "+": () => app.zoom(1.4),
      "=": () => app.zoom(1.4),
      "-": () => app.zoom(1 / 1.4),
      0: () => app.fit(),
      k: () => app.clicks.keep(),
      h: () => this.#hide(),
      c: () => app.setTool("click"),
      b: () => app.setTool("box"),
      m: () => app.setTool("move"),
      x: () => this.#boxCorner(),
    };
    letters[key.toLowerCase()]?.();
    return key.toLowerCase() in letters;
  }

  #escape() {
    this.#tabLeaves = true;
    const hadBox = this.#corner !== null;
    this.#corner = null;
    this.app.stage.overlay.draft = null;
    this.app.stage.ask();
    if (this.app.scale.measuring) this.app.scale.measure(false);
    return hadBox;
  }

  /** @param {string} key @param {boolean} fine */
  #arrow(key, fine) {
    const { stage } = this.app;
    const { view, overlay } = stage;
    if (!view.width) return true;
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key] ?? [0, 0];
    if (this.app.tool === "move") {
      view.pan(-dx * 40, -dy * 40);
      stage.changedView();
      return true;
    }
    const step = fine ? 1 : Math.max(1, Math.round(STEP_PX / view.scale));
    const from = overlay.cross ?? view.toPicture(view.canvasWidth / 2, view.canvasHeight / 2).map(Math.floor);
    const x = Math.min(Math.max(from[0] + dx * step, 0), view.width - 1);
    const y = Math.min(Math.max(from[1] + dy * step, 0), view.height - 1);
    overlay.cross = [x, y];
    if (this.#corner) overlay.draft = boxOf(this.#corner, [x, y]);
    view.reveal([x, y, 1, 1]);
    this.app.hover(...view.toCanvas(x + 0.5, y + 0.5));
    stage.changedView();
    return true;
  }

  /** @param {boolean} takesAway */
  #enter(takesAway) {
    const { view, overlay } = this.app.stage;
    if (!view.width) return true;
    if (!overlay.cross) return this.#arrow("", true);
    if (this.app.tool === "box") this.#boxCorner();
    else this.app.press(...view.toCanvas(overlay.cross[0] + 0.5, overlay.cross[1] + 0.5), takesAway);
    return true;
  }

  #boxCorner() {
    const { overlay } = this.app.stage;
    if (!overlay.cross) return;
    if (!this.#corner) this.#corner = overlay.cross;
    else {
      const box = boxOf(this.#corner, overlay.cross);
      this.#corner = null;
      overlay.draft = null;
      if (box[2] > box[0] && box[3] > box[1]) this.app.clicks.setBox(box);
    }
  }

  #hide() {
    const { cross } = this.app.stage.overlay;
    const key = cross ? this.app.objectAt(cross[0], cross[1])?.key : this.app.highlighted;
    if (key) this.app.toggle(key);
    return true;
  }

  #fillSheet() {
    const column = (/** @type {[string, [string, string][]]} */ [title, keys]) =>
      make("div", {}, make("h3", {}, title), make("dl", {}, ...keys.flatMap(([key, text]) => [make("dt", {}, make("kbd", {}, key)), make("dd", {}, text)])));
    byId("key-list").append(...SHEET.map(column));
  }
}

/** @param {number[]} a @param {number[]} b @returns {import("../types").Box} */
function boxOf(a, b) {
  return [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]), Math.max(a[1], b[1])];
}
