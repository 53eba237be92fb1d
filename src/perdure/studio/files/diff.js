// What differs between two values: a list of changes, each with its path. Lists are compared from both ends, so that
// what was appended, trimmed or replaced in the middle is said as such.

const LINES = 400;

const isBranch = (value) => value !== null && typeof value === "object";

/** Tell whether two values of JSON are the same. */
export function same(a, b) {
  if (a === b) return true;
  if (!isBranch(a) || !isBranch(b) || Array.isArray(a) !== Array.isArray(b)) return false;
  if (Array.isArray(a)) return a.length === b.length && a.every((item, n) => same(item, b[n]));
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && same(a[key], b[key]));
}

/** Return the changes from one value to another: {path, kind: "added" | "removed" | "changed", before, after}. */
export function diff(before, after, path = []) {
  if (same(before, after)) return [];
  if (Array.isArray(before) && Array.isArray(after)) return listDiff(before, after, path);
  if (isBranch(before) && isBranch(after) && !Array.isArray(before) && !Array.isArray(after)) return keyDiff(before, after, path);
  return [{ path, kind: "changed", before, after }];
}

function keyDiff(before, after, path) {
  const changes = [];
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const here = [...path, key];
    if (!Object.hasOwn(before, key)) changes.push({ path: here, kind: "added", after: after[key] });
    else if (!Object.hasOwn(after, key)) changes.push({ path: here, kind: "removed", before: before[key] });
    else changes.push(...diff(before[key], after[key], here));
  }
  return changes;
}

function listDiff(before, after, path) {
  let start = 0;
  const shorter = Math.min(before.length, after.length);
  while (start < shorter && same(before[start], after[start])) start += 1;
  let end = 0;
  while (end < shorter - start && same(before[before.length - 1 - end], after[after.length - 1 - end])) end += 1;
  const old = before.slice(start, before.length - end);
  const fresh = after.slice(start, after.length - end);
  const changes = [];
  const both = Math.min(old.length, fresh.length);
  for (let n = 0; n < both; n += 1) changes.push(...diff(old[n], fresh[n], [...path, start + n]));
  for (let n = both; n < old.length; n += 1) changes.push({ path: [...path, start + n], kind: "removed", before: old[n] });
  for (let n = both; n < fresh.length; n += 1) changes.push({ path: [...path, start + n], kind: "added", after: fresh[n] });
  return changes;
}

/** Return how a text became another, line by line: [["=" | "-" | "+", line], ...]; null if that would say nothing. */
export function lineDiff(before, after) {
  const a = before.split("\n");
  const b = after.split("\n");
  if ((a.length < 2 && b.length < 2) || a.length > LINES || b.length > LINES) return null;
  // The longest common subsequence, from the end.
  const table = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1)
    for (let j = b.length - 1; j >= 0; j -= 1) table[i][j] = a[i] === b[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
  const lines = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      lines.push(["=", a[i]]);
      i += 1;
      j += 1;
    } else if (i < a.length && (j === b.length || table[i + 1][j] >= table[i][j + 1])) lines.push(["-", a[i++]]);
    else lines.push(["+", b[j++]]);
  }
  return lines;
}

/** Say a path as code does. */
export function pathText(path) {
  return path.map((part, n) => (typeof part === "number" ? `[${part}]` : n ? `.${part}` : part)).join("") || "the whole state";
}
