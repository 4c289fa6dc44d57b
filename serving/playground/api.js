import { $, store, stored } from "./dom.js";

// These files lie one folder below the server's root, wherever a proxy puts that.
export const ROOT = new URL("..", import.meta.url);

export function keepKey() {
  $("key").value = stored(sessionStorage, "sizewise-key", "");
  $("key").addEventListener("change", () => store(sessionStorage, "sizewise-key", $("key").value));
}

// Gives { ok, status, text, json, headers, ms }; a server that cannot be reached is an error too.
export async function call(path, body) {
  const headers = {};
  if ($("key").value) headers.Authorization = `Bearer ${$("key").value}`;
  if (body) headers["Content-Type"] = "application/json";
  const started = performance.now();
  try {
    const method = body ? "POST" : "GET";
    const response = await fetch(new URL(path, ROOT), { method, headers, body: body && JSON.stringify(body) });
    const text = await response.text();
    const took = performance.now() - started;
    return { ok: response.ok, status: response.status, text, json: parsed(text), headers: response.headers, ms: took };
  } catch (error) {
    const json = { title: "No answer", detail: `The server cannot be reached: ${error.message}` };
    return { ok: false, status: 0, text: "", json, headers: new Headers(), ms: performance.now() - started };
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
