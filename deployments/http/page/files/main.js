// The page put together: one App that the parts share.

import { Analyses } from "./analysis.js";
import { Api, isAbort } from "./api.js";
import { Clicks } from "./clicks.js";
import { colourOf } from "./colours.js";
import { byId, make, onClick, show } from "./dom.js";
import { Everything } from "./everything.js";
import { Keys } from "./keys.js";
import { complain, dismiss, notify, say, tellProgress } from "./notices.js";
import { DecodeControls, isServers, listenForPictures, readHere, showName } from "./picture.js";
import { Pointer } from "./pointer.js";
import { contains, toRegion } from "./rle.js";
import { ScaleControls } from "./scale.js";
import { Session } from "./session.js";
import { Stage } from "./stage.js";
import { Store } from "./store.js";
import { Tables } from "./tables.js";
import { TakeHome } from "./take_home.js";

/** @typedef {import("../types").Item} Item */
/** @typedef {import("../types").Doc} Doc */
/** @typedef {import("../types").Region} Region */

/**
 * What is seen of a picture.
 * @typedef {object} Shown
 * @property {ImageBitmap} bitmap perhaps reduced
 * @property {[number, number]} size height, width of the picture
 * @property {import("./session.js").Holds | null} holds what the server says of the file, where it shows it
 */

const HINT = "Click an object, right-click to take away, drag a box.";

export class App {
  store = new Store();
  name = "";
  /** Whether the picture is encoded. */
  isReady = false;
  /** Whether a picture is on its way: loaded, sent or encoded. */
  isOpening = false;
  /** What was asked last, for copying. @type {import("./snippets.js").Done | null} */
  done = null;
  /** Key of the object under the pointer; 0 for none. */
  highlighted = 0;
  /** What runs and can be cancelled. @type {{what: string, cancel: () => void}[]} */ #runs = [];
  #nextKey = 1;
  #opening = 0;
  /** What is seen of the picture. @type {Shown | null} */ #shown = null;
  /** What was open before the picture that is being opened. @type {{name: string, shown: Shown | null, done: import("./snippets.js").Done | null, store: ReturnType<Store["save"]>, session: ReturnType<Session["save"]>} | null} */
  #before = null;
  /** @type {(() => void) | null} */ #away = null;

