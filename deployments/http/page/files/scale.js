// How long a pixel is: typed, or from two clicks on something of known length; and the bar on the picture that shows it.

import { byId, onClick, show } from "./dom.js";
import { say } from "./notices.js";
import { write } from "./properties.js";

const ROUND = [1, 2, 5];

export class ScaleControls {
  /** Whether the next clicks on the picture are the ends of the line. */
  measuring = false;
  /** @type {[number, number][]} */ #ends = [];

  /** @param {import("./main.js").App} app */
  constructor(app) {
    this.app = app;
    for (const id of ["pixel-size", "unit"]) byId(id).addEventListener("change", () => this.#readTyped());
    onClick("ruler", () => this.measure(!this.measuring));
    onClick("ruler-set", () => this.#readRuler());
    byId("ruler-length").addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.#readRuler();
    });
    onClick("scale-file", () => {
      app.store.amend({ scale: "file" });
      app.analyses.refresh();
      say("The scale is the file's");
    });
    app.store.subscribe((doc, before) => {
      if (doc.scale !== before.scale || doc.analysis !== before.analysis) this.show();
    });
  }

  /** @param {boolean} on */
  measure(on) {
    this.measuring = on;
    this.#ends = [];
    byId("ruler").setAttribute("aria-pressed", String(on));
    byId("ruler").textContent = on ? "Stop measuring" : "Measure a known length";
    show(byId("ruler-card"), on);
    this.#note();
    this.#draw();
    if (on) say("Click one end of the known length");
  }

  /** One end of the line. @param {number} x @param {number} y in pixels of the picture */
  place(x, y) {
    if (this.#ends.length === 2) this.#ends = [];
    this.#ends.push([x, y]);
    this.#note();
    this.#draw();
    if (this.#ends.length === 1) say("Click the other end");
    else {
      say(`The line is ${write(this.#length)} pixels long`);
      byId("ruler-length").focus();
    }
  }

  /** Shows where the line would end. @param {number} x @param {number} y */
  aim(x, y) {
    if (this.#ends.length !== 1) return;
    this.app.stage.overlay.ruler = [this.#ends[0], [x, y]];
    this.app.stage.ask();
  }

  /** The bar on the picture. */
  drawBar() {
    const { view } = this.app.stage;
    const { pixelSize, unit } = this.#current();
    const most = Math.min(160, view.canvasWidth / 4) / view.scale;
    const power = 10 ** Math.floor(Math.log10(most * pixelSize));
    const length = power * Math.max(...ROUND.filter((factor) => factor * power <= most * pixelSize), 1);
    show(byId("scale-bar"), view.width > 0);
    byId("scale-bar-line").style.width = `${(length / pixelSize) * view.scale}px`;
    byId("scale-bar-text").textContent = `${write(length)} ${unit}`;
  }

  show() {
    const { scale } = this.app.store.doc;
    /** @type {HTMLInputElement} */
    const size = byId("pixel-size");
    /** @type {HTMLSelectElement} */
    const unit = byId("unit");
    const current = this.#current();
    size.value = scale ? String(Number(current.pixelSize.toPrecision(6))) : "";
    if (scale) unit.value = current.unit;
    this.drawBar();
  }

  #current() {
    const { scale, analysis } = this.app.store.doc;
    const known = scale === "file" ? analysis?.scale : scale;
    return { pixelSize: known?.pixel_size ?? 1, unit: known?.unit ?? "px" };
  }

  get #length() {
    const [[x0, y0], [x1, y1]] = this.#ends;
    return Math.hypot(x1 - x0, y1 - y0);
  }

  #note() {
    const ready = this.#ends.length === 2;
    byId("ruler-note").textContent = ready ? `The line is ${write(this.#length)} pixels long. How long is it really?` : "Click its two ends on the picture, for example those of a scale bar.";
    /** @type {HTMLButtonElement} */ (byId("ruler-set")).disabled = !ready;
    /** @type {HTMLInputElement} */ (byId("ruler-length")).disabled = !ready;
  }

  #draw() {
    this.app.stage.overlay.ruler = [...this.#ends];
    this.app.stage.ask();
  }

  #readTyped() {
    const size = /** @type {HTMLInputElement} */ (byId("pixel-size")).valueAsNumber;
    const unit = /** @type {HTMLSelectElement} */ (byId("unit")).value;
    this.#set(size > 0 && unit !== "px" ? { pixel_size: size, unit } : null);
    if (unit === "px") return;
    if (!(size > 0)) say(`Type how many ${unit} one pixel is`);
  }

  #readRuler() {
    const length = /** @type {HTMLInputElement} */ (byId("ruler-length")).valueAsNumber;
    if (this.#ends.length !== 2 || !(length > 0) || !(this.#length > 0)) return;
    const unit = /** @type {HTMLSelectElement} */ (byId("ruler-unit")).value;
    this.#set({ pixel_size: length / this.#length, unit });
    this.measure(false);
  }

  /** @param {import("../types").Scale | null} scale */
  #set(scale) {
    this.app.store.amend({ scale });
    this.app.analyses.refresh();
    say(scale ? `One pixel is ${write(scale.pixel_size)} ${scale.unit}` : "Lengths are in pixels");
  }
}
