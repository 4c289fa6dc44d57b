/* global uPlot */
import { axisColours, colour } from "./colours.js";
import { $, el, percent, table } from "./dom.js";
import { line } from "./distribution.js";

const MOST_CHARTS = 12;
const RATES = [["recall", "--accent"], ["false_positive_rate", "--bad"]];
let charts = [];

const interval = ({ value, low, high }) => `${percent(value)} (${percent(low)} to ${percent(high)})`;
const limit = ({ label, max_false_positive_rate: rate, min_recall: recall }) => (rate === null || rate === undefined
  ? `${label}: recall at least ${percent(recall)}` : `${label}: false-positive rate at most ${percent(rate)}`);

const decided = ({ deciders }) => deciders.flatMap(({ variant, labels }) => labels.map((label) => ({ name: variant ?? "cascade", ...label })));

// What is decided from which score on, what is promised of it, and the curves.
export function showDecisions({ decisions, undecided }) {
  $("decisions").hidden = !decisions;
  if (!decisions) return;
  const rows = decided(decisions).map((its) => [its.name, its.label, percent(its.threshold), interval(its.false_positive_rate), interval(its.recall)]);
  const missing = undecided.length ? [el("p", { class: "warning" }, `Without decisions, so that "flagged" is null: ${undecided.join(", ")}.`)] : [];
  $("decisions").replaceChildren(el("h2", {}, "Decisions"),
    el("p", {}, `Guarantee of each row of answers by itself: with probability ${percent(decisions.confidence)}, ${decisions.targets.map(limit).join("; ")}.`),
    ...missing,
    table("Thresholds", ["Answers of", "Label", "Flagged from", "False-positive rate", "Recall"], rows),
    el("div", { id: "curves" }));
  drawCurves({ decisions });
}

export function drawCurves({ decisions }) {
  for (const chart of charts) chart.destroy();
  charts = [];
  if (!decisions) return;
  $("curves").replaceChildren(...decided(decisions).filter((its) => its.curve.length > 1).slice(0, MOST_CHARTS).map(curve));
}

function curve(its) {
  const box = el("div", { class: "chart", role: "img", "aria-label": `Recall and false-positive rate of ${its.name} for ${its.label} at `
    + `${its.curve.length} thresholds; at ${percent(its.threshold)}, which was chosen: ${interval(its.recall)} and ${interval(its.false_positive_rate)}` });
  requestAnimationFrame(() => plot(box, its));
  return el("figure", { class: "card" }, el("figcaption", {}, `${its.name}, ${its.label}: recall and, below it, false-positive rate by threshold, with 95 % intervals`), box);
}

function plot(box, its) {
  const axes = axisColours();
  const values = (rate, end) => its.curve.map((point) => point[rate][end]);
  const series = RATES.flatMap(([, name]) => [
    { stroke: colour(name), points: { show: false } },
    ...["high", "low"].map(() => ({ stroke: "transparent", points: { show: false } })),
  ]);
  charts.push(new uPlot({
    width: Math.max(260, Math.min(640, $("decisions").clientWidth - 64)),
    height: 200,
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: false, range: [0, 1] }, y: { range: [0, 1] } },
    axes: [{ ...axes, values: (_, ticks) => ticks.map(percent), space: 70 }, { ...axes, values: (_, ticks) => ticks.map(percent), size: 70 }],
    series: [{}, ...series],
    bands: RATES.map(([, name], at) => ({ series: [3 * at + 2, 3 * at + 3], fill: `${colour(name)}33` })),
    hooks: { draw: [(chart) => line(chart, its.threshold)] },
  }, [its.curve.map((point) => point.threshold), ...RATES.flatMap(([rate]) => ["value", "high", "low"].map((end) => values(rate, end)))], box));
}