  constructor() {
    this.session = new Session(new Api(askKey, (away, why) => this.#serverAway(away, why)), (share) => this.#encoding(share));
    this.stage = new Stage(/** @type {HTMLCanvasElement} */ (byId("canvas")), () => this.#viewChanged());
    this.clicks = new Clicks(this);
    this.everything = new Everything(this);
    this.analyses = new Analyses(this);
    this.scale = new ScaleControls(this);
    this.tables = new Tables(this);
    this.takeHome = new TakeHome(this);
    this.keys = new Keys(this);
    this.decode = new DecodeControls((decode) => {
      const { opened } = this.session;
      if (opened) this.open(opened.file, opened.name, decode);
    });
    this.pointer = new Pointer(this);
    this.store.subscribe((doc, before) => this.#update(doc, before));
    listenForPictures((file, name) => this.open(file, name));
    for (const id of ["undo", "redo", "clear", "keep"]) onClick(id, () => this[/** @type {"undo"} */ (id)]());
    onClick("zoom-in", () => this.zoom(1.4));
    onClick("zoom-out", () => this.zoom(1 / 1.4));
    onClick("zoom-fit", () => this.fit());
    for (const radio of radios()) radio.addEventListener("change", () => this.setTool(/** @type {import("../types").Tool} */ (radio.value)));
    document.addEventListener("pointerdown", (event) => {
      if (!byId("look").contains(/** @type {Node} */ (event.target))) byId("look").removeAttribute("open");
    });
    for (const id of ["look-fill", "look-outline", "look-cutout", "look-opacity"]) byId(id).addEventListener("input", () => this.#readLook());
    onClick("theme", switchTheme);
    byId("hint").textContent = HINT;
    this.setTool("click");
    this.sayState();
  }

  /** @returns {import("../types").Tool} */
  get tool() {
    return /** @type {import("../types").Tool} */ (radios().find((radio) => radio.checked)?.value ?? "click");
  }

  /** @param {import("../types").Tool} tool */
  setTool(tool) {
    for (const radio of radios()) radio.checked = radio.value === tool;
    this.stage.canvas.dataset.tool = tool;
    this.clicks.leave();
  }

  /**
   * Opens a picture in the place of the one that is open. The status says "Encoding" before this returns.
   * @param {Blob | Promise<Blob>} file a promise for a file that has to be loaded first
   * @param {string} name @param {import("../types").Decode | null} [decode]
   */
  async open(file, name, decode = null) {
    const opening = ++this.#opening;
    const current = () => opening === this.#opening;
    if (this.isReady) this.#before = { name: this.name, shown: this.#shown, done: this.done, store: this.store.save(), session: this.session.save() };
    this.isReady = false;
    this.isOpening = true;
    this.everything.forget();
    this.analyses.forget();
    this.name = name;
    this.done = null;
    this.store.reset({ rules: this.analyses.controls.changed, preset: this.analyses.controls.preset });
    this.stage.setPicture(null);
    this.scale.measure(false);
    show(byId("empty"), false);
    dismiss("open");
    this.sayState();
    const sent = this.session.open({ file, name, decode });
    sent.catch(() => {}); // answered below
    if (!decode) this.decode.hide();
    try {
      const loaded = await file;
      const here = decode || (await isServers(loaded)) ? null : await readHere(loaded);
      if (!current()) return;
      if (here) this.#show({ bitmap: here, size: [here.height, here.width], holds: null });
      const preview = here ? null : this.#serversView({ file, name, decode });
      preview?.then((shown) => current() && this.#show(shown), () => {}); // answered below
      const encoded = await sent;
      if (!current()) return;
      const [height, width] = encoded.size;
      const isOther = here && (here.width !== width || here.height !== height);
      if (preview) await preview;
      else if (isOther || encoded.decode?.scaling) {
        const shown = await this.#serversView({ file, name, decode });
        if (!current()) return;
        if (isOther) this.#forgetPrompt();
        this.#show(shown);
      }
      if (!current()) return;
      this.isReady = true;
      this.isOpening = false;
      this.#before = null;
      this.sayState();
      this.pointer.rest();
    } catch (error) {
      if (!current()) return;
      this.isOpening = false;
      this.#goBack();
      this.sayState();
      complain(`${name} could not be opened`, error, "open");
    }
  }

  /** The server reads another picture than the browser showed: what was clicked on that one means nothing. */
  #forgetPrompt() {
    const { prompt, rules, preset } = this.store.doc;
    if (!prompt.points.length && !prompt.box) return;
    this.store.reset({ rules, preset });
    notify("The server reads this file as another picture than the browser showed. Please click again.", { calm: true });
  }

  /** The picture that was open before one that can't be opened. */
  #goBack() {
    const before = this.#before;
    show(byId("empty"), !before);
    if (!before?.shown) {
      this.session.restore({ opened: null, encoding: null });
      this.store.reset({ rules: this.store.doc.rules, preset: this.store.doc.preset });
      this.stage.setPicture(null);
      byId("picture-name").textContent = "";
      return;
    }
    this.session.restore(before.session);
    this.name = before.name;
    this.done = before.done;
    this.#show(before.shown);
    this.store.restore(before.store);
    this.isReady = true;
  }

  /** @param {import("./session.js").Opened} opened @returns {Promise<Shown>} */
  async #serversView(opened) {
    const { image, holds } = await this.session.preview(opened);
    return { bitmap: await createImageBitmap(image), size: holds.size, holds };
  }

  /** @param {Shown} shown */
  #show(shown) {
    this.#shown = shown;
    this.stage.setPicture(shown.bitmap, shown.size);
    if (shown.holds) this.decode.show(shown.holds);
    else this.decode.hide();
    showName(this.name, shown.size);
    this.scale.drawBar();
    this.showItems();
  }

  /**
   * @param {Region} region @param {Item["source"]} source @param {number | null} iou @param {number | null} stability @param {string} name
   * @returns {Item}
   */
  newItem(region, source, iou, stability, name) {
    return { key: this.#nextKey++, name, region, iou, stability, source, group: null, measured: null };
  }

  /** @param {import("../types").ApiObject} object @returns {Item} */
  measuredItem(object) {
    const item = this.newItem(toRegion(object.segmentation), "analysis", object.predicted_iou, object.stability_score, "");
    return { ...item, group: object.group, measured: object };
  }

  /** @param {Item} item @param {Doc} [doc] */
  colourOf(item, doc = this.store.doc) {
    return colourOf(item, doc.analysis?.groups.map(({ name }) => name) ?? []);
  }

  /**
   * Something runs that can be cancelled.
   * @param {string} what @param {() => void} cancel
   * @returns {() => void} to be called at its end
   */
  busy(what, cancel) {
    const run = { what, cancel };
    this.#runs.push(run);
    this.sayState();
    tellProgress(-1, `${what} …`);
    show(byId("cancel"), true);
    return () => {
      this.#runs = this.#runs.filter((one) => one !== run);
      show(byId("cancel"), this.#runs.length > 0);
      if (!this.#runs.length && !this.isOpening) tellProgress(null);
    };
  }

  /** Ends all that runs. */
  cancel() {
    for (const { cancel } of this.#runs) cancel();
  }

  /** What the page waits for; the number of objects if it waits for nothing. */
  sayState() {
    const { items, hidden } = this.store.doc;
    const count = items.length - hidden.size;
    const run = this.#runs.at(-1);
    if (this.#away) say("Waiting for the server");
    else if (this.isOpening) say("Encoding");
    else if (run) say(run.what);
    else if (this.clicks.isAsking) say("Segmenting");
    else say(items.length ? `${count.toLocaleString("en")} ${count === 1 ? "object" : "objects"}` : "Ready");
  }

  undo() {
    this.store.undo();
    this.sayState();
  }

  redo() {
    this.store.redo();
    this.sayState();
  }

  keep() {
    this.clicks.keep();
  }

  /** The prompt; without one, all objects. */
  clear() {
    const { prompt, items } = this.store.doc;
    if (prompt.points.length || prompt.box) this.clicks.clear();
    else if (items.length) {
      this.store.commit({ items: [], sources: [], hidden: new Set(), analysis: null, automatic: null });
      this.sayState();
    }
    this.stage.canvas.focus({ preventScroll: true });
  }

  /** Hides an object, or shows it again. @param {number} key */
  toggle(key) {
    const { items, hidden } = this.store.doc;
    if (!items.some((item) => item.key === key)) return;
    const next = new Set(hidden);
    if (!next.delete(key)) next.add(key);
    this.store.commit({ hidden: next });
    this.sayState();
  }

  /** @param {number} key 0 for none @param {"list" | "picture"} from @param {boolean} [reveal] */
  highlight(key, from, reveal = false) {
    if (key === this.highlighted && !reveal) return;
    this.highlighted = key;
    const { items } = this.store.doc;
    const item = items.find((one) => one.key === key);
    this.stage.overlay.highlight = item ? { region: item.region, colour: this.colourOf(item) } : null;
    this.tables.light(key, from === "picture");
    if (item && from === "list" && reveal) {
      this.stage.view.reveal(item.region.bbox);
      this.stage.changedView();
    }
    this.stage.ask();
  }

  /** The smallest object at a place, the shown ones first. @param {number} x @param {number} y in pixels of the picture */
  objectAt(x, y) {
    const { items, hidden } = this.store.doc;
    const there = items.filter(({ region }) => contains(region, x, y));
    const rank = (/** @type {Item} */ item) => item.region.area + (hidden.has(item.key) ? 1e12 : 0);
    return there.sort((a, b) => rank(a) - rank(b))[0];
  }

  /** The pointer is at a place of the canvas. @param {number} x @param {number} y */
  hover(x, y) {
    const [px, py] = this.stage.view.toPicture(x, y).map(Math.floor);
    if (this.scale.measuring) {
      this.scale.aim(...this.stage.view.toPicture(x, y));
      return;
    }
    if (!this.#inside(px, py)) {
      this.leave();
      return;
    }
    const object = this.objectAt(px, py);
    this.highlight(object?.key ?? 0, "picture");
    this.stage.canvas.dataset.over = object ? "object" : "";
    if (this.tool === "click") this.clicks.hover(px, py);
  }

  leave() {
    this.clicks.leave();
    this.highlight(0, "picture");
  }

  /** @param {number} x @param {number} y on the canvas @param {boolean} takesAway */
  press(x, y, takesAway) {
    const [px, py] = this.stage.view.toPicture(x, y).map(Math.floor);
    if (!this.#inside(px, py)) return;
    if (this.scale.measuring) this.scale.place(...this.stage.view.toPicture(x, y));
    else if (this.tool === "move") this.toggle(this.objectAt(px, py)?.key ?? 0);
    else this.clicks.add(px, py, takesAway ? 0 : 1);
  }

  /** A box is being dragged. @param {number} x0 @param {number} y0 @param {number} x1 @param {number} y1 on the canvas */
  draft(x0, y0, x1, y1) {
    this.clicks.leave();
    this.stage.overlay.draft = this.scale.measuring ? null : this.#box(x0, y0, x1, y1);
    this.stage.ask();
  }

  /** A box has been dragged. @param {number} x0 @param {number} y0 @param {number} x1 @param {number} y1 on the canvas */
  drop(x0, y0, x1, y1) {
    if (this.scale.measuring) {
      this.scale.place(...this.stage.view.toPicture(x0, y0));
      this.scale.place(...this.stage.view.toPicture(x1, y1));
      return;
    }
    const box = this.#box(x0, y0, x1, y1);
    if (this.stage.view.width && box[2] - box[0] >= 1 && box[3] - box[1] >= 1) this.clicks.setBox(box);
  }

  /** @param {number} factor */
  zoom(factor) {
    this.stage.view.zoom(factor);
    this.stage.changedView();
  }

  fit() {
    this.stage.view.fit();
    this.stage.changedView();
  }

  /** The objects as they are. */
  showItems() {
    const { items, hidden } = this.store.doc;
    this.#draw(items.filter(({ key }) => !hidden.has(key)));
  }

  /** Objects that are not in the list yet. @param {Item[]} items @param {boolean} [more] beside those that are kept */
  showArriving(items, more = true) {
    const kept = more ? this.store.doc.sources.filter((item) => item.source === "click") : [];
    this.#draw([...kept, ...items], more);
  }

  /** @param {Item[]} items @param {boolean} [rough] */
  #draw(items, rough) {
    this.stage.setShapes(items.map((item) => ({ region: item.region, colour: this.colourOf(item) })), rough);
  }

  /** @param {Doc} doc @param {Doc} before */
  #update(doc, before) {
    if (doc.items !== before.items) this.highlight(0, "list");
    if (doc.items !== before.items || doc.hidden !== before.hidden || doc.analysis !== before.analysis) {
      this.showItems();
      this.tables.update(doc, before);
    }
    const prompted = doc.prompt.points.length > 0 || doc.prompt.box !== null;
    enable("undo", this.store.canUndo);
    enable("redo", this.store.canRedo);
    enable("clear", prompted || doc.items.length > 0);
    enable("export", doc.items.length > 0);
    enable("save-view", this.session.opened !== null);
    for (const id of ["copy-curl", "copy-python"]) enable(id, this.done !== null);
  }

  /** @param {number | null} share of the picture that has been sent */
  #encoding(share) {
    if (share === null) {
      if (!this.#runs.length) tellProgress(null);
      this.sayState();
      return;
    }
    say("Encoding");
    if (share < 1) tellProgress(share, `Sending, ${Math.round(100 * share)} %`);
    else tellProgress(-1, "The server encodes the picture");
  }

  /** @param {boolean} away @param {string} why */
  #serverAway(away, why) {
    this.#away?.();
    this.#away = null;
    if (away) this.#away = notify(`${why} The page goes on by itself as soon as it does; nothing is lost.`, { id: "away" });
    this.sayState();
  }

  #viewChanged() {
    const { view } = this.stage;
    byId("zoom-text").textContent = `${Math.round(view.scale * 100)} %`;
    this.scale?.drawBar();
  }

  #readLook() {
    const checked = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id)).checked;
    this.stage.look = {
      fill: checked("look-fill"),
      outline: checked("look-outline"),
      cutout: checked("look-cutout"),
      opacity: Number(/** @type {HTMLInputElement} */ (byId("look-opacity")).value) / 100,
    };
    this.stage.ask();
  }

  /** @param {number} x @param {number} y */
  #inside(x, y) {
    const { view } = this.stage;
    return x >= 0 && y >= 0 && x < view.width && y < view.height;
  }

