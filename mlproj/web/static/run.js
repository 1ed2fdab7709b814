// A run that goes on: its head and its values change while they are looked at.
import { ask, keep } from "./asking.js";
import { dress } from "./main.js";

const LOOK_AGAIN_MS = 2000;
const PARTS = ["head", "metrics", "parameters"];

async function look() {
  const head = document.getElementById("head");
  if (head.dataset.status !== "running") return false;
  if (document.querySelector("dialog[open]")) return true;
  const answer = await ask(location.pathname + location.search);
  if (!answer) return true;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const next = fresh.getElementById("head");
  // A page that ended may have more to show than these parts: it is loaded anew, unless its log is being read.
  if (next && next.dataset.status !== "running" && !document.getElementById("log")) { location.reload(); return false; }
  for (const id of PARTS) {
    const [old, its] = [document.getElementById(id), fresh.getElementById(id)];
    if (!old || !its) continue;
    const [mine, other] = id === "head" ? [old, its] : [old.closest("section"), its.closest("section")];
    if (!mine.contains(document.activeElement)) mine.replaceWith(other);
  }
  const drawn = (root) => root.querySelectorAll("[data-metric]").length;
  if (next && !document.getElementById("log") && drawn(fresh) > drawn(document)) location.reload();
  dress();
  return true;
}

keep(look, LOOK_AGAIN_MS);
