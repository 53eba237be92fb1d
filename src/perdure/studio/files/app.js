// The console: what is asked for by the address, keys that work everywhere, the API key.

import { fill, h, fresh } from "./dom.js";
import { api, key, setKey, ApiError } from "./api.js";
import { dialog, tell } from "./notices.js";
import { RunsView } from "./runs.js";
import { StartView } from "./start.js";
import { startTheme } from "./theme.js";
import { ThreadList } from "./threads.js";
import { ThreadView } from "./thread.js";

const KEYS = [["/", "Search threads"], ["n", "New run"], ["r", "Run on this thread"], ["a", "All runs"], ["j, k", "Older, newer checkpoint"], ["c", "Cancel the run"], ["Ctrl+Enter", "Send what you are filling in"], ["Esc", "Close a dialog"], ["?", "This list"]];

const main = document.getElementById("main");
const server = document.getElementById("server");
let view = null;
let assistants = null;
let asking = null;
let isDeclined = false; // who closed the dialog isn't asked again until they give a key

const threads = new ThreadList(document.getElementById("threads"), { onProblem: unwell, onFine: () => well() });

function unwell(error) {
  const isAway = error instanceof ApiError && error.status === 0;
  server.textContent = isAway ? "server doesn't answer" : "";
  server.classList.toggle("bad", isAway);
  if (!isAway) tell(error);
}

function well() {
  const wasAway = server.classList.contains("bad");
  server.textContent = "";
  server.classList.remove("bad");
  if (wasAway && !assistants) route();
}

/** Show what the address names. */
async function route() {
  const [, place, id, checkpoint] = location.hash.split("/");
  document.body.dataset.view = place === "threads" ? (id ? "thread" : "list") : place === "runs" ? "runs" : "start";
  threads.select(id ?? null);
  if (view instanceof ThreadView && view.id === id) return view.go(checkpoint ?? null);
  view?.stop();
  view = null;
  try {
    assistants ??= await api.assistants();
    const made = viewOf(place, id, checkpoint ?? null);
    view?.stop();
    view = made;
    fill(main, made.element);
    document.title = id ? `${id.slice(0, 8)} · perdure console` : place === "runs" ? "runs · perdure console" : "perdure console";
    await made.start();
  } catch (error) {
    unwell(error);
    if (!view || !assistants) fill(main, problem(error));
  }
  return undefined;
}

function viewOf(place, id, checkpoint) {
  const onChange = () => threads.refresh();
  if (place === "runs") return new RunsView({ onChange });
  return place === "threads" && id ? new ThreadView(id, checkpoint, { assistants, onChange }) : new StartView(assistants, { onStarted: started });
}

function started(threadId) {
  location.hash = `#/threads/${threadId}`;
  threads.refresh();
  main.focus();
}

function problem(error) {
  const again = h("button", { type: "button", class: "primary", on: { click: () => route() } }, "Try again");
  return h("div", { class: "blank" }, h("h1", {}, error.status === 401 ? "An API key is needed" : "That didn't work"), h("p", { class: "muted" }, error.message), again);
}

/** Ask for the API key. It stays in this tab, and goes when the tab is closed. */
function askForKey({ given = false } = {}) {
  if (asking) return;
  const input = h("input", { type: "password", id: fresh("field"), autocomplete: "off", spellcheck: "false", value: key() });
  const body = h("div", {}, h("p", { class: given ? "problem" : "muted" }, given ? "The server doesn't know this key." : "Kept in this tab until it is closed, and sent as the header X-Api-Key."), h("div", { class: "field" }, h("label", { for: input.id }, "API key"), input));
  const save = () => {
    isDeclined = false;
    setKey(input.value.trim());
    assistants = null;
    view?.stop();
    view = null;
    threads.refresh();
    route();
  };
  isDeclined = true;
  asking = dialog("API key", body, [["Use it", save, "primary"]], { onClose: () => (asking = null) });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) asking.querySelector(".primary").click();
  });
}

function showKeys() {
  dialog("Keyboard", h("dl", { class: "keys" }, KEYS.map(([name, does]) => [h("dt", {}, h("kbd", {}, name)), h("dd", {}, does)])));
}

const SHORTCUTS = {
  "/": () => threads.input.focus(),
  a: () => document.getElementById("all-runs").click(),
  n: () => document.getElementById("new-run").click(),
  r: () => main.querySelector('[data-act="run"]')?.click(),
  c: () => main.querySelector('[data-act="cancel"]')?.click(),
  j: () => view?.timeline?.move(1),
  k: () => view?.timeline?.move(-1),
  "?": showKeys,
};

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest?.("input, textarea, select, dialog");
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(SHORTCUTS, event.key)) return;
  event.preventDefault();
  SHORTCUTS[event.key]();
});
document.addEventListener("key-needed", (event) => isDeclined || askForKey(event.detail));
document.getElementById("key").addEventListener("click", () => askForKey());
document.getElementById("help").addEventListener("click", showKeys);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address says what is shown
  main.focus();
});
window.addEventListener("hashchange", route);
window.addEventListener("error", (event) => tell(event.error ?? event.message));
window.addEventListener("unhandledrejection", (event) => tell(event.reason));
startTheme(document.getElementById("theme"));
threads.start();
route();
