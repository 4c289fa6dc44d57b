import { bytes, el, ms, percent, table } from "./dom.js";

// Server-Timing by name, in ms.
export function timing(answer) {
  const found = (answer.headers.get("Server-Timing") ?? "").matchAll(/(\w+);dur=([\d.]+)/g);
  return Object.fromEntries([...found].map(([, name, value]) => [name, Number(value)]));
}

export function problem(answer) {
  const { title, detail, code, field, limit, value, request_id: id } = answer.json;
  const facts = Object.entries({ field, limit, value, code, request: id })
    .filter(([, each]) => each !== undefined)
    .map(([name, each]) => `${name}: ${typeof each === "object" ? JSON.stringify(each) : each}`);
  return el("div", { class: "card error" },
    el("strong", {}, `${answer.status || ""} ${title ?? "The answer is not the API's"}`),
    el("p", {}, detail ?? answer.text.slice(0, 300)), el("p", { class: "facts" }, facts.join(" · ")));
}

export function result(text, found, family) {
  const bars = Object.entries(found.scores).flatMap(([label, score]) => {
    const top = label === found.label ? "top" : "";
    const isShare = score >= 0 && score <= 1;
    return [el("dt", { class: top }, label),
      el("dd", {}, ...(isShare ? [el("progress", { max: 1, value: score, "aria-label": `${label}: ${percent(score)}` })] : [])),
      el("dd", { class: `figure ${top}` }, isShare ? percent(score) : score.toFixed(3))];
  });
  const facts = [`answered by ${path(found, family)} (${found.version})`];
  if (found.degraded) facts.push("degraded: a smaller variant stood in under overload");
  if (found.truncated) facts.push(`the text was cut on the ${found.truncation_side}`);
  if (found.windows) {
    const { start, end } = found.windows.labels[found.label];
    facts.push(`${found.windows.count} windows; the highest score is from characters ${start} to ${end}`);
  }
  return el("article", { class: "card" }, el("h3", {}, found.labels.join(", ") || "no label applies"),
    found.explanation ? words(text, found.explanation) : el("p", { class: "text", dir: "auto", tabindex: "0" }, text),
    el("dl", { class: "scores" }, ...bars), el("p", { class: "facts" }, facts.join(" · ")));
}

function path(found, family) {
  const stages = family?.cascade?.stages.map((stage) => stage.variant) ?? [];
  const last = stages.indexOf(found.variant);
  return last > 0 ? stages.slice(0, last + 1).join(" → ") : found.variant;
}

// The text with its words coloured; offsets count code points, as Python's do.
function words(text, explanation) {
  const points = [...text];
  const most = Math.max(1e-9, ...explanation.words.map((word) => Math.abs(word.contribution)));
  const parts = [];
  let at = 0;
  for (const word of [...explanation.words].sort((one, other) => one.start - other.start)) {
    if (word.start < at) continue;
    parts.push(points.slice(at, word.start).join(""));
    const sign = word.contribution < 0 ? "minus" : "plus";
    const said = `${word.contribution < 0 ? "−" : "+"}${Math.abs(word.contribution).toFixed(3)}`;
    const mark = el("mark", { class: sign, title: said }, points.slice(word.start, word.end).join(""));
    mark.style.setProperty("--strength", (0.45 * Math.abs(word.contribution)) / most);
    parts.push(mark);
    at = word.end;
  }
  parts.push(points.slice(at).join(""));
  const ranked = [...explanation.words].sort((one, other) => Math.abs(other.contribution) - Math.abs(one.contribution));
  const rows = ranked.map((word) => [word.text, word.contribution.toFixed(3)]);
  return el("div", {}, el("p", { class: "words", dir: "auto" }, ...parts),
    el("details", {}, el("summary", {}, `Each word's contribution to “${explanation.label}”`),
      table(`${explanation.method}: ${explanation.score.toFixed(3)} with all words, ${explanation.base_score.toFixed(3)} with none`,
        ["Word", "Contribution"], rows)));
}

export function times(answer) {
  const spent = timing(answer);
  const parts = ["tokenize", "queue", "engine"].filter((name) => name in spent).map((name) => `${name} ${ms(spent[name])}`);
  if (spent.engine === 0) parts.push("answered from the cache");
  const { texts, tokens } = answer.json.usage;
  return el("p", { class: "facts" }, [...parts, `HTTP as seen here ${ms(answer.ms)}`,
    `${texts} ${texts === 1 ? "text" : "texts"}, ${tokens} tokens`].join(" · "));
}

export function comparison(rows) {
  return table("All sizes on the first text", ["Variant", "Label", "Probability", "Bytes", "Engine", "HTTP"],
    rows.map(({ variant, answer }) => {
      if (!answer.ok) return [variant.variant, answer.json.title ?? answer.status, "–", bytes(variant.bytes), "–", "–"];
      const [found] = answer.json.results;
      return [variant.variant, found.label, percent(found.score), bytes(variant.bytes), ms(timing(answer).engine ?? 0), ms(answer.ms)];
    }));
}
