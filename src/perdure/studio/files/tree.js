// A value as a tree that opens where it is asked to. Children are made when they are first seen, so that a state of
// any size costs what is looked at.

import { button, h } from "./dom.js";
import { many } from "./format.js";
import { isConversation, conversation } from "./messages.js";

const LONG = 1500;
const AT_ONCE = 100;
const SMALL = 6;
const LARGE = 30;

/**
 * Show a value.
 * @param value what JSON can hold
 * @param opened a Map of paths that a person has opened or closed; it is kept over renderings
 */
export function tree(value, opened = new Map(), path = "") {
  if (!isBranch(value)) return leaf(value);
  if (!sizeOf(value)) return h("span", { class: "json-empty" }, Array.isArray(value) ? "[]" : "{}");
  return branch(value, opened, path);
}

/** Show a value, its first level open. */
export function openTree(value, opened = new Map(), path = "$") {
  return isBranch(value) && sizeOf(value) ? h("div", { class: "json-open" }, children(value, opened, path)) : tree(value, opened, path);
}

/** Show the values of a state: a section a channel, conversations as such. */
export function state(values, opened = new Map()) {
  if (!isBranch(values) || Array.isArray(values)) return tree(values, opened, "$");
  const keys = Object.keys(values);
  if (!keys.length) return h("p", { class: "muted" }, "No values yet.");
  return h("div", { class: "channels" }, keys.map((key) => channel(key, values[key], opened)));
}

function channel(key, value, opened) {
  const path = `$.${key}`;
  const details = h("details", { class: "channel", data: { channel: key } });
  details.append(h("summary", {}, h("span", { class: "channel-name" }, key), " ", h("span", { class: "muted" }, kindOf(value))));
  const isOpen = isConversation(value) || !isBranch(value) || sizeOf(value) <= LARGE;
  lazy(details, opened, path, isOpen, () => {
    if (isConversation(value)) return [conversation(value, opened, path)];
    return [isBranch(value) && sizeOf(value) ? children(value, opened, path) : tree(value, opened, path)];
  });
  return details;
}

function lazy(details, opened, path, isOpen, make) {
  const shown = opened.get(path) ?? isOpen;
  let made = false;
  const build = () => {
    if (made) return;
    made = true;
    details.append(...make());
  };
  if (shown) build();
  details.open = shown;
  details.addEventListener("toggle", () => {
    if (details.open) build();
    if (details.open !== shown || opened.has(path)) opened.set(path, details.open);
  });
}

function branch(value, opened, path) {
  const details = h("details", { class: "json" });
  details.append(h("summary", {}, h("span", { class: "muted" }, brief(value))));
  lazy(details, opened, path, sizeOf(value) <= SMALL && path.split(/[.[]/).length < 4, () => [children(value, opened, path)]);
  return details;
}

function children(value, opened, path) {
  const list = h("ul", { class: "json-children" });
  const keys = Array.isArray(value) ? null : Object.keys(value);
  const total = sizeOf(value);
  let shown = 0;
  const more = button("", () => show(), { class: "quiet more" });
  const show = () => {
    const end = Math.min(total, shown + AT_ONCE);
    const rows = [];
    for (; shown < end; shown += 1) {
      const key = keys ? keys[shown] : shown;
      const here = keys ? `${path}.${key}` : `${path}[${key}]`;
      rows.push(h("li", {}, h("span", { class: keys ? "json-key" : "json-index" }, keys ? key : String(key)), tree(value[key], opened, here)));
    }
    more.before(...rows);
    more.hidden = shown >= total;
    more.textContent = `Show more (${many(total - shown)} left)`;
  };
  list.append(more);
  show();
  return list;
}

function leaf(value) {
  if (typeof value !== "string") return h("span", { class: `json-${value === null ? "null" : typeof value}` }, String(value));
  return text(value, "json-string");
}

/** Show a text; of a long one the beginning, and a way to see the rest. */
export function text(value, kind) {
  const shown = h("span", { class: `text ${kind}` }, value.length > LONG ? value.slice(0, LONG) : value);
  if (value.length <= LONG) return shown;
  let end = LONG;
  const rest = button("", () => {
    end = Math.min(value.length, end * 10);
    shown.textContent = value.slice(0, end);
    label();
  }, { class: "quiet more" });
  const label = () => {
    rest.hidden = end >= value.length;
    rest.textContent = `… ${many(value.length - end)} more characters`;
  };
  label();
  return h("span", { class: "long" }, shown, rest);
}

export const isBranch = (value) => value !== null && typeof value === "object";
export const sizeOf = (value) => (Array.isArray(value) ? value.length : Object.keys(value).length);

function kindOf(value) {
  if (Array.isArray(value)) return `${many(value.length)} ${value.length === 1 ? "item" : "items"}`;
  if (isBranch(value)) return `${many(sizeOf(value))} ${sizeOf(value) === 1 ? "key" : "keys"}`;
  return typeof value === "string" && value.length > LONG ? `${many(value.length)} characters` : "";
}

/** Say a value in a line. */
export function brief(value, most = 80) {
  if (typeof value === "string") return clip(JSON.stringify(value.slice(0, most)), most);
  if (!isBranch(value)) return String(value);
  const parts = [];
  let length = 0;
  const keys = Array.isArray(value) ? value.slice(0, 20).map((_, n) => n) : Object.keys(value).slice(0, 20);
  for (const key of keys) {
    const one = isBranch(value[key]) ? (Array.isArray(value[key]) ? "[…]" : "{…}") : brief(value[key], 30);
    parts.push(Array.isArray(value) ? one : `${key}: ${one}`);
    length += parts.at(-1).length;
    if (length > most) break;
  }
  const cut = parts.length < sizeOf(value) ? ", …" : "";
  return Array.isArray(value) ? clip(`[${parts.join(", ")}${cut}]`, most) : clip(`{${parts.join(", ")}${cut}}`, most);
}

const clip = (words, most) => (words.length > most + 1 ? `${words.slice(0, most)}…` : words);
