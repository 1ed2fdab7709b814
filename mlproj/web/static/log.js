// The log through a window: of a log of any size only some parts of 64 KiB are in the page at a time.
import { ask, keep } from "./asking.js";

const MOST_PARTS = 8;
const LIVE_MS = 1000;
const NEAR = 600;
const run = document.getElementById("head").dataset.run;
const box = document.getElementById("log");
const place = document.getElementById("log-place");
const follow = document.getElementById("follow");
const search = document.getElementById("log-search");
let parts = [];
let size = Number(box.dataset.size);
let running = true;
let busy = false;
let hit = null;

const answered = async (what, query) => {
  const answer = await ask(`/api/runs/${run}/${what}?${new URLSearchParams(query)}`);
  if (!answer) throw new Error("No answer");
  if (!answer.ok) throw new Error((await answer.json()).error);
  return answer.json();
};

const windowAt = async (query) => {
  const window_ = await answered("log", query);
  size = window_.size;
  running = window_.running;
  return window_;
};

function element(window_) {
  const part = document.createElement("div");
  part.className = "chunk";
  for (const line of window_.lines) {
    const row = document.createElement("div");
    for (const [text, classes] of line) row.append(piece(text, classes));
    if (!line.length) row.append("\u00a0");
    part.append(row);
  }
  return part;
}

// A text with what is searched for marked in it.
function piece(text, classes) {
  const span = document.createElement("span");
  span.className = classes;
  const wanted = search.value.toLowerCase();
  let rest = text;
  while (wanted) {
    const index = rest.toLowerCase().indexOf(wanted);
    if (index < 0) break;
    const mark = document.createElement("mark");
    mark.textContent = rest.slice(index, index + wanted.length);
    span.append(rest.slice(0, index), mark);
    rest = rest.slice(index + wanted.length);
  }
  span.append(rest);
  return span;
}

function say() {
  if (!parts.length) { place.textContent = "0 B"; return; }
  const share = size ? Math.round((100 * parts.at(-1).end) / size) : 100;
  place.textContent = `${(size / 1e6).toFixed(size < 1e5 ? 3 : 1)} MB · to ${share} %`;
}

async function show(query) {
  const window_ = await windowAt(query);
  parts = [{ ...window_, element: element(window_) }];
  box.replaceChildren(parts[0].element);
  say();
}

async function after() {
  const last = parts.at(-1);
  if (last.end >= size && !running) return;
  // The last part may end in half a line: it is read again from its beginning.
  const again = last.end === size && last.end - last.start < 65536;
  const window_ = await windowAt({ from: again ? last.start : last.end });
  if (window_.end <= last.end) { say(); return; }
  if (again) parts.pop().element.remove();
  parts.push({ ...window_, element: element(window_) });
  box.append(parts.at(-1).element);
  while (parts.length > MOST_PARTS) {
    const height = box.scrollHeight;
    parts.shift().element.remove();
    box.scrollTop -= height - box.scrollHeight;
  }
  say();
}

async function before() {
  if (!parts.length || parts[0].start === 0) return;
  const window_ = await windowAt({ before: parts[0].start });
  const height = box.scrollHeight;
  parts.unshift({ ...window_, element: element(window_) });
  box.prepend(parts[0].element);
  box.scrollTop += box.scrollHeight - height;
  while (parts.length > MOST_PARTS) parts.pop().element.remove();
  say();
}

// A window that is not filled cannot be scrolled: a single line may be longer than a part, and take no room.
async function fill() {
  while (parts.length && parts.at(-1).end < size && box.scrollHeight - box.scrollTop - box.clientHeight < NEAR) {
    const end = parts.at(-1).end;
    await after();
    if (parts.at(-1).end === end) return;
  }
  while (parts.length && parts[0].start > 0 && box.scrollHeight <= box.clientHeight) {
    const start = parts[0].start;
    await before();
    if (parts[0].start === start) return;
  }
}

async function alone(action) {
  if (busy) return;
  busy = true;
  try { await action(); await fill(); } catch (error) { place.textContent = error.message; } finally { busy = false; }
}

box.addEventListener("scroll", () => {
  const below = box.scrollHeight - box.scrollTop - box.clientHeight;
  if (below > 40) follow.checked = follow.checked && below < NEAR;
  if (box.scrollTop < NEAR) alone(before);
  else if (below < NEAR && parts.length && parts.at(-1).end < size) alone(after);
});

const toEnd = async () => { await show({ before: size }); box.scrollTop = box.scrollHeight; };

async function find(direction) {
  if (!search.value) return;
  const from = hit === null ? (direction === "next" ? 0 : size) : hit + (direction === "next" ? 1 : 0);
  const { at } = await answered("log/find", { text: search.value, from, direction });
  if (at === null || at === undefined) { hit = null; place.textContent = "Not found; the next search begins anew"; return; }
  hit = at;
  follow.checked = false;
  // From the beginning of its line on: the part before it ends there.
  const window_ = await windowAt({ before: at, length: 4096 });
  await show({ from: window_.end > window_.start && window_.lines.length ? window_.start : Math.max(0, at) });
  const bytes = new TextEncoder();
  let offset = parts[0].start;
  const marks = [...box.querySelectorAll("mark")];
  const near = marks.find((mark) => { offset = parts[0].start + bytes.encode(textBefore(mark)).length; return offset >= at - 200; }) ?? marks[0];
  near?.scrollIntoView({ block: "center" });
  near?.classList.add("hit");
}

function textBefore(mark) {
  const range = document.createRange();
  range.setStart(box, 0);
  range.setEndBefore(mark);
  return range.toString();
}

document.getElementById("log-controls").addEventListener("submit", (event) => { event.preventDefault(); alone(() => find("next")); });
document.getElementById("log-previous").addEventListener("click", () => alone(() => find("previous")));
document.getElementById("log-start").addEventListener("click", () => alone(async () => { follow.checked = false; await show({ from: 0 }); box.scrollTop = 0; }));
document.getElementById("log-end").addEventListener("click", () => alone(toEnd));
search.addEventListener("input", () => { hit = null; });
follow.addEventListener("change", () => { if (follow.checked) alone(toEnd); });

async function live() {
  const behind = follow.checked && parts.length && parts.at(-1).end < size;
  if (!running && !behind) return false;
  await alone(async () => {
    if (!follow.checked && !(parts.length && parts.at(-1).end >= size)) return;
    if (!parts.length || !size) await show({ from: 0 });
    else await after();
    if (follow.checked) box.scrollTop = box.scrollHeight;
  });
  return true;
}

await alone(follow.checked ? toEnd : () => show({ from: 0 }));
keep(live, LIVE_MS);