  /** @param {number} x0 @param {number} y0 @param {number} x1 @param {number} y1 @returns {import("../types").Box} */
  #box(x0, y0, x1, y1) {
    const { view } = this.stage;
    const [[ax, ay], [bx, by]] = [view.toPicture(x0, y0), view.toPicture(x1, y1)];
    const clamp = (/** @type {number} */ value, /** @type {number} */ most) => Math.min(Math.max(value, 0), most);
    return [clamp(Math.min(ax, bx), view.width), clamp(Math.min(ay, by), view.height), clamp(Math.max(ax, bx), view.width), clamp(Math.max(ay, by), view.height)];
  }
}

function radios() {
  return /** @type {HTMLInputElement[]} */ ([...document.querySelectorAll("input[name=tool]")]);
}

/** @param {string} id @param {boolean} enabled */
function enable(id, enabled) {
  /** @type {HTMLButtonElement} */ (byId(id)).disabled = !enabled;
}

/** @param {string} reason why the last key was refused; empty if there was none @returns {Promise<string>} */
function askKey(reason) {
  /** @type {HTMLDialogElement} */
  const dialog = byId("key-dialog");
  /** @type {HTMLInputElement} */
  const input = byId("key");
  byId("key-reason").textContent = reason || "This server needs an API key. Its operator has given you one.";
  input.value = "";
  dialog.showModal();
  return new Promise((resolve, reject) => {
    byId("key-form").addEventListener("submit", () => resolve(input.value.trim()), { once: true });
    dialog.addEventListener("cancel", () => reject(new DOMException("no key", "AbortError")), { once: true });
  });
}

