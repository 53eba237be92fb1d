// Changing a state from outside: an update, as if a node had written it.

import { h } from "./dom.js";
import { api } from "./api.js";
import { SchemaForm } from "./form.js";
import { dialog } from "./notices.js";
import { chooser } from "./run.js";

/**
 * Open the dialog that changes a state.
 * @param shown the state, with its values
 * @param isHead whether it is the thread's latest; if not, the change makes a branch
 * @param onDone called with the new checkpoint's id
 */
export function editState({ threadId, shown, isHead, schemas, nodes, onDone }) {
  const form = new SchemaForm({ schema: everyFieldOptional(schemas?.state_schema), label: "Update as JSON" });
  const as = chooser("As if written by", [["", "whoever wrote last"], ...nodes.map((name) => [name, name])]);
  const current = h("div", { class: "copy-row" }, h("span", { class: "muted" }, "Begin with what is there: "), Object.entries(shown.values ?? {}).map(([key, value]) => copyButton(form, key, value)));
  const words = isHead
    ? "Only what you write here is changed. A key with a reducer takes it as a node's update: a list is appended to, not replaced."
    : "This is an older checkpoint: the change makes a new branch from here, and what came later stays in the history.";
  const save = async () => {
    const values = form.value;
    const { thread_id: _, ...place } = shown.checkpoint;
    const made = await api.updateState(threadId, { values: values ?? null, ...(as.input.value ? { as_node: as.input.value } : {}), ...(isHead ? {} : { checkpoint: place }) });
    onDone(made.checkpoint_id);
  };
  dialog(isHead ? "Edit the state" : "Fork from here", [h("p", { class: "muted" }, words), form.element, current, as.element], [[isHead ? "Save" : "Make the branch", save, "primary"]], { wide: true });
}

function copyButton(form, key, value) {
  const copy = () => {
    let said = {};
    try {
      said = form.editor.value ?? {};
    } catch {
      // what isn't JSON is replaced
    }
    form.editor.value = { ...said, [key]: value };
    form.build({ ...said, [key]: value });
  };
  return h("button", { type: "button", class: "small", on: { click: copy } }, key);
}

/** A change says only what changes. */
function everyFieldOptional(schema) {
  return schema ? { ...schema, required: [] } : schema;
}
