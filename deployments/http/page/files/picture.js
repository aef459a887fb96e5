// How a picture comes in: chosen, dropped, pasted, or a sample; and how it is shown if the browser can't read it.

import { byId, make, onClick, show } from "./dom.js";
import { notify } from "./notices.js";

/** @typedef {import("../types").Decode} Decode */

/**
 * @param {(file: Blob | Promise<Blob>, name: string) => void} open
 */
export function listenForPictures(open) {
  /** @type {HTMLInputElement} */
  const input = byId("file");
  input.addEventListener("change", () => {
    const file = input.files?.[0];
    if (file) open(file, file.name);
    input.value = ""; // so that the same file can be opened again
  });
  onClick("choose", () => input.click());
  for (const [id, name] of [["sample-coins", "coins.jpg"], ["sample-cells", "cells.jpg"]]) {
    onClick(id, () => open(sample(name), name));
  }
  listenForDrops(open);
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
    if (file) open(file, file.name || "pasted.png");
  });
}

/** One of the server's own pictures. @param {string} name @returns {Promise<Blob>} */
async function sample(name) {
  const answer = await fetch(`page/${name}`);
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  return answer.blob();
}

/** @param {(file: Blob, name: string) => void} open */
function listenForDrops(open) {
  const veil = byId("drop");
  let depth = 0;
  const carriesFiles = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files") ?? false;
  addEventListener("dragenter", (event) => {
    if (carriesFiles(event) && depth++ === 0) show(veil, true);
  });
  addEventListener("dragleave", (event) => {
    if (carriesFiles(event) && --depth === 0) show(veil, false);
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    show(veil, false);
    const files = event.dataTransfer?.files;
    if (!files?.length) return;
    open(files[0], files[0].name);
    if (files.length > 1) notify("One picture at a time: the first is open. The command sam-serve takes a whole folder.", { calm: true });
  });
}

/**
 * The picture as the browser reads it, or null.
 * @param {Blob} file
 */
export async function readHere(file) {
  try {
    return await createImageBitmap(file);
  } catch {
    return null;
  }
}

/**
 * Whether the server is to show a file that the browser could: a PNG of 16 bits, of which the browser would show other
 * grey values than the server segments, and an animation, whose frames the server tells.
 * @param {Blob} file
 */
export async function isServers(file) {
  const start = new Uint8Array(await file.slice(0, 26).arrayBuffer());
  const has = (/** @type {number} */ at, /** @type {string} */ text) => [...text].every((letter, index) => start[at + index] === letter.charCodeAt(0));
  if (has(1, "PNG")) return start[24] === 16;
  return has(0, "GIF8") || (has(8, "WEBPVP8X") && (start[20] & 2) !== 0);
}

/** Page, channels and contrast of a file that has several. */
export class DecodeControls {
  /** @type {import("./session.js").Holds | null} */ #holds = null;

  /** @param {(decode: Decode) => void} onChange */
  constructor(onChange) {
    const read = () => {
      const decode = this.#read();
      if (decode) onChange(decode);
      else if (this.#holds) this.show(this.#holds);
    };
    for (const id of ["page", "channels", "scaling"]) byId(id).addEventListener("change", read);
  }

  hide() {
    show(byId("decode-card"), false);
    show(byId("scale-file"), false);
  }

  /** @param {import("./session.js").Holds} holds */
  show(holds) {
    const { pages, channels, channel_names: names, dtype, pixel_size: size, decode } = holds;
    this.#holds = holds;
    const several = (pages ?? 2) > 1;
    show(byId("decode-card"), several || channels > 1 || dtype !== "uint8");
    show(byId("page-field"), several);
    show(byId("channels-field"), channels > 1);
    show(byId("scale-file"), size !== null);
    /** @type {HTMLInputElement} */
    const page = byId("page");
    page.max = String(pages ?? "");
    page.value = String((decode.page ?? 0) + 1);
    /** @type {HTMLInputElement} */ (byId("channels")).value = (decode.channels ?? []).map((channel) => channel + 1).join(", ");
    const range = decode.scaling ? `; ${[decode.low].flat().join(", ")} to ${[decode.high].flat().join(", ")} are shown as black to white` : "";
    const named = names.length ? `: ${names.join(", ")}` : "";
    byId("decode-note").textContent = `${pages ?? "Several"} ${pages === 1 ? "page" : "pages"}, ${channels} ${channels === 1 ? "channel" : "channels"}${named}, ${dtype}${range}.`;
  }

  /** What the fields ask for; null, and said, where the file has no such thing. @returns {Decode | null} */
  #read() {
    const value = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id)).value;
    const { channels: most = 1, pages = 1 } = this.#holds ?? {};
    const isOf = (/** @type {number} */ index, /** @type {number} */ count) => Number.isInteger(index) && index >= 0 && index < count;
    const channels = value("channels").split(/[\s,;]+/).filter(Boolean).map((one) => Number(one) - 1);
    if (channels.length > 3 || !channels.every((one) => isOf(one, most))) {
      notify(`Channels are one to three numbers from 1 to ${most}, with commas between them.`, { id: "decode" });
      return null;
    }
    const page = Number(value("page")) - 1;
    if (!isOf(page, pages ?? Infinity)) {
      notify(pages ? `The file has the pages 1 to ${pages}.` : "Pages are counted from 1.", { id: "decode" });
      return null;
    }
    return { page, ...(channels.length ? { channels } : {}), ...(value("scaling") ? { scaling: value("scaling") } : {}) };
  }
}

/** @param {string} name @param {[number, number]} size */
export function showName(name, [height, width]) {
  byId("picture-name").replaceChildren(make("span", {}, `${name} · ${width} × ${height}`));
  byId("picture-name").title = name;
}
