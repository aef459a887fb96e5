// The rules of an analysis as controls. Each control shows the preset's value until the user changes it.

import { byId, make, show } from "./dom.js";
import { rangeOverHistogram } from "./histogram.js";
import { PROPERTIES, unitOf } from "./properties.js";

/** @typedef {import("../types").Rules} Rules */
/** @typedef {{name: string, description: string, rules: Rules}} Preset */
/** @typedef {{key: string, label: string, first: unknown, options?: [string, string][], step?: string}} Field */
/** @typedef {{name: keyof Rules, title: string, note: string, fields: Field[]}} Rule */

/** @type {Rule[]} */
const RULES = [
  { name: "background", title: "Leave out the background", note: "A mask of what lies between the objects is no object.", fields: [] },
  { name: "clean", title: "Clean masks", note: "Fills small holes and removes small islands.", fields: [
    { key: "holes", label: "Holes under (px²)", first: 100 },
    { key: "islands", label: "Islands under (px²)", first: 100 },
  ] },
  { name: "edge", title: "At the picture's edge", note: "What the picture cuts off has no true size.", fields: [
    { key: "action", label: "Objects there", first: "mark", options: [["mark", "are marked"], ["drop", "are left out"]] },
    { key: "margin", label: "Margin (px)", first: 0 },
  ] },
  { name: "parts", title: "Leave out scattered masks", note: "A mask in two distant pieces joins two things.", fields: [{ key: "max_distance", label: "Distance over (px)", first: 50 }] },
  { name: "duplicates", title: "Leave out duplicates", note: "Of two masks of one thing, one stays.", fields: [
    { key: "measure", label: "Compared by", first: "iou", options: [["iou", "IoU"], ["overlap", "share of the smaller"]] },
    { key: "threshold", label: "From", first: 0.8, step: "0.05" },
    { key: "keep", label: "What stays", first: "larger", options: [["larger", "the larger"], ["smaller", "the smaller"], ["score", "the better scored"]] },
  ] },
  { name: "nesting", title: "Find objects inside others", note: "Says which lie in which, and drops none.", fields: [{ key: "threshold", label: "Share inside", first: 0.9, step: "0.05" }] },
  { name: "monodisperse", title: "One size only", note: "Leaves out those above so many times the mean diameter, once for each ratio.", fields: [{ key: "max_ratio", label: "Ratios", first: "1.3, 1.2" }] },
];

const GROUPABLE = [["", "nothing"], ["equivalent_diameter", "size"], ["area", "area"], ["circularity", "circularity"], ["aspect_ratio", "aspect ratio"], ["solidity", "solidity"], ["intensity_mean", "intensity"], ["equivalent_diameter circularity", "size and circularity"], ["equivalent_diameter intensity_mean", "size and intensity"]];

export class RuleControls {
  /** @type {Preset[]} */ presets = [];
  preset = "objects";
  /** What the user changed; null leaves a rule of the preset out. @type {Rules} */ changed = {};
  /** Values of each property over all objects, for the histograms. @type {(property: string) => number[]} */ population = () => [];
  unit = "px";

  /**
   * @param {(final: boolean) => void} onChange told of each change; not final while a handle is dragged
   */
  constructor(onChange) {
    this.onChange = onChange;
    this.#build();
  }

  /** @param {Preset[]} presets */
  setPresets(presets) {
    this.presets = presets;
    byId("preset").replaceChildren(...presets.map(({ name }) => make("option", { value: name }, name.replaceAll("_", " "))));
    this.show();
  }

  /** All rules, the preset's and the user's. @returns {Rules} */
  get resolved() {
    return { ...this.presets.find(({ name }) => name === this.preset)?.rules, ...this.changed };
  }

  /** @param {string} preset @param {Rules} changed */
  set(preset, changed) {
    this.preset = preset || "objects";
    this.changed = changed;
    this.show();
  }

