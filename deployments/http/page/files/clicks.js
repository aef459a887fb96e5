// Prompts: points and boxes, the mask under the pointer, the three candidates, and keeping one as an object.

import { isAbort } from "./api.js";
import { byId, make, show } from "./dom.js";
import { complain, notify, say } from "./notices.js";
import { contains, toRegion } from "./rle.js";

/** @typedef {import("../types").Candidate} Candidate */
/** @typedef {import("../types").Prompt} Prompt */

const SLOW_MS = 700;
const SAMPLES = 4;

export class Clicks {
  /** Whether masks are shown before the click. */
  previews = true;
  /** @type {AbortController | null} */ #asking = null;
  /** @type {AbortController | null} */ #hovering = null;
  /** @type {[number, number] | null} */ #pointer = null;
  /** @type {{x: number, y: number, candidates: Candidate[]} | null} */ #preview = null;
  /** @type {number[]} */ #waits = [];
  #insists = false;

  /** @param {import("./main.js").App} app */
  constructor(app) {
    this.app = app;
    /** @type {HTMLInputElement} */
    const box = byId("preview");
    box.addEventListener("change", () => {
      this.previews = box.checked;
      this.#insists = box.checked;
      if (!box.checked) this.leave();
    });
    app.store.subscribe((doc, before) => {
      if (doc.prompt !== before.prompt) {
        this.#asking?.abort();
        this.#asking = null;
        this.leave();
      }
      if (doc.candidates !== before.candidates || doc.chosen !== before.chosen || doc.prompt !== before.prompt) this.#show();
    });
  }

  /** Whether the masks of a prompt are waited for. */
  get isAsking() {
    return this.#asking !== null;
  }

