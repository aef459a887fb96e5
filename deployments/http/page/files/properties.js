// What is measured, by the API's names: how the page calls it and how it writes it.

/** @typedef {import("../types").ApiObject} ApiObject */

/** @type {Record<string, {label: string, dimension: "area" | "length" | "ratio" | "degrees" | "count" | "grey"}>} */
export const PROPERTIES = {
  area: { label: "Area", dimension: "area" },
  equivalent_diameter: { label: "Diameter", dimension: "length" },
  perimeter: { label: "Perimeter", dimension: "length" },
  circularity: { label: "Circularity", dimension: "ratio" },
  aspect_ratio: { label: "Aspect ratio", dimension: "ratio" },
  major_axis: { label: "Long axis", dimension: "length" },
  minor_axis: { label: "Short axis", dimension: "length" },
  feret_max: { label: "Largest Feret diameter", dimension: "length" },
  feret_min: { label: "Smallest Feret diameter", dimension: "length" },
  solidity: { label: "Solidity", dimension: "ratio" },
  eccentricity: { label: "Eccentricity", dimension: "ratio" },
  extent: { label: "Extent", dimension: "ratio" },
  orientation: { label: "Orientation", dimension: "degrees" },
  holes: { label: "Holes", dimension: "count" },
  intensity_mean: { label: "Mean intensity", dimension: "grey" },
  intensity_std: { label: "Spread of intensity", dimension: "grey" },
  predicted_iou: { label: "Score", dimension: "ratio" },
  stability_score: { label: "Stability", dimension: "ratio" },
};

/**
 * A property of a measured object; null where it has none.
 * @param {ApiObject} object @param {string} name
 * @returns {number | null}
 */
export function valueOf(object, name) {
  if (name === "predicted_iou" || name === "stability_score") return object[name];
  const intensity = /^intensity_([a-z]+?)(?:_(\d+))?$/.exec(name);
  if (intensity) return intensityOf(object, intensity[1], intensity[2]);
  const value = object.measurements[name];
  return typeof value === "number" ? value : null;
}

/** @param {ApiObject} object @param {string} statistic @param {string | undefined} channel */
function intensityOf(object, statistic, channel) {
  const channels = object.measurements.intensity;
  if (!Array.isArray(channels)) return null;
  if (channel !== undefined) return channels[Number(channel)]?.[statistic] ?? null;
  const values = channels.map((one) => one[statistic]).filter((one) => one !== null);
  if (!values.length) return null;
  if (statistic === "min") return Math.min(...values);
  if (statistic === "max") return Math.max(...values);
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/**
 * The unit of a property.
 * @param {string} name @param {string} unit of lengths
 */
export function unitOf(name, unit) {
  const dimension = PROPERTIES[name]?.dimension;
  if (dimension === "area") return `${unit}²`;
  if (dimension === "length") return unit;
  return dimension === "degrees" ? "°" : "";
}

/** Three significant digits, thousands apart. @param {number | null | undefined} value */
export function write(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  if (size >= 1e-3 || size === 0) return String(Number(value.toPrecision(3)));
  return value.toExponential(2);
}
