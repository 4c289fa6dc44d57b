// The charts, by uPlot: colours of the page, ticks at round figures, and what the pointer is near.
const HEIGHT = 300;
const NEAR_PX = 40;
const COLOURS = 10;
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const palette = (number) => colour(`--c${number % COLOURS}`);
// Beyond the colours, lines of one colour differ by the gaps of their dashes.
const gap = (number) => 4 * Math.floor(number / COLOURS);
const short = (value) => (value >= 1e6 ? `${+(value / 1e6).toPrecision(3)} M` : `${+value.toPrecision(3)}`);
const percentDown = (share) => `${Math.floor(1e4 * share + 1e-6) / 100} %`; // so that 100 % are all
const drawn = new Map();

// 1, 2 and 5 of each power of ten; steps of a round size where there are too few of these.
function logTicks(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power += 1) {
    for (const digit of high / low > 2000 ? [1] : [1, 2, 5]) ticks.push(digit * 10 ** power);
  }
  const inside = ticks.filter((tick) => tick >= low && tick <= high);
  return inside.length >= 3 ? inside : linearTicks(low, high);
}

function linearTicks(low, high, about = 5) {
  const rough = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= rough);
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step / 1e6; tick += step) ticks.push(+tick.toPrecision(12));
  return ticks;
}

const axis = (label, isLog, said = short) => ({
  label, labelSize: 22, font: "12px system-ui", labelFont: "12px system-ui", size: 32, stroke: colour("--text"),
  grid: { stroke: colour("--grid"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 },
  splits: (plot, _, low, high) => (isLog ? logTicks(low, high)
    : linearTicks(low, high, Math.max(2, Math.min(8, plot.width / 110)))),
  filter: (_, ticks) => ticks, values: (_, ticks) => ticks.map(said),
});

function around(values, isLog) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (isLog) return [low / 1.25, high * 1.25];
  const margin = (high - low || Math.abs(high) || 1) * 0.12;
  return [low - margin, high + margin];
}

function clear(id) {
  drawn.get(id)?.destroy();
  drawn.delete(id);
  const box = document.getElementById(id);
  box.replaceChildren();
  return box;
}

// `points` are {x, y, low, high, colour, name, text}; the pointer is told the text of the nearest.
function draw(id, { x, y, series = [], rows, points = [], lines = [], nearestX = false, extra = {} }) {
  const box = clear(id);
  const tip = make("div", "", { class: "tip", hidden: "" });
  const plot = new uPlot({
    width: Math.max(240, box.clientWidth - 22), height: HEIGHT, legend: { show: false }, padding: [12, 16, 0, 0],
    scales: { x: { time: false, distr: x.isLog ? 3 : 1, range: x.range }, y: { distr: y.isLog ? 3 : 1, range: y.range }, ...extra.scales },
    axes: [axis(x.label, x.isLog, x.said), { ...axis(y.label, y.isLog, y.said), size: 56 }, ...(extra.axes ?? [])],
    series: [{}, ...series], cursor: { drag: { x: false, y: false }, points: { show: false }, y: !nearestX },
    hooks: { draw: [(u) => { guides(u, lines); marks(u, points); }], setCursor: [(u) => hover(u, points, tip, nearestX)] },
  }, rows, box);
  plot.over.append(tip);
  drawn.set(id, plot);
  return plot;
}

