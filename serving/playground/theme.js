import { $, store, stored } from "./dom.js";

const wished = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";

function show(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").textContent = theme === "dark" ? "Light" : "Dark";
  $("theme").setAttribute("aria-label", `Change to ${theme === "dark" ? "light" : "dark"} colours`);
}

show(stored(localStorage, "sizewise-theme", wished));
$("theme").addEventListener("click", () => {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  store(localStorage, "sizewise-theme", next);
  show(next);
  dispatchEvent(new Event("theme"));
});
