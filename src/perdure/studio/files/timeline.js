// The checkpoints of a thread, newest first, in the runs that made them; branches beside each other. And its runs.

import { button, fill, h, svg } from "./dom.js";
import { ago, clock, counted, short, span } from "./format.js";

const LANE = 12;
const MOST_LANES = 6;

/** Give each checkpoint its lane: {column, above, below, joins, through}. Newest first, as in the history. */
export function lanes(states) {
  const waiting = []; // by column: the checkpoint that its line leads down to
  return states.map((state) => {
    const id = state.checkpoint.checkpoint_id;
    const leading = waiting.flatMap((one, column) => (one === id ? [column] : []));
    const free = waiting.indexOf(null);
    const column = leading[0] ?? (free < 0 ? waiting.length : free);
    for (const other of leading.slice(1)) waiting[other] = null;
    const through = waiting.flatMap((one, other) => (one !== null && other !== column ? [other] : []));
    waiting[column] = state.parent_checkpoint?.checkpoint_id ?? null;
    return { column, above: leading.length > 0, below: waiting[column] !== null, joins: leading.slice(1), through };
  });
}

/** Say what made a checkpoint. */
export function madeBy(state, parent) {
  const source = state.metadata?.source;
  if (source === "input") return "input";
  if (source === "update") return "edited";
  if (source === "fork") return "forked";
  return parent ? counted(parent.tasks.map((task) => task.name)) || "step" : "step";
}

/** The list of checkpoints. */
export class Timeline {
  constructor({ onSelect, onOlder }) {
    this.onSelect = onSelect;
    this.list = h("ol", { class: "checkpoints", "aria-label": "Checkpoints, newest first" });
    this.older = button("Show older", onOlder, { class: "quiet more", hidden: true });
    this.element = h("div", { class: "timeline" }, this.list, this.older);
    this.list.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.move(step);
    });
  }

  /** Go to the next or the one before; from wherever the focus is. */
  move(step) {
    const rows = [...this.list.querySelectorAll("button.checkpoint")];
    const now = rows.findIndex((row) => row === document.activeElement);
    const chosen = rows.findIndex((row) => row.getAttribute("aria-current") === "true");
    const next = rows[(now >= 0 ? now : chosen) + step];
    if (!next) return;
    next.focus();
    next.click();
  }

  show(states, runs, chosen, hasOlder) {
    const told = JSON.stringify([states.map((one) => [one.checkpoint.checkpoint_id, one.next, one.tasks.map((task) => [task.error, task.interrupts.length])]), runs.map((one) => [one.run_id, one.status]), chosen]);
    this.older.hidden = !hasOlder;
    if (told === this.told) return;
    this.told = told;
    const focused = document.activeElement?.dataset?.checkpoint;
    const byId = new Map(states.map((one) => [one.checkpoint.checkpoint_id, one]));
    const placed = lanes(states);
    const width = Math.min(MOST_LANES, Math.max(1, ...placed.map((lane) => Math.max(lane.column, ...lane.through, ...lane.joins) + 1)));
    const rows = [];
    let lastRun = null;
    states.forEach((one, n) => {
      const run = one.metadata?.run_id ?? null;
      if (run !== lastRun) rows.push(this.runRow(run, runs.find((known) => known.run_id === run)));
      lastRun = run;
      rows.push(this.row(one, byId.get(one.parent_checkpoint?.checkpoint_id), placed[n], width, n === 0, chosen));
    });
    fill(this.list, rows.length ? rows : h("li", { class: "muted empty" }, "No checkpoints yet."));
    if (focused) this.list.querySelector(`[data-checkpoint="${CSS.escape(focused)}"]`)?.focus();
  }

  runRow(id, run) {
    if (!id) return h("li", { class: "run-row muted" }, "from outside");
    return h("li", { class: "run-row" }, h("span", { class: "muted" }, `run ${short(id)}`), run ? badge(run.status) : null);
  }

  row(state, parent, lane, width, isHead, chosen) {
    const id = state.checkpoint.checkpoint_id;
    const isChosen = chosen === id;
    const questions = state.tasks.some((task) => task.interrupts.length);
    const failed = state.tasks.some((task) => task.error);
    const marks = [isHead ? h("span", { class: "tag" }, "latest") : null, questions ? h("span", { class: "tag warn" }, "asks") : null, failed ? h("span", { class: "tag bad" }, "failed") : null];
    const next = state.next.length ? `next: ${counted(state.next)}` : isHead || !lane.above ? "end" : "";
    const body = h("span", { class: "checkpoint-body" }, h("span", { class: "checkpoint-title" }, h("span", { class: "step" }, String(state.metadata?.step ?? "")), h("span", { class: "made-by" }, madeBy(state, parent)), marks), h("span", { class: "muted small-text" }, clock(state.created_at), next ? ` · ${next}` : ""));
    const made = h("button", { type: "button", class: "checkpoint", "aria-current": isChosen ? "true" : "false", title: id, data: { checkpoint: id }, on: { click: () => this.onSelect(isHead ? null : id) } }, rail(lane, width), body);
    return h("li", {}, made);
  }
}

function rail({ column, above, below, joins, through }, width) {
  const x = (lane) => Math.min(lane, MOST_LANES - 1) * LANE + LANE / 2;
  const line = (lane, y1, y2) => svg("line", { x1: x(lane), x2: x(lane), y1, y2 });
  const made = svg("svg", { width: width * LANE, height: "100%", "aria-hidden": "true" });
  for (const lane of through) made.append(line(lane, "0", "100%"));
  if (above) made.append(line(column, "0", "50%"));
  if (below) made.append(line(column, "50%", "100%"));
  for (const lane of joins) made.append(line(lane, "0", "50%"), svg("line", { x1: x(lane), x2: x(column), y1: "50%", y2: "50%" }));
  made.append(svg("circle", { cx: x(column), cy: "50%", r: 4 }));
  return h("span", { class: "rail", data: { lanes: String(width) } }, made);
}

/** Say a status with a colour. */
export function badge(status) {
  return h("span", { class: `badge ${status}` }, status);
}

/** Show the runs of a thread. */
export function runTable(runs, onCancel) {
  if (!runs.length) return h("p", { class: "muted empty" }, "No runs yet.");
  return h("ul", { class: "runs" }, runs.map((run) => {
    const isLive = run.status === "pending" || run.status === "running";
    return h("li", { class: "run", data: { run: run.run_id } },
      h("span", { class: "run-title" }, h("code", { title: run.run_id }, short(run.run_id)), badge(run.status)),
      h("span", { class: "muted small-text" }, `${clock(run.created_at)} · ${isLive ? ago(run.created_at) : span(run.created_at, run.updated_at)}${run.attempt > 1 ? ` · attempt ${run.attempt}` : ""}`),
      isLive ? button("Cancel", onCancel(run.run_id), { class: "small" }) : null);
  }));
}
