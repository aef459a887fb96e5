// Results as files, the view as a picture, and what was just done as a command.

import { scaleOf, sourceOf } from "./analysis.js";
import { byId, download, make, onClick } from "./dom.js";
import { complain, say } from "./notices.js";
import { valueOf } from "./properties.js";
import { asCurl, asPython } from "./snippets.js";

/** @typedef {import("../types").Doc} Doc */
/** @typedef {import("../types").Item} Item */

/** Format -> what it is for, and the end of its file's name. @type {Record<string, [string, string]>} */
const FORMATS = {
  xlsx: ["Spreadsheet (Excel, .xlsx)", "objects.xlsx"],
  csv: ["Table (.csv)", "objects.csv"],
  geojson: ["GeoJSON (QuPath)", "objects.geojson"],
  rois: ["ImageJ ROIs (.zip)", "rois.zip"],
  labels: ["Label image (.tif)", "labels.tif"],
  coco: ["COCO (.json)", "coco.json"],
  yolo: ["YOLO (.txt)", "yolo.txt"],
  overlay: ["Picture with masks (.png)", "overlay.png"],
  json: ["All figures (.json)", "objects.json"],
  archive: ["Everything (.zip)", "all.zip"],
};

export class TakeHome {
  /** @param {import("./main.js").App} app */
  constructor(app) {
    this.app = app;
    byId("format").append(...Object.entries(FORMATS).map(([value, [text]]) => make("option", { value }, text)));
    onClick("export", () => this.#export());
    onClick("save-view", () => this.#saveView());
    onClick("copy-curl", () => this.#copy("curl", asCurl));
    onClick("copy-python", () => this.#copy("Python", asPython));
  }

  async #export() {
    const { app } = this;
    const format = /** @type {HTMLSelectElement} */ (byId("format")).value;
    const abort = new AbortController();
    const release = app.busy("Writing the file", () => abort.abort());
    try {
      const request = { ...exportRequest(app.store.doc), format };
      const answer = await app.session.ask("analyze", request, abort.signal);
      const name = `${stem(app.name)}-${FORMATS[format][1]}`;
      download(await answer.blob(), name);
      release();
      say(`Saved ${name}`);
    } catch (error) {
      release();
      app.sayState();
      complain("The file could not be written", error);
    }
  }

  async #saveView() {
    try {
      const name = `${stem(this.app.name)}-view.png`;
      download(await this.app.stage.snapshot(), name);
      say(`Saved ${name}`);
    } catch (error) {
      complain("The view could not be saved", error);
    }
  }

  /** @param {string} what @param {typeof asCurl} write */
  async #copy(what, write) {
    const { app } = this;
    if (!app.done) return;
    const address = new URL(".", location.href).href.replace(/\/$/, "");
    const text = write(app.done, { address, name: app.name, model: app.session.model, decode: app.session.opened?.decode ?? null, hasKey: Boolean(app.session.api.key) });
    let copied = true;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      copied = false; // not on a page without TLS on another host: the dialog has it to select
    }
    byId("snippet-title").textContent = copied ? `Copied as ${what}` : `As ${what}`;
    byId("snippet-text").textContent = text;
    byId("snippet-note").textContent = copied ? "It does what you did last, on the file next to it." : "Select the text to copy it: the browser did not let the page do it.";
    /** @type {HTMLDialogElement} */ (byId("snippet")).showModal();
    if (copied) say(`Copied as ${what}`);
  }
}

/**
 * What writes the objects as they are shown. Where some are hidden, the others are sent as masks; groups are kept by the
 * limits between them, because grouping fewer objects could draw other limits.
 * @param {Doc} doc
 */
export function exportRequest(doc) {
  const { items, hidden, analysis, preset, rules } = doc;
  if (analysis && !hidden.size) return { ...sourceOf(doc), ...scaleOf(doc), preset, ...rules };
  const shown = items.filter(({ key }) => !hidden.has(key));
  const masks = { masks: shown.map(({ region }) => region.rle) };
  if (!analysis) return { ...masks, ...scaleOf(doc), preset: "none" };
  const { nesting, edge, groups } = analysis.rules;
  return {
    ...masks,
    ...scaleOf(doc),
    preset: "none",
    ...(nesting ? { nesting } : {}),
    ...(edge ? { edge: { ...edge, action: "mark" } } : {}),
    ...(groups ? { groups: asLimits(groups, analysis.groups.map(({ name }) => name), items, new Set(shown.map(({ group }) => group))) } : {}),
  };
}

/**
 * A grouping by one property as the limits between its groups; by more, as it is.
 * @param {import("../types").GroupRule} rule @param {string[]} names smallest first @param {Item[]} items @param {Set<string | null>} left groups that still have objects
 */
export function asLimits(rule, names, items, left) {
  if (rule.by.length !== 1 || names.length < 2) return rule;
  const ranges = names
    .filter((name) => left.has(name))
    .map((name) => {
      const values = items.flatMap(({ group, measured }) => (group === name && measured ? [valueOf(measured, rule.by[0]) ?? NaN] : []));
      return { name, low: Math.min(...values), high: Math.max(...values) };
    })
    .sort((a, b) => a.low - b.low);
  if (ranges.length < 2) return { by: rule.by, method: "kmeans", count: 1, names: ranges.map(({ name }) => name) };
  const thresholds = ranges.slice(1).map(({ low }, index) => (low + ranges[index].high) / 2);
  if (thresholds.some((value, index) => !(value > ranges[index].high && value <= ranges[index + 1].low))) return rule;
  return { by: rule.by, method: "thresholds", thresholds, names: ranges.map(({ name }) => name) };
}

/** @param {string} name */
function stem(name) {
  return name.replace(/\.[^.]*$/, "").replace(/[^\p{L}\p{N}._ -]+/gu, "_") || "picture";
}