function marks(plot, points) {
  const { ctx } = plot;
  const dots = devicePixelRatio;
  ctx.save();
  ctx.font = `${12 * dots}px system-ui, sans-serif`;
  ctx.textBaseline = "alphabetic";
  ctx.setLineDash([]);
  for (const point of points.filter((each) => each.colour)) {
    const [left, top] = [plot.valToPos(point.x, "x", true), plot.valToPos(point.y, "y", true)];
    ctx.strokeStyle = ctx.fillStyle = point.colour;
    ctx.lineWidth = 1.5 * dots;
    if (point.low !== null || point.high !== null) {
      const ends = [point.low ?? point.y, point.high ?? point.y].map((each) => plot.valToPos(each, "y", true));
      ctx.beginPath();
      ctx.moveTo(left, ends[0]);
      ctx.lineTo(left, ends[1]);
      for (const end of ends) { ctx.moveTo(left - 4 * dots, end); ctx.lineTo(left + 4 * dots, end); }
      ctx.stroke();
    }
    ctx.beginPath();
    ctx.arc(left, top, 4.5 * dots, 0, 2 * Math.PI);
    ctx.fill();
    if (!point.name) continue;
    const isRight = left > plot.bbox.left + 0.6 * plot.bbox.width;
    ctx.textAlign = isRight ? "right" : "left";
    ctx.fillText(point.name, left + (isRight ? -9 : 9) * dots, top + (isRight ? -7 : 17) * dots);
  }
  ctx.restore();
}

// Lines across a chart: {x or y, text, soft}.
function guides(plot, lines) {
  const { ctx, bbox } = plot;
  const dots = devicePixelRatio;
  ctx.save();
  ctx.font = `${12 * dots}px system-ui, sans-serif`;
  ctx.textBaseline = "alphabetic";
  for (const line of lines) {
    const scale = line.x === undefined ? "y" : "x";
    const at = plot.valToPos(line[scale], scale, true);
    const isInside = scale === "x" ? at >= bbox.left && at <= bbox.left + bbox.width : at >= bbox.top && at <= bbox.top + bbox.height;
    if (!isInside) continue;
    ctx.strokeStyle = ctx.fillStyle = colour(line.soft ? "--soft" : "--bad");
    ctx.setLineDash([5 * dots, 4 * dots]);
    ctx.beginPath();
    if (scale === "x") { ctx.moveTo(at, bbox.top); ctx.lineTo(at, bbox.top + bbox.height); }
    else { ctx.moveTo(bbox.left, at); ctx.lineTo(bbox.left + bbox.width, at); }
    ctx.stroke();
    ctx.setLineDash([]);
    const isRight = scale === "x" && at > bbox.left + 0.8 * bbox.width;
    ctx.textAlign = isRight ? "right" : "left";
    if (scale === "x") ctx.fillText(line.text, at + (isRight ? -4 : 4) * dots, line.soft ? bbox.top + bbox.height - 6 * dots : bbox.top + 12 * dots);
    else ctx.fillText(line.text, bbox.left + 4 * dots, at - 4 * dots);
  }
  ctx.restore();
}

function hover(plot, points, tip, nearestX) {
  const { left, top } = plot.cursor;
  const away = (point) => {
    const across = plot.valToPos(point.x, "x") - left;
    return nearestX ? Math.abs(across) : Math.hypot(across, plot.valToPos(point.y, "y") - top);
  };
  const nearest = left < 0 ? undefined : points.reduce((best, each) => (!best || away(each) < away(best) ? each : best), undefined);
  tip.hidden = !nearest || (!nearestX && away(nearest) > NEAR_PX);
  if (tip.hidden) return;
  tip.textContent = nearest.text;
  const at = plot.valToPos(nearest.x, "x");
  const isRight = at > plot.over.clientWidth / 2;
  tip.style.left = isRight ? "" : `${at + 10}px`;
  tip.style.right = isRight ? `${plot.over.clientWidth - at + 10}px` : "";
  tip.style.top = `${Math.max(0, Math.min(plot.over.clientHeight - 60, top - 20))}px`;
}

const between = ({ low, high }, said) => (low === null && high === null ? "" : ` [${low === null ? "?" : said(low)}, ${high === null ? "?" : said(high)}]`);
const keys = (id, names) => document.getElementById(id).replaceChildren(
  ...names.map((name, number) => make("li", name, { style: `--key: var(--c${number % COLOURS}); --gap: ${gap(number)}px` })));

