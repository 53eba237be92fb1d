// Where the nodes and edges of a graph go: layers from top to bottom (after Sugiyama, Tagawa and Toda, 1981). Edges of
// loops are turned for the layering; long edges get a place in each layer that they cross; each layer is ordered by
// the mean place of its neighbours.

const LAYER = 62;
const GAP = 26;
const HEIGHT = 30;
const MARGIN = 14;
const LETTER = 7.4;
const ROUNDS = 8;

/**
 * Lay a graph out.
 * @param nodes [{id, label, isEnd}]
 * @param edges [{source, target, conditional}]
 * @returns {nodes: [{...node, x, y, width, height}], edges: [{...edge, points}], width, height}; x and y are the middle
 */
export function layout(nodes, edges) {
  const ids = new Set(nodes.map((node) => node.id));
  const known = edges.filter((edge) => ids.has(edge.source) && ids.has(edge.target));
  const turned = backEdges(nodes, known);
  const forward = known.filter((edge) => edge.source !== edge.target).map((edge) => (turned.has(edge) ? { from: edge.target, to: edge.source, edge } : { from: edge.source, to: edge.target, edge }));
  const layerOf = layers(nodes, forward);
  const cells = new Map(nodes.map((node) => [node.id, { id: node.id, layer: layerOf.get(node.id), width: widthOf(node), height: heightOf(node), up: [], down: [] }]));
  const ways = new Map(forward.map((one) => [one.edge, way(one, cells)]));
  const rows = ordered([...cells.values()]);
  const width = place(rows);
  return {
    nodes: nodes.map((node) => ({ ...node, x: cells.get(node.id).x, y: yOf(cells.get(node.id).layer), width: widthOf(node), height: heightOf(node) })),
    edges: known.map((edge) => ({ ...edge, points: points(edge, cells, ways.get(edge), turned.has(edge)) })),
    width,
    height: yOf(rows.length - 1) + HEIGHT / 2 + MARGIN,
  };
}

const heightOf = (node) => (node.isEnd ? 16 : HEIGHT);
const widthOf = (node) => (node.isEnd ? 26 : Math.max(58, node.label.length * LETTER + 24));
const yOf = (layer) => MARGIN + HEIGHT / 2 + layer * LAYER;

/** Return the edges that close a loop, as a search from the beginning meets them. */
function backEdges(nodes, edges) {
  const out = Map.groupBy(edges, (edge) => edge.source);
  const state = new Map();
  const found = new Set();
  const visit = (start) => {
    const stack = [[start, 0]];
    state.set(start, "open");
    while (stack.length) {
      const top = stack.at(-1);
      const edge = (out.get(top[0]) ?? [])[top[1]];
      if (!edge) {
        state.set(top[0], "done");
        stack.pop();
        continue;
      }
      top[1] += 1;
      if (state.get(edge.target) === "open") found.add(edge);
      else if (!state.has(edge.target)) {
        state.set(edge.target, "open");
        stack.push([edge.target, 0]);
      }
    }
  };
  for (const node of nodes) if (!state.has(node.id)) visit(node.id);
  return found;
}

/** Give each node the layer below all that lead to it. */
function layers(nodes, forward) {
  const into = new Map(nodes.map((node) => [node.id, 0]));
  for (const { to } of forward) into.set(to, into.get(to) + 1);
  const out = Map.groupBy(forward, (one) => one.from);
  const layer = new Map(nodes.map((node) => [node.id, 0]));
  const ready = nodes.filter((node) => !into.get(node.id)).map((node) => node.id);
  while (ready.length) {
    const id = ready.shift();
    for (const { to } of out.get(id) ?? []) {
      layer.set(to, Math.max(layer.get(to), layer.get(id) + 1));
      into.set(to, into.get(to) - 1);
      if (!into.get(to)) ready.push(to);
    }
  }
  return layer;
}

