import "./theme.js";
import { call, keepKey } from "./api.js";
import { problem } from "./answer.js";
import { $, bytes, el, ms, percent, table } from "./dom.js";
import { draw } from "./frontier.js";
import { drawCurves, showDecisions } from "./decisions.js";
import { distributions } from "./distribution.js";
import { growth, parse, quantile, total } from "./metrics.js";

const EVERY_MS = 3000;
const INFER = "sizewise_request_duration_seconds";
let families = [];
let before = null;

const family = () => families.find((each) => each.model === $("model").value);
// A variant's accuracy on the split that nothing was chosen by.
const measured = (variant) => {
  const { evaluations } = variant;
  return { ...variant, accuracy: (evaluations.test ?? Object.values(evaluations)[0])?.accuracy };
};

async function load() {
  const answer = await call("v1/models");
  $("problem").replaceChildren(...(answer.ok ? [] : [problem(answer)]));
  if (!answer.ok) return;
  families = answer.json.models;
  $("model").replaceChildren(...families.map((each) => el("option", {}, each.model)));
  show();
}

function show() {
  if (!family()) return;
  before = null;
  const variants = family().variants.map(measured);
  draw(variants, $("axis").value, choose);
  $("variants").replaceChildren(...variants.map(card));
  showCascade(family());
  showDecisions(family());
}

function choose(name) {
  for (const each of $("variants").children) {
    const chosen = each.dataset.variant === name;
    each.classList.toggle("chosen", chosen);
    each.querySelector("button").setAttribute("aria-pressed", chosen);
  }
  $("status").textContent = `${name} is chosen.`;
}

function card(variant) {
  const { accuracy } = variant;
  const rows = [
    ["Accuracy", accuracy ? `${percent(accuracy.value)} (${percent(accuracy.low)} to ${percent(accuracy.high)})` : "not measured"],
    ["A text, measured here", ms(variant.text_ms)], ["Cost, as a share", percent(variant.cost)],
    ["Bytes", bytes(variant.bytes)], ["Parameters", variant.parameters.toLocaleString("en")],
    ["Runs as", variant.runs_as], ["Version", variant.version],
  ];
  if (variant.canary) rows.push(["Canary", `${variant.canary}, ${percent(variant.canary_weight)}`]);
  const button = el("button", { type: "button", "aria-pressed": "false" }, "Choose");
  button.addEventListener("click", () => choose(variant.variant));
  const made = el("article", { class: "card", "data-variant": variant.variant }, el("h3", {}, variant.variant),
    el("dl", { class: "facts-list" }, ...rows.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))), button);
  return made;
}

function showCascade({ cascade, unproven }) {
  $("cascade").hidden = !cascade;
  if (!cascade) return;
  const { target, bound, n } = cascade;
  const state = unproven.length ? `not shown for ${unproven.join(", ")}, which run otherwise here than when it was` : "holds";
  const ends = ({ threshold, early_labels: labels }) => (threshold === null ? "always" : percent(threshold)
    + (labels ? `, as ${labels.join(" or ") || "no label"} only` : ""));
  const rows = cascade.stages.map((stage) => [stage.variant, ends(stage),
    percent(stage.reach), percent(stage.accuracy.value)]);
  $("cascade").replaceChildren(el("h2", {}, "Cascade"),
    table("Its stages", ["Variant", "Final from confidence", "Reached by, expected", "Accuracy if it ended here"], rows),
    el("p", {}, `Guarantee: with probability ${percent(target.confidence)}, at most ${percent(target.max_loss)} of ${target.loss} is lost `
      + `against ${cascade.reference.variant}. Bound: ${percent(bound)} on ${n} texts. State: ${state}.`),
    el("p", {}, `Expected escalation from the first stage: ${percent(cascade.escalation.value)}.`),
    el("p", { id: "watch" }, "What this server sees of it comes after two readings of its metrics."),
    el("div", { id: "confidences" }));
  showConfidences(cascade);
}

function showConfidences(cascade) {
  $("confidences").replaceChildren(...distributions(cascade.stages.filter((stage) => stage.confidences)));
}

// What the server's watch of the guarantee says now.
function showWatch(samples, model) {
  const seen = total(samples, "sizewise_cascade_texts_total", { model });
  const escalated = total(samples, "sizewise_escalated_texts_total", { model, variant: family().cascade.stages[0].variant });
  const sampled = total(samples, "sizewise_sampled_texts_total", { model });
  const lost = total(samples, "sizewise_disagreement_lower_ratio", { model }) > total(samples, "sizewise_allowed_disagreement_ratio", { model });
  const drifted = total(samples, "sizewise_escalation_drifted", { model });
  const found = [seen ? `Of ${seen.toLocaleString("en")} texts here ${percent(escalated / seen)} escalated from the first stage`
    + `${drifted ? ": the rate has drifted, so the traffic is unlike the calibration texts" : ", and no drift has been detected"}.` : "No text has passed it here yet."];
  if (sampled) found.push(`${sampled.toLocaleString("en")} were compared with the reference: ${lost ? "more answers differ than are allowed" : "no sign that the guarantee is broken"}.`);
  $("watch").classList.toggle("warning", Boolean(drifted || lost));
  $("watch").textContent = found.join(" ");
}

async function readMetrics() {
  const answer = document.hidden || !family() ? null : await call("metrics");
  if (answer) $("old").hidden = answer.ok;
  if (answer?.ok) {
    const now = { at: performance.now(), samples: parse(answer.text) };
    if (before) showLive(before, now);
    before = now;
  }
  setTimeout(readMetrics, EVERY_MS);
}

function showLive(old, now) {
  const [was, is, seconds] = [old.samples, now.samples, (now.at - old.at) / 1000];
  const model = family().model;
  const rate = (name, labels) => (growth(was, is, name, labels) / seconds).toFixed(1);
  const at = (name, labels, share) => {
    const found = quantile(was, is, name, labels, share);
    return found === null ? "–" : ms(found * 1000);
  };
  const whole = { model };
  const rows = family().variants.map(({ variant }) => {
    const labels = { model, variant };
    return [variant, rate("sizewise_texts_total", labels), at("sizewise_engine_duration_seconds", labels, 0.5),
      at("sizewise_engine_duration_seconds", labels, 0.99), at("sizewise_queue_duration_seconds", labels, 0.99),
      total(is, "sizewise_queue_texts", labels), rate("sizewise_degraded_total", labels)];
  });
  const facts = [`${rate(`${INFER}_count`, whole)} requests/s`, `p50 ${at(INFER, whole, 0.5)}`, `p99 ${at(INFER, whole, 0.99)}`,
    `${total(is, "sizewise_requests_in_flight", {})} in flight`];
  if (family().cascade) showWatch(is, model);
  $("live").replaceChildren(el("p", {}, facts.join(" · ")), table(`By variant, over the last ${seconds.toFixed(0)} s`,
    ["Variant", "Texts/s", "Engine p50", "Engine p99", "Queue p99", "Queued", "Degraded/s"], rows));
}

function redraw() {
  if (!family()) return;
  draw(family().variants.map(measured), $("axis").value, choose);
  if (family().cascade) showConfidences(family().cascade);
  drawCurves(family());
}

keepKey();
$("model").addEventListener("change", show);
$("axis").addEventListener("change", redraw);
$("key").addEventListener("change", load);
addEventListener("theme", redraw);
addEventListener("resize", redraw);
load().then(readMetrics);
