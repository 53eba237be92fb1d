// Times, sizes and ids as people read them.

/** Return how long ago a moment was. */
export function ago(iso, now = Date.now()) {
  if (!iso) return "";
  const seconds = Math.max(0, (now - Date.parse(iso)) / 1000);
  if (seconds < 5) return "now";
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  return `${Math.floor(seconds)} s`;
}

/** Return a moment's time of day, with the date if it isn't today's. */
export function clock(iso) {
  if (!iso) return "";
  const date = new Date(iso);
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  return date.toDateString() === new Date().toDateString() ? time : `${date.toLocaleDateString()} ${time}`;
}

/** Return the time between two moments. */
export function span(from, to) {
  const ms = Date.parse(to) - Date.parse(from);
  if (!Number.isFinite(ms)) return "";
  if (ms < 1000) return `${ms} ms`;
  return ms < 60000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(ms / 60000)} min ${Math.round((ms % 60000) / 1000)} s`;
}

/** Return enough of an id to tell it from others: ids that are times begin alike, and differ in the middle. */
export function short(id) {
  const text = String(id ?? "");
  if (!/^[0-9a-f]{8}-[0-9a-f]{4}-/i.test(text)) return text.length > 16 ? `${text.slice(0, 15)}…` : text;
  return "167".includes(text[14]) ? text.slice(9, 18) : text.slice(0, 8);
}

/** Return the name of a node as people say it. */
export const spoken = (name) => ({ __start__: "start", __end__: "end" })[name] ?? name;

/** Return a number with thin spaces. */
export function many(number) {
  return number.toLocaleString("en").replaceAll(",", "\u202f");
}

/** Join names, each once, with how often it is there. */
export function counted(names) {
  const counts = new Map();
  for (const name of names.map(spoken)) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, count]) => (count > 1 ? `${name} ×${many(count)}` : name)).join(", ");
}
