// A thread: its checkpoints, the one that was chosen, its graph with the live position, what its runs tell.

import { button, fill, h, paced, tabs } from "./dom.js";
import { api } from "./api.js";
import { answers } from "./answer.js";
import { Detail } from "./detail.js";
import { editState } from "./edit.js";
import { short } from "./format.js";
import { Drawing } from "./graph.js";
import { Live } from "./live.js";
import { dialog, guarded, Mistake, say, tell } from "./notices.js";
import { RunForm, runBody } from "./run.js";
import { Follower } from "./sse.js";
import { badge, runTable, Timeline } from "./timeline.js";

const PAGE = 100;
const LARGEST_PAGE = 1000;
const POLL = 4000;
const HIDDEN = 30000;

const idOf = (state) => state.checkpoint.checkpoint_id;

/** The view of a thread. */
export class ThreadView {
  constructor(id, chosen, { assistants, onChange }) {
    Object.assign(this, { id, chosen, assistants, onChange, states: [], runs: [], hasOlder: false, round: 0, thread: null });
    this.title = h("header", { class: "thread-head" });
    this.notice = h("div", { class: "thread-notice" });
    this.timeline = new Timeline({ onSelect: (one) => this.go(one), onOlder: guarded(() => this.older()) });
    this.detail = new Detail({ threadId: id, onEdit: (shown, isHead) => this.edit(shown, isHead), onReplay: (shown, isHead) => this.replay(shown, isHead) });
    this.drawing = new Drawing();
    this.live = new Live((mode) => this.heard(mode));
    this.sideTabs = tabs("Thread", [["checkpoints", "Checkpoints"], ["runs", "Runs"]], () => this.drawSide());
    this.sideTabs.select("checkpoints", { quietly: true });
    this.side = "checkpoints";
    this.connection = h("span", { class: "muted small-text", role: "status" });
    const history = h("section", { class: "panel history", "aria-label": "History" }, this.sideTabs.list, this.sideTabs.panel);
    const events = h("section", { class: "panel live-panel", "aria-label": "Events" }, h("div", { class: "panel-head" }, h("h2", {}, "Events"), this.connection, h("span", { class: "grow" }), button("Clear", () => this.live.clear(), { class: "quiet" })), this.live.element);
    const graph = h("section", { class: "panel graph-panel", "aria-label": "Graph" }, this.drawing.element);
    this.element = h("div", { class: "thread-view" }, this.title, this.notice, h("div", { class: "thread-grid" }, history, h("div", { class: "center" }, this.detail.element), h("div", { class: "aside" }, graph, events)));
    this.soon = paced(400, () => this.refresh().catch(tell));
    this.follower = new Follower(`/threads/${id}/stream`, { onEvent: (...event) => this.live.event(...event), onState: (state, error) => this.connected(state, error) });
    this.visible = () => this.pauseWhenHidden();
  }

  async start() {
    await this.refresh();
    this.follower.start();
    this.timer = setInterval(() => this.poll(), POLL);
    document.addEventListener("visibilitychange", this.visible);
  }

  stop() {
    this.isOver = true;
    this.follower.stop();
    clearInterval(this.timer);
    clearTimeout(this.hiding);
    document.removeEventListener("visibilitychange", this.visible);
  }

  /** Browsers open few connections to a server at once: a tab that nobody sees gives its own back. */
  pauseWhenHidden() {
    clearTimeout(this.hiding);
    if (document.hidden) this.hiding = setTimeout(() => this.follower.stop(), HIDDEN);
    else {
      this.follower.start();
      this.soon();
    }
  }

  connected(state, error) {
    this.connection.textContent = { open: "", lost: "reconnecting…", refused: "not connected" }[state];
    if (state === "open") this.soon();
    if (state === "refused") tell(error);
  }

  heard(mode) {
    this.mark();
    this.soon();
    if (mode === "metadata") this.onChange();
  }

  /** Look whether something has changed that no run tells: a state that was edited elsewhere, a deletion. */
  async poll() {
    if (document.hidden || !this.thread) return;
    try {
      const thread = await api.thread(this.id);
      if (thread.updated_at !== this.thread.updated_at || thread.status !== this.thread.status) this.soon();
    } catch (error) {
      if (error.status === 404) this.gone();
    }
  }