/** Give a long edge a cell in each layer that it crosses. */
function way({ from, to, edge }, cells) {
  let last = cells.get(from);
  const end = cells.get(to);
  const between = [];
  for (let layer = last.layer + 1; layer < end.layer; layer += 1) {
    const cell = { id: `${edge.source}→${edge.target}@${layer}`, layer, width: 10, up: [last], down: [] };
    last.down.push(cell);
    cells.set(Symbol(cell.id), cell);
    between.push(cell);
    last = cell;
  }
  last.down.push(end);
  end.up.push(last);
  return between;
}

function ordered(cells) {
  const rows = [];
  for (const cell of cells) (rows[cell.layer] ??= []).push(cell);
  const number = () => rows.forEach((row) => row.forEach((cell, n) => (cell.order = n - (row.length - 1) / 2)));
  number();
  for (let round = 0; round < ROUNDS; round += 1) {
    const isDown = round % 2 === 0;
    for (const row of isDown ? rows : rows.toReversed()) {
      for (const cell of row) cell.wish = mean((isDown ? cell.up : cell.down).map((one) => one.order)) ?? cell.order;
      row.sort((a, b) => a.wish - b.wish);
      row.forEach((cell, n) => (cell.order = n - (row.length - 1) / 2));
    }
  }
  return rows;
}

const mean = (numbers) => (numbers.length ? numbers.reduce((a, b) => a + b) / numbers.length : null);

/** Give the cells of each layer their x: near their neighbours, but never on each other. Return the width. */
function place(rows) {
  for (const row of rows) {
    let x = 0;
    for (const cell of row) {
      cell.x = x + cell.width / 2;
      x += cell.width + GAP;
    }
    const middle = (x - GAP) / 2;
    for (const cell of row) cell.x -= middle;
  }
  for (let round = 0; round < ROUNDS; round += 1) {
    const isDown = round % 2 === 0;
    for (const row of isDown ? rows : rows.toReversed()) settle(row, isDown ? "up" : "down");
  }
  const all = rows.flat();
  const left = Math.min(...all.map((cell) => cell.x - cell.width / 2));
  const right = Math.max(...all.map((cell) => cell.x + cell.width / 2));
  for (const cell of all) cell.x += MARGIN - left;
  return right - left + 2 * MARGIN;
}

function settle(row, side) {
  const wishes = row.map((cell) => mean(cell[side].map((one) => one.x)) ?? cell.x);
  const room = (n) => row[n].width / 2 + row[n + 1].width / 2 + GAP;
  const fromLeft = [];
  row.forEach((_, n) => (fromLeft[n] = n ? Math.max(wishes[n], fromLeft[n - 1] + room(n - 1)) : wishes[n]));
  const fromRight = [];
  for (let n = row.length - 1; n >= 0; n -= 1) fromRight[n] = n < row.length - 1 ? Math.min(wishes[n], fromRight[n + 1] - room(n)) : wishes[n];
  row.forEach((cell, n) => (cell.x = (fromLeft[n] + fromRight[n]) / 2));
}

function points(edge, cells, between, isTurned) {
  const from = cells.get(edge.source);
  const to = cells.get(edge.target);
  if (edge.source === edge.target) {
    const [x, y] = [from.x + from.width / 2, yOf(from.layer)];
    return [[x, y - 6], [x + 18, y - 10], [x + 18, y + 10], [x, y + 6]];
  }
  const middle = (isTurned ? between.toReversed() : between).map((cell) => [cell.x, yOf(cell.layer)]);
  // There and back between neighbours would lie on each other: the way back keeps to the side.
  const aside = isTurned && !middle.length ? Math.min(from.width, to.width) / 2 - 8 : 0;
  const side = isTurned ? -0.5 : 0.5;
  return [[from.x + aside, yOf(from.layer) + side * from.height], ...middle, [to.x + aside, yOf(to.layer) - side * to.height]];
}
