// What a run's processes took over time: CPU, memory, GPU, each where there are samples of it.
import { ask, keep } from "./asking.js";

const LOOK_AGAIN_MS = 3000;
const run = document.getElementById("head").dataset.run;
const region = document.getElementById("resources");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const KINDS = [
  ["cpu_percent", "CPU, % (100 is one core)", (value) => value],
  ["memory_bytes", "Memory, MB", (value) => value / 1e6],
  ["gpu_percent", "GPU, %", (value) => value],
  ["gpu_memory_bytes", "GPU memory, MB", (value) => value / 1e6],
];

function draw(samples, key, title, scale) {
  const figure = document.createElement("figure");
  figure.className = "chart";
  const heading = document.createElement("figcaption");
  const name = document.createElement("span");
  const extremes = document.createElement("span");
  const values = samples.map((sample) => (sample[key] === null ? null : scale(sample[key])));
  const highest = Math.max(...values.filter((value) => value !== null));
  name.textContent = title;
  extremes.className = "extremes";
  extremes.textContent = `at most ${highest.toPrecision(4).replace(/\.?0+$/, "")}`;
  heading.append(name, extremes);
  const place = document.createElement("div");
  place.className = "plot";
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", `${title}: ${extremes.textContent}`);
  figure.append(heading, place);
  region.append(figure);
  const lines = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "11px system-ui" };
  const began = samples[0].at_ms;
  new uPlot(
    { width: place.clientWidth, height: 220, legend: { show: false }, scales: { x: { time: false }, y: { range: [0, highest * 1.1 || 1] } }, axes: [{ ...lines, size: 28 }, { ...lines, size: 56 }], series: [{}, { stroke: colour("--c0"), width: 1.6 }] },
    [samples.map((sample) => (sample.at_ms - began) / 1000), values],
    place,
  );
}

async function show() {
  const answer = await ask(`/api/runs/${run}/resources`);
  if (!answer?.ok) return;
  const { samples } = await answer.json();
  region.replaceChildren();
  for (const [key, title, scale] of KINDS) {
    if (samples.some((sample) => sample[key] !== null)) draw(samples, key, title, scale);
  }
}

show();
document.addEventListener("theme", show);
if (document.getElementById("head").dataset.status === "running") keep(show, LOOK_AGAIN_MS);