function drawCurves() {
  const curves = data.curves;
  const points = curves.flatMap(({ name, points: own }, number) => own.map((point) => ({
    ...point, colour: palette(number),
    text: `${name}\n${short(point.x)} requests/s (${point.load})\np99 ${short(point.y)} ms${between(point, short)}`,
  })));
  const heights = points.flatMap(({ y, low, high }) => [y, low ?? y, high ?? y]);
  draw("curves", {
    x: { label: "requests/s offered to one replica", range: [0, Math.max(...points.map(({ x }) => x)) * 1.06] },
    y: { label: "p99, ms", isLog: true, range: around([...heights, data.slo_ms], true) },
    rows: uPlot.join(curves.map(({ points: own }) => [own.map(({ x }) => x), own.map(({ y }) => y)])),
    series: curves.map((_, number) => ({ stroke: palette(number), dash: gap(number) ? [8, gap(number)] : [], width: 2, spanGaps: true, points: { show: false } })),
    points, lines: [{ y: data.slo_ms, text: `SLO ${data.slo_ms} ms` }],
  });
  keys("curve-keys", curves.map(({ name }) => name));
}

function drawCosts() {
  const cost = document.getElementById("cost").value;
  const shown = data.costs.filter((each) => each.costs[cost] !== undefined)
    .sort((one, other) => one.costs[cost] - other.costs[cost]);
  const percent = (value) => `${+(100 * value).toFixed(1)} %`;
  const points = shown.map(({ name, accuracy, costs }) => ({
    x: costs[cost], y: accuracy.value, low: accuracy.low, high: accuracy.high, name,
    colour: palette(data.costs.findIndex((each) => each.name === name)),
    text: `${name}\naccuracy ${percent(accuracy.value)}${between(accuracy, percent)}\n${cost}: ${short(costs[cost])}`,
  }));
  document.getElementById("costs").setAttribute("aria-label", `Accuracy against ${cost}, cheapest first: `
    + points.map(({ x, y, name }) => `${name} ${percent(y)} for ${short(x)}`).join("; "));
  // The line joins those that nothing cheaper matches.
  const best = points.map(({ y }, at) => (points.slice(0, at).every((cheaper) => cheaper.y < y) ? y : null));
  draw("costs", {
    x: { label: cost, isLog: true, range: around(points.map(({ x }) => x), true).map((each, at) => each * [0.8, 1.25][at]) },
    y: { label: "accuracy", said: percent, range: around(points.flatMap(({ y, low, high }) => [y, low ?? y, high ?? y]), false) },
    rows: [points.map(({ x }) => x), best],
    series: [{ stroke: colour("--soft"), dash: [4, 4], width: 1.5, spanGaps: true, points: { show: false } }],
    points,
  });
}

function drawLoad() {
  const load = data.loads[document.getElementById("variant").value]?.[document.getElementById("load").value];
  if (!load) return;
  drawDistribution(load.histogram, load);
  drawTimeline(load.timeline);
}

const sum = (counts) => counts.reduce((total, each) => total + each, 0);
const lacking = (count) => (count ? `${count} not answered with 200` : "all answered with 200");
const milliseconds = (value) => (value === null ? "unanswered" : `${short(value)} ms`);
const say = (id, text) => { document.getElementById(`${id}-said`).textContent = text; };

function drawDistribution({ edges_ms: edges, counts, unanswered }, { p50_ms: p50, p99_ms: p99, within_slo: within }) {
  const total = sum(counts) + unanswered;
  say("distribution", total ? `${total} requests, ${lacking(unanswered)}${unanswered ? " and not drawn, as slower than any limit" : ""}: `
    + `p50 ${milliseconds(p50)}, p99 ${milliseconds(p99)}, ${percentDown(within)} within the SLO of ${data.slo_ms} ms.`
    : "No round of this load counts.");
  if (!counts.length) return clear("distribution");
  let below = 0;
  const points = counts.map((count, at) => {
    below += count;
    return {
      x: Math.sqrt(edges[at] * edges[at + 1]), y: count,
      text: `${short(edges[at])} to ${short(edges[at + 1])} ms\n${count} requests\n${percentDown(below / total)} took at most ${short(edges[at + 1])} ms`,
    };
  });
  draw("distribution", {
    x: { label: "latency, ms", isLog: true, range: [edges[0], edges.at(-1)] },
    y: { label: "requests", range: [0, Math.max(...counts) * 1.1] },
    rows: [edges, [...counts, 0]], nearestX: true, points, lines: [{ x: data.slo_ms, text: `SLO ${data.slo_ms} ms` }],
    series: [{ stroke: palette(0), fill: `${palette(0)}55`, width: 1.5, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } }],
  });
}