  gone() {
    this.stop();
    fill(this.element, h("div", { class: "blank" }, h("h1", {}, "No such thread"), h("p", { class: "muted" }, `There is no thread ${this.id}. It may have been deleted.`), h("a", { href: "#/" }, "Start a new run")));
  }

  async refresh() {
    const round = (this.round += 1);
    let found;
    try {
      found = await Promise.all([api.thread(this.id), api.history(this.id, PAGE + 1), api.runs(this.id)]);
    } catch (error) {
      if (error.status === 404) return this.gone();
      throw error;
    }
    if (round !== this.round || this.isOver) return;
    const [thread, newest, runs] = found;
    Object.assign(this, { thread, runs });
    this.join(newest);
    await this.learn();
    this.draw();
  }

  /** Put the newest states before the older ones that are here; if there is a gap between them, forget those. */
  join(found) {
    const newest = found.slice(0, PAGE);
    const ids = new Set(newest.map(idOf));
    const last = this.states.findLastIndex((one) => ids.has(idOf(one)));
    const older = last < 0 || found.length <= PAGE ? [] : this.states.slice(last + 1);
    if (!older.length) this.hasOlder = found.length > PAGE;
    this.states = [...newest, ...older];
  }

  /** Learn about the graph, once it is known which one it is. */
  async learn() {
    const { graph_id: graph, assistant_id: assistant } = this.thread.metadata ?? {};
    const known = this.assistants.find((one) => one.assistant_id === assistant) ?? this.assistants.find((one) => one.graph_id === graph && one.metadata?.created_by === "system");
    if (!known || known === this.assistant) return;
    this.assistant = known;
    const [graphShown, schemas] = await Promise.all([api.graph(known.assistant_id), api.schemas(known.assistant_id)]);
    this.schemas = schemas;
    this.nodes = graphShown.nodes.filter((node) => node.type !== "schema" && !String(node.id).includes(":")).map((node) => String(node.id));
    this.drawing.show(graphShown);
  }

  get isBusy() {
    return this.thread?.status === "busy";
  }

  get current() {
    return this.states.find((one) => one.checkpoint.checkpoint_id === this.chosen) ?? this.states[0];
  }

  draw() {
    this.drawTitle();
    this.drawNotice();
    this.drawSide();
    const current = this.current;
    this.mark();
    if (!current) return;
    const parent = this.states.find((one) => one.checkpoint.checkpoint_id === current.parent_checkpoint?.checkpoint_id);
    this.detail.show(current, parent, current === this.states[0]);
  }

  drawTitle() {
    const { thread } = this;
    const told = JSON.stringify([thread.status, thread.metadata, Boolean(this.assistant)]);
    if (told === this.told) return;
    this.told = told;
    const focused = this.title.contains(document.activeElement) ? document.activeElement.dataset.act : null;
    const act = (name, label, work, kind) => button(label, guarded(work), { class: kind ?? "", data: { act: name } });
    fill(this.title,
      h("a", { class: "back", href: "#/threads" }, "‹ Threads"),
      h("h1", { title: this.id }, short(this.id)),
      button("copy id", guarded(() => this.copyId()), { class: "quiet small-text", data: { act: "id" } }),
      badge(thread.status),
      h("span", { class: "muted" }, String(thread.metadata?.graph_id ?? "no graph yet")),
      h("span", { class: "grow" }),
      this.isBusy ? act("cancel", "Cancel run", () => this.cancel(), "danger") : null,
      this.assistant ? act("run", "Run…", () => this.run(), "primary") : null,
      act("copy", "Copy thread", () => this.copy()),
      act("delete", "Delete", () => this.remove()));
    if (focused) (this.title.querySelector(`[data-act="${focused}"]`) ?? this.title.querySelector("button"))?.focus();
  }

  drawNotice() {
    const questions = this.isBusy ? [] : this.states[0]?.tasks.flatMap((task) => task.interrupts) ?? [];
    const error = this.thread.status === "error" ? this.thread.error : null;
    const told = JSON.stringify([questions, error, this.states[0]?.checkpoint.checkpoint_id]);
    if (told === this.noticed) return;
    this.noticed = told;
    fill(this.notice,
      error ? h("section", { class: "card failed", role: "alert" }, h("h2", {}, `The run failed: ${error.error ?? "error"}`), h("pre", { class: "problem" }, String(error.message ?? JSON.stringify(error)))) : null,
      questions.length ? answers(questions, (said) => this.answer(said)) : null);
  }

