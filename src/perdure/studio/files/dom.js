// Makes elements. Text is always set as text: there is no way here to make markup from a string.

const SVG = "http://www.w3.org/2000/svg";
const FORBIDDEN = /^(on|style$|srcdoc$|src$|innerhtml$|outerhtml$)/i;
// The only addresses of links: places in this page, and the server's own.
const SAFE_LINK = /^(#|docs$|console$)/;

/** Make an HTML element. `on` holds listeners, `data` becomes data-*, `value` and `checked` are set as properties. */
export function h(tag, props, ...children) {
  return filled(document.createElement(tag), props, children);
}

/** Make an SVG element. */
export function svg(tag, props, ...children) {
  return filled(document.createElementNS(SVG, tag), props, children);
}

function filled(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "value" || name === "checked" || name === "open" || name === "disabled") element[name] = value;
    else set(element, name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function set(element, name, value) {
  if (FORBIDDEN.test(name)) throw new Error(`${name} is not set from here`);
  if (/href$/i.test(name) && !SAFE_LINK.test(value)) throw new Error(`not a link of this page: ${value}`);
  element.setAttribute(name, value === true ? "" : String(value));
}

/** Replace what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Make a button. */
export function button(label, onClick, props = {}) {
  return h("button", { type: "button", ...props, on: { click: onClick, ...props.on } }, label);
}

let last = 0;

/** Return an id that no other element has, to tie a label to its field. */
export function fresh(prefix) {
  last += 1;
  return `${prefix}-${last}`;
}

/**
 * Call an async function when asked to, never twice at once, with pauses of so many milliseconds at least; after a
 * slow call they are longer, so that what is asked for often doesn't take all of a server's time.
 */
export function paced(pause, call) {
  let isBusy = false;
  let again = false;
  return async function run() {
    again = true;
    if (isBusy) return;
    isBusy = true;
    while (again) {
      again = false;
      const began = performance.now();
      await call();
      const took = performance.now() - began;
      await new Promise((done) => setTimeout(done, Math.max(pause, 2 * took)));
    }
    isBusy = false;
  };
}

/** A row of tabs with their panel; arrow keys go from one to the next (WAI-ARIA authoring practices). */
export function tabs(label, items, onSelect) {
  const panel = h("div", { role: "tabpanel", class: "tabpanel", id: fresh("panel"), tabindex: "0" });
  const list = h("div", { role: "tablist", class: "tabs", "aria-label": label });
  const made = items.map(([name, text]) =>
    h("button", { type: "button", role: "tab", id: fresh("tab"), "aria-controls": panel.id, data: { tab: name }, on: { click: () => select(name) } }, text));
  list.append(...made);
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = made.indexOf(document.activeElement);
    const next = made[(at + step + made.length) % made.length];
    next.focus();
    select(next.dataset.tab);
    event.preventDefault();
  });
  function select(name, { quietly = false } = {}) {
    for (const tab of made) {
      const chosen = tab.dataset.tab === name;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      if (chosen) panel.setAttribute("aria-labelledby", tab.id);
    }
    if (!quietly) onSelect(name);
  }
  return { list, panel, select };
}
