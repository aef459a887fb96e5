// Statistics of the objects that are shown, so that they follow a hidden object at once. The same definitions as the
// server's: the sample's standard deviation, and quantiles by linear interpolation.

import { valueOf } from "./properties.js";

/** @typedef {import("../types").Item} Item */
/** @typedef {import("../types").Statistics} Statistics */

/**
 * @param {number[]} values
 * @returns {Statistics | null} null of nothing
 */
export function statisticsOf(values) {
  const count = values.length;
  if (!count) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const mean = sorted.reduce((sum, value) => sum + value, 0) / count;
  const squares = sorted.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const std = count > 1 ? Math.sqrt(squares / (count - 1)) : null;
  const at = (/** @type {number} */ share) => quantile(sorted, share);
  return { count, mean, median: at(0.5), std, cv: std !== null && mean ? (100 * std) / mean : null, min: sorted[0], max: sorted[count - 1], d10: at(0.1), d50: at(0.5), d90: at(0.9) };
}

/** @param {number[]} sorted @param {number} share */
function quantile(sorted, share) {
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
}

/**
 * The share of the picture that at least one of the regions covers.
 * @param {import("../types").Region[]} regions
 */
export function coverage(regions) {
  if (!regions.length) return 0;
  const [height, width] = regions[0].rle.size;
  const covered = new Uint8Array(height * width);
  for (const { ends } of regions) for (let run = 1; run < ends.length; run += 2) covered.fill(1, ends[run - 1], ends[run]);
  let count = 0;
  for (const pixel of covered) count += pixel;
  return count / covered.length;
}

/**
 * A property of the measured ones among the items.
 * @param {Item[]} items @param {string} property
 */
export function valuesOf(items, property) {
  return items.flatMap(({ measured }) => {
    const value = measured && valueOf(measured, property);
    return value === null ? [] : [value];
  });
}
