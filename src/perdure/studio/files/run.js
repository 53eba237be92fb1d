// Starting a run: the input as a form or as JSON, and how it is run.

import { h, fresh } from "./dom.js";
import { api } from "./api.js";
import { JsonEditor, SchemaForm } from "./form.js";

// Updates and tasks say where a run is; whole states would be sent again each step, and are read when they are looked at.
const MODES = ["updates", "tasks", "messages-tuple", "custom"];

/** Return the body of a run that can be watched from anywhere, and gone on with after a lost connection. */
export function runBody(assistant, more) {
  return { assistant_id: assistant, stream_mode: MODES, stream_subgraphs: true, stream_resumable: true, ...more };
}

/** The form of a run. */
export class RunForm {
  constructor({ assistant, schemas, strategy = true }) {
    this.assistant = assistant;
    this.input = new SchemaForm({ schema: schemas.input_schema, label: "Input as JSON" });
    const hasContext = schemas.context_schema && Object.keys(schemas.context_schema.properties ?? {}).length;
    this.context = hasContext ? new SchemaForm({ schema: schemas.context_schema, label: "Context as JSON" }) : null;
    this.config = new JsonEditor({ label: "config.configurable as JSON", rows: 3 });
    this.steps = h("input", { type: "checkbox", id: fresh("field") });
    this.strategy = strategy ? chooser("If the thread is busy", [["enqueue", "wait"], ["reject", "refuse"], ["interrupt", "stop the other run"], ["rollback", "undo the other run"]]) : null;
    this.element = h("div", {}, h("section", { "aria-label": "Input" }, this.input.element), this.options());
  }

  options() {
    const steps = h("div", { class: "field check" }, this.steps, h("label", { for: this.steps.id }, "Pause before each node"));
    const context = this.context ? h("section", {}, h("h3", {}, "Context"), this.context.element) : null;
    return h("details", { class: "options", open: Boolean(this.context?.schema.required?.length) }, h("summary", {}, "Options"), context, this.strategy?.element, steps, this.config.element);
  }

  /** The body of the request; it throws if something isn't JSON. */
  body() {
    const input = this.input.value;
    const configurable = this.config.value;
    const context = this.context?.value;
    return runBody(this.assistant.assistant_id, {
      input: input ?? null,
      ...(configurable ? { config: { configurable } } : {}),
      ...(context && Object.keys(context).length ? { context } : {}),
      ...(this.steps.checked ? { interrupt_before: "*" } : {}),
      ...(this.strategy ? { multitask_strategy: this.strategy.input.value } : {}),
    });
  }
}

/** A choice of words with a label. */
export function chooser(label, options) {
  const input = h("select", { id: fresh("field") }, options.map(([value, text]) => h("option", { value }, text)));
  return { input, element: h("div", { class: "field" }, h("label", { for: input.id }, label), input) };
}

/** Make a thread and run on it; return the thread's id. */
export async function startThread(assistant, body) {
  const made = await api.makeThread({ graph_id: assistant.graph_id, assistant_id: assistant.assistant_id });
  await api.run(made.thread_id, body);
  return made.thread_id;
}
