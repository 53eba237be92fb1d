// A new run: which graph, with what input.

import { fill, h, fresh, button } from "./dom.js";
import { api } from "./api.js";
import { Drawing } from "./graph.js";
import { guarded, tell } from "./notices.js";
import { RunForm, startThread } from "./run.js";

/** The view that starts a run on a new thread. */
export class StartView {
  constructor(assistants, { onStarted }) {
    this.assistants = assistants;
    this.onStarted = onStarted;
    this.drawing = new Drawing();
    this.form = h("div", {});
    this.about = h("p", { class: "muted about" });
    this.choice = h("select", { id: fresh("field"), on: { change: () => this.choose(this.choice.value) } }, assistants.map((one) => h("option", { value: one.assistant_id }, nameOf(one))));
    this.go = button("Start run", guarded(() => this.begin()), { class: "primary" });
    const choose = h("div", { class: "field graph-choice" }, h("label", { for: this.choice.id }, "Graph"), this.choice);
    const main = h("section", { class: "panel start-form", "aria-label": "New run" }, choose, this.about, this.form, h("div", { class: "actions" }, this.go, h("span", { class: "muted small-text" }, "or Ctrl+Enter")));
    main.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.go.click();
    });
    this.element = h("div", { class: "start-view" }, h("header", { class: "thread-head" }, h("a", { class: "back", href: "#/threads" }, "‹ Threads"), h("h1", {}, "New run")), h("div", { class: "start-grid" }, main, h("section", { class: "panel graph-panel", "aria-label": "Graph" }, this.drawing.element)));
  }

  async start() {
    if (!this.assistants.length) {
      fill(this.element, h("div", { class: "blank" }, h("h1", {}, "No graphs"), h("p", { class: "muted" }, "The server serves no graph. perdure.json names them.")));
      return;
    }
    await this.choose(this.assistants[0].assistant_id);
  }

  stop() {}

  async choose(id) {
    const assistant = this.assistants.find((one) => one.assistant_id === id);
    this.chosen = assistant;
    this.run = null; // what is filled in belongs to a graph: nothing can be until this one's form is there
    this.go.disabled = true;
    fill(this.form);
    try {
      const [graph, schemas] = await Promise.all([api.graph(id), api.schemas(id)]);
      if (this.chosen !== assistant) return;
      this.run = new RunForm({ assistant, schemas, strategy: false });
      fill(this.form, this.run.element);
      this.about.textContent = assistant.description ?? "";
      this.drawing.show(graph);
      this.go.disabled = false;
    } catch (error) {
      tell(error);
    }
  }

  async begin() {
    if (!this.run) return;
    this.onStarted(await startThread(this.chosen, this.run.body()));
  }
}

function nameOf(assistant) {
  const name = assistant.name && assistant.name !== assistant.graph_id ? `${assistant.name} (${assistant.graph_id})` : assistant.graph_id;
  return assistant.version > 1 ? `${name}, version ${assistant.version}` : name;
}
