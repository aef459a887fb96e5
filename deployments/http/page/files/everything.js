// All masks of the picture, streamed; and the parameters, of which thresholds take effect at once.

import { isAbort, lines, Problem } from "./api.js";
import { byId, debounced, make, onClick, show } from "./dom.js";
import { complain, say, tellProgress } from "./notices.js";
import { toRegion } from "./rle.js";

/** @typedef {import("../types").Item} Item */

/**
 * @typedef {object} Parameter
 * @property {string} name
 * @property {string} label
 * @property {string} note
 * @property {[number, number]} profile the default of the quality and of the performance profile
 * @property {[number, number, number]} range smallest, largest, step
 * @property {boolean} live whether the server answers without decoding again
 */

/** @type {Parameter[]} */
const PARAMETERS = [
  { name: "points_per_side", label: "Points a side", note: "A grid of so many points, squared, is asked about. More finds smaller objects and takes longer.", profile: [32, 16], range: [1, 64, 1], live: false },
  { name: "crop_n_layers", label: "Crop layers", note: "Looks again at parts of the picture, enlarged. Each layer finds smaller objects and takes about as long as all before.", profile: [2, 1], range: [0, 3, 1], live: false },
  { name: "pred_iou_thresh", label: "Least score", note: "Leaves out masks that the model itself trusts less.", profile: [0.88, 0.8], range: [0, 1, 0.01], live: true },
  { name: "stability_score_thresh", label: "Least stability", note: "Leaves out masks whose edge is vague.", profile: [0.95, 0.9], range: [0, 1, 0.01], live: true },
  { name: "box_nms_thresh", label: "Most overlap", note: "Of two masks whose boxes overlap more, the better stays.", profile: [0.7, 0.7], range: [0, 1, 0.01], live: true },
  { name: "min_mask_region_area", label: "Smallest region (px)", note: "Fills smaller holes of masks, and removes smaller islands.", profile: [100, 500], range: [0, 100000, 1], live: true },
  { name: "min_mask_area", label: "Smallest mask (px)", note: "Leaves out whole masks with fewer pixels.", profile: [0, 0], range: [0, 1000000, 1], live: true },
];

const BATCH_MS = 200;

export class Everything {
  /** @type {AbortController | null} */ #run = null;
  #fast = false;
  #hasRun = false;

  /** @param {import("./main.js").App} app */
  constructor(app) {
    this.app = app;
    this.#build();
    onClick("everything", () => this.run());
    onClick("cancel", () => app.cancel());
  }

  /** The server's default profile. @param {boolean} fast */
  setProfile(fast) {
    this.#fast = fast;
    /** @type {HTMLSelectElement} */ (byId("profile")).value = fast ? "fast" : "thorough";
    this.#showDefaults();
  }

  /** For another picture, nothing has been decoded. */
  forget() {
    this.cancel();
    this.#run = null;
    this.#hasRun = false;
  }

  cancel() {
    this.#run?.abort();
  }

  /** What the user set, by the names of the API. */
  parameters() {
    /** @type {Record<string, unknown>} */
    const given = { performance_mode: this.#fast };
    for (const { name } of PARAMETERS) {
      /** @type {HTMLInputElement} */
      const input = byId(`parameter-${name}`);
      if (input.value !== "" && input.validity.valid) given[name] = input.valueAsNumber;
    }
    return given;
  }

  async run() {
    if (!this.app.session.opened) {
      say("Open a picture first");
      return;
    }
    this.#run?.abort();
    const run = new AbortController();
    this.#run = run;
    const release = this.app.busy("Segmenting everything", () => run.abort());
    const parameters = this.parameters();
    try {
      const found = await this.#stream(parameters, run.signal);
      this.#hasRun = true;
      const kept = this.app.store.doc.sources.filter((item) => item.source === "click");
      const items = [...kept, ...found];
      this.app.done = { what: "segment/auto", request: parameters };
      this.app.store.commit({ items, sources: items, hidden: new Set(), analysis: null, automatic: kept.length ? null : parameters });
      release();
      this.app.sayState();
    } catch (error) {
      release();
      this.app.showItems(); // without those that had come
      if (isAbort(error)) {
        if (this.#run === run) say("Cancelled");
      } else complain("The picture could not be segmented", error);
    } finally {
      if (this.#run === run) this.#run = null;
    }
  }

  /** @param {Record<string, unknown>} parameters @param {AbortSignal} signal */
  async #stream(parameters, signal) {
    const answer = await this.app.session.ask("segment/auto", { ...parameters, stream: true }, signal);
    /** @type {Item[]} */
    const found = [];
    let shown = performance.now();
    for await (const event of lines(answer)) {
      signal.throwIfAborted();
      if (event.event === "progress") {
        tellProgress(event.done / event.total, `${event.done.toLocaleString("en")} of ${event.total.toLocaleString("en")} points`);
      } else if (event.event === "mask") {
        found.push(this.app.newItem(toRegion(event.mask.segmentation), "everything", event.mask.predicted_iou, event.mask.stability_score, ""));
        if (performance.now() - shown > BATCH_MS) {
          tellProgress(1, `${found.length.toLocaleString("en")} masks`);
          this.app.showArriving(found);
          await new Promise((resolve) => setTimeout(resolve));
          shown = performance.now();
        }
      } else if (event.event === "error") {
        throw new Problem(event.problem.status, event.problem);
      } else if (event.event === "end") return found;
    }
    throw new Problem(503, { detail: "the server stopped in the middle", code: "replica_lost" });
  }

  #build() {
    const profile = make("select", { id: "profile" }, make("option", { value: "thorough" }, "Thorough"), make("option", { value: "fast" }, "Fast"));
    profile.addEventListener("change", () => {
      this.#fast = profile.value === "fast";
      this.#showDefaults();
    });
    const fields = byId("parameter-fields");
    fields.append(
      make("p", { className: "note" }, "Empty fields have the profile's value."),
      make("div", { className: "field" }, make("label", { for: "profile" }, "Profile"), profile, make("p", { className: "note" }, "Thorough finds more, fast answers sooner.")),
    );
    const again = debounced(() => {
      if (this.#hasRun) this.run();
    }, 400);
    for (const { name, label, note, range, live } of PARAMETERS) {
      const id = `parameter-${name}`;
      const input = make("input", { id, type: "number", min: String(range[0]), max: String(range[1]), step: String(range[2]) });
      if (live) input.addEventListener("input", again);
      const end = live ? " Takes effect at once." : "";
      fields.append(make("div", { className: "field" }, make("label", { for: id }, label), input, make("p", { className: "note" }, note + end)));
    }
    this.#showDefaults();
  }

  #showDefaults() {
    for (const { name, profile } of PARAMETERS) {
      /** @type {HTMLInputElement} */ (byId(`parameter-${name}`)).placeholder = String(profile[this.#fast ? 1 : 0]);
    }
    show(byId("cancel"), this.#run !== null);
  }
}
