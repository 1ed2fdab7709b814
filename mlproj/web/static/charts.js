// Curves of metrics: fetched when they come into sight, thinned by the server to what can be drawn, finer when zoomed.
import { ask, keep } from "./asking.js";

const POINTS = 1000;
const LIVE_MS = 2000;
const places = new Map();
const form = document.getElementById("chart-controls");
const settings = () => ({
  smoothing: Number(form?.elements.smoothing.value ?? 0),
  log: form?.elements.log.checked ?? false,
  axis: form?.elements.axis.value ?? "step",
});

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const numberOf = (value) => (value === null || typeof value === "string" ? null : value);
export const text = (value) => (value === null || value === undefined ? "" : Number.isInteger(value) && Math.abs(value) < 1e15 ? String(value) : Number(value).toPrecision(6).replace(/\.?0+$/, ""));

// An exponential moving average whose first values are not drawn to zero (Kingma & Ba 2015, bias correction).
export function smoothed(values, weight) {
  if (!weight) return values;
  let last = 0, count = 0;
  return values.map((value) => {
    if (value === null) return null;
    last = last * weight + (1 - weight) * value;
    count += 1;
    return last / (1 - weight ** count);
  });
}

function positions(curve, axis) {
  if (axis === "step") return curve.steps;
  return curve.times_ms.map((at) => (axis === "time" ? (at - curve.began_ms) / 1000 : at / 1000));
}

// uPlot takes columns: the x of all curves, and a y or nothing of each curve at each of them.
function joined(curves, chosen) {
  const tables = curves.map((curve) => {
    const xs = positions(curve, chosen.axis);
    let values = curve.values.map(numberOf);
    if (chosen.log) values = values.map((value) => (value > 0 ? value : null));
    const order = xs.map((_, index) => index).sort((one, other) => xs[one] - xs[other]);
    return [order.map((index) => xs[index]), smoothed(order.map((index) => values[index]), chosen.smoothing)];
  });
  if (tables.length === 1) return tables[0];
  return uPlot.join(tables, tables.map(() => [0, 1]));
}

function tip(place) {
  const box = document.createElement("div");
  box.className = "tip";
  box.hidden = true;
  return {
    hooks: {
      init: (plot) => plot.over.append(box),
      setCursor: (plot) => {
        const { idx, left } = plot.cursor;
        box.hidden = idx === null || idx === undefined || left < 0;
        if (box.hidden) return;
        const x = plot.data[0][idx];
        const lines = [];
        for (let series = 1; series < plot.data.length; series += 1) {
          const value = plot.data[series][idx];
          if (value !== null && value !== undefined) lines.push(`${place.curves.length > 1 ? plot.series[series].label + ": " : ""}${text(value)}`);
        }
        if (!lines.length) { box.hidden = true; return; }
        const where = settings().axis === "clock" ? new Date(x * 1000).toLocaleString() : text(x);
        box.replaceChildren(...[`${settings().axis} ${where}`, ...lines.slice(0, 12)].map((line) => {
          const row = document.createElement("div");
          row.textContent = line;
          return row;
        }));
        const right = left > plot.over.clientWidth / 2;
        box.style.left = right ? "" : `${left + 12}px`;
        box.style.right = right ? `${plot.over.clientWidth - left + 12}px` : "";
        box.style.top = "6px";
      },
    },
  };
}

