// The questions of a thread that waits, and their answers.

import { button, fresh, h } from "./dom.js";
import { SchemaForm } from "./form.js";
import { guarded } from "./notices.js";
import { isBranch, openTree, text } from "./tree.js";

/**
 * Show the questions.
 * @param questions [{id, value, response_schema}]
 * @param onAnswer called with answers by id
 */
export function answers(questions, onAnswer) {
  const made = questions.map(question);
  const send = guarded(() => onAnswer(Object.fromEntries(made.map((one) => [one.id, one.read()]))));
  const element = h("section", { class: "card waiting", "aria-label": "Questions" });
  element.append(
    h("h2", {}, questions.length === 1 ? "The run waits for an answer" : `The run waits for ${questions.length} answers`),
    ...made.map((one) => one.element),
    h("div", { class: "actions" }, button(questions.length === 1 ? "Send the answer" : "Send the answers", send, { class: "primary" })),
  );
  element.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send(event);
  });
  return element;
}

function question({ id, value, response_schema: schema }) {
  const asked = typeof value === "string" ? text(value, "prose") : openTree(value);
  const reply = isBranch(schema) ? schemaReply(schema) : freeReply();
  return { id, read: reply.read, element: h("div", { class: "question", data: { interrupt: id } }, h("div", { class: "asked" }, asked), reply.element) };
}

function schemaReply(schema) {
  const form = new SchemaForm({ schema, label: "Answer as JSON" });
  return { element: form.element, read: () => form.value ?? null };
}

function freeReply() {
  const area = h("textarea", { rows: 2, class: "code", id: fresh("answer"), spellcheck: "false", placeholder: 'JSON, or plain text', on: { input: () => say() } });
  const kind = h("span", { class: "muted", role: "status" });
  const put = (words) => () => {
    area.value = words;
    say();
    area.focus();
  };
  const read = () => readAnswer(area.value);
  const say = () => {
    kind.textContent = area.value.trim() === "" ? "" : `Sent as ${typeof read() === "string" && !area.value.trim().startsWith('"') ? "text" : "JSON"}`;
  };
  const quick = h("div", { class: "quick" }, button("true", put("true"), { class: "small" }), button("false", put("false"), { class: "small" }), kind);
  return { element: h("div", { class: "field" }, h("label", { for: area.id }, "Answer"), area, quick), read };
}

/** Return what an answer says: JSON if it is, else the text itself; null if there is none. */
export function readAnswer(words) {
  if (words.trim() === "") return null;
  try {
    return JSON.parse(words);
  } catch {
    return words;
  }
}
