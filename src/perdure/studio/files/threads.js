// The threads of the server, the latest first, and a search among them.

import { button, fill, h, paced } from "./dom.js";
import { api } from "./api.js";
import { ago, short } from "./format.js";
import { badge } from "./timeline.js";

const PAGE = 50;
const POLL = 4000;
const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;
const STATUSES = ["idle", "busy", "interrupted", "error"];

/**
 * Read what a person searches for: {wanted, words}. A whole id, `status:busy`, `graph:name` and `key:value` of the
 * metadata must be so; other words must be somewhere in a thread's id, status, metadata or error.
 */
export function readSearch(text) {
  const wanted = {};
  const words = [];
  for (const part of text.trim().split(/\s+/).filter(Boolean)) {
    const [, name, value] = /^([\w.-]+):(.+)$/.exec(part) ?? [];
    if (UUID.test(part)) wanted.ids = [...(wanted.ids ?? []), part];
    else if (name === "status" && STATUSES.includes(value)) wanted.status = value;
    else if (name) wanted.metadata = { ...wanted.metadata, [name === "graph" ? "graph_id" : name]: plain(value) };
    else words.push(part);
  }
  return { wanted, words };
}

function plain(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The list beside everything else. */
export class ThreadList {
  constructor(element, { onProblem, onFine }) {
    this.onProblem = onProblem;
    this.onFine = onFine;
    this.limit = PAGE;
    this.current = null;
    this.input = h("input", { type: "search", id: "search", placeholder: "Search threads", "aria-label": "Search threads: an id, words, status:busy, graph:name, or key:value of the metadata", title: "An id, words, status:busy, graph:name, or key:value of the metadata", autocomplete: "off", on: { input: paced(250, () => this.search()) } });
    this.list = h("ul", { class: "thread-list", "aria-label": "Threads, the latest first" });
    this.more = button("Show more", () => this.showMore(), { class: "quiet more", hidden: true });
    fill(element, h("div", { class: "search-row" }, this.input, h("a", { class: "button primary", href: "#/", id: "new-run" }, "New run")), this.list, this.more);
    this.list.addEventListener("keydown", (event) => this.move(event));
  }

  start() {
    this.refresh();
    setInterval(() => document.hidden || this.refresh(), POLL);
    document.addEventListener("visibilitychange", () => document.hidden || this.refresh());
  }

  search() {
    this.limit = PAGE;
    return this.refresh();
  }

  showMore() {
    this.limit += 4 * PAGE;
    return this.refresh();
  }

  async refresh() {
    const round = (this.round = (this.round ?? 0) + 1);
    const { wanted, words } = readSearch(this.input.value);
    try {
      const { rows, more } = await api.threads({ ...wanted, words }, this.limit);
      if (round !== this.round) return;
      this.more.hidden = !more;
      this.draw(rows);
      this.onFine();
    } catch (error) {
      if (round === this.round) this.onProblem(error);
    }
  }

  select(id) {
    this.current = id;
    for (const link of this.list.querySelectorAll("a")) mark(link, id);
  }

  draw(rows) {
    const told = JSON.stringify(rows.map((row) => [row.thread_id, row.status, ago(row.updated_at), row.metadata?.graph_id]));
    if (told === this.told && this.list.childElementCount) return;
    this.told = told;
    const focused = this.list.contains(document.activeElement) ? document.activeElement.dataset.thread : null;
    fill(this.list, rows.length ? rows.map((row) => this.row(row)) : h("li", { class: "muted empty" }, this.input.value ? "No thread matches." : "No threads yet. Start a run."));
    if (focused) this.list.querySelector(`[data-thread="${CSS.escape(focused)}"]`)?.focus();
  }

  row(row) {
    const link = h("a", { class: "thread-row", href: `#/threads/${row.thread_id}`, title: row.thread_id, data: { thread: row.thread_id } }, h("span", { class: "thread-title" }, h("span", { class: "thread-graph" }, String(row.metadata?.graph_id ?? "thread")), h("span", { class: "muted small-text" }, ago(row.updated_at))), h("span", { class: "thread-sub" }, h("code", {}, short(row.thread_id)), badge(row.status)));
    mark(link, this.current);
    return h("li", {}, link);
  }

  move(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const links = [...this.list.querySelectorAll("a")];
    links[links.indexOf(document.activeElement) + step]?.focus();
    event.preventDefault();
  }
}

function mark(link, id) {
  if (link.dataset.thread === id) link.setAttribute("aria-current", "page");
  else link.removeAttribute("aria-current");
}
