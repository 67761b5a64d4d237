// The list of sessions: keyboard, filters that apply at once, choosing two to compare, live updates.
import { updater } from "./merge.js";
import { get, live, localTimes, nodes, onKeys, regularly, sayLive } from "./page.js";

const list = document.getElementById("sessions");
const search = document.getElementById("search");
const isEmpty = "reload" in list.dataset; // waits for the first session
const update = updater(list);
let at = ""; // the address of the marked session: its place changes as new ones arrive

const rows = () => [...list.querySelectorAll("tr[data-href]")];
const marked = () => rows().find((row) => row.dataset.href === at);

function move(step) {
  const all = rows();
  if (!all.length) return;
  const from = all.indexOf(marked());
  const row = all[Math.min(Math.max(from + step, 0), all.length - 1)];
  all[from]?.classList.remove("at");
  row.classList.add("at");
  at = row.dataset.href;
  row.querySelector(".c-title a").focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
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
    box.title = box.disabled ? "Two are chosen: deselect one to choose another" : "";
  }
}

async function refresh() {
  if (isEmpty) return location.reload();
  const html = await (await get(`/view/sessions${location.search}`)).text();
  const known = new Set(rows()), focused = document.activeElement;
  update(...nodes(html));
  for (const row of rows()) row.classList.toggle("fresh", !known.has(row));
  localTimes(list);
  chosen();
  if (list.contains(focused)) focused.focus({ preventScroll: true }); // a row that has moved has lost it
}

/** Focus the filter that was set on the previous page, so that an arrow key changes it further. */
function refocus() {
  try {
    document.querySelector(`.choice select[name="${sessionStorage.getItem("filter")}"]`)?.focus();
    sessionStorage.removeItem("filter");
  } catch { /* no storage */ }
}

list.addEventListener("change", chosen);
list.addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-href]");
  if (!row || event.target.closest("a, input, label, button") || String(getSelection())) return;
  if (event.target.closest(".c-pick")) return row.querySelector("[name=s]").click();
  if (event.metaKey || event.ctrlKey) open(row.dataset.href); else location.assign(row.dataset.href);
});
document.getElementById("filters")?.addEventListener("change", (event) => {
  if (!event.target.matches("select")) return;
  try { sessionStorage.setItem("filter", event.target.name); } catch { /* no focus on the next page */ }
  event.currentTarget.requestSubmit();
});
document.getElementById("filters")?.addEventListener("submit", (event) => {
  for (const field of event.currentTarget.elements) if (field.name && !field.value) field.disabled = true;
});
addEventListener("pageshow", () => {
  chosen(); // the browser has restored the checked boxes by now
  for (const field of document.getElementById("filters")?.elements ?? []) field.disabled = false;
});

onKeys(new Map([
  ["/", () => search?.focus()],
  ["j", () => move(1)], ["ArrowDown", () => move(1)],
  ["k", () => move(-1)], ["ArrowUp", () => move(-1)],
  ["Enter", (event) => {
    if (event.target.closest("a, button, summary, input") || !marked()) return false;
    location.assign(at);
  }],
]));
localTimes();
chosen();
refocus();
if (!isEmpty) regularly(refresh);
live("/view/live", refresh, { state: (is) => sayLive(is, !is) });
