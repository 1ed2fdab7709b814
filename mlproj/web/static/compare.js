// Runs side by side: parallel coordinates and a scatter plot, drawn as SVG, and the table with differences alone.
const SVG = "http://www.w3.org/2000/svg";
const data = JSON.parse(document.getElementById("compared").dataset.compared);
const MOST_AXES = 14;
const short = (value) => (Number.isInteger(value) && Math.abs(value) < 1e9 ? String(value) : Number(value).toPrecision(4).replace(/\.?0+$/, ""));
const plain = (key) => key.slice(key.indexOf(".") + 1);

function node(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

const extremes = (values) => {
  const known = values.filter((value) => value !== null);
  return [Math.min(...known), Math.max(...known)];
};
const share = (value, [low, high]) => (high === low ? 0.5 : (value - low) / (high - low));

function canvas(id, label) {
  const place = document.getElementById(id);
  const [width, height] = [Math.max(320, place.clientWidth), place.clientHeight];
  const svg = node("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  place.replaceChildren(svg);
  return [svg, width, height];
}

function parallel() {
  const keys = Object.keys(data.keys).filter((key) => { const [low, high] = extremes(data.keys[key]); return low !== high; });
  // Parameters first, so that the lines run from what was chosen to what came of it.
  keys.sort((one, other) => Number(one.startsWith("metrics")) - Number(other.startsWith("metrics")));
  const axes = keys.slice(0, MOST_AXES);
  const place = document.getElementById("parallel-plot");
  if (axes.length < 2) { place.textContent = "Less than two numbers differ."; place.classList.remove("wide"); return; }
  const [svg, width, height] = canvas("parallel-plot", `Parallel coordinates of ${axes.map(plain).join(", ")}; the values are in the table above`);
  const [left, top, bottom] = [60, 34, 26];
  const x = (index) => left + (index * (width - 2 * left)) / (axes.length - 1);
  const y = (value, range) => height - bottom - share(value, range) * (height - top - bottom);
  axes.forEach((key, index) => {
    const range = extremes(data.keys[key]);
    svg.append(node("line", { x1: x(index), x2: x(index), y1: top, y2: height - bottom, class: "axis-line" }));
    const name = plain(key);
    svg.append(node("text", { x: x(index), y: 14, class: "axis-text", "text-anchor": "middle" }, name.length > 16 ? `${name.slice(0, 15)}…` : name));
    svg.append(node("text", { x: x(index), y: 28, class: "axis-text", "text-anchor": "middle" }, short(range[1])));
    svg.append(node("text", { x: x(index), y: height - 10, class: "axis-text", "text-anchor": "middle" }, short(range[0])));
  });
  data.runs.forEach((run, number) => {
    let path = "", drawing = false;
    axes.forEach((key, index) => {
      const value = data.keys[key][number];
      if (value !== null) path += `${drawing ? "L" : "M"}${x(index).toFixed(1)} ${y(value, extremes(data.keys[key])).toFixed(1)}`;
      drawing = value !== null;
    });
    const line = node("path", { d: path, class: `strand s${number % 8}` });
    line.append(node("title", {}, run.name));
    svg.append(line);
  });
}

function scatter() {
  const [across, up] = [document.getElementById("scatter-x").value, document.getElementById("scatter-y").value];
  if (!across || !up) return;
  const [svg, width, height] = canvas("scatter-plot", `${plain(up)} over ${plain(across)}; the values are in the table above`);
  const [left, bottom, top, right] = [76, 40, 16, 90];
  const ranges = [extremes(data.keys[across]), extremes(data.keys[up])];
  const x = (value) => left + share(value, ranges[0]) * (width - left - right);
  const y = (value) => height - bottom - share(value, ranges[1]) * (height - top - bottom);
  svg.append(node("line", { x1: left, x2: width - right, y1: height - bottom, y2: height - bottom, class: "axis-line" }));
  svg.append(node("line", { x1: left, x2: left, y1: top, y2: height - bottom, class: "axis-line" }));
  for (const part of [0, 0.5, 1]) {
    const [a, b] = [ranges[0][0] + part * (ranges[0][1] - ranges[0][0]), ranges[1][0] + part * (ranges[1][1] - ranges[1][0])];
    svg.append(node("text", { x: left + part * (width - left - right), y: height - bottom + 16, class: "axis-text", "text-anchor": "middle" }, short(a)));
    svg.append(node("text", { x: left - 8, y: height - bottom - part * (height - top - bottom) + 4, class: "axis-text", "text-anchor": "end" }, short(b)));
  }
  svg.append(node("text", { x: (left + width - right) / 2, y: height - 6, class: "axis-text", "text-anchor": "middle" }, plain(across)));
  data.runs.forEach((run, number) => {
    const [a, b] = [data.keys[across][number], data.keys[up][number]];
    if (a === null || b === null) return;
    const point = node("circle", { cx: x(a), cy: y(b), r: 5, class: `f${number % 8}` });
    point.append(node("title", {}, `${run.name}: ${short(a)}, ${short(b)}`));
    svg.append(point);
    if (data.runs.length <= 20) svg.append(node("text", { x: x(a) + 9, y: y(b) + 4, class: "axis-text" }, run.name.slice(0, 14)));
  });
}

function choices() {
  const keys = Object.keys(data.keys);
  const [across, up] = [document.getElementById("scatter-x"), document.getElementById("scatter-y")];
  for (const choice of [across, up]) for (const key of keys) choice.append(new Option(key, key));
  const differs = (key) => { const [low, high] = extremes(data.keys[key]); return low !== high; };
  across.value = keys.find((key) => key.startsWith("params.") && differs(key)) ?? keys[0] ?? "";
  up.value = keys.find((key) => key.startsWith("metrics.") && differs(key)) ?? keys.at(-1) ?? "";
  if (!keys.length) document.getElementById("scatter-plot").textContent = "The runs have no numbers in common.";
  across.addEventListener("change", scatter);
  up.addEventListener("change", scatter);
}

document.getElementById("only-differing").addEventListener("change", (event) => {
  for (const table of document.querySelectorAll(".compare")) table.classList.toggle("only-differing", event.target.checked);
});

choices();
parallel();
scatter();
addEventListener("resize", () => { parallel(); scatter(); });