  drawSide() {
    const chosenTab = this.sideTabs.list.querySelector('[aria-selected="true"]').dataset.tab;
    if (chosenTab === "runs") return fill(this.sideTabs.panel, runTable(this.runs, (run) => guarded(() => this.stopRun(run))));
    if (this.timeline.element.parentElement !== this.sideTabs.panel) fill(this.sideTabs.panel, this.timeline.element);
    return this.timeline.show(this.states, this.runs, this.current?.checkpoint.checkpoint_id, this.hasOlder);
  }

  mark() {
    if (this.live.isRunning && !this.chosen) return this.drawing.mark(this.live.marks());
    const current = this.current;
    const marks = new Map();
    if (!current) return this.drawing.mark(marks);
    const parent = this.states.find((one) => one.checkpoint.checkpoint_id === current.parent_checkpoint?.checkpoint_id);
    for (const task of parent?.tasks ?? []) marks.set(task.name, "done");
    for (const node of current.next) marks.set(node, "next");
    for (const task of current.tasks) if (task.interrupts.length) marks.set(task.name, "waiting");
    for (const task of current.tasks) if (task.error) marks.set(task.name, "failed");
    return this.drawing.mark(marks);
  }

  /** Choose a checkpoint; null for the latest, whichever that will be. */
  go(chosen, { quietly = false } = {}) {
    this.chosen = chosen;
    const place = chosen ? `#/threads/${this.id}/${chosen}` : `#/threads/${this.id}`;
    if (location.hash !== place) history.replaceState(null, "", place);
    if (!quietly && this.thread) this.draw();
  }

  async older() {
    const last = idOf(this.states.at(-1));
    const found = await api.history(this.id, LARGEST_PAGE, last);
    if (idOf(this.states.at(-1)) !== last || this.isOver) return;
    this.states = [...this.states, ...found];
    this.hasOlder = found.length === LARGEST_PAGE;
    this.draw();
  }

  // -- what a person does

  run() {
    const form = new RunForm({ assistant: this.assistant, schemas: this.schemas });
    dialog(`Run ${this.assistant.graph_id} on this thread`, form.element, [["Run", () => this.begin(form.body()), "primary"]], { wide: true });
  }

  /** The assistant of this thread's graph. */
  served() {
    if (!this.assistant) throw new Mistake("The server doesn't serve this thread's graph any more, so nothing can be run on it.");
    return this.assistant;
  }

  async begin(body) {
    await api.run(this.id, body);
    this.go(null, { quietly: true });
    await this.refresh();
    this.onChange();
  }

  answer(said) {
    return this.begin(runBody(this.served().assistant_id, { command: { resume: said } }));
  }

  replay(shown, isHead) {
    const { thread_id: _, ...checkpoint } = shown.checkpoint;
    return this.begin(runBody(this.served().assistant_id, { input: null, ...(isHead ? {} : { checkpoint }) }));
  }

  edit(shown, isHead) {
    const onDone = async () => {
      this.go(null, { quietly: true });
      await this.refresh();
      say(isHead ? "The state was changed." : "The branch was made; it is the latest now.");
    };
    editState({ threadId: this.id, shown, isHead, schemas: this.schemas, nodes: this.nodes ?? [], onDone });
  }

  async cancel() {
    const live = this.runs.filter((run) => run.status === "running" || run.status === "pending");
    for (const run of live) await this.stopRun(run.run_id);
    if (!live.length) await this.refresh();
  }

  async stopRun(run) {
    await api.cancel(this.id, run, "interrupt");
    say("The run is told to stop.");
    this.soon();
  }

  /** Put the whole id on the clipboard; a page that isn't from this machine or encrypted has none. */
  async copyId() {
    if (!navigator.clipboard) return say(this.id);
    await navigator.clipboard.writeText(this.id);
    return say("The id is on the clipboard.");
  }

  async copy() {
    const made = await api.copyThread(this.id);
    location.hash = `#/threads/${made.thread_id}`;
    this.onChange();
    say("This is the copy.");
  }

  remove() {
    const really = async () => {
      await api.deleteThread(this.id);
      location.hash = "#/";
      this.onChange();
      say("The thread was deleted.");
    };
    dialog("Delete this thread?", h("p", {}, "Its checkpoints and runs go with it. This can't be undone."), [["Delete", really, "danger"]]);
  }
}
