// The table of runs: selecting, its keys, its columns, and rows that change while they are looked at.
import { ask, keep } from "./asking.js";
import { dress, typing } from "./main.js";

const LOOK_AGAIN_MS = 2000;
const picked = new Set();
let at = null;

const table = () => document.getElementById("table");
const rows = () => [...document.querySelectorAll("tr.run")];

function show() {
  for (const row of rows()) {
    const on = picked.has(row.dataset.run);
    row.classList.toggle("picked", on);
    row.classList.toggle("at", row.dataset.run === at);
    row.querySelector("input").checked = on;
  }
  const actions = document.querySelector(".actions");
  if (actions) {
    actions.hidden = picked.size === 0;
    document.getElementById("picked").textContent = `${picked.size} selected`;
    const compare = document.getElementById("compare");
    compare.hidden = picked.size < 2;
    compare.href = address();
  }
  pin();
  const column = table()?.dataset.column;
  const filter = document.getElementById("filter");
  filter?.toggleAttribute("aria-invalid", false);
  if (filter && column) {
    filter.setAttribute("aria-invalid", "true");
    filter.setAttribute("aria-describedby", "filter-problem");
  }
}

// Pinned columns stay where they are while the others scroll: each begins where those before it end.
function pin() {
  const narrow = matchMedia("(max-width: 860px)").matches;
  for (const row of document.querySelectorAll("#table .runs tr")) {
    let left = 0;
    const stuck = [...row.children].filter((cell, index) => index < 2 || cell.classList.contains("pinned"));
    if (row.classList.contains("group") || row.classList.contains("more")) continue;
    for (const cell of stuck) {
      cell.style.left = narrow ? "" : `${left}px`;
      left += cell.getBoundingClientRect().width;
      cell.classList.toggle("last", cell === stuck.at(-1) && stuck.length > 2);
    }
  }
}

const address = () => "/compare?" + new URLSearchParams([...picked].map((id) => ["run", id]));

function move(step) {
  const all = rows();
  if (!all.length) return;
  const index = all.findIndex((row) => row.dataset.run === at);
  const row = all[Math.min(all.length - 1, Math.max(0, index + step))];
  at = row.dataset.run;
  row.querySelector("th a").focus();
  row.scrollIntoView({ block: "nearest" });
  show();
}

function toggle(id) {
  if (!picked.delete(id)) picked.add(id);
  show();
}

document.addEventListener("change", (event) => {
  const box = event.target;
  if (box.id === "all") {
    for (const row of rows()) box.checked ? picked.add(row.dataset.run) : picked.delete(row.dataset.run);
    show();
  } else if (box.name === "run" && box.closest("tr.run")) {
    toggle(box.value);
  } else if (box.name === "group" || box.name === "constant") {
    box.form.requestSubmit();
  }
});

// What is selected on other pages of the table is meant too.
document.addEventListener("submit", (event) => {
  if (event.target.id !== "selection") return;
  const here = new Set(rows().map((row) => row.dataset.run));
  for (const id of picked) {
    if (here.has(id)) continue;
    const field = document.createElement("input");
    Object.assign(field, { type: "hidden", name: "run", value: id });
    event.target.append(field);
  }
});

document.addEventListener("keydown", (event) => {
  if (typing(event)) return;
  if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "x" && at) toggle(at);
  else if (event.key === "c" && picked.size > 1) location.href = address();
});

// Columns: found by a part of their name, moved up and down.
document.addEventListener("input", (event) => {
  if (event.target.id !== "column-search") return;
  const part = event.target.value.toLowerCase();
  for (const item of document.querySelectorAll(".columns li")) item.hidden = !item.textContent.toLowerCase().includes(part);
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-move]");
  if (!button) return;
  const item = button.closest("li");
  if (button.dataset.move === "up") item.previousElementSibling?.before(item);
  else item.nextElementSibling?.after(item);
  button.focus();
});

// The error's place in the filter, once, after it was sent.
document.addEventListener("htmx:afterSettle", () => {
  show();
  const column = Number(table()?.dataset.column);
  const filter = document.getElementById("filter");
  if (column && document.activeElement === filter) filter.setSelectionRange(column - 1, column - 1);
});

async function look() {
  const shown = table();
  if (!shown || document.querySelector("dialog[open]")) return;
  const answer = await ask(shown.dataset.address, { headers: { "X-Seen": shown.dataset.version } });
  if (answer?.status !== 200) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("table");
  // Meanwhile the user may have gone to another page of the table.
  if (!fresh || table() !== shown || fresh.dataset.address !== shown.dataset.address) return;
  const focused = document.activeElement?.closest?.("tr.run")?.dataset.run;
  const left = shown.querySelector(".scroll")?.scrollLeft ?? 0;
  shown.replaceWith(fresh);
  window.htmx?.process(fresh);
  if (fresh.querySelector(".scroll")) fresh.querySelector(".scroll").scrollLeft = left;
  if (focused) fresh.querySelector(`tr[data-run="${focused}"] th a`)?.focus({ preventScroll: true });
  dress(fresh);
  show();
}

show();
keep(look, LOOK_AGAIN_MS);