function span(slices) {
  const known = slices.filter((each) => each !== null);
  return known.length ? `from ${short(Math.min(...known))} to ${short(Math.max(...known))} ms` : "unknown";
}

function drawTimeline({ slice_s: slice, round, start_s: start, requests, failed, p50_ms: p50, p99_ms: p99 }) {
  const lost = sum(failed);
  const few = requests.some((count) => count > 0 && count < 100);
  say("timeline", round.length ? `Slices of ${short(slice)} s: p50 ${span(p50)}, p99 ${span(p99)}; ${lacking(lost)}.`
    + `${few ? " A slice of fewer than 100 requests has no p99." : ""}` : "");
  const at = round.map((_, number) => (number + 0.5) * slice);
  const known = [...p50, ...p99].filter((each) => each !== null);
  if (!round.length) return clear("timeline");
  const points = at.map((x, number) => ({
    x, y: p99[number] ?? 1,
    text: `round ${round[number] + 1}, second ${short(start[number])}\np50 ${p50[number] === null ? "–" : short(p50[number])} ms, `
      + `p99 ${p99[number] === null ? "–" : short(p99[number])} ms\n${requests[number]} requests, ${lacking(failed[number])}`,
  }));
  const firsts = round.flatMap((each, number) => (each === round[number - 1] ? [] : [number]));
  draw("timeline", {
    x: { label: "measured seconds, round after round", range: [0, round.length * slice] },
    y: { label: "ms", isLog: true, range: around(!known.length || data.slo_ms < 4 * Math.max(...known) ? [...known, data.slo_ms] : known, true) },
    rows: [at, p50, p99, failed.map((each) => each || null)], nearestX: true, points,
    lines: [...firsts.map((number) => ({ x: number * slice, text: `round ${round[number] + 1}`, soft: true })),
      { y: data.slo_ms, text: `SLO ${data.slo_ms} ms` }],
    series: [...[0, 1].map((number) => ({ stroke: palette(number), width: 2, points: { show: true, size: 5, fill: palette(number) } })),
      { scale: "failed", fill: `${colour("--bad")}88`, stroke: colour("--bad"), paths: uPlot.paths.bars({ size: [0.6] }), points: { show: false } }],
    extra: {
      scales: { failed: { range: [0, Math.max(1, ...failed) * 3] } },
      axes: lost ? [{ ...axis("not answered with 200", false), scale: "failed", side: 1, size: 48, grid: { show: false } }] : [],
    },
  });
}

function drawAll() {
  if (data.curves.length) drawCurves();
  if (data.costs.length) drawCosts();
  drawLoad();
}

const loadsOf = () => Object.keys(data.loads[document.getElementById("variant").value] ?? {});
const load = document.getElementById("load");
choose(document.getElementById("variant"), Object.keys(data.loads), data.start.variant, () => {
  const kept = load.value;
  load.replaceChildren(...loadsOf().map((name) => make("option", name, { value: name })));
  if (loadsOf().includes(kept)) load.value = kept;
  drawLoad();
});
choose(load, loadsOf(), data.start.load, drawLoad);
if (data.costs.length) choose(document.getElementById("cost"), data.cost_names, data.cost_names[0], drawCosts);
keys("timeline-keys", ["p50", "p99"]);
drawAll();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth !== width) drawAll();
  width = innerWidth;
});
