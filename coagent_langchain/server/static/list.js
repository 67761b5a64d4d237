// The list of sessions: keyboard, filters that apply at once, choosing two to compare, new sessions as they come.
import { get, live, localTimes, nodes, onKeys } from "./page.js";

const list = document.getElementById("sessions");
const search = document.getElementById("search");
let at = -1;

const rows = () => [...list.querySelectorAll("tr[data-href]")];

function move(step) {
  const all = rows();
  if (!all.length) return;
  all[at]?.classList.remove("at");
  at = Math.min(Math.max(at + step, 0), all.length - 1);
  all[at].classList.add("at");
  all[at].querySelector(".c-title a").focus({ preventScroll: true });
  all[at].scrollIntoView({ block: "nearest" });
}

function chosen() {
  const boxes = [...list.querySelectorAll("[name=s]:checked")];
  const button = document.getElementById("compare");
  if (!button) return;
  button.disabled = boxes.length !== 2;
  button.title = button.disabled ? "Choose two sessions first" : "Show the two side by side";
  const full = boxes.length >= 2;
  for (const box of list.querySelectorAll("[name=s]")) {
    box.disabled = full && !box.checked;
    box.title = box.disabled ? "Two are chosen: take one back to choose another" : "";
  }
}

async function refresh() {
  if ("reload" in list.dataset) return location.reload();
  const known = new Set(rows().map((row) => row.dataset.href));
  const checked = new Set([...list.querySelectorAll("[name=s]:checked")].map((box) => box.value));
  const focused = document.activeElement?.closest?.("tr[data-href]")?.dataset.href;
  const html = await (await get(`/view/sessions${location.search}`)).text();
  list.replaceChildren(...nodes(html));
  for (const box of list.querySelectorAll("[name=s]")) box.checked = checked.has(box.value);
  for (const row of rows()) {
    if (!known.has(row.dataset.href)) row.classList.add("fresh");
    if (row.dataset.href === focused) row.querySelector(".c-title a").focus({ preventScroll: true });
  }
  rows()[at]?.classList.add("at");
  localTimes(list);
  chosen();
}

function state(connected) {
  const element = document.getElementById("live");
  if (!element) return;
  element.classList.toggle("on", connected);
  element.textContent = connected ? "Live" : "Reconnecting";
}

list.addEventListener("change", chosen);
list.addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-href]");
  if (!row || event.target.closest("a, input, label, button") || String(getSelection())) return;
  if (event.target.closest(".c-pick")) return row.querySelector("[name=s]").click();
  if (event.metaKey || event.ctrlKey) open(row.dataset.href); else location.assign(row.dataset.href);
});
document.getElementById("filters")?.addEventListener("change", (event) => {
  if (event.target.matches("select")) event.currentTarget.requestSubmit();
});
document.getElementById("filters")?.addEventListener("submit", (event) => {
  for (const field of event.currentTarget.elements) if (field.name && !field.value) field.disabled = true;
});
addEventListener("pageshow", () => {
  for (const field of document.getElementById("filters")?.elements ?? []) field.disabled = false;
});

onKeys(new Map([
  ["/", () => search?.focus()],
  ["j", () => move(1)], ["ArrowDown", () => move(1)],
  ["k", () => move(-1)], ["ArrowUp", () => move(-1)],
  ["Enter", () => { const row = rows()[at]; if (!row) return false; location.assign(row.dataset.href); }],
]));
localTimes();
setInterval(localTimes, 30_000);
chosen();
live(list.dataset.live, refresh, { state });