  /** The pointer rests on a pixel. @param {number} x @param {number} y */
  hover(x, y) {
    this.#pointer = [x, y];
    const { prompt } = this.app.store.doc;
    if (!this.previews || !this.app.isReady || prompt.points.length || prompt.box) return;
    if (this.#preview && !contains(this.#preview.candidates[0].region, x, y)) this.#setPreview(null);
    if (!this.#hovering) this.#askPreview();
  }

  /** The pointer has left, or does something else. */
  leave() {
    this.#pointer = null;
    this.#hovering?.abort();
    this.#hovering = null;
    this.#setPreview(null);
  }

  /** @param {number} x @param {number} y @param {0 | 1} label */
  add(x, y, label) {
    const { prompt, candidates } = this.app.store.doc;
    if (!label && !prompt.points.length && !prompt.box) {
      say("Click the object first, then take away from it");
      return;
    }
    const known = !prompt.points.length && !prompt.box && this.#preview?.x === x && this.#preview.y === y ? this.#preview.candidates : null;
    const next = { ...prompt, points: [...prompt.points, { x, y, label }] };
    if (known) this.app.done = doneFor(next);
    this.app.store.commit({ prompt: next, candidates: known ?? candidates, chosen: 0 });
    if (known) this.#tell();
    else this.#ask(next);
  }

  /** @param {import("../types").Box} box */
  setBox(box) {
    const next = { ...this.app.store.doc.prompt, box };
    this.app.store.commit({ prompt: next, chosen: 0 });
    this.#ask(next);
  }

  /** The next or the previous candidate. @param {number} step @returns {boolean} whether there are any */
  cycle(step) {
    const { candidates, chosen } = this.app.store.doc;
    if (!candidates.length) return false;
    this.choose((chosen + step + candidates.length) % candidates.length);
    return true;
  }

  /** @param {number} index */
  choose(index) {
    this.app.store.amend({ chosen: index });
    this.#tell();
  }

  clear() {
    const { prompt } = this.app.store.doc;
    if (!prompt.points.length && !prompt.box) return;
    this.app.store.commit({ prompt: { points: [], box: null }, candidates: [], chosen: 0 });
    this.app.sayState();
  }

  /** Makes the chosen candidate an object. */
  keep() {
    const { candidates, chosen, items, sources } = this.app.store.doc;
    const candidate = candidates[chosen];
    if (!candidate) return;
    /** @type {HTMLInputElement} */
    const name = byId("keep-name");
    const item = this.app.newItem(candidate.region, "click", candidate.iou, candidate.stability, name.value.trim());
    name.value = "";
    this.app.store.commit({
      items: [...items, item],
      sources: [...sources, item],
      automatic: null,
      prompt: { points: [], box: null },
      candidates: [],
      chosen: 0,
    });
    this.app.sayState();
  }

  /** @param {Prompt} prompt */
  async #ask(prompt) {
    this.#asking?.abort();
    const asking = new AbortController();
    this.#asking = asking;
    this.app.sayState();
    try {
      const candidates = await this.#segment(prompt, asking.signal);
      if (this.#asking !== asking) return;
      this.#asking = null;
      this.app.done = doneFor(prompt);
      this.app.store.amend({ candidates, chosen: 0 });
      this.#tell();
    } catch (error) {
      if (this.#asking !== asking) return;
      this.#asking = null;
      // The prompt as it was before the step that failed.
      if (this.app.store.doc.prompt === prompt) this.app.store.undo();
      this.app.sayState();
      complain("No mask for this", error);
    }
  }

  /** @param {Prompt} prompt @param {AbortSignal} signal @returns {Promise<Candidate[]>} */
  async #segment(prompt, signal) {
    const answer = await (await this.app.session.ask("segment", doneFor(prompt).request, signal)).json();
    return answer.results[0].masks.map((/** @type {import("../types").ApiMask} */ mask) => ({
      region: toRegion(mask.segmentation),
      iou: mask.predicted_iou,
      stability: mask.stability_score,
    }));
  }

  /** One request at a time: the next is for the place where the pointer is then. */
  async #askPreview() {
    const hovering = new AbortController();
    this.#hovering = hovering;
    let failed = false;
    while (this.#pointer && !hovering.signal.aborted) {
      const [x, y] = this.#pointer;
      if (this.#preview?.x === x && this.#preview.y === y) break;
      const start = performance.now();
      try {
        const candidates = await this.#segment({ points: [{ x, y, label: 1 }], box: null }, hovering.signal);
        if (hovering.signal.aborted) return;
        this.#setPreview({ x, y, candidates });
        if (this.#isSlow(performance.now() - start)) break;
      } catch (error) {
        failed = !isAbort(error);
        if (failed) console.info("no preview:", error);
        break;
      }
    }
    if (this.#hovering === hovering) this.#hovering = null;
    if (failed) this.#pointer = null; // the click itself says what is wrong
  }

  /** @param {number} wait ms */
  #isSlow(wait) {
    this.#waits = [...this.#waits, wait].slice(-SAMPLES);
    const median = [...this.#waits].sort((a, b) => a - b)[SAMPLES >> 1];
    if (this.#insists || this.#waits.length < SAMPLES || median < SLOW_MS) return false;
    this.previews = false;
    /** @type {HTMLInputElement} */ (byId("preview")).checked = false;
    this.#setPreview(null);
    notify(`Previews are off: a mask takes this server ${(median / 1000).toFixed(1)} s. “Preview” above the picture turns them on again.`, { calm: true, id: "slow" });
    return true;
  }

  /** @param {{x: number, y: number, candidates: Candidate[]} | null} preview */
  #setPreview(preview) {
    const { stage } = this.app;
    const pointer = this.#pointer;
    this.#preview = preview;
    const region = preview?.candidates[0].region ?? null;
    stage.overlay.preview = region && pointer && contains(region, pointer[0], pointer[1]) ? region : null;
    stage.ask();
  }

  #tell() {
    const { candidates, chosen } = this.app.store.doc;
    const { region, iou } = candidates[chosen];
    say(`Mask ${chosen + 1} of ${candidates.length}: ${region.area.toLocaleString("en")} px, score ${iou.toFixed(2)}`);
  }

  #show() {
    const { candidates, chosen, prompt } = this.app.store.doc;
    const group = byId("candidates");
    show(group, candidates.length > 0);
    show(byId("hint"), candidates.length === 0);
    /** @type {HTMLButtonElement} */ (byId("keep")).disabled = !candidates.length;
    const radios = candidates.map(({ iou }, index) => {
      const radio = make("input", { type: "radio", name: "candidate", checked: index === chosen });
      radio.addEventListener("change", () => this.choose(index));
      return make("label", {}, radio, make("span", {}, `${index + 1} · ${iou.toFixed(2)}`));
    });
    const focused = group.contains(document.activeElement);
    group.replaceChildren(...radios);
    if (focused) radios[chosen]?.querySelector("input")?.focus();
    const { overlay } = this.app.stage;
    overlay.prompt = prompt;
    overlay.candidate = candidates[chosen]?.region ?? null;
    this.app.stage.ask();
  }
}

/** @param {Prompt} prompt */
function toRequest({ points, box }) {
  return {
    ...(points.length ? { points: points.map(({ x, y }) => [x, y]), labels: points.map(({ label }) => label) } : {}),
    ...(box ? { box: box.map((value) => Math.round(value * 10) / 10) } : {}),
  };
}

/** What a prompt asks of the server. @param {Prompt} prompt */
function doneFor(prompt) {
  return { what: "segment", request: { prompts: [toRequest(prompt)] } };
}
