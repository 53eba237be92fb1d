// The fields of a form, one maker a kind. A field is {element, read}: what it holds, or undefined if nothing was said.

import { button, fresh, h } from "./dom.js";
import { Mistake } from "./notices.js";
import { choices, fieldKind, labelOf, resolved } from "./schema.js";

/**
 * Make a field.
 * @param given its schema
 * @param context {root, name, label, required, depth, changed}
 * @param value what it holds to begin with
 */
export function field(given, context, value) {
  const { schema, isOptional } = resolved(given, context.root);
  const kind = fieldKind(schema, context.root, context.name, context.depth);
  const own = { ...context, schema, required: context.required && !isOptional, hint: schema.description };
  const start = value === undefined ? schema.default ?? undefined : value;
  return MAKERS[kind](own, start);
}

function labelled(context, input, ...more) {
  input.id ||= fresh("field");
  const label = h("label", { for: input.id }, context.label, context.required ? h("span", { class: "required", title: "required" }, " *") : null);
  return h("div", { class: "field", data: { field: context.name } }, label, input, ...more, context.hint ? h("p", { class: "hint" }, context.hint) : null);
}

function textField(context, value) {
  const input = h("textarea", { rows: 1, spellcheck: "false", value: value === undefined || value === null ? "" : String(value), on: { input: context.changed } });
  return { element: labelled(context, input), read: () => (input.value === "" && !context.required ? undefined : input.value) };
}

function numberField(context, value) {
  const isWhole = context.schema.type === "integer";
  const input = h("input", { type: "number", step: isWhole ? 1 : "any", min: context.schema.minimum, max: context.schema.maximum, value: value ?? "", on: { input: context.changed } });
  return { element: labelled(context, input), read: () => (input.value === "" ? undefined : Number(input.value)) };
}

function choiceField(context, value) {
  const options = choices(context.schema);
  const rows = options.map((one, n) => h("option", { value: String(n) }, typeof one === "string" ? one : JSON.stringify(one)));
  const input = h("select", { on: { change: context.changed } }, context.required ? null : h("option", { value: "" }, "–"), rows);
  const at = options.indexOf(value);
  if (at >= 0) input.value = String(at);
  else if (!context.required) input.value = "";
  return { element: labelled(context, input), read: () => (input.value === "" ? undefined : options[Number(input.value)]) };
}

const yesNoField = (context, value) => choiceField({ ...context, schema: { enum: [true, false] } }, value ?? (context.required ? false : undefined));

function jsonField(context, value) {
  const problem = h("p", { class: "field-problem", role: "status" });
  const input = h("textarea", { rows: 1, class: "code", spellcheck: "false", placeholder: "JSON", value: value === undefined ? "" : JSON.stringify(value, null, 2), on: { input: context.changed } });
  const read = () => {
    problem.textContent = "";
    if (input.value.trim() === "") return undefined;
    try {
      return JSON.parse(input.value);
    } catch (error) {
      problem.textContent = `Not JSON: ${error.message}`;
      throw new Mistake(`${context.label}: not JSON`, { cause: error });
    }
  };
  return { element: labelled(context, input, problem), read };
}

function group(context, value) {
  const held = value !== null && typeof value === "object" ? value : {};
  const required = new Set(context.schema.required ?? []);
  const made = Object.entries(context.schema.properties).map(([name, one]) => [name, field(one, { ...context, name, label: labelOf(name), required: required.has(name), depth: context.depth + 1 }, held[name])]);
  // What the form has no field for is kept: the JSON beside it may have said it.
  const others = Object.entries(held).filter(([name]) => !Object.hasOwn(context.schema.properties, name));
  const read = () => {
    const found = Object.fromEntries(others);
    for (const [name, one] of made) {
      const said = one.read();
      if (said !== undefined) found[name] = said;
    }
    return Object.keys(found).length || context.required || context.depth === 0 ? found : undefined;
  };
  const inner = made.map(([, one]) => one.element);
  if (context.depth === 0) return { element: h("div", { class: "fields" }, inner), read };
  return { element: h("fieldset", { data: { field: context.name } }, h("legend", {}, context.label), inner), read };
}

function several(context, value, makeItem, fresh_, addLabel) {
  const items = [];
  const list = h("div", { class: "items" });
  const add = (one, { focus = false } = {}) => {
    const item = makeItem(one);
    const row = h("div", { class: "item" }, item.element);
    row.append(button("×", () => {
      items.splice(items.indexOf(item), 1);
      row.remove();
      adder.focus();
      context.changed();
    }, { class: "quiet", "aria-label": `Remove from ${context.label}` }));
    items.push(item);
    list.append(row);
    if (focus) row.querySelector("textarea, input, select")?.focus();
  };
  const adder = button(addLabel, () => {
    add(fresh_(), { focus: true });
    context.changed();
  }, { class: "quiet", "aria-label": `${addLabel} to ${context.label}` });
  for (const one of Array.isArray(value) ? value : []) add(one);
  const element = h("fieldset", { class: "list", data: { field: context.name } }, h("legend", {}, context.label, context.required ? h("span", { class: "required", title: "required" }, " *") : null), list, adder, context.hint ? h("p", { class: "hint" }, context.hint) : null);
  const read = () => {
    const found = items.map((item) => item.read()).filter((one) => one !== undefined);
    return found.length || context.required ? found : undefined;
  };
  return { element, read };
}

function listField(context, value) {
  const item = (one) => field(context.schema.items, { ...context, name: "", label: "item", required: true, depth: context.depth + 1 }, one);
  return several(context, value, item, () => undefined, "Add an item");
}

function messagesField(context, value) {
  const first = value === undefined && context.required ? [{ role: "user", content: "" }] : value;
  const item = (one) => messageField(context, one);
  return several(context, first, item, () => ({ role: "user", content: "" }), "Add a message");
}

function messageField(context, value) {
  const given = value ?? {};
  if ("content" in given && typeof given.content !== "string") return jsonField({ ...context, label: "message", name: "" }, given);
  const name = "type" in given && !("role" in given) ? "type" : "role";
  const roles = [...new Set(["user", "assistant", "system", "tool", given[name] ?? "user"])];
  const role = h("select", { "aria-label": "Role", value: "", on: { change: context.changed } }, roles.map((one) => h("option", {}, one)));
  role.value = given[name] ?? "user";
  const content = h("textarea", { rows: 2, "aria-label": "Message", placeholder: "What is said", value: given.content ?? "", on: { input: context.changed } });
  return {
    element: h("div", { class: "message-field" }, role, content),
    read: () => ({ ...given, [name]: role.value, content: content.value }),
  };
}

const MAKERS = { text: textField, number: numberField, choice: choiceField, yesno: yesNoField, list: listField, messages: messagesField, group, json: jsonField };
