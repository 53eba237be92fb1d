// The runs of all threads, the newest first, by status.

import { button, fill, fresh, h, paced } from "./dom.js";
import { api } from "./api.js";
import { ago, clock, short, span } from "./format.js";
import { guarded, say, tell } from "./notices.js";
import { badge } from "./timeline.js";

const PAGE = 50;
const POLL = 4000;
const STATUSES = ["pending", "running", "success", "error", "timeout", "interrupted"];

/** Tell whether a run has not ended. */
export const isLive = (run) => run.status === "pending" || run.status === "running";

/** The view of all runs. */
export class RunsView {
  constructor({ onChange }) {
    Object.assign(this, { onChange, limit: PAGE, round: 0 });
    this.choice = h("select", { id: fresh("field"), on: { change: () => this.choose() } }, h("option", { value: "" }, "any status"), STATUSES.map((one) => h("option", { value: one }, one)));
    this.graph = h("input", { id: fresh("field"), type: "search", placeholder: "any graph", autocomplete: "off", on: { input: paced(250, () => this.choose()) } });
    this.body = h("tbody", {});
    this.body.addEventListener("keydown", (event) => this.move(event));
    this.none = h("p", { class: "muted empty", role: "status" });
    this.more = button("Show more", guarded(() => this.showMore()), { class: "quiet more", hidden: true });
    const columns = ["Run", "Status", "Graph", "Thread", "Queue", "Made", "Took", ""].map((name) => h("th", { scope: "col" }, name));
    const table = h("table", { class: "all-runs" }, h("caption", { class: "visually-hidden" }, "Runs of all threads, the newest first"), h("thead", {}, h("tr", {}, columns)), this.body);
    const chosen = h("div", { class: "runs-filter" }, h("label", { for: this.choice.id }, "Status"), this.choice, h("label", { for: this.graph.id }, "Graph"), this.graph);
    this.element = h("div", { class: "runs-view" }, h("header", { class: "thread-head" }, h("a", { class: "back", href: "#/threads" }, "‹ Threads"), h("h1", {}, "Runs"), chosen), h("section", { class: "panel runs-panel", "aria-label": "Runs" }, h("div", { class: "runs-scroll" }, table, this.none, this.more)));
  }

  async start() {
    await this.refresh();
    this.timer = setInterval(() => document.hidden || this.refresh().catch(tell), POLL);
  }

  stop() {
    this.isOver = true;
    clearInterval(this.timer);
  }

  choose() {
    this.limit = PAGE;
    return this.refresh().catch(tell);
  }

  showMore() {
    this.limit += 4 * PAGE;
    return this.refresh();
  }

  async refresh() {
    const round = (this.round += 1);
    const [status, graph] = [this.choice.value, this.graph.value.trim()];
    const { rows, more } = await api.allRuns({ ...(status ? { status } : {}), ...(graph ? { graph_id: graph } : {}) }, this.limit);
    if (round !== this.round || this.isOver) return;
    this.more.hidden = !more;
    this.draw(rows);
  }

  draw(rows) {
    const told = JSON.stringify(rows.map((run) => [run.run_id, run.status, run.attempt, ago(run.created_at)]));
    if (told === this.told) return;
    this.told = told;
    const focused = this.body.contains(document.activeElement) ? document.activeElement.dataset : null;
    fill(this.body, rows.map((run) => this.row(run)));
    this.none.textContent = rows.length ? "" : "No run is so.";
    if (focused) this.body.querySelector(`[data-run="${CSS.escape(focused.run)}"][data-act="${CSS.escape(focused.act)}"]`)?.focus();
  }

  row(run) {
    const link = h("a", { href: `#/threads/${run.thread_id}`, title: run.run_id, data: { run: run.run_id, act: "open" } }, h("code", {}, short(run.run_id)));
    const why = run.error ? h("span", { class: "muted small-text run-error" }, `${run.error.error}: ${run.error.message}`) : null;
    const stop = isLive(run) ? button("Cancel", guarded(() => this.cancel(run)), { class: "small", data: { run: run.run_id, act: "cancel" } }) : null;
    return h("tr", {},
      h("td", {}, link),
      h("td", {}, badge(run.status), run.attempt > 1 ? h("span", { class: "muted small-text" }, ` attempt ${run.attempt}`) : null, why),
      h("td", {}, run.graph_id),
      h("td", {}, h("code", { title: run.thread_id }, short(run.thread_id))),
      h("td", {}, run.queue),
      h("td", { title: run.created_at }, clock(run.created_at)),
      h("td", {}, isLive(run) ? ago(run.created_at) : span(run.created_at, run.updated_at)),
      h("td", {}, stop));
  }

  async cancel(run) {
    await api.cancel(run.thread_id, run.run_id, "interrupt");
    say("The run is told to stop.");
    await this.refresh();
    this.onChange();
  }

  move(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const links = [...this.body.querySelectorAll("a")];
    const now = links.indexOf(document.activeElement.closest("tr")?.querySelector("a"));
    links[now + step]?.focus();
    event.preventDefault();
  }
}
