// A checkpoint: its values, what it changed, its tasks.

import { button, fill, h, tabs } from "./dom.js";
import { api } from "./api.js";
import { changes } from "./changes.js";
import { clock, short } from "./format.js";
import { guarded, tell } from "./notices.js";
import { openTree, state as stateTree } from "./tree.js";
import { badge } from "./timeline.js";

const REMEMBERED = 8;

/** Shows the checkpoint that was chosen. */
export class Detail {
  constructor({ threadId, onEdit, onReplay }) {
    this.threadId = threadId;
    this.onEdit = onEdit;
    this.onReplay = onReplay;
    this.opened = new Map();
    this.known = new Map();
    this.head = h("div", { class: "detail-head" });
    this.tabs = tabs("Checkpoint", [["state", "State"], ["changes", "Changes"], ["tasks", "Tasks"]], (name) => this.turn(name));
    this.tab = "state";
    this.tabs.select("state", { quietly: true });
    this.element = h("section", { class: "panel detail", "aria-label": "Checkpoint" }, this.head, this.tabs.list, this.tabs.panel);
    fill(this.tabs.panel, h("p", { class: "muted" }, "Nothing to show yet."));
  }

  /** Show a checkpoint of the history. */
  async show(shown, parent, isHead) {
    const told = JSON.stringify([shown.checkpoint.checkpoint_id, shown.tasks, isHead]);
    if (told === this.told) return;
    this.told = told;
    Object.assign(this, { shown, parent, isHead });
    this.drawHead();
    await this.draw();
  }

  drawHead() {
    const { shown, isHead } = this;
    const canGoOn = shown.next.length > 0;
    const label = isHead ? "Edit state" : "Fork from here";
    const again = isHead ? "Continue" : "Replay from here";
    const asks = shown.tasks.some((task) => task.interrupts.length);
    fill(this.head,
      h("span", { class: "detail-title" }, isHead ? "Latest" : `Step ${shown.metadata?.step ?? "?"}`),
      h("span", { class: "muted small-text", title: shown.checkpoint.checkpoint_id }, `${clock(shown.created_at)} · ${short(shown.checkpoint.checkpoint_id)}`),
      h("span", { class: "grow" }),
      canGoOn && !(isHead && asks) ? button(again, guarded(() => this.onReplay(shown, isHead)), { class: "small" }) : null,
      button(label, guarded(async () => this.onEdit(await this.values(shown, isHead), isHead)), { class: "small" }));
  }

  turn(name) {
    this.tab = name;
    if (this.shown) this.draw();
  }

  async draw() {
    const { shown, parent, isHead, tab } = this;
    const isCurrent = () => this.shown === shown && this.tab === tab;
    try {
      if (tab === "tasks") fill(this.tabs.panel, this.tasks(shown));
      else if (tab === "state") {
        const { values } = await this.values(shown, isHead);
        if (isCurrent()) this.replace(stateTree(values, this.opened));
      } else {
        const [after, before] = await Promise.all([this.values(shown, isHead), shown.parent_checkpoint ? this.values(parent ?? { checkpoint: shown.parent_checkpoint }, false) : { values: {} }]);
        if (isCurrent()) this.replace(changes(before.values, after.values));
      }
    } catch (error) {
      if (isCurrent()) fill(this.tabs.panel, h("p", { class: "problem", role: "alert" }, error.message));
      tell(error);
    }
  }

  /** Put something else on the panel, and leave a person where they were reading: of a conversation, at its end. */
  replace(element) {
    const { panel } = this.tabs;
    const top = panel.scrollTop;
    const wasAtEnd = panel.scrollHeight - top - panel.clientHeight < 30;
    fill(panel, element);
    const endsInConversation = this.tab === "state" && panel.querySelector(".channel:last-child .messages") !== null;
    panel.scrollTop = wasAtEnd && endsInConversation ? panel.scrollHeight : top;
  }

  /** Return a checkpoint with its values; what is no head can't change, and is kept. */
  async values(shown, isHead) {
    const { thread_id: _, ...place } = shown.checkpoint;
    const id = place.checkpoint_id;
    if (!isHead && this.known.has(id)) return this.known.get(id);
    const found = await api.stateAt(this.threadId, place);
    if (!isHead) {
      this.known.set(id, found);
      if (this.known.size > REMEMBERED) this.known.delete(this.known.keys().next().value);
    }
    return found;
  }

  tasks(shown) {
    if (!shown.tasks.length) return h("p", { class: "muted" }, "No tasks: the graph has ended here.");
    return h("ul", { class: "tasks" }, shown.tasks.map((task) => this.task(task)));
  }

  task(task) {
    const status = task.error ? "error" : task.interrupts.length ? "interrupted" : task.result ? "success" : "pending";
    const parts = [h("div", { class: "task-head" }, h("span", { class: "task-name" }, task.name), badge(status), h("code", { class: "muted", title: task.id }, short(task.id)))];
    if (task.error) parts.push(h("pre", { class: "problem" }, task.error));
    for (const one of task.interrupts) parts.push(h("div", { class: "asked" }, openTree(one.value, this.opened, `$i.${one.id}`)));
    if (task.result) parts.push(h("details", { class: "json" }, h("summary", { class: "muted" }, "Result"), stateTree(task.result, new Map())));
    if (task.checkpoint) parts.push(this.inside(task));
    return h("li", { class: "task" }, parts);
  }

  inside(task) {
    const place = h("div", {});
    const open = guarded(async () => {
      const { thread_id: _, ...checkpoint } = task.checkpoint;
      const found = await api.stateAt(this.threadId, checkpoint);
      fill(place, stateTree(found.values, new Map()), found.tasks?.length ? this.tasks(found) : null);
    });
    return h("div", {}, button("State inside", open, { class: "small" }), place);
  }
}
