// The open picture on the server: sent once, and again when the server has forgotten it. Knows no canvas.

import { Problem } from "./api.js";

/** @typedef {import("../types").Decode} Decode */

/**
 * A picture as it was opened.
 * @typedef {object} Opened
 * @property {Blob | Promise<Blob>} file
 * @property {string} name
 * @property {Decode | null} decode how it is to be read
 */

/**
 * What the server says of it.
 * @typedef {object} Encoded
 * @property {string} image_id
 * @property {[number, number]} size height, width
 * @property {Decode} [decode]
 */

/**
 * What a file holds, and how it was read.
 * @typedef {object} Holds
 * @property {[number, number]} size height, width of the picture
 * @property {number | null} pages
 * @property {number} channels
 * @property {string[]} channel_names
 * @property {string} dtype
 * @property {{x: number, y: number, source: string} | null} pixel_size in micrometres
 * @property {Decode} decode
 */

/** Pixels of the long side of a picture that the server shows. */
const PREVIEW_SIDE = 4096;
const ANOTHER_PICTURE = () => new DOMException("another picture was opened", "AbortError");

export class Session {
  /** @type {Opened | null} */ opened = null;
  /** The model of every request; empty for the server's default. */
  model = "";
  /** @type {Promise<Encoded> | null} */ #encoding = null;
  #abort = new AbortController();

  /**
   * @param {import("./api.js").Api} api
   * @param {(share: number | null) => void} onEncoding told of what has been sent, 0 to 1; null when the work is over
   */
  constructor(api, onEncoding) {
    this.api = api;
    this.onEncoding = onEncoding;
  }

  /**
   * Sends the picture.
   * @param {Opened} opened
   * @returns {Promise<Encoded>}
   */
  open(opened) {
    this.#abort.abort(ANOTHER_PICTURE());
    this.#abort = new AbortController();
    this.opened = opened;
    this.#encoding = null;
    return this.encoded();
  }

  /** What is open, to come back to if another picture can't be opened. */
  save() {
    return { opened: this.opened, encoding: this.#encoding };
  }

  /** @param {{opened: Opened | null, encoding: Promise<Encoded> | null}} saved */
  restore({ opened, encoding }) {
    this.opened = opened;
    this.#encoding = encoding;
  }

  /** The picture on the server, once it is there. @returns {Promise<Encoded>} */
  encoded() {
    if (!this.#encoding) {
      const encoding = this.#encode();
      this.#encoding = encoding;
      encoding.catch(() => {
        if (this.#encoding === encoding) this.#encoding = null;
      });
    }
    return this.#encoding;
  }

  /**
   * A request about the picture, which is sent again if the server does not hold it any more.
   * @param {string} path
   * @param {Record<string, unknown>} document without the picture
   * @param {AbortSignal} [signal]
   * @returns {Promise<Response>}
   */
  async ask(path, document, signal) {
    const { opened } = this;
    for (let tries = 0; ; tries++) {
      const encoding = this.encoded();
      const { image_id } = await encoding;
      signal?.throwIfAborted();
      if (this.opened !== opened) throw ANOTHER_PICTURE();
      try {
        return await this.api.send(path, { json: { image_id, ...this.#common(), ...document }, signal });
      } catch (error) {
        if (!(error instanceof Problem) || error.code !== "unknown_image" || tries >= 2) throw error;
        if (this.#encoding === encoding) this.#encoding = null;
      }
    }
  }

  /**
   * The picture as the server reads it, which may be reduced, and what its file holds.
   * @param {Opened} opened
   * @returns {Promise<{image: Blob, holds: Holds}>}
   */
  async preview(opened) {
    const answer = await this.api.send(`preview?side=${PREVIEW_SIDE}`, { form: await this.#form(opened), signal: this.#abort.signal });
    return { holds: JSON.parse(answer.headers.get("Sam-Picture") || "{}"), image: await answer.blob() };
  }

  #common() {
    return this.model ? { model: this.model } : {};
  }

  /** @returns {Promise<Encoded>} */
  async #encode() {
    const { opened } = this;
    const { signal } = this.#abort;
    if (!opened) throw new Problem(0, { detail: "Open a picture first." });
    this.onEncoding(0);
    try {
      const answer = await this.api.send("embeddings", { form: await this.#form(opened), signal, onSent: (share) => this.onEncoding(share) });
      return await answer.json();
    } finally {
      if (!signal.aborted) this.onEncoding(null);
    }
  }

  /** @param {Opened} opened */
  async #form({ file, name, decode }) {
    const form = new FormData();
    form.append("image", await file, name);
    form.append("request", JSON.stringify({ ...this.#common(), ...(decode ? { decode } : {}) }));
    return form;
  }
}
