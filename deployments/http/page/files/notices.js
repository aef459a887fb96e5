// What the page tells its user: the status, the progress of a run, and what went wrong.

import { isAbort, Problem } from "./api.js";
import { byId, make, show } from "./dom.js";

const status = byId("status");

/** @param {string} text */
export function say(text) {
  if (status.textContent !== text) status.textContent = text;
}

/**
 * A run's progress beside its buttons. The status does not repeat it: a screen reader would read every step.
 * @param {number | null} share 0 to 1; -1 if unknown; null at the end
 * @param {string} [text]
 */
export function tellProgress(share, text = "") {
  show(byId("progress-row"), share !== null);
  /** @type {HTMLProgressElement} */
  const bar = byId("progress");
  if (share === null || share < 0) bar.removeAttribute("value");
  else bar.value = share;
  byId("progress-text").textContent = text;
}

/**
 * A message over the picture, until it is closed.
 * @param {string} text @param {{calm?: boolean, id?: string}} [options]
 * @returns {() => void} closes it
 */
export function notify(text, { calm = false, id = text } = {}) {
  const area = byId("notices");
  for (const other of area.querySelectorAll(".notice")) {
    if (/** @type {HTMLElement} */ (other).dataset.id === id) other.remove();
  }
  const close = make("button", { type: "button" }, "Dismiss");
  const notice = make("div", { className: calm ? "notice calm" : "notice" }, make("span", {}, text), close);
  notice.dataset.id = id;
  close.addEventListener("click", () => notice.remove());
  area.append(notice);
  return () => notice.remove();
}

const ADVICE = /** @type {Record<string, string>} */ ({
  invalid_image: "Open the file in another program and save it as PNG or TIFF, then try again.",
  unsupported_media_type: "Save it as PNG or TIFF, then try again.",
  image_too_large: "Make the picture smaller, or ask the server's operator to raise SAM_MAX_MEGAPIXELS.",
  body_too_large: "Save the picture with compression, or ask the server's operator to raise SAM_MAX_BODY_MB.",
  overloaded: "The server is busy. Try again in a moment.",
  timeout: "Try fewer points a side, or a smaller picture.",
});

/**
 * Says what went wrong and what to do. What was cancelled is no error.
 * @param {string} what that could not be done
 * @param {unknown} error
 */
export function complain(what, error) {
  if (isAbort(error)) return;
  if (error instanceof Problem) {
    const advice = ADVICE[error.code] ?? (error.status >= 500 ? `Try again; the server's log has more under ${error.requestId}.` : "");
    notify(`${what}: ${error.message.replace(/\.?$/, ".")} ${advice}`);
  } else {
    console.error(error);
    notify(`${what}: ${error instanceof Error ? error.message : error}`);
  }
  say("Something went wrong");
}
