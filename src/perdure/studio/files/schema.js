// JSON schema, as far as a form needs it: what a field is, and what it holds to begin with.

const DEEPEST = 5;

/** Follow references, and unwrap what is optional: {schema, isOptional}. */
export function resolved(schema, root) {
  let found = schema ?? {};
  let isOptional = false;
  for (let steps = 0; steps < 20; steps += 1) {
    const options = found.anyOf ?? found.oneOf;
    if (typeof found.$ref === "string" && found.$ref.startsWith("#/")) found = { ...at(root, found.$ref), ...without(found, "$ref") };
    else if (Array.isArray(found.allOf) && found.allOf.length === 1) found = { ...found.allOf[0], ...without(found, "allOf") };
    else if (Array.isArray(options) && options.some((one) => one.type === "null")) {
      isOptional = true;
      const rest = options.filter((one) => one.type !== "null");
      const plain = without(without(found, "anyOf"), "oneOf");
      found = rest.length === 1 ? { ...rest[0], ...plain } : { ...plain, union: rest };
    } else if (Array.isArray(found.type) && found.type.includes("null")) {
      isOptional = true;
      const rest = found.type.filter((type) => type !== "null");
      found = { ...found, type: rest.length === 1 ? rest[0] : rest };
    } else break;
  }
  return { schema: found, isOptional };
}

function at(root, pointer) {
  const parts = pointer.slice(2).split("/").map((part) => decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~"));
  return parts.reduce((value, part) => (value && Object.hasOwn(value, part) ? value[part] : {}), root);
}

function without(object, name) {
  const { [name]: _, ...rest } = object;
  return rest;
}

/** Say which field a schema gets: text, number, yesno, choice, list, messages, group or json. */
export function fieldKind(schema, root, name = "", depth = 0) {
  if (Array.isArray(schema.enum) || "const" in schema) return "choice";
  if (schema.type === "string") return "text";
  if (schema.type === "number" || schema.type === "integer") return "number";
  if (schema.type === "boolean") return "yesno";
  if (depth >= DEEPEST) return "json";
  if (schema.type === "array") {
    if (holdsMessages(schema, root, name)) return "messages";
    const items = resolved(schema.items, root).schema;
    return fieldKind(items, root, "", depth + 1) === "json" ? "json" : "list";
  }
  if (schema.type === "object" && schema.properties && Object.keys(schema.properties).length) return "group";
  return "json";
}

function holdsMessages(schema, root, name) {
  const items = resolved(schema.items, root).schema;
  const kinds = (items.anyOf ?? items.oneOf ?? [items]).map((one) => resolved(one, root).schema);
  if (kinds.some((kind) => kind.properties?.content && (kind.properties.type || kind.properties.role))) return true;
  return /(^|_)messages$/.test(name) && kinds.every((kind) => kind.type === undefined || kind.type === "object");
}

/** Say a choice's values. */
export const choices = (schema) => schema.enum ?? [schema.const];

/** Say a field's name. */
export const labelOf = (name) => name.replaceAll("_", " ");
