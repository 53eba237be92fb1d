// The changes of a checkpoint, shown: what was added, removed, changed.

import { button, h } from "./dom.js";
import { many } from "./format.js";
import { diff, lineDiff, pathText } from "./diff.js";
import { isConversation, message } from "./messages.js";
import { tree } from "./tree.js";

const AT_ONCE = 100;
const SIGNS = { added: "+", removed: "−", changed: "~" };

/** Show what differs between two states. */
export function changes(before, after) {
  const found = diff(before ?? {}, after ?? {});
  if (!found.length) return h("p", { class: "muted" }, "This step changed no value.");
  const list = h("ul", { class: "changes" });
  let shown = 0;
  const more = button("", () => show(), { class: "quiet more" });
  const show = () => {
    const some = found.slice(shown, shown + AT_ONCE);
    shown += some.length;
    list.append(...some.map(change));
    more.hidden = shown >= found.length;
    more.textContent = `Show more changes (${many(found.length - shown)} left)`;
  };
  show();
  return h("div", {}, list, more);
}

function change(one) {
  const head = h("div", { class: "change-head" }, h("span", { class: `sign ${one.kind}`, title: one.kind, role: "img", "aria-label": one.kind }, SIGNS[one.kind]), h("code", {}, pathText(one.path)));
  return h("li", { class: `change ${one.kind}` }, head, body(one));
}

function body({ kind, before, after }) {
  if (kind === "added") return h("div", { class: "new" }, value(after));
  if (kind === "removed") return h("div", { class: "old" }, value(before));
  const lines = typeof before === "string" && typeof after === "string" ? lineDiff(before, after) : null;
  if (lines) return h("pre", { class: "lines" }, lines.map(([sign, line]) => h("span", { class: { "=": "line", "-": "line old", "+": "line new" }[sign] }, `${sign === "=" ? " " : sign} ${line}\n`)));
  return [h("div", { class: "old" }, value(before)), h("div", { class: "new" }, value(after))];
}

function value(one) {
  return isConversation([one]) ? h("ol", { class: "messages" }, message(one)) : tree(one, new Map(), "$");
}
