// What the page tells its user: the status, the progress of a run, and what went wrong.

import { isAbort, Problem } from "./api.js";
import { byId, make } from "./dom.js";

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
  // Its place stays: buttons below it would move under the pointer.
  byId("progress-row").classList.toggle("idle", share === null);
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
  dismiss(id);
  const close = make("button", { type: "button" }, "Dismiss");
  const notice = make("div", { className: calm ? "notice calm" : "notice" }, make("span", {}, text), close);
  notice.dataset.id = id;
  close.addEventListener("click", () => notice.remove());
  byId("notices").append(notice);
  return () => notice.remove();
}

/** Closes a message. @param {string} id */
export function dismiss(id) {
  for (const notice of byId("notices").querySelectorAll(".notice")) {
    if (/** @type {HTMLElement} */ (notice).dataset.id === id) notice.remove();
  }
}

const ADVICE = /** @type {Record<string, string>} */ ({
  invalid_image: "Open the file in another program and save it as PNG or TIFF, then try again.",
  image_too_large: "Make the picture smaller, or ask the server's operator to raise SAM_MAX_MEGAPIXELS.",
  body_too_large: "Save the picture with compression, or ask the server's operator to raise SAM_MAX_BODY_MB.",
  overloaded: "The server is busy. Try again in a moment.",
  timeout: "Try fewer points a side, or a smaller picture.",
});

/**
 * Says what went wrong and what to do. What was cancelled is no error.
 * @param {string} what that could not be done
 * @param {unknown} error
 * @param {string} [id] of the message, which replaces an earlier one of this id
 */
export function complain(what, error, id) {
  if (isAbort(error)) return;
  if (error instanceof Problem) {
    const advice = ADVICE[error.code] ?? (error.status >= 500 ? `Try again; the server's log has more under ${error.requestId}.` : "");
    notify(`${what}: ${error.message.replace(/\.?$/, ".")} ${advice}`, { id });
  } else {
    console.error(error);
    notify(`${what}: ${error instanceof Error ? error.message : error}`, { id });
  }
  say("Something went wrong");
}
