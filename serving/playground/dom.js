// Elements are made of text nodes only: whatever a text holds is shown as text.
export const $ = (id) => document.getElementById(id);

export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return made;
}

export const ms = (value) => `${value.toFixed(value < 10 ? 2 : 0)} ms`;
export const percent = (value) => `${(100 * value).toFixed(1)} %`;

export function bytes(count) {
  const units = ["B", "kB", "MB", "GB"];
  const power = Math.min(3, Math.floor(Math.log10(Math.max(count, 1)) / 3));
  return `${(count / 1000 ** power).toFixed(power ? 1 : 0)} ${units[power]}`;
}

export function table(caption, head, rows) {
  const cells = (tag, values) => el("tr", {}, ...values.map((each) => el(tag, {}, each)));
  const head_row = el("tr", {}, ...head.map((each) => el("th", { scope: "col" }, each)));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", {}, el("caption", {}, caption), el("thead", {}, head_row),
      el("tbody", {}, ...rows.map((row) => cells("td", row)))));
}

export function stored(storage, name, otherwise) {
  try {
    return JSON.parse(storage.getItem(name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function store(storage, name, value) {
  try {
    storage.setItem(name, JSON.stringify(value));
  } catch {
    // A browser that stores nothing forgets; the page works all the same.
  }
}
