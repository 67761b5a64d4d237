// A session's page: connects tabs, tree, details, live tail and keyboard.
import { Detail, more } from "./detail.js";
import { open as events } from "./events.js";
import { Marks } from "./marks.js";
import { updater } from "./merge.js";
import { get, live, localTimes, nodes, onKeys, regularly, sayLive, turnTabs } from "./page.js";
import { open as paged } from "./paged.js";
import { refs, Tree } from "./tree.js";

const page = document.getElementById("session");
const { path, select } = page.dataset; // path: an equals sign and the quoted id, see fragments.py
const byId = (name) => document.getElementById(name);
// imported statically, not when a tab is opened: a browser does not retry a module that failed to load
const opens = { conversation: paged, events, raw: paged }, tabs = ["timeline", ...Object.keys(opens)];
const panels = new Map(); // name → panel of an opened tab
const search = byId("search"), type = byId("type");
const showHead = updater(byId("head")), showOverview = updater(byId("overview"));
let t0 = 0, tab = "timeline";

// On a phone, the details cover the page (session.css) and are a history entry, so that Back closes them.
const covers = matchMedia("(max-width: 760px)");
const address = (change, details = history.state?.details) => {
  const url = new URL(location.href), next = details && !history.state?.details ? "pushState" : "replaceState";
  change(url.searchParams);
  history[next](details && { details }, "", url);
};
const forget = () => address((query) => query.delete("event"));
const detail = new Detail(byId("detail"), path, {
  opened: (event, shown) => {
    page.classList.add("detailed");
    byId("unknown")?.remove();
    address((query) => query.set("event", event), covers.matches ? shown : undefined);
    tree.list.soon();
    if (covers.matches) byId("detail").focus(); // else keys would go to the page below
  },
  closed: () => {
    page.classList.remove("detailed");
    if (history.state?.details) history.back(); else forget();
    current().focus();
  },
});
addEventListener("popstate", () => {
  const details = history.state?.details;
  if (details) detail.show(details); else if (!detail.close()) forget();
});
const tree = new Tree(byId("tree"), byId("axis"), byId("tree-row"), (index, row) => {
  const wanted = refs(row, t0);
  if (wanted.length) detail.show(wanted); else detail.close(); // a turn has no entries
});
const selected = () => (tree.at < 0 ? [] : refs(tree.rows[tree.at], t0));
const current = () => (tab === "timeline" ? byId("tree") : tab === "events" ? byId("events") : byId(`panel-${tab}`));

async function load() {
  const [timeline, overview] = await Promise.all([get(`/view/timeline/${path}`), get(`/view/overview/${path}`)]);
  const data = await timeline.json(), followed = detail.shows(selected()), still = data.now === null && tree.now !== null;
  t0 = data.t0;
  tree.load(data.rows, data.now);
  const now = selected();
  if (followed && now.length && (still || !detail.shows(now))) detail.show(now);
  showOverview(...nodes(await overview.text()));
  page.dataset.loaded = "1";
}

async function openTab(name, { focus = false } = {}) {
  const first = name !== "timeline" && !panels.has(name);
  tab = name;
  for (const each of tabs) {
    const button = byId(`tab-${each}`), chosen = each === name;
    button.ariaSelected = chosen;
    button.tabIndex = chosen ? 0 : -1;
    byId(`panel-${each}`).hidden = !chosen;
    const tools = byId(`tools-${each}`);
    if (tools) tools.hidden = !chosen;
  }
  address((query) => (name === "timeline" ? query.delete("tab") : query.set("tab", name)));
  if (first) panels.set(name, opens[name](name, { path, detail, search }));
  if (focus) current().focus();
  find();
  if (first) await panels.get(name).news();
  follow();
}

const marks = new Marks([byId("conversation"), byId("raw"), byId("detail")]);
let asked = 0, pause = 0, seeking = null;
function find() {
  clearTimeout(pause);
  pause = setTimeout(findNow, 120);
}

async function findNow() {
  const words = search.value.trim(), turn = ++asked;
  address((query) => (words ? query.set("q", words) : query.delete("q")));
  marks.show(words);
  // the server reads the whole session for each search: one at a time, and of those that wait only the latest
  if (words) await seeking;
  if (turn !== asked) return;
  const sought = seek(words);
  seeking = sought.catch(() => {});
  await sought;
}

async function seek(words) {
  if (tab === "events") return panels.get("events").search(words);
  if (tab === "raw") await panels.get("raw").search(words);
  if (!words) {
    byId("found").textContent = "";
    if (tree.hits) tree.search(null);
    return;
  }
  const { seqs } = await (await get(`/view/find/${path}?q=${encodeURIComponent(words)}`)).json();
  if (words !== search.value.trim()) return;
  const rows = tree.search(new Set(seqs));
  byId("found").textContent = `${seqs.length} event${seqs.length === 1 ? "" : "s"}${rows && tab === "conversation" ? ", see Timeline" : ""}`;
}

