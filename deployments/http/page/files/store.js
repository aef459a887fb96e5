// The state that undo and redo restore. Documents are never changed in place, so that a step costs a few references.

/** @typedef {import("../types").Doc} Doc */

const MOST_STEPS = 200;

/** @type {Doc} */
export const EMPTY = Object.freeze({
  prompt: { points: [], box: null },
  candidates: [],
  chosen: 0,
  items: [],
  sources: [],
  hidden: new Set(),
  analysis: null,
  rules: {},
  preset: "",
  scale: null,
  automatic: null,
});

export class Store {
  /** @type {Doc[]} */ #past = [];
  /** @type {Doc[]} */ #future = [];
  /** @type {((doc: Doc, before: Doc) => void)[]} */ #listeners = [];
  doc = EMPTY;

  /** @param {(doc: Doc, before: Doc) => void} listener */
  subscribe(listener) {
    this.#listeners.push(listener);
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  /**
   * A step that undo takes back.
   * @param {Partial<Doc>} change
   */
  commit(change) {
    this.#past.push(this.doc);
    if (this.#past.length > MOST_STEPS) this.#past.shift();
    this.#future = [];
    this.#set({ ...this.doc, ...change });
  }

  /**
   * A change that belongs to the step before.
   * @param {Partial<Doc>} change
   */
  amend(change) {
    this.#set({ ...this.doc, ...change });
  }

  /** Another picture: nothing to go back to. @param {Partial<Doc>} change */
  reset(change) {
    this.#past = [];
    this.#future = [];
    this.#set({ ...EMPTY, ...change });
  }

  /** All of it, to come back to if another picture can't be opened. */
  save() {
    return { past: this.#past, future: this.#future, doc: this.doc };
  }

  /** @param {{past: Doc[], future: Doc[], doc: Doc}} saved */
  restore({ past, future, doc }) {
    this.#past = past;
    this.#future = future;
    this.#set(doc);
  }

  undo() {
    const doc = this.#past.pop();
    if (!doc) return;
    this.#future.push(this.doc);
    this.#set(doc);
  }

  redo() {
    const doc = this.#future.pop();
    if (!doc) return;
    this.#past.push(this.doc);
    this.#set(doc);
  }

  /** @param {Doc} doc */
  #set(doc) {
    const before = this.doc;
    this.doc = doc;
    for (const listener of this.#listeners) listener(doc, before);
  }
}
