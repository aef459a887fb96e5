// How a picture comes in: chosen, dropped, pasted, or a sample; and how it is shown if the browser can't read it.

import { byId, make, onClick, show } from "./dom.js";
import { complain, notify } from "./notices.js";

/** @typedef {import("../types").Decode} Decode */

/**
 * @param {(file: Blob, name: string) => void} open
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
    onClick(id, async () => {
      try {
        const answer = await fetch(`page/${name}`);
        if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
        open(await answer.blob(), name);
      } catch (error) {
        complain("The sample could not be loaded", error);
      }
    });
  }
  listenForDrops(open);
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
    if (file) open(file, file.name || "pasted.png");
  });
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

/** Whether the browser shows other grey values than the server segments. @param {Decode | undefined} read */
export function needsPreview(read) {
  return Boolean(read && (read.scaling || read.page || read.channels));
}

/** @param {string} name @param {[number, number]} size */
export function showName(name, [height, width]) {
  byId("picture-name").replaceChildren(make("span", {}, `${name} · ${width} × ${height}`));
  byId("picture-name").title = name;
}
