// Requests to the server: the API key, problems as errors, waiting for a server that is busy or away. Knows no picture.

const KEY = "sam-serve-api-key";
const MOST_RETRIES = 5;
const POLL_MS = 1000;

/** An answer that is an error, as an RFC 9457 problem where the server gave one. */
export class Problem extends Error {
  /** @param {number} status @param {Record<string, any>} document @param {number} retryAfter seconds */
  constructor(status, document, retryAfter = 0) {
    super(document.detail || document.title || `the server answered ${status}`);
    this.status = status;
    /** @type {string} */ this.code = document.code || "";
    /** @type {string} */ this.requestId = document.request_id || "";
    this.retryAfter = retryAfter;
  }
}

/**
 * @typedef {object} Options
 * @property {unknown} [json] the body
 * @property {FormData} [form] the body, whose sending is reported
 * @property {(share: number) => void} [onSent] how much of the form has left, 0 to 1
 * @property {AbortSignal} [signal]
 */

export class Api {
  /** Told when the user has given a key. */
  onKey = () => {};
  /** @type {Promise<void> | null} */ #asking = null;
  /** @type {Promise<void> | null} */ #waiting = null;

  /**
   * @param {(reason: string) => Promise<string>} askKey asks the user for an API key
   * @param {(away: boolean, why: string) => void} onAway told when the server does not answer, and when it does again
   */
  constructor(askKey, onAway) {
    this.askKey = askKey;
    this.onAway = onAway;
  }

  get key() {
    return sessionStorage.getItem(KEY) || "";
  }

  /**
   * @param {string} path relative to the page
   * @param {Options} [options]
   */
  async json(path, options) {
    return (await this.send(path, options)).json();
  }

  /**
   * The answer, which is a good one.
   *
   * Waits for a server that is away or overloaded, and asks for a key where one is needed; raises Problem for the rest.
   * @param {string} path
   * @param {Options} [options]
   * @returns {Promise<Response>}
   */
  async send(path, options = {}) {
    for (let tries = 0; ; tries++) {
      let answer;
      try {
        answer = await this.#once(path, options);
      } catch (error) {
        if (!(error instanceof TypeError)) throw error;
        await this.#untilBack("The server does not answer.", options.signal);
        continue;
      }
      if (answer.ok) return answer;
      const problem = await problemOf(answer);
      if (problem.status === 401) await this.#newKey(problem.message);
      else if (problem.status === 503 && problem.code === "overloaded" && tries < MOST_RETRIES) await pause(problem.retryAfter || 1, options.signal);
      else if (problem.status === 503 && problem.code !== "overloaded") await this.#untilBack("The server is starting.", options.signal);
      else throw problem;
    }
  }

  /** @param {string} path @param {Options} options */
  #once(path, { json, form, onSent, signal }) {
    /** @type {Record<string, string>} */
    const headers = this.key ? { Authorization: `Bearer ${this.key}` } : {};
    if (form) return sendForm(path, form, headers, onSent, signal);
    if (json === undefined) return fetch(path, { headers, signal });
    headers["Content-Type"] = "application/json";
    return fetch(path, { method: "POST", headers, signal, body: JSON.stringify(json) });
  }

  /** @param {string} reason */
  #newKey(reason) {
    this.#asking ??= (async () => {
      try {
        sessionStorage.setItem(KEY, await this.askKey(this.key ? reason : ""));
        this.onKey();
      } finally {
        this.#asking = null;
      }
    })();
    return this.#asking;
  }

  /** @param {string} why @param {AbortSignal} [signal] */
  async #untilBack(why, signal) {
    signal?.throwIfAborted();
    this.#waiting ??= (async () => {
      this.onAway(true, why);
      for (;;) {
        await pause(POLL_MS / 1000);
        const health = await fetch("health").catch(() => null);
        if (health?.ok) break;
      }
      this.#waiting = null;
      this.onAway(false, "");
    })();
    await this.#waiting;
    signal?.throwIfAborted();
  }
}

/** @param {Response} answer */
async function problemOf(answer) {
  const text = await answer.text();
  const retryAfter = Number(answer.headers.get("Retry-After")) || 0;
  try {
    return new Problem(answer.status, JSON.parse(text), retryAfter);
  } catch {
    // Serve's own proxy answers in plain text while the application is not there.
    return new Problem(answer.status, { detail: text.slice(0, 200) }, retryAfter);
  }
}

/**
 * `fetch` does not tell how much of a body has left; XMLHttpRequest does.
 * @param {string} path @param {FormData} form @param {Record<string, string>} headers
 * @param {((share: number) => void) | undefined} onSent @param {AbortSignal | undefined} signal
 * @returns {Promise<Response>}
 */
function sendForm(path, form, headers, onSent, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.responseType = "arraybuffer";
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => onSent?.(event.lengthComputable ? event.loaded / event.total : 0);
    request.onload = () => {
      const answered = new Headers();
      for (const name of ["Content-Type", "Retry-After", "Sam-Picture"]) {
        const value = request.getResponseHeader(name);
        if (value) answered.set(name, value);
      }
      resolve(new Response(request.response, { status: request.status, headers: answered }));
    };
    request.onerror = () => reject(new TypeError("no answer"));
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    signal?.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

/**
 * The lines of a stream, parsed.
 * @param {Response} answer
 * @returns {AsyncGenerator<any>}
 */
export async function* lines(answer) {
  if (!answer.body) return;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const pieces = (rest + value).split("\n");
      rest = pieces.pop() || "";
      for (const piece of pieces) if (piece.trim()) yield JSON.parse(piece);
    }
    if (rest.trim()) yield JSON.parse(rest);
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** @param {unknown} error */
export function isAbort(error) {
  return error instanceof DOMException && error.name === "AbortError";
}

/** @param {number} seconds @param {AbortSignal} [signal] */
function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, Math.min(seconds, 10) * 1000);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
