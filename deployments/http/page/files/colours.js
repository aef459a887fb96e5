// The colours of objects and groups. Groups have the colours of Okabe and Ito, which the colour-blind tell apart.

/** @typedef {import("../types").Item} Item */

export const GROUPS = ["#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#f0e442", "#d55e00", "#0072b2", "#b9a3e3"];
const UNGROUPED = "#9aa4ab";
const GOLDEN_ANGLE = 137.508;

/** @param {number} key */
function hue(key) {
  return `hsl(${((key * GOLDEN_ANGLE) % 360).toFixed(1)} 78% 60%)`;
}

/**
 * The colour of an object: its group's, or its own.
 * @param {Item} item
 * @param {string[]} groups names of the groups, in order
 */
export function colourOf(item, groups) {
  if (groups.length < 2) return hue(item.key);
  return groupColour(groups.indexOf(item.group ?? ""));
}

/** @param {number} index */
export function groupColour(index) {
  return index < 0 ? UNGROUPED : GROUPS[index % GROUPS.length];
}
