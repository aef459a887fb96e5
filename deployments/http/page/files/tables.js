// The list of objects, the groups and the headline. Names come from users and files: they are text.

import { groupColour } from "./colours.js";
import { byId, make, show } from "./dom.js";
import { coverage, statisticsOf, valuesOf } from "./figures.js";
import { PROPERTIES, unitOf, valueOf, write } from "./properties.js";

/** @typedef {import("../types").Item} Item */
/** @typedef {import("../types").Doc} Doc */
/** @typedef {{title: string, value: (item: Item) => number | string | null, text?: boolean, width: string}} Column */

/** The columns of measurements, and how wide they are. @type {Record<string, string>} */
const MEASURED = { area: "4.4rem", equivalent_diameter: "5.1rem", circularity: "5.2rem" };

export class Tables {
  /** @type {{column: number, up: boolean}} */ #order = { column: 0, up: true };
  /** @type {Map<number, HTMLTableRowElement>} */ #rows = new Map();
  #lit = 0;

  /**
   * @param {import("./main.js").App} app
   */
  constructor(app) {
    this.app = app;
    const body = byId("objects").querySelector("tbody");
    if (!body) throw new Error("the table of objects has no body");
    this.body = body;
    const keyAt = (/** @type {Event} */ event) => Number(/** @type {Element} */ (event.target).closest("tr")?.dataset.key ?? 0);
    body.addEventListener("click", (event) => app.toggle(keyAt(event)));
    body.addEventListener("pointerover", (event) => app.highlight(keyAt(event), "list"));
    body.addEventListener("focusin", (event) => app.highlight(keyAt(event), "list", true));
    body.addEventListener("pointerleave", () => app.highlight(0, "list"));
  }

  /** @param {Doc} doc @param {Doc} before */
  update(doc, before) {
    if (doc.items !== before.items || doc.analysis !== before.analysis) this.#fill(doc);
    else if (doc.hidden !== before.hidden) for (const item of doc.items) this.#mark(item, doc.hidden.has(item.key));
    this.#headline(doc);
    this.#groups(doc);
  }

  /** @param {number} key @param {boolean} [reveal] scrolls the list to it */
  light(key, reveal = false) {
    this.#rows.get(this.#lit)?.classList.remove("lit");
    this.#lit = key;
    const row = this.#rows.get(key);
    row?.classList.add("lit");
    if (row && reveal) row.scrollIntoView({ block: "nearest" });
  }

  /** @param {Doc} doc */
  #fill(doc) {
    const focused = document.activeElement?.closest("tr")?.dataset.key;
    show(byId("objects-scroll"), doc.items.length > 0);
    byId("objects-hint").textContent = doc.items.length ? "Click a row to hide its object; the figures follow." : "Nothing yet. What you keep or the server finds is listed here.";
    const columns = columnsOf(doc);
    const order = this.#order.column < columns.length ? this.#order : { column: 0, up: true };
    const numbered = doc.items.map((item, index) => ({ item, number: index + 1 }));
    const value = columns[order.column].value;
    if (order.column > 0 || !order.up) {
      numbered.sort((a, b) => {
        const [left, right] = order.column ? [value(a.item) ?? -Infinity, value(b.item) ?? -Infinity] : [a.number, b.number];
        return (left < right ? -1 : left > right ? 1 : a.number - b.number) * (order.up ? 1 : -1);
      });
    }
    byId("objects").querySelector("thead")?.replaceChildren(this.#head(columns, order));
    this.#rows.clear();
    const rows = numbered.map(({ item, number }) => this.#row(item, number, columns, doc));
    this.body.replaceChildren(...rows);
    for (const item of doc.items) if (doc.hidden.has(item.key)) this.#mark(item, true);
    if (focused) this.#rows.get(Number(focused))?.querySelector("button")?.focus();
  }

  /** @param {Column[]} columns @param {{column: number, up: boolean}} order */
  #head(columns, order) {
    const cells = columns.map(({ title, text, width }, index) => {
      const button = make("button", { type: "button" }, title);
      button.addEventListener("click", () => {
        this.#order = { column: index, up: order.column === index ? !order.up : index === 0 };
        this.#fill(this.app.store.doc);
        /** @type {HTMLElement | null | undefined} */ (byId("objects").querySelectorAll("thead button")[index])?.focus();
      });
      const cell = make("th", { scope: "col", className: text ? "text" : "" }, button);
      cell.style.width = width;
      if (order.column === index) cell.setAttribute("aria-sort", order.up ? "ascending" : "descending");
      return cell;
    });
    const last = make("td", {}, make("span", { className: "unseen" }, "Shown"));
    last.style.width = "3.4rem";
    return make("tr", {}, ...cells, last);
  }

