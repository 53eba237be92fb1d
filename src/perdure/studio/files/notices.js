// What went wrong, or well, said at the edge of the page; and dialogs.

import { button, fill, fresh, h } from "./dom.js";

/** What a person wrote can't be taken: it is told, and nobody's bug. */
export class Mistake extends Error {}

/** Say something for a while. */
export function say(text) {
  const notice = add(text, "status", "notice");
  setTimeout(() => notice.remove(), 5000);
}

/** Tell of an error until it is dismissed; the same text isn't told twice at once. */
export function tell(error) {
  if (error?.name === "AbortError" || error?.status === 401) return; // the second asks for a key by itself
  const text = error instanceof Error ? error.message : String(error);
  if ([...document.querySelectorAll(".notice-text")].some((one) => one.textContent === text)) return;
  if (!(error instanceof Mistake) && error?.status === undefined) console.error(error);
  add(text, "alert", "notice bad");
}

function add(text, role, kind) {
  const notice = h("div", { class: kind, role }, h("span", { class: "notice-text" }, text));
  notice.append(button("×", () => notice.remove(), { class: "quiet", "aria-label": "Dismiss" }));
  document.getElementById("notices").append(notice);
  return notice;
}

/** Make a listener that tells of what its function throws; pressed again meanwhile, it does nothing. */
export function guarded(work, { onError = tell } = {}) {
  let isBusy = false;
  return async (event) => {
    if (isBusy) return;
    isBusy = true;
    const pressed = event?.currentTarget;
    pressed?.setAttribute?.("aria-busy", "true"); // not `disabled`, which would take the focus away
    try {
      await work(event);
    } catch (error) {
      onError(error);
    } finally {
      isBusy = false;
      pressed?.removeAttribute?.("aria-busy");
    }
  };
}

/** Open a dialog; Escape closes it, and the focus goes back to where it was. */
export function dialog(title, body, actions = [], { wide = false, onClose = () => {} } = {}) {
  const id = fresh("dialog");
  const made = h("dialog", { class: wide ? "wide" : "", "aria-labelledby": id });
  const close = () => made.close();
  const problem = h("div", { class: "problem", role: "alert", hidden: true });
  const onError = (error) => {
    fill(problem, error.message);
    problem.hidden = false;
  };
  const act = (work) => guarded(async () => {
    problem.hidden = true;
    await work();
    close();
  }, { onError });
  const buttons = actions.map(([label, work, kind]) => button(label, act(work), { class: kind ?? "" }));
  made.append(
    h("header", {}, h("h2", { id }, title), button("×", close, { class: "quiet", "aria-label": "Close" })),
    h("div", { class: "dialog-body" }, body),
    problem,
    h("footer", {}, h("span", { class: "grow" }), button("Cancel", close), ...buttons),
  );
  made.addEventListener("close", () => {
    made.remove();
    onClose();
  });
  // Control and Enter press the main button from any field.
  made.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) buttons.at(-1)?.click();
  });
  document.body.append(made);
  made.showModal();
  made.querySelector(".dialog-body :is(input, textarea, select, button)")?.focus();
  return made;
}
