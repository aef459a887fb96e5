// A range of a property, chosen with two handles under the histogram of that property.

import { make } from "./dom.js";

const BINS = 32;
const STEPS = 1000;
const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {string} label of the property
 * @param {number[]} values of all objects
 * @param {{min: number | null, max: number | null}} range
 * @param {(range: {min: number | null, max: number | null}, final: boolean) => void} onChange not final while a handle is dragged
 */
export function rangeOverHistogram(label, values, range, onChange) {
  let { min, max } = range;
  const smallest = Math.min(...values, min ?? Infinity, max ?? Infinity);
  const largest = Math.max(...values, min ?? -Infinity, max ?? -Infinity);
  const [from, to] = Number.isFinite(smallest) && largest > smallest ? [smallest, largest] : [smallest - 0.5 || 0, smallest + 0.5 || 1];
  const bars = draw(values, from, to);
  const low = slider(`${label}, from`);
  const high = slider(`${label}, to`);
  const lowField = make("input", { type: "number", step: "any", "aria-label": `${label}, at least`, placeholder: "any" });
  const highField = make("input", { type: "number", step: "any", "aria-label": `${label}, at most`, placeholder: "any" });
  const toValue = (/** @type {string} */ place) => Number((from + (Number(place) / STEPS) * (to - from)).toPrecision(4));
  const toPlace = (/** @type {number} */ value) => String(Math.round(((value - from) / (to - from)) * STEPS));

  function show() {
    low.value = min === null ? "0" : toPlace(min);
    high.value = max === null ? String(STEPS) : toPlace(max);
    lowField.value = min === null ? "" : String(min);
    highField.value = max === null ? "" : String(max);
    low.setAttribute("aria-valuetext", min === null ? "any" : String(min));
    high.setAttribute("aria-valuetext", max === null ? "any" : String(max));
    bars.forEach(({ bar, middle }) => bar.setAttribute("class", (min === null || middle >= min) && (max === null || middle <= max) ? "in" : ""));
  }
  /** @param {boolean} final */
  function slide(final) {
    if (Number(low.value) > Number(high.value)) {
      if (document.activeElement === low) low.value = high.value;
      else high.value = low.value;
    }
    min = low.value === "0" ? null : toValue(low.value);
    max = high.value === String(STEPS) ? null : toValue(high.value);
    show();
    onChange({ min, max }, final);
  }
  for (const one of [low, high]) {
    one.addEventListener("input", () => slide(false));
    one.addEventListener("change", () => slide(true));
  }
  for (const field of [lowField, highField]) {
    field.addEventListener("change", () => {
      min = lowField.value === "" ? null : lowField.valueAsNumber;
      max = highField.value === "" ? null : highField.valueAsNumber;
      if (min !== null && max !== null && min > max) [min, max] = [max, min];
      show();
      onChange({ min, max }, true);
    });
  }
  show();
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("viewBox", `0 0 ${BINS} 20`);
  picture.setAttribute("preserveAspectRatio", "none");
  picture.setAttribute("aria-hidden", "true");
  picture.append(...bars.map(({ bar }) => bar));
  return make(
    "div",
    { className: "histogram", role: "group", "aria-label": label },
    picture,
    make("div", { className: "sliders" }, low, high),
    make("div", { className: "ends" }, lowField, "to", highField),
  );
}

/** @param {string} name */
function slider(name) {
  return make("input", { type: "range", min: "0", max: String(STEPS), step: "1", "aria-label": name });
}

/** @param {number[]} values @param {number} from @param {number} to */
function draw(values, from, to) {
  const counts = new Array(BINS).fill(0);
  for (const value of values) counts[Math.min(BINS - 1, Math.floor(((value - from) / (to - from)) * BINS))]++;
  const most = Math.max(1, ...counts);
  return counts.map((count, index) => {
    const bar = document.createElementNS(SVG, "rect");
    const height = count ? Math.max(0.8, (count / most) * 20) : 0;
    for (const [name, value] of Object.entries({ x: index + 0.08, y: 20 - height, width: 0.84, height })) bar.setAttribute(name, String(value));
    return { bar, middle: from + ((index + 0.5) / BINS) * (to - from) };
  });
}