  /** @param {Item} item @param {number} number @param {Column[]} columns @param {Doc} doc */
  #row(item, number, columns, doc) {
    const swatch = make("span", { className: "swatch" });
    swatch.style.backgroundColor = this.app.colourOf(item, doc);
    const name = item.name || String(number);
    const cells = columns.slice(1).map(({ value, text }) => {
      const found = value(item);
      return make("td", { className: text ? "text" : "" }, typeof found === "string" ? found : write(found));
    });
    const button = make("button", { type: "button", "aria-label": `Hide ${item.name || `object ${number}`}`, "aria-pressed": "false" }, "hide");
    const row = make("tr", {}, make("th", { scope: "row", className: "text", title: name }, swatch, name), ...cells, make("td", { className: "eye" }, button));
    row.dataset.key = String(item.key);
    this.#rows.set(item.key, row);
    return row;
  }

  /** @param {Item} item @param {boolean} hidden */
  #mark(item, hidden) {
    const row = this.#rows.get(item.key);
    const button = row?.querySelector("button");
    if (!row || !button || row.classList.contains("off") === hidden) return;
    row.classList.toggle("off", hidden);
    button.setAttribute("aria-pressed", String(hidden));
    button.textContent = hidden ? "show" : "hide";
  }

  /** @param {Doc} doc */
  #headline(doc) {
    const shown = doc.items.filter(({ key }) => !doc.hidden.has(key));
    const count = make("strong", {}, shown.length.toLocaleString("en"));
    byId("headline").replaceChildren(count, shown.length === 1 ? " object" : " objects", doc.hidden.size ? `, ${doc.hidden.size} hidden` : "");
    const dropped = doc.analysis?.dropped.filter((rule) => rule.count) ?? [];
    byId("dropped").textContent = dropped.length ? `Left out: ${dropped.map(({ rule, count: many }) => `${many} by ${rule.replaceAll("_", " ")}`).join(", ")}.` : "";
    byId("summary").replaceChildren(...(shown.length ? summary(doc, shown) : []).map(([name, text]) => make("div", {}, make("dt", {}, name), make("dd", {}, text))));
  }

  /** @param {Doc} doc */
  #groups(doc) {
    const { analysis } = doc;
    const names = analysis?.groups.map(({ name }) => name) ?? [];
    show(byId("groups-card"), names.length > 0);
    if (!analysis) return;
    const unit = analysis.scale?.unit ?? "px";
    const property = (analysis.rules.groups?.by[0] ?? "equivalent_diameter").replace(/_px$/, "");
    const label = PROPERTIES[property]?.label ?? property.replaceAll("_", " ");
    const total = unitOf(property, unit);
    byId("groups-title").textContent = `Groups: ${label.toLowerCase()}${total ? ` in ${total}` : ""}`;
    const titles = ["Group", "Count", "Share", "Mean", "SD", "D10", "D50", "D90"];
    byId("groups").querySelector("thead")?.replaceChildren(make("tr", {}, ...titles.map((title, index) => make("th", { scope: "col", className: index ? "" : "text" }, title))));
    const shown = doc.items.filter(({ key }) => !doc.hidden.has(key));
    const rows = names.map((name, index) => {
      const members = names.length > 1 || shown.some(({ group }) => group === name) ? shown.filter(({ group }) => group === name) : shown;
      const figures = statisticsOf(valuesOf(members, property));
      const swatch = make("span", { className: "swatch" });
      swatch.style.backgroundColor = groupColour(index);
      const cells = [String(members.length), `${shown.length ? Math.round((100 * members.length) / shown.length) : 0} %`, ...[figures?.mean, figures?.std, figures?.d10, figures?.median, figures?.d90].map(write)];
      return make("tr", {}, make("th", { scope: "row", className: "text" }, ...(names.length > 1 ? [swatch] : []), name), ...cells.map((text) => make("td", {}, text)));
    });
    byId("groups").querySelector("tbody")?.replaceChildren(...rows);
  }
}

/** @param {Doc} doc @returns {Column[]} */
function columnsOf(doc) {
  /** @type {Column[]} */
  const columns = [{ title: "Object", value: () => null, text: true, width: "auto" }];
  if (!doc.analysis) {
    columns.push({ title: "Area (px²)", value: ({ region }) => region.area, width: "6rem" });
    columns.push({ title: "Score", value: ({ iou }) => iou, width: "4.6rem" });
    return columns;
  }
  const unit = doc.analysis.scale?.unit ?? "px";
  if (doc.analysis.groups.length > 1) columns.push({ title: "Group", value: ({ group }) => group ?? "", text: true, width: "4.4rem" });
  for (const [property, width] of Object.entries(MEASURED)) {
    const of = unitOf(property, unit);
    columns.push({ title: `${PROPERTIES[property].label}${of ? ` (${of})` : ""}`, value: ({ measured }) => measured && valueOf(measured, property), width });
  }
  return columns;
}

/** The figures below the count. @param {Doc} doc @param {Item[]} shown @returns {[string, string][]} */
function summary(doc, shown) {
  const share = `${(100 * coverage(shown.map(({ region }) => region))).toFixed(1)} %`;
  if (!doc.analysis) {
    const area = statisticsOf(shown.map(({ region }) => region.area));
    return [["Mean area", `${write(area?.mean)} px²`], ["Median area", `${write(area?.median)} px²`], ["Covered", share]];
  }
  const unit = doc.analysis.scale?.unit ?? "px";
  const diameter = statisticsOf(valuesOf(shown, "equivalent_diameter"));
  const area = statisticsOf(valuesOf(shown, "area"));
  return [
    ["Mean diameter", `${write(diameter?.mean)} ± ${write(diameter?.std)} ${unit}`],
    ["Median (D50)", `${write(diameter?.median)} ${unit}`],
    ["D10 to D90", `${write(diameter?.d10)} to ${write(diameter?.d90)} ${unit}`],
    ["Mean area", `${write(area?.mean)} ${unit}²`],
    ["Covered", share],
  ];
}
