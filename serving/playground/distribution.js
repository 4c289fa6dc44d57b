/* global uPlot */
import { axisColours, colour } from "./colours.js";
import { $, el, percent } from "./dom.js";

let charts = [];

// A figure for each stage, in place of those that were drawn before.
export function distributions(stages) {
  for (const each of charts) each.destroy();
  charts = [];
  return stages.map(distribution);
}

// How confident a stage was of the calibration texts, and from where on its answer is final.
function distribution({ variant, threshold, confidences }) {
  const first = Math.max(0, confidences.findIndex((share) => share > 0));
  const shares = confidences.slice(first);
  const middles = shares.map((_, at) => (first + at + 0.5) / confidences.length);
  const escalated = confidences.reduce((sum, share, at) => sum + ((at + 1) / confidences.length <= threshold ? share : 0), 0);
  const box = el("div", { class: "chart", role: "img", "aria-label": `Confidence of ${variant} on the calibration texts: `
    + `${percent(Math.max(...shares))} in the fullest twentieth, at least ${percent(escalated)} below the threshold ${percent(threshold)}` });
  const figure = el("figure", { class: "card" }, el("figcaption", {}, `Confidence of ${variant}; final from ${percent(threshold)} on`), box);
  requestAnimationFrame(() => plot(box, middles, shares, threshold, first / confidences.length));
  return figure;
}

function plot(box, middles, shares, threshold, least) {
  const axes = axisColours();
  charts.push(new uPlot({
    width: Math.max(260, Math.min(640, $("cascade").clientWidth - 64)),
    height: 200,
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: false, range: [least, 1] }, y: { range: [0, Math.max(...shares) * 1.1] } },
    axes: [{ ...axes, values: (_, ticks) => ticks.map(percent), space: 70 }, { ...axes, values: (_, ticks) => ticks.map(percent), size: 70 }],
    series: [{}, { paths: uPlot.paths.bars({ size: [0.9] }), fill: colour("--accent"), stroke: colour("--accent"), points: { show: false } }],
    hooks: { draw: [(chart) => line(chart, threshold)] },
  }, [middles, shares], box));
}

export function line(chart, threshold) {
  const { ctx, bbox } = chart;
  const x = chart.valToPos(threshold, "x", true);
  ctx.save();
  ctx.strokeStyle = colour("--text");
  ctx.lineWidth = 2 * devicePixelRatio;
  ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  ctx.restore();
}
