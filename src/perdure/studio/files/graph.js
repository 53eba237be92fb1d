// The drawing of a graph, and on it where a run is.

import { fill, h, svg } from "./dom.js";
import { layout } from "./layout.js";

const MARKS = ["running", "next", "waiting", "failed", "done"];
const WORDS = { running: "running", next: "next", waiting: "waits for an answer", failed: "failed", done: "has run" };

/** Draws a graph as the server describes it. */
export class Drawing {
  constructor() {
    this.element = h("figure", { class: "graph" });
    this.nodes = new Map();
    this.marks = new Map();
  }

  show(described) {
    const nodes = described.nodes.map((node) => ({ id: String(node.id), label: labelOf(node), isEnd: node.type === "schema" }));
    const laid = layout(nodes, described.edges);
    const arrow = svg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, svg("path", { d: "M0 0 8 4 0 8z", class: "arrow" }));
    const picture = svg("svg", { viewBox: `0 0 ${laid.width} ${laid.height}`, role: "img", "aria-label": spoken(nodes, described.edges) }, svg("defs", {}, arrow));
    picture.setAttribute("width", laid.width);
    picture.setAttribute("height", laid.height);
    picture.append(...laid.edges.map(edge), ...laid.nodes.map((node) => this.node(node)));
    this.caption = h("figcaption", { class: "graph-caption muted" });
    fill(this.element, h("div", { class: "graph-scroll", tabindex: "0", role: "region", "aria-label": "Drawing" }, picture), this.caption);
    this.mark(this.marks);
  }

  node({ id, label, isEnd, x, y, width, height }) {
    const shape = isEnd
      ? svg("circle", { cx: x, cy: y, r: id.endsWith("__start__") ? 6 : 7 })
      : svg("rect", { x: x - width / 2, y: y - height / 2, width, height, rx: 7 });
    const words = isEnd ? null : svg("text", { x, y: y + 4, "text-anchor": "middle" }, label);
    const made = svg("g", { class: isEnd ? `node end ${id.endsWith("__end__") ? "last" : ""}` : "node", data: { node: id } }, svg("title", {}, id), shape, words);
    this.nodes.set(id, made);
    return made;
  }

  /** Mark nodes: a Map from id to "running", "next", "waiting", "failed" or "done". */
  mark(marks) {
    this.marks = marks;
    for (const [id, element] of this.nodes) for (const kind of MARKS) element.classList.toggle(kind, marks.get(id) === kind);
    if (!this.caption) return;
    const told = ["running", "waiting", "failed", "next"].flatMap((kind) => [...marks].filter(([, is]) => is === kind).map(([id]) => h("span", { class: `legend ${kind}` }, `${id}: ${WORDS[kind]}`)));
    fill(this.caption, told);
  }
}

function labelOf(node) {
  const name = typeof node.data === "object" && node.data !== null ? node.data.name : node.id;
  const label = String(name ?? node.id);
  return label.length > 28 ? `${label.slice(0, 27)}…` : label;
}

function edge({ points, conditional }) {
  return svg("path", { class: conditional ? "edge conditional" : "edge", d: curve(points), "marker-end": "url(#arrow)" });
}

/** Return a path that leaves and arrives upright. */
function curve(points) {
  let path = `M${points[0].join(" ")}`;
  if (points.length === 4 && points[0][0] === points[3][0]) return `${path} C${points.slice(1).map((p) => p.join(" ")).join(" ")}`; // to itself
  for (let n = 1; n < points.length; n += 1) {
    const [x0, y0] = points[n - 1];
    const [x1, y1] = points[n];
    const bend = (y1 - y0) / 2;
    path += ` C${x0} ${y0 + bend} ${x1} ${y1 - bend} ${x1} ${y1}`;
  }
  return path;
}

function spoken(nodes, edges) {
  const names = nodes.filter((node) => !node.isEnd).map((node) => node.label);
  return `Graph with ${names.length} nodes: ${names.join(", ")}; ${edges.length} edges`;
}