/** Select a row of the timeline, from any tab. */
function jump(index) {
  if (index < 0) return;
  if (tab !== "timeline") openTab("timeline");
  tree.select(index);
}

const error = () => jump(tree.nextError());

const inTree = (action) => () => (tab === "timeline" ? action() : false);
const step = (by) => () => (tab === "timeline" ? tree : panels.get(tab)).move(by);
/** Except in the details, where these keys scroll. */
const beside = (action) => (event) => (byId("detail").contains(event.target) ? false : action(event));
onKeys(new Map([
  ["/", () => search.focus()], ["e", error],
  ["j", step(1)], ["ArrowDown", beside(step(1))], ["k", step(-1)], ["ArrowUp", beside(step(-1))],
  ["ArrowLeft", beside(inTree(() => tree.sideways(false)))], ["ArrowRight", beside(inTree(() => tree.sideways(true)))],
  ...Object.entries({ Home: -1e9, End: 1e9, PageUp: -15, PageDown: 15 }).map(([key, by]) => [key, beside(inTree(() => tree.move(by)))]),
  ["z", inTree(() => tree.zoomIn())],
  ["Enter", (event) => { if (event.target.closest("a, button, summary, input")) return false; byId("detail").focus(); }],
  ["Escape", () => detail.close()],
  ...tabs.map((name, number) => [String(number + 1), () => { openTab(name, { focus: true }); }]),
]));

page.addEventListener("click", (event) => {
  const target = event.target;
  const button = target.closest("[data-more]"), bar = target.closest("[data-seq]"), name = target.closest("[role=tab][id]")?.id.slice(4);
  if (button) more(button, path);
  else if (bar) { event.preventDefault(); jump(tree.rowOf(bar.dataset.seq)); }
  else if (name) openTab(name);
  else if (target.closest("#first-error")) { event.preventDefault(); tree.at = -1; error(); }
  else if (target.closest("[data-show]")) byId("overview").classList.toggle(target.closest("[data-show]").dataset.show);
  else if (target.closest("#fold")) tree.foldAll();
  else if (target.closest("#zoom")) tree.zoomIn();
});
page.querySelector("[role=tablist]").addEventListener("keydown", turnTabs);
type.addEventListener("change", () => address((query) => (type.value ? query.set("type", type.value) : query.delete("type"))));
search.addEventListener("input", find);
search.addEventListener("keydown", async (event) => {
  if (event.key !== "Enter") return;
  current().focus();
  clearTimeout(pause);
  await findNow();
  if (tab === "timeline") tree.selectHit();
});

let connected = null; // not known yet
async function head() {
  showHead(...nodes(await (await get(`/view/head/${path}`)).text()));
  localTimes(byId("head"));
  sayState();
}

/** Show whether the page is live; not for an ended session, though it may continue. */
function sayState() {
  sayLive(connected && !byId("head").querySelector("[data-ended]"), connected === false);
}

async function news() {
  await head();
  await load();
  for (const panel of panels.values()) panel.news();
  detail.retry();
  if (search.value) find();
}

/** Show the event of the address, in its tab: a row of the table of events is one event. */
function reveal(seq) {
  const row = tree.rows[tree.rowOf(seq)];
  if (!row || tab !== "events") return tree.select(tree.rowOf(seq));
  detail.show([refs(row, t0).find((each) => each.endsWith(`-${seq}`))]);
  follow();
}

/** Mark in the tab what the details show, unless a search may hide it. */
function follow() {
  const ref = detail.refs[0], index = ref && tree.rowOf(ref.split("-")[1]);
  if (!ref || search.value || type.value) return;
  if (tab === "events") panels.get("events").reveal(ref);
  else if (tab === "timeline" && index !== tree.at) tree.select(index);
}

localTimes();
const asks = new URLSearchParams(location.search);
search.value = asks.get("q") ?? "";
if (asks.get("type")) type.add(new Option(asks.get("type"), asks.get("type"), true, true)); // events.js adds the others
await load();
if (search.value) await findNow();
if (tree.hits?.size === 0) { // the list also finds parts of words in titles and ids
  search.value = "";
  await findNow();
}
if (tabs.includes(asks.get("tab"))) openTab(asks.get("tab"));
if (select) reveal(select);
page.dataset.ready = "1";
const runs = () => byId("head").querySelector(".s-running") !== null;
regularly(async () => {
  if (!runs()) return;
  await head();
  if (!runs()) await news();
});
live(`/view/live?session=${path.slice(1)}`, news, {
  pause: Math.max(700, tree.rows.length / 10),
  state: (is) => { connected = is; sayState(); },
});
