import "./theme.js";
import { call, keepKey } from "./api.js";
import { comparison, problem, result, times } from "./answer.js";
import { firstColumn } from "./csv.js";
import { $, bytes, el, store, stored } from "./dom.js";
import { snippet } from "./snippets.js";

const MOST_KEPT = 30;
const MOST_BYTES = 1_000_000;
const HISTORY = "sizewise-history";
let families = [];
let sent = null;

const family = () => families.find((each) => each.model === $("model").value);
const say = (sentence) => { $("status").textContent = sentence; };

async function loadModels() {
  const answer = await call("v1/models");
  if (!answer.ok) {
    show(problem(answer));
    say(answer.status === 401 ? "The server asks for a key: enter it under API key." : "The models cannot be listed.");
    return;
  }
  families = answer.json.models;
  $("model").replaceChildren(...families.map((each) => el("option", {}, each.model)));
  loadVariants();
  $("answer").hidden = true;
  say("");
}

function loadVariants() {
  const named = (family()?.variants ?? []).map((each) =>
    el("option", { value: each.variant }, `${each.variant} (${bytes(each.bytes)})`));
  $("variant").replaceChildren(el("option", { value: "auto" }, "auto"), ...named);
}

function texts() {
  const whole = $("texts").value;
  return $("list").checked ? whole.split(/\r?\n/).filter((line) => line.trim()) : [whole];
}

function request(variant = $("variant").value) {
  const body = { texts: texts() };
  if ($("model").value) body.model = $("model").value;
  if (variant && variant !== "auto") body.variant = variant;
  else if ($("accuracy").value) body.min_accuracy = Number($("accuracy").value);
  if ($("deadline").value) body.deadline_ms = Number($("deadline").value);
  if ($("long").value) body.long = $("long").value;
  if ($("explain").checked) body.explain = { method: "occlusion", top: 20, budget: 200 };
  return body;
}

function show(...nodes) {
  $("answer").hidden = false;
  $("answer").replaceChildren(...nodes);
}

function showSnippet() {
  if (!sent) return;
  $("request").hidden = false;
  $("snippet").textContent = snippet($("language").value, sent, Boolean($("key").value));
}

async function classify() {
  sent = request();
  say("Classifying…");
  const answer = await call("v1/classify", sent);
  showSnippet();
  if (!answer.ok) {
    show(problem(answer));
    const unknown = sent.explain && String(answer.json.field ?? answer.json.detail).includes("explain");
    say(unknown ? "This server does not know explanations: classify without." : "The server refused the request.");
    return;
  }
  const { results } = answer.json;
  show(el("h2", {}, "Answer"), times(answer), ...results.map((each, at) => result(sent.texts[at], each, family())));
  say(results.length === 1 ? `Answer: ${results[0].label}.` : `${results.length} texts are answered.`);
  remember();
}

async function compare() {
  const variants = family()?.variants ?? [];
  const [first] = texts();
  const rows = [];
  say("Asking every size…");
  for (const variant of variants) {
    const body = { ...request(variant.variant), texts: [first ?? ""] };
    delete body.explain;
    rows.push({ variant, answer: await call("v1/classify", body) });
  }
  const refused = rows.find(({ answer }) => !answer.ok);
  show(el("h2", {}, "All sizes side by side"), comparison(rows), ...(refused ? [problem(refused.answer)] : []));
  say(`${rows.length} sizes are compared.`);
}

function remember() {
  const entry = { texts: $("texts").value.slice(0, 2000), list: $("list").checked };
  const others = stored(localStorage, HISTORY, []).filter((each) => each.texts !== entry.texts);
  store(localStorage, HISTORY, [entry, ...others].slice(0, MOST_KEPT));
  showHistory();
}

function showHistory() {
  $("history").replaceChildren(...stored(localStorage, HISTORY, []).map((entry) => {
    const button = el("button", { type: "button", dir: "auto" }, entry.texts.slice(0, 120));
    button.addEventListener("click", () => {
      $("texts").value = entry.texts;
      $("list").checked = entry.list;
      $("texts").focus();
    });
    return el("li", {}, button);
  }));
}

async function read(file) {
  if (!file) return;
  if (file.size > MOST_BYTES) {
    say(`${file.name} has ${file.size.toLocaleString("en")} bytes, and at most ${MOST_BYTES.toLocaleString("en")} are read here: take a part of it.`);
    return;
  }
  let content;
  try {
    content = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch (error) {
    say(error instanceof TypeError ? `${file.name} is not in UTF-8: save it so.` : `${file.name} cannot be read: ${error.message}`);
    return;
  }
  const isCsv = file.name.toLowerCase().endsWith(".csv");
  const found = isCsv ? firstColumn(content) : content.split(/\r\n?|\n/).filter((line) => line.trim());
  $("texts").value = found.map((each) => each.replace(/\s+/g, " ")).join("\n");
  $("list").checked = true;
  say(`${found.length} texts are read from ${file.name}.`);
}

keepKey();
showHistory();
$("form").addEventListener("submit", (event) => { event.preventDefault(); classify(); });
$("texts").addEventListener("keydown", (event) => { if (event.key === "Enter" && event.ctrlKey) classify(); });
$("texts").addEventListener("dragover", (event) => event.preventDefault());
$("texts").addEventListener("drop", (event) => {
  if (event.dataTransfer.files.length) { event.preventDefault(); read(event.dataTransfer.files[0]); }
});
$("file").addEventListener("change", () => read($("file").files[0]));
$("model").addEventListener("change", loadVariants);
$("key").addEventListener("change", loadModels);
$("compare").addEventListener("click", compare);
$("language").addEventListener("change", showSnippet);
$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($("snippet").textContent);
    say("The request is copied.");
  } catch {
    getSelection().selectAllChildren($("snippet"));
    say("The request is selected: copy it with the keyboard.");
  }
});
$("clear").addEventListener("click", () => { store(localStorage, HISTORY, []); showHistory(); say("The history is empty."); });
loadModels();