function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}

const app = new App();
// For tests, and for the curious at the browser's console.
Object.assign(window, { samServe: app });
start(app);

/** @param {App} app */
async function start(app) {
  const { session, everything, analyses } = app;
  session.api.onKey = () => {};
  try {
    const info = await session.api.json("backend_info");
    // On CPUs the thorough profile takes minutes with a large model.
    everything.setProfile(Boolean(info.performance_mode) || info.device === "cpu");
    document.title = `SAM Serve · ${info.model_type}`;
    await analyses.loadPresets();
    offerModels(app, (await session.api.json("models")).models);
  } catch (error) {
    // Asked again once there is a key.
    if (isAbort(error)) session.api.onKey = () => start(app);
    complain("The server could not be asked what it runs", error);
  }
}

/** A choice where the server has several; the picture is encoded again by the chosen one. @param {App} app @param {{name: string, default: boolean}[]} models */
function offerModels(app, models) {
  /** @type {HTMLSelectElement} */
  const select = byId("model");
  select.replaceChildren(...models.map(({ name, default: chosen }) => make("option", { value: name, selected: chosen }, name)));
  show(byId("model-field"), models.length > 1);
  select.addEventListener("change", () => {
    app.session.model = select.value;
    const { opened } = app.session;
    if (opened) app.open(opened.file, opened.name, opened.decode);
  });
}