function draw(place) {
  const chosen = settings();
  const data = joined(place.curves, chosen);
  const lines = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "11px system-ui" };
  const few = data[0].length < 40;
  const options = {
    width: place.element.clientWidth,
    height: 220,
    legend: { show: false },
    cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
    scales: { x: { time: chosen.axis === "clock" }, y: chosen.log ? { distr: 3 } : {} },
    axes: [{ ...lines, size: 28 }, { ...lines, size: 56, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : text(tick))) }],
    series: [{}, ...place.curves.map((curve, index) => ({
      label: curve.name || curve.run.slice(0, 12),
      stroke: colour(`--c${place.order[index] % 8}`),
      width: 1.6,
      dash: [[], [8, 4], [2, 3]][Math.floor(place.order[index] / 8) % 3],
      spanGaps: place.curves.length > 1,
      points: { show: few },
    }))],
    plugins: [tip(place)],
    hooks: {
      setSelect: [(plot) => {
        if (plot.select.width < 4) return;
        zoom(place, plot.posToVal(plot.select.left, "x"), plot.posToVal(plot.select.left + plot.select.width, "x"));
      }],
      ready: [(plot) => plot.over.addEventListener("dblclick", () => zoom(place, null, null))],
    },
  };
  place.plot?.destroy();
  place.plot = new uPlot(options, data, place.element);
  place.element.setAttribute("role", "img");
  place.element.setAttribute("aria-label", `Curve of ${place.metric}: ${place.extremes.textContent}`);
}

async function zoom(place, since, until) {
  place.range = since === null ? null : [since, until];
  await load(place);
}

async function load(place) {
  const query = new URLSearchParams(place.runs.map((run) => ["run", run]));
  query.set("metric", place.metric);
  query.set("points", POINTS);
  if (place.range) {
    const axis = settings().axis;
    query.set("axis", axis === "step" ? "step" : "time");
    const began = place.curves[0]?.began_ms ?? 0;
    const scale = (value) => Math.round(axis === "step" ? value : axis === "time" ? began + value * 1000 : value * 1000);
    query.set("since", scale(place.range[0]));
    query.set("until", scale(place.range[1]));
  }
  const answer = await ask(`/api/curves?${query}`);
  if (!answer?.ok) return;
  const { curves } = await answer.json();
  const had = curves.map((curve, index) => [curve, index]).filter(([curve]) => curve.steps.length);
  place.curves = had.map(([curve]) => curve);
  place.order = had.map(([, index]) => index);
  place.live = curves.some((curve) => curve.status === "running");
  place.extremes.textContent = had.length === 1 ? summary(had[0][0]) : `${had.length} of ${curves.length} runs`;
  if (had.length) draw(place);
  else place.element.textContent = "No points.";
}

const summary = (curve) => `last ${text(curve.values.at(-1))} · ${text(curve.lowest)} … ${text(curve.highest)}` + (curve.total > curve.steps.length ? ` · ${curve.total.toLocaleString("en")} points` : "");

const sight = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    sight.unobserve(entry.target);
    load(places.get(entry.target));
  }
}, { rootMargin: "200px" });

const width = new ResizeObserver((entries) => {
  for (const { target } of entries) places.get(target)?.plot?.setSize({ width: target.clientWidth, height: 220 });
});

function begin() {
  for (const region of document.querySelectorAll("[data-runs]")) {
    for (const figure of region.querySelectorAll("[data-metric]")) {
      const element = figure.querySelector(".plot");
      if (!element) continue;
      const extremes = figure.querySelector(".extremes");
      places.set(element, { element, extremes, metric: figure.dataset.metric, runs: JSON.parse(region.dataset.runs), curves: [], order: [], range: null });
      sight.observe(element);
      width.observe(element);
    }
  }
}

const redraw = () => { for (const place of places.values()) if (place.plot) draw(place); };
document.addEventListener("theme", redraw);
form?.addEventListener("input", (event) => {
  document.getElementById("smoothing-is").textContent = settings().smoothing;
  if (event.target.id === "metric-filter") {
    const part = event.target.value.toLowerCase();
    for (const figure of document.querySelectorAll("[data-metric]")) figure.hidden = !figure.dataset.metric.toLowerCase().includes(part);
  } else if (event.target.name === "axis") {
    for (const place of places.values()) if (place.plot) zoom(place, null, null);
  } else redraw();
});
form?.addEventListener("submit", (event) => event.preventDefault());
document.getElementById("unzoom")?.addEventListener("click", () => { for (const place of places.values()) if (place.range) zoom(place, null, null); });

async function follow() {
  for (const place of places.values()) if (place.live && !place.range) await load(place);
}

begin();
keep(follow, LIVE_MS);
