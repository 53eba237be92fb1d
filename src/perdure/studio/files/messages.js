// Conversations: lists of messages, of whichever package, as people read them.

import { button, h } from "./dom.js";
import { many } from "./format.js";
import { text, tree, isBranch } from "./tree.js";

const AT_ONCE = 50;
const ROLES = { human: "user", ai: "assistant", AIMessageChunk: "assistant" };

/** Tell whether a value is a list of messages. */
export function isConversation(value) {
  return Array.isArray(value) && value.length > 0 && isMessage(value[0]) && isMessage(value[value.length - 1]);
}

function isMessage(value) {
  return isBranch(value) && !Array.isArray(value) && "content" in value && typeof (value.role ?? value.type) === "string";
}

export const roleOf = (message) => ROLES[message.role ?? message.type] ?? String(message.role ?? message.type);

/** Show a conversation, its end first: the beginning of a long one comes when it is asked for. */
export function conversation(messages, opened, path) {
  const list = h("ol", { class: "messages" });
  let first = messages.length;
  const earlier = button("", () => show(), { class: "quiet more" });
  const show = () => {
    const from = Math.max(0, first - AT_ONCE);
    const rows = messages.slice(from, first).map((one, n) => message(one, opened, `${path}[${from + n}]`));
    list.prepend(...rows);
    first = from;
    earlier.hidden = first === 0;
    earlier.textContent = `Show earlier messages (${many(first)})`;
  };
  show();
  return h("div", {}, earlier, list);
}

/** Show a message. */
export function message(one, opened = new Map(), path = "") {
  if (!isMessage(one)) return h("li", { class: "message" }, tree(one, opened, path));
  const role = roleOf(one);
  const head = h("div", { class: "message-head" }, h("span", { class: "role" }, role), one.name ? h("span", { class: "muted" }, String(one.name)) : null);
  const kind = ["user", "assistant", "system", "tool"].includes(role) ? role : "other";
  return h("li", { class: `message ${kind}` }, head, h("div", { class: "message-body" }, content(one.content, opened, path), calls(one, opened, path)));
}

function content(value, opened, path) {
  if (typeof value === "string") return value ? text(value, "prose") : null;
  if (value === null || value === undefined) return null;
  if (!Array.isArray(value)) return tree(value, opened, `${path}.content`);
  return value.map((block, n) => (typeof block?.text === "string" ? text(block.text, "prose") : tree(block, opened, `${path}.content[${n}]`)));
}

function calls(one, opened, path) {
  const found = Array.isArray(one.tool_calls) ? one.tool_calls : [];
  return found.map((call, n) => {
    const name = call?.function?.name ?? call?.name ?? "?";
    return h("div", { class: "tool-call" }, h("span", { class: "tool-name" }, `→ ${name}`), tree(argumentsOf(call), opened, `${path}.call[${n}]`));
  });
}

function argumentsOf(call) {
  const given = call?.function?.arguments ?? call?.args ?? null;
  if (typeof given !== "string") return given;
  try {
    return JSON.parse(given);
  } catch {
    return given;
  }
}
