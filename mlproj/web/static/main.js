// What all pages have: relative times, the theme, dialogs, copying, and the keys that work everywhere.
import { relative, span } from "./times.js";

export const csrf = () => document.querySelector('meta[name="csrf"]')?.content ?? "";

export function tell(text) {
  const told = document.getElementById("told");
  told.textContent = text;
  setTimeout(() => { if (told.textContent === text) told.textContent = ""; }, 4000);
}

export function dress(root = document) {
  const now = Date.now();
  for (const each of root.querySelectorAll("time[datetime]")) each.textContent = relative(each.dateTime, now);
  for (const each of root.querySelectorAll("[data-since]")) each.textContent = span((now - Date.parse(each.dataset.since)) / 1000);
}

export const typing = (event) =>
  event.ctrlKey || event.metaKey || event.altKey ||
  event.target.closest("input:not([type=checkbox]), textarea, select, dialog[open]") !== null;

// On a phone the side would be all that is seen.
const side = document.querySelector(".side-fold");
if (side && matchMedia("(max-width: 860px)").matches) side.open = false;

dress();
setInterval(dress, 1000);
document.addEventListener("htmx:load", () => dress());

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.id === "theme") {
    const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try { localStorage.setItem("mlproj-theme", theme); } catch { /* kept for this page only */ }
    document.dispatchEvent(new CustomEvent("theme"));
  } else if (button.id === "show-keys") {
    document.getElementById("keys").showModal();
  } else if (button.dataset.dialog) {
    document.getElementById(button.dataset.dialog).showModal();
  } else if ("close" in button.dataset) {
    button.closest("dialog").close();
  } else if ("copy" in button.dataset) {
    await navigator.clipboard.writeText(button.dataset.copy);
    tell("Copied");
  }
});

document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});

document.addEventListener("keydown", (event) => {
  if (typing(event)) return;
  if (event.key === "?") document.getElementById("keys").showModal();
  else if (event.key === "g") { event.preventDefault(); document.querySelector(".jump input").focus(); }
  else if (event.key === "/") {
    const field = document.querySelector("#filter, #log-search, #metric-filter") ?? document.querySelector(".jump input");
    event.preventDefault();
    field.focus();
  }
});
