"use strict";
// Tables that sort and export, and the choices of the charts. Text goes in as text nodes only.
const data = JSON.parse(document.getElementById("data").textContent);
document.documentElement.classList.add("scripted");

const make = (tag, text = "", attributes = {}) => {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
};

const FIGURE = /^[<>=\s]*(-?\d[\d,]*(?:\.\d+)?)/;
const figure = (text) => {
  const found = FIGURE.exec(text);
  return found ? Number(found[1].replaceAll(",", "")) : null;
};

// Figures by size, words by the alphabet; a cell without either comes last in both directions.
function compare(one, other, sign) {
  const lacks = (text) => text === "" || text === "unknown";
  if (lacks(one) || lacks(other)) return lacks(one) - lacks(other);
  const [a, b] = [figure(one), figure(other)];
  return sign * (a !== null && b !== null ? a - b : one.localeCompare(other, "en", { numeric: true }));
}

function sort(table, column) {
  const head = table.tHead.rows[0].cells[column];
  const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
  const rows = [...table.tBodies[0].rows];
  rows.sort((one, other) => compare(one.cells[column].textContent, other.cells[column].textContent, sign));
  table.tBodies[0].append(...rows);
}

// A cell that a spreadsheet would run as a formula is quoted; a negative figure with its interval is none.
const FORMULA = /^[=+@\t\r]|^-(?!\d[\d.,]*( \[[-\d.,? ]*\])?$)/;
const csvCell = (text) => {
  const plain = FORMULA.test(text) ? `'${text}` : text;
  return /[",\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
};
const csv = (table) =>
  [...table.rows].map((row) => [...row.cells].map((cell) => csvCell(cell.textContent)).join(",")).join("\r\n");

for (const table of document.querySelectorAll(".wide table")) {
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    const button = make("button", cell.textContent, { type: "button" });
    button.addEventListener("click", () => sort(table, column));
    cell.replaceChildren(button);
  });
  const name = table.parentElement.getAttribute("aria-label");
  const save = make("a", "Save as CSV", { href: "#", download: `${name.toLowerCase().replaceAll(/\W+/g, "-")}.csv` });
  save.setAttribute("aria-label", `Save as CSV: ${name}`);
  save.addEventListener("click", () => {
    save.href = `data:text/csv;charset=utf-8,${encodeURIComponent(csv(table))}`;
  });
  const tools = make("p", "", { class: "tools" });
  tools.append(save);
  table.parentElement.before(tools);
}

// Paper shows what a click would.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => { each.open = true; }));

function choose(select, names, chosen, changed) {
  select.replaceChildren(...names.map((name) => make("option", name, { value: name })));
  if (names.includes(chosen)) select.value = chosen;
  select.addEventListener("change", changed);
}
