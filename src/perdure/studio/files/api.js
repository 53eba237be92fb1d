// The public API, by fetch. An API key lives in this tab's session and is sent as a header, never in an address.

export const base = new URL("..", import.meta.url);
const KEY = "perdure.key";

/** What the server refused, or that it didn't answer, in words for a person. */
export class ApiError extends Error {
  constructor(status, detail) {
    super(worded(status, detail));
    this.status = status;
    this.detail = detail;
  }
}

function worded(status, detail) {
  if (status === 0) return `The server at ${base.host} doesn't answer. Is it running?`;
  if (status === 401) return `The server wants to know who you are: ${detail}.`;
  if (status === 403) return `You may not do that: ${detail}.`;
  if (status >= 500) return `The server failed (${status}: ${detail}). Its log says why.`;
  return detail.charAt(0).toUpperCase() + detail.slice(1);
}

export function key() {
  return sessionStorage.getItem(KEY) ?? "";
}

export function setKey(text) {
  if (text) sessionStorage.setItem(KEY, text);
  else sessionStorage.removeItem(KEY);
}

/** Send a request; return the response. */
export async function send(method, path, { body, headers = {}, signal } = {}) {
  const all = { ...headers };
  if (key()) all["X-Api-Key"] = key();
  if (body !== undefined) all["Content-Type"] = "application/json";
  let response;
  try {
    const sent = body === undefined ? undefined : JSON.stringify(body);
    response = await fetch(new URL(path.replace(/^\//, ""), base), { method, headers: all, body: sent, signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "");
  }
  if (response.ok) return response;
  const detail = await detailOf(response);
  if (response.status === 401) document.dispatchEvent(new CustomEvent("key-needed", { detail: { given: Boolean(key()) } }));
  throw new ApiError(response.status, detail);
}

async function detailOf(response) {
  const text = await response.text().catch(() => "");
  try {
    const { detail } = JSON.parse(text);
    return typeof detail === "string" ? detail : JSON.stringify(detail);
  } catch {
    return text.slice(0, 300) || response.statusText || `status ${response.status}`;
  }
}

async function json(method, path, body, options) {
  const response = await send(method, path, { body, ...options });
  return response.status === 204 ? null : contentOf(response);
}

/** Read a response to its end, before which its connection may be lost. */
async function contentOf(response) {
  try {
    return await response.json();
  } catch (error) {
    if (error instanceof TypeError) throw new ApiError(0, "");
    throw error;
  }
}

const LARGEST_PAGE = 1000;

/** Read so many of what a search finds, a page after the other: {rows, more}. */
async function pages(path, wanted, count) {
  const rows = [];
  for (;;) {
    const limit = Math.min(LARGEST_PAGE, count - rows.length);
    const response = await send("POST", path, { body: { ...wanted, limit, offset: rows.length } });
    rows.push(...(await contentOf(response)));
    const more = response.headers.has("X-Pagination-Next");
    if (!more || rows.length >= count) return { rows, more };
  }
}

const thread = (id) => `/threads/${encodeURIComponent(id)}`;
const STATES = ["next", "tasks", "metadata", "created_at", "checkpoint", "parent_checkpoint", "interrupts"];
const RUNS = ["run_id", "status", "assistant_id", "created_at", "updated_at", "attempt"];

export const api = {
  info: () => json("GET", "/info"),
  assistants: () => json("POST", "/assistants/search", { limit: 1000, sort_by: "name", sort_order: "asc" }),
  graph: (id) => json("GET", `/assistants/${id}/graph?xray=true`),
  schemas: (id) => json("GET", `/assistants/${id}/schemas`),

  threads: (wanted, count) => pages("/perdure/threads/search", wanted, count),
  allRuns: (wanted, count) => pages("/perdure/runs/search", wanted, count),
  async thread(id) {
    const { rows } = await this.threads({ ids: [id] }, 1);
    if (!rows.length) throw new ApiError(404, `there is no thread ${id}`);
    return rows[0];
  },
  makeThread: (metadata) => json("POST", "/threads", { metadata }),
  deleteThread: (id) => json("DELETE", thread(id)),
  copyThread: (id) => json("POST", `${thread(id)}/copy`),
  history: (id, limit, before) => json("POST", `${thread(id)}/history`, { limit, select: STATES, ...(before ? { before } : {}) }),
  stateAt: (id, checkpoint, signal) => json("POST", `${thread(id)}/state/checkpoint`, { checkpoint }, { signal }),
  updateState: (id, change) => json("POST", `${thread(id)}/state`, change),

  runs: (id) => json("GET", `${thread(id)}/runs?limit=100&${RUNS.map((name) => `select=${name}`).join("&")}`),
  run: (id, body) => json("POST", `${thread(id)}/runs`, body),
  cancel: (id, run, action) => json("POST", `${thread(id)}/runs/${run}/cancel?action=${action}`),
};
