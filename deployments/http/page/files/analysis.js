// Measuring, filtering and grouping by the server: what is asked, and how its answer becomes the objects of the list.

import { isAbort, lines, Problem } from "./api.js";
import { debounced, onClick } from "./dom.js";
import { valuesOf } from "./figures.js";
import { complain, say, tellProgress } from "./notices.js";
import { valueOf } from "./properties.js";
import { RuleControls } from "./rules.js";

/** @typedef {import("../types").Item} Item */
/** @typedef {import("../types").Doc} Doc */
/** @typedef {import("../types").Rules} Rules */

export class Analyses {
  /** @type {AbortController | null} */ #run = null;
  /** The objects before filters, for the histograms, and what they were made with. @type {{key: string, items: Item[]}} */
  #population = { key: "", items: [] };

  /** @param {import("./main.js").App} app */
  constructor(app) {
    this.app = app;
    const again = debounced(() => this.run(), 250);
    this.controls = new RuleControls((final) => {
      const { doc } = app.store;
      if (!doc.analysis) app.store.amend({ rules: this.controls.changed, preset: this.controls.preset });
      else if (final) again();
      else this.#dim();
    });
    this.controls.population = (property) => valuesOf(this.#population.items, property);
    onClick("analyse", () => this.run());
    app.store.subscribe((doc, before) => {
      if (doc.rules !== before.rules || doc.preset !== before.preset || doc.analysis !== before.analysis) {
        this.controls.unit = doc.analysis?.scale?.unit ?? "px";
        this.controls.set(doc.preset, doc.rules);
      }
    });
  }

  async loadPresets() {
    try {
      this.controls.setPresets((await this.app.session.api.json("analyze/presets")).presets);
    } catch (error) {
      // A server without the route segments, and does not measure.
      if (!(error instanceof Problem) || error.status !== 404) throw error;
    }
  }

  /** For another picture: ends what runs. */
  forget() {
    this.#run?.abort();
    this.#run = null;
    this.#population = { key: "", items: [] };
  }

  /** Measures again if there is a measurement: the scale has changed. */
  refresh() {
    if (this.app.store.doc.analysis) this.run();
  }

  async run() {
    const { app, controls } = this;
    if (!app.session.opened) {
      say("Open a picture first");
      return;
    }
    this.#run?.abort();
    const run = new AbortController();
    this.#run = run;
    const { preset, changed } = controls;
    const release = app.busy("Analysing", () => run.abort());
    // With nothing to start from, the server finds the objects itself.
    const begun = app.store.doc;
    const from = begun.sources.length ? begun : { ...begun, automatic: app.everything.parameters() };
    const request = { ...sourceOf(from), ...scaleOf(begun), preset, ...changed };
    try {
      const answer = await this.#ask(request, run.signal);
      const { doc } = app.store;
      const { objects, ...analysis } = answer;
      const items = objects.map((object) => app.measuredItem(object));
      const { hidden } = carryOver(doc, items);
      await this.#measurePopulation(request, items, run.signal);
      app.done = { what: "analyze", request };
      const sources = begun.sources.length ? begun.sources : items;
      app.store.commit({ items, sources, automatic: from.automatic, hidden, analysis, rules: changed, preset });
      release();
      app.sayState();
    } catch (error) {
      release();
      if (isAbort(error)) {
        if (this.#run === run) app.sayState();
      } else complain("The objects could not be measured", error);
    } finally {
      if (this.#run === run) this.#run = null;
    }
  }

  /** @param {Record<string, unknown>} request @param {AbortSignal} signal @returns {Promise<import("../types").Analysis>} */
  async #ask(request, signal) {
    const answer = await this.app.session.ask("analyze", { ...request, stream: true }, signal);
    const objects = [];
    for await (const event of lines(answer)) {
      if (event.event === "progress") tellProgress(event.done / event.total, `${event.done.toLocaleString("en")} of ${event.total.toLocaleString("en")} points`);
      else if (event.event === "analysis") tellProgress(-1, `Measuring ${event.masks.toLocaleString("en")} masks`);
      else if (event.event === "object") objects.push(event.object);
      else if (event.event === "error") throw new Problem(event.problem.status, event.problem);
      else if (event.event === "end") return { ...event, objects };
    }
    throw new Problem(503, { detail: "the server stopped in the middle", code: "replica_lost" });
  }

  /** @param {Record<string, unknown>} request @param {Item[]} items the answer's @param {AbortSignal} signal */
  async #measurePopulation(request, items, signal) {
    const filtered = Boolean(this.controls.resolved.filters?.length);
    const all = { ...request, filters: [], groups: null, monodisperse: null };
    const key = JSON.stringify(all);
    if (!filtered) this.#population = { key, items };
    else if (this.#population.key !== key) {
      const answer = await this.#ask(all, signal);
      this.#population = { key, items: answer.objects.map((object) => this.app.measuredItem(object)) };
    }
  }

  /** While a handle is dragged, shows what would stay. */
  #dim() {
    const filters = this.controls.resolved.filters ?? [];
    const stays = (/** @type {Item} */ item) => filters.every(({ property, min, max, group }) => {
      const value = item.measured && valueOf(item.measured, property);
      if (group || value === null) return true;
      return value >= (min ?? -Infinity) && value <= (max ?? Infinity);
    });
    this.app.showArriving(this.#population.items.filter(stays), false);
  }
}

/**
 * Where the masks come from: the parameters of automatic masks if nothing was kept by hand; else the masks themselves.
 * @param {Doc} doc
 */
export function sourceOf({ sources, automatic }) {
  if (automatic) return { automatic };
  if (sources.length) return { masks: sources.map(({ region }) => region.rle) };
  return {};
}

/** @param {Doc} doc */
export function scaleOf({ scale }) {
  return scale ? { scale } : {};
}

/**
 * Names and hidden objects go over to the objects of a new answer that lie where the old ones lay.
 * @param {Doc} doc @param {Item[]} items
 */
function carryOver(doc, items) {
  const hidden = new Set();
  const old = [...doc.items, ...doc.sources].filter((item) => item.name || doc.hidden.has(item.key));
  for (const item of items) {
    const before = old.find(({ region }) => overlap(region.bbox, item.region.bbox) > 0.9);
    if (!before) continue;
    item.name ||= before.name;
    if (doc.hidden.has(before.key)) hidden.add(item.key);
  }
  return { hidden };
}

/** IoU of two boxes. @param {import("../types").Box} a @param {import("../types").Box} b */
function overlap(a, b) {
  const width = Math.min(a[0] + a[2], b[0] + b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[1] + a[3], b[1] + b[3]) - Math.max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  return (width * height) / (a[2] * a[3] + b[2] * b[3] - width * height);
}
