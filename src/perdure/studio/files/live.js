// What runs tell while they run: a log of it, and from it where they are.

import { fill, h } from "./dom.js";
import { short } from "./format.js";
import { brief } from "./tree.js";

const SIGNS = { begin: "▸ ", end: "✓ ", ask: "? ", bad: "✗ " };
const MOST_ROWS = 400;
const LONGEST_MESSAGE = 20000;

/** Reads the events of a thread's runs. */
export class Live {
  constructor(onChange) {
    this.onChange = onChange;
    this.list = h("ol", { class: "events", "aria-label": "Events" });
    this.empty = h("p", { class: "muted empty" }, "Events of runs appear here as they happen.");
    this.element = h("div", { class: "live", tabindex: "0", role: "region", "aria-label": "Events of runs" }, this.empty, this.list);
    this.reset(null);
    this.isRunning = false;
    this.isAtEnd = true;
    this.element.addEventListener("scroll", () => (this.isAtEnd = this.element.scrollHeight - this.element.scrollTop - this.element.clientHeight < 40));
    new ResizeObserver(() => this.toEnd()).observe(this.element);
  }

  /** Stay at the newest event, unless a person has gone back to older ones. */
  toEnd() {
    if (this.isAtEnd) this.element.scrollTop = this.element.scrollHeight;
  }

  reset(run) {
    this.run = run;
    this.tasks = new Map(); // those that have begun and not ended: by id, their node
    this.done = new Set();
    this.seesTasks = false;
    this.growing = new Map();
  }

  /** Where the run is: a Map of nodes, as a drawing marks them. */
  marks() {
    const marks = new Map();
    for (const node of this.done) marks.set(node, "done");
    for (const { node } of this.tasks.values()) marks.set(node, "running");
    return marks;
  }

  event(name, data, id) {
    const [mode, ...inside] = name.split("|");
    const at = id ? Number(id.split("-")[0]) : Date.now();
    const outer = inside.map((part) => part.split(":")[0]);
    if (mode === "metadata") this.lifecycle(data, at);
    else if (mode === "tasks") this.task(data, outer, at);
    else if (mode === "messages") this.message(data, at);
    else if (mode === "updates" && !this.seesTasks) this.row(at, "note", `${Object.keys(data ?? {}).join(", ")}`, brief(data, 160));
    else if (mode === "custom") this.row(at, "note", "custom", brief(data, 300));
    else if (mode === "error") this.row(at, "bad", data?.error ?? "error", data?.message ?? "");
    this.onChange(mode, data);
  }

  lifecycle(data, at) {
    if (data?.status === "run_done") {
      this.isRunning = false;
      this.tasks.clear();
      this.row(at, "mark", "run ended", short(data.run_id));
      return;
    }
    const run = data?.run_id ?? null;
    const what = data?.attempt > 1 ? `run goes on, attempt ${data.attempt}` : run && run === this.run ? "run goes on" : "run began";
    this.reset(run);
    this.isRunning = true;
    this.row(at, "mark", what, short(run));
  }

  task(data, outer, at) {
    this.seesTasks = true;
    const node = [...outer, data.name].join(":");
    const begun = this.tasks.get(data.id);
    if (!("result" in data) && !("error" in data)) {
      this.tasks.set(data.id, { node, at });
      this.row(at, "begin", node, brief(data.input, 160));
      return;
    }
    this.tasks.delete(data.id);
    if (data.error) this.row(at, "bad", node, brief(data.error, 300));
    else if (data.interrupts?.length) this.row(at, "ask", node, brief(data.interrupts[0].value, 160));
    else {
      this.done.add(node);
      this.row(at, "end", node, `${begun ? `${at - begun.at} ms · ` : ""}${brief(data.result, 160)}`);
    }
  }

  /** Put the pieces of a message together as they come; whole ones are told by the updates. */
  message(data, at) {
    const [piece] = Array.isArray(data) ? data : [data];
    if (!/Chunk$/.test(piece?.type ?? "")) return;
    const words = typeof piece.content === "string" ? piece.content : (piece.content ?? []).map((block) => block?.text ?? "").join("");
    if (!words) return;
    const known = this.growing.get(piece.id);
    if (!known) {
      const shown = this.row(at, "words", "message", words);
      this.growing.set(piece.id, shown);
    } else if (known.textContent.length < LONGEST_MESSAGE) known.append(words);
  }

  row(at, kind, title, words) {
    const last = this.list.lastElementChild;
    if (last && (kind === "begin" || kind === "end") && last.dataset.said === `${kind} ${title}`) return this.again(last, words);
    const said = h("span", { class: "event-words" }, words ?? "");
    const time = new Date(at).toLocaleTimeString([], { hour12: false });
    this.list.append(h("li", { class: `event ${kind}`, data: { said: `${kind} ${title}`, times: "1" } }, h("time", {}, time), h("span", { class: "event-title" }, `${SIGNS[kind] ?? ""}${title}`), said));
    while (this.list.childElementCount > MOST_ROWS) this.list.firstElementChild.remove();
    this.empty.hidden = true;
    this.toEnd();
    return said;
  }

  /** Say that the same has happened again: a hundred tasks of a node are a line, not a hundred. */
  again(row, words) {
    row.dataset.times = String(Number(row.dataset.times) + 1);
    const said = row.querySelector(".event-words");
    said.textContent = `×${row.dataset.times} · ${words}`;
    return said;
  }

  clear() {
    fill(this.list);
    this.empty.hidden = false;
  }
}
