/* global uPlot */
import { axisColours, colour } from "./colours.js";
import { $, bytes, ms, percent } from "./dom.js";

let chart = null;

// Accuracy with its interval against a measured cost; `chosen` is told the variant's place.
export function draw(variants, axis, chosen) {
  chart?.destroy();
  $("chart").replaceChildren();
  const points = variants.filter((each) => each.accuracy).sort((one, other) => one[axis] - other[axis]);
  $("frontier").hidden = points.length === 0;
  if (!points.length) return;
  const said = axis === "bytes" ? bytes : ms;
  const axes = axisColours();
  const costs = points.map((each) => each[axis]);
  const accuracies = points.map((each) => each.accuracy.value);
  // The line joins those that nothing cheaper matches.
  const best = accuracies.map((each, at) => (accuracies.slice(0, at).every((cheaper) => cheaper < each) ? each : null));
  const lows = points.map((each) => each.accuracy.low);
  const highs = points.map((each) => each.accuracy.high);
  const [least, most] = [Math.min(...lows), Math.max(...highs)];
  const margin = (most - least || 0.02) * 0.15;
  const around = (Math.max(...costs) - Math.min(...costs) || Math.max(...costs)) * 0.2;
  chart = new uPlot({
    width: Math.max(260, $("chart").clientWidth - 32),
    height: 300,
    legend: { show: false },
    scales: {
      x: { time: false, range: [Math.max(0, Math.min(...costs) - around), Math.max(...costs) + around] },
      y: { range: [Math.max(0, least - margin), Math.min(1, most + margin)] },
    },
    axes: [
      { ...axes, values: (_, ticks) => ticks.map((each) => (axis === "bytes" ? bytes(each) : `${each} ms`)), space: 80 },
      { ...axes, values: (_, ticks) => ticks.map(percent), size: 70 },
    ],
    series: [{}, { paths: () => null, stroke: colour("--accent"), width: 2, points: { size: 10, fill: colour("--accent") } },
      { stroke: colour("--accent"), width: 2, spanGaps: true, points: { show: false } }],
    cursor: { drag: { x: false, y: false }, y: false },
    hooks: {
      draw: [(plot) => intervals(plot, points, axis)],
      setCursor: [(plot) => {
        const at = plot.cursor.idx;
        if (at === null || at === undefined) return;
        const { variant, accuracy } = points[at];
        $("hovered").textContent = `${variant}: ${percent(accuracy.value)} (${percent(accuracy.low)} to ${percent(accuracy.high)}), ${said(points[at][axis])}`;
      }],
    },
  }, [costs, accuracies, best], $("chart"));
  chart.over.addEventListener("click", () => {
    const at = chart.cursor.idx;
    if (at !== null && at !== undefined) chosen(points[at].variant);
  });
}

function intervals(plot, points, axis) {
  const context = plot.ctx;
  context.save();
  context.strokeStyle = context.fillStyle = colour("--text");
  context.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
  context.textAlign = "center";
  for (const point of points) {
    const x = plot.valToPos(point[axis], "x", true);
    const [low, high] = [point.accuracy.low, point.accuracy.high].map((each) => plot.valToPos(each, "y", true));
    context.beginPath();
    context.moveTo(x, low);
    context.lineTo(x, high);
    context.stroke();
    context.fillText(point.variant, x, high - 6);
  }
  context.restore();
}
