// Light or dark: what the system says, unless a person has said otherwise.

const KEY = "perdure.theme";
const NEXT = { auto: "light", light: "dark", dark: "auto" };

/** Tie the theme to its button. */
export function startTheme(button) {
  apply(button, localStorage.getItem(KEY) ?? "auto");
  button.addEventListener("click", () => apply(button, NEXT[button.dataset.theme]));
}

function apply(button, theme) {
  const known = theme in NEXT ? theme : "auto";
  if (known === "auto") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, known);
  document.documentElement.dataset.theme = known;
  button.dataset.theme = known;
  const name = { auto: "Auto", light: "Light", dark: "Dark" }[known];
  button.textContent = `◐ ${name}`;
  button.setAttribute("aria-label", `Colours: ${name}`);
  button.title = `Colours: ${name}. Press for ${NEXT[known]}`;
}