  /** @param {Rules} change */
  #change(change, final = true) {
    this.changed = { ...this.changed, ...change };
    this.onChange(final);
  }

  #build() {
    /** @type {HTMLSelectElement} */
    const preset = byId("preset");
    preset.addEventListener("change", () => {
      this.set(preset.value, {});
      this.onChange(true);
    });
    byId("group-by").append(...GROUPABLE.map(([value, text]) => make("option", { value }, text)));
    byId("group-count").append(make("option", { value: "auto" }, "automatic"), ...[2, 3, 4, 5, 6, 7, 8].map((count) => make("option", { value: String(count) }, String(count))));
    for (const id of ["group-by", "group-count", "group-method", "group-thresholds"]) byId(id).addEventListener("change", () => this.#readGroups());
    const add = /** @type {HTMLSelectElement} */ (byId("filter-add"));
    add.append(make("option", { value: "" }, "choose a property"), ...Object.entries(PROPERTIES).map(([value, { label }]) => make("option", { value }, label)));
    add.addEventListener("change", () => {
      if (!add.value) return;
      this.#open.add(add.value);
      add.value = "";
      this.show();
      /** @type {HTMLElement | null} */ (byId("filter-fields").querySelector("fieldset:last-child input"))?.focus();
    });
    for (const rule of RULES) byId("rule-fields").append(this.#fieldset(rule));
  }

  /** Properties that have a histogram, though no filter yet. @type {Set<string>} */
  #open = new Set(["equivalent_diameter", "circularity"]);

  /** @param {Rule} rule */
  #fieldset({ name, title, note, fields }) {
    const enabled = make("input", { type: "checkbox", id: `rule-${name}` });
    const inputs = fields.map((field) => {
      const id = `rule-${name}-${field.key}`;
      const input = field.options
        ? make("select", { id }, ...field.options.map(([value, text]) => make("option", { value }, text)))
        : make("input", typeof field.first === "number" ? { id, type: "number", min: "0", step: field.step ?? "any" } : { id, type: "text" });
      input.addEventListener("change", () => this.#readRule(name, fields));
      return make("div", { className: "field" }, make("label", { for: id }, field.label), input);
    });
    enabled.addEventListener("change", () => {
      for (const field of fields) {
        const input = /** @type {HTMLInputElement} */ (byId(`rule-${name}-${field.key}`));
        if (!input.value) input.value = String(field.first);
      }
      this.#readRule(name, fields);
      this.show();
    });
    return make("fieldset", { id: `rules-${name}` }, make("label", { className: "check" }, enabled, title), make("p", { className: "note" }, note), ...inputs);
  }

  /** @param {keyof Rules} name @param {Field[]} fields */
  #readRule(name, fields) {
    const enabled = /** @type {HTMLInputElement} */ (byId(`rule-${name}`)).checked;
    if (name === "background") return this.#change({ background: enabled ? "drop" : "keep" });
    /** @type {Record<string, unknown>} */
    const values = {};
    for (const { key, first } of fields) {
      const input = /** @type {HTMLInputElement} */ (byId(`rule-${name}-${key}`));
      if (key === "max_ratio") values[key] = numbers(input.value);
      else if (typeof first === "number") values[key] = Number.isFinite(input.valueAsNumber) ? input.valueAsNumber : first;
      else values[key] = input.value;
    }
    this.#change({ [name]: enabled ? values : null });
  }

  #readGroups() {
    const value = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id)).value;
    const by = value("group-by").split(" ").filter(Boolean);
    let method = by.length > 1 ? "kmeans" : value("group-method");
    const count = value("group-count");
    /** @type {import("../types").GroupRule} */
    const groups = { by, method };
    if (method === "thresholds") groups.thresholds = numbers(value("group-thresholds")).sort((a, b) => a - b);
    else groups.count = count === "auto" ? (method === "quantiles" ? 2 : "auto") : Number(count);
    const waits = method === "thresholds" && !groups.thresholds?.length;
    if (!waits) this.#change({ groups: by.length ? groups : null });
    this.show(waits ? { ...this.resolved, groups } : this.resolved);
  }

  /** Brings the controls up to date. @param {Rules} [rules] */
  show(rules = this.resolved) {
    const preset = this.presets.find(({ name }) => name === this.preset);
    /** @type {HTMLSelectElement} */ (byId("preset")).value = this.preset;
    byId("preset-note").textContent = preset?.description ?? "";
    const { groups } = rules;
    const set = (/** @type {string} */ id, /** @type {unknown} */ value) => {
      /** @type {HTMLInputElement} */ (byId(id)).value = String(value);
    };
    const by = (groups?.by ?? []).join(" ");
    if (by && !GROUPABLE.some(([value]) => value === by)) byId("group-by").append(make("option", { value: by }, by.replaceAll("_", " ")));
    set("group-by", by);
    set("group-count", groups?.count ?? "auto");
    set("group-method", groups?.method ?? "kmeans");
    if (groups?.thresholds) set("group-thresholds", groups.thresholds.join(", "));
    show(byId("group-method-field"), groups?.by.length === 1);
    show(byId("group-thresholds-field"), groups?.method === "thresholds");
    /** @type {HTMLSelectElement} */ (byId("group-count")).disabled = !groups || groups.method === "thresholds";
    for (const { name, fields } of RULES) {
      const value = rules[name];
      const enabled = name === "background" ? value === "drop" : Boolean(value);
      /** @type {HTMLInputElement} */ (byId(`rule-${name}`)).checked = enabled;
      for (const { key, first } of fields) {
        const given = /** @type {Record<string, unknown> | null | undefined} */ (value)?.[key];
        set(`rule-${name}-${key}`, Array.isArray(given) ? given.join(", ") : given ?? first);
        const row = byId(`rule-${name}-${key}`).closest(".field");
        if (row instanceof HTMLElement) show(row, enabled);
      }
    }
    this.#showFilters(rules.filters ?? []);
  }

  /** @param {import("../types").FilterRule[]} filters */
  #showFilters(filters) {
    const properties = new Set([...this.#open, ...filters.map(({ property }) => property)]);
    const focused = document.activeElement?.getAttribute("aria-label");
    byId("filter-fields").replaceChildren(...[...properties].map((property) => this.#filter(property, filters)));
    if (focused) /** @type {HTMLElement | null} */ (byId("filter-fields").querySelector(`[aria-label="${CSS.escape(focused)}"]`))?.focus();
  }

  /** @param {string} property @param {import("../types").FilterRule[]} filters */
  #filter(property, filters) {
    const unit = unitOf(property, this.unit);
    const label = PROPERTIES[property]?.label ?? property.replaceAll("_", " ");
    const filter = filters.find((one) => one.property === property);
    const others = filters.filter((one) => one !== filter);
    const range = rangeOverHistogram(label, this.population(property), { min: filter?.min ?? null, max: filter?.max ?? null }, ({ min, max }, final) => {
      const next = { property, ...(min === null ? {} : { min }), ...(max === null ? {} : { max }), ...(filter?.group ? { group: filter.group } : {}) };
      this.#change({ filters: min === null && max === null ? others : [...others, next] }, final);
    });
    const of = filter?.group ? `, of group ${filter.group}` : "";
    return make("fieldset", {}, make("legend", {}, `${label}${unit ? ` (${unit})` : ""}${of}`), range);
  }
}

/** The numbers in a text. @param {string} text */
function numbers(text) {
  return text.split(/[\s;,]+/).map(Number).filter((value) => Number.isFinite(value) && value > 0);
}
