// A form made from a JSON schema, and the JSON that it makes beside it: each follows the other.

import { fill, fresh, h } from "./dom.js";
import { field } from "./fields.js";
import { Mistake } from "./notices.js";
import { fieldKind, resolved } from "./schema.js";

/** A text of JSON with its mistakes said below it. */
export class JsonEditor {
  constructor({ label, value, onChange = () => {}, rows = 10 }) {
    this.area = h("textarea", { class: "code json-editor", rows, spellcheck: "false", id: fresh("json"), on: { input: () => this.check(onChange) } });
    this.problem = h("p", { class: "field-problem", role: "status" });
    this.element = h("div", { class: "field" }, h("label", { for: this.area.id }, label), this.area, this.problem);
    if (value !== undefined) this.value = value;
  }

  check(onChange) {
    try {
      onChange(this.value);
    } catch {
      // said below the text
    }
  }

  set value(value) {
    this.area.value = value === undefined ? "" : JSON.stringify(value, null, 2);
    this.problem.textContent = "";
  }

  /** What the text says; it throws if that is not JSON. */
  get value() {
    this.problem.textContent = "";
    if (this.area.value.trim() === "") return undefined;
    try {
      return JSON.parse(this.area.value);
    } catch (error) {
      this.problem.textContent = `Not JSON: ${error.message}`;
      throw new Mistake(`That is not JSON: ${error.message}`, { cause: error });
    }
  }
}

/** A form from a schema with its JSON beside it. */
export class SchemaForm {
  constructor({ schema, value, label = "JSON" }) {
    this.schema = schema;
    this.editor = new JsonEditor({ label, onChange: (said) => this.build(said) });
    this.fields = h("div", { class: "form-fields" });
    this.element = h("div", { class: "form-pair" });
    if (this.isFormable()) this.element.append(this.fields);
    this.element.append(this.editor.element);
    this.build(value);
    this.fromFields();
  }

  isFormable() {
    if (!this.schema) return false;
    const { schema } = resolved(this.schema, this.schema);
    return fieldKind(schema, this.schema) !== "json";
  }

  build(value) {
    if (!this.isFormable()) {
      if (this.field === undefined && value !== undefined) this.editor.value = value;
      return;
    }
    const context = { root: this.schema, name: "", label: this.schema.title ?? "value", required: true, depth: 0, changed: () => this.fromFields() };
    this.field = field(this.schema, context, value);
    fill(this.fields, this.field.element);
  }

  fromFields() {
    if (!this.field) return;
    try {
      this.editor.value = this.field.read();
    } catch {
      // a field of JSON that isn't JSON yet: it says so itself
    }
  }

  /** What was filled in; it throws if that is not JSON. */
  get value() {
    if (this.field) this.field.read(); // a field that isn't JSON says so
    return this.editor.value;
  }
}
