// Common to all pages: keyboard, help, copying, local and running times, the live stream.
import { duration } from "./format.js";

const typing = (target) => target.closest?.("input:not([type=checkbox]), select");

/** Close open menus, except one that contains `inside`; return the button of a closed one. */
function closeMenus(inside = null) {
  const open = [...document.querySelectorAll(".menu[open]")].filter((menu) => !menu.contains(inside));
  for (const menu of open) menu.open = false;
  return open[0]?.querySelector("summary");
}
for (const name of ["click", "focusin"]) document.addEventListener(name, (event) => closeMenus(event.target));

/**
 * Call `keys.get(event.key)` on a key without modifier, unless in a text field; `?` opens the help, which can switch
 * off single-character keys, for users who dictate.
 */
export function onKeys(keys) {
  const help = document.getElementById("help");
  document.getElementById("help-button").addEventListener("click", () => help.showModal());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    const menu = event.key === "Escape" && closeMenus();
    if (menu) return menu.focus();
    if (typing(event.target)) {
      if (event.key !== "Escape") return;
      event.preventDefault(); // otherwise clears a search box
      return event.target.blur();
    }
    if (event.key.length === 1 && !document.getElementById("single").checked) return;
    if (event.key === "?") return help.showModal();
    const action = keys.get(event.key);
    if (!action || action(event) === false) return;
    closeMenus();
    event.preventDefault();
  });
}

/** Move between tabs with the left and right arrow keys, cyclically. */
export function turnTabs(event) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key], tabs = [...event.currentTarget.querySelectorAll("[role=tab]")];
  if (!step || !tabs.includes(event.target)) return;
  event.stopPropagation();
  event.preventDefault();
  const next = tabs.at((tabs.indexOf(event.target) + step) % tabs.length);
  next.focus();
  next.click();
}

// unit, milliseconds, how many make the next unit
const units = [["second", 1e3, 60], ["minute", 6e4, 60], ["hour", 36e5, 24], ["day", 864e5, 365], ["year", 31536e6, Infinity]];
const relative = new Intl.RelativeTimeFormat("en", { style: "short" });
const dated = new Intl.DateTimeFormat("en", { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const absolute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const precise = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" });

/** "14:04:18.219". */
export const clock = (ms) => precise.format(Math.min(ms, 864e13)); // the latest time that a browser knows

/** "2 min. ago"; after a day "Nov 26, 15:10", which tells since when something happens. */
export function ago(ms) {
  const passed = ms - Date.now(), told = ([, size]) => Math.round(passed / size);
  const unit = units.find((each) => Math.abs(told(each)) < each[2]);
  if (unit[0] === "day") return dated.format(ms);
  return told(unit) ? relative.format(told(unit), unit[0]) : "now";
}

const paper = matchMedia("print");
/** How long ago; in print, the date and time. */
const past = (ms) => (paper.matches ? absolute.format(ms) : ago(ms));

/** Set a text, unless unchanged, which would lose a selection in it. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Fill all `<time>` below `root`: how long ago, or the exact time; the full time in a tooltip. */
export function localTimes(root = document) {
  for (const element of root.querySelectorAll("time")) {
    const at = Date.parse(element.dateTime);
    element.title = `${absolute.format(at)} (${element.dateTime})`;
    write(element, ("exact" in element.dataset ? clock : past)(at));
  }
}

/** Update relative times, and durations of what is still running. */
function tick() {
  for (const element of document.querySelectorAll("time:not([data-exact])")) write(element, past(Date.parse(element.dateTime)));
  for (const element of document.querySelectorAll("[data-since]")) write(element, duration(Date.now() - element.dataset.since));
}
setInterval(tick, 1000);
paper.addEventListener("change", tick);

const LOOK = 15_000;

/** Poll with `look()`: no event reports that a program is gone, or that sessions were deleted. */
export function regularly(look) {
  setInterval(() => { if (!document.hidden) look(); }, LOOK);
}

/** Copy text, and confirm it on the button for a moment. */
export async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.body.appendChild(document.createElement("textarea"));
    area.value = text;
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  if (button.matches(".done")) return; // already confirmed
  button.classList.add("done");
  const label = button.ariaLabel;
  if (label) button.ariaLabel = "Copied";
  setTimeout(() => { button.classList.remove("done"); button.ariaLabel = label; }, 1200);
}

/**
 * Disable a button while `action` runs, which takes its focus; then restore it. If the button is gone, focus what
 * `action` returned, or the scrolling container. If the focus has moved elsewhere, it stays there.
 */
export async function busy(button, action) {
  let next = button.closest("[tabindex]");
  button.disabled = true;
  try {
    next = await action() ?? next;
  } finally {
    button.disabled = false;
    if (document.activeElement === document.body) (button.isConnected ? button : next).focus({ preventScroll: true });
  }
}

/** HTML from this server as nodes; scripts do not run. */
export function nodes(html) {
  return new DOMParser().parseFromString(html, "text/html").body.childNodes;
}

class Failed extends Error {}

/** Fetch from this server; throws `Failed`, which is shown, on no response or an error status. */
export async function get(url) {
  let answer;
  try {
    answer = await fetch(url);
  } catch {
    throw new Failed("The server does not answer. Is it still running?");
  }
  if (answer.ok) {
    trouble("");
    return answer;
  }
  if (answer.status === 401) throw new Failed("The server asks for the token again. Reload this page.");
  const said = await answer.json().catch(() => null);
  throw new Failed(said?.message ?? `The server responded with ${answer.status}.`);
}

const RETRY = 5000;

/**
 * Call `news()` when the server has something new, at most once every `pause` milliseconds. A hidden tab closes its
 * stream (a browser opens only six connections to a server) and catches up when visible again. A stream that the
 * server refuses is retried every `RETRY` milliseconds, with a call of `news()` each time, as when a lost stream is back.
 */
export function live(url, news, { pause = 1000, state }) {
  let source = null, retry = 0, waiting = 0, last = 0, lost = false;
  const soon = () => {
    if (waiting) return;
    waiting = setTimeout(async () => { waiting = 0; last = Date.now(); await news(); }, Math.max(0, last + pause - Date.now()));
  };
  const open = () => {
    source = new EventSource(url);
    source.addEventListener("open", () => {
      state(true);
      if (lost) soon();
      lost = false;
    });
    source.addEventListener("error", () => {
      state(false);
      lost = true;
      // the browser does not retry after a status other than 200
      if (source.readyState === EventSource.CLOSED) retry = setTimeout(again, RETRY);
    });
    source.addEventListener("news", soon);
  };
  const again = () => { open(); soon(); };
  const close = () => { source?.close(); clearTimeout(retry); };
  document.addEventListener("visibilitychange", () => {
    close();
    if (!document.hidden) again();
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => { if (event.persisted) again(); });
  if (!document.hidden) open();
}

/** Show in the bar whether the page is live. */
export function sayLive(on, lost) {
  const element = document.getElementById("live");
  element.classList.toggle("on", on);
  element.textContent = on ? "Live" : lost ? "Reconnecting" : "";
}

/** Show an error of the server until it responds again. */
function trouble(text) {
  const line = document.getElementById("trouble");
  line.textContent = text;
  line.hidden = !text;
}

addEventListener("unhandledrejection", (event) => {
  if (!(event.reason instanceof Failed)) return;
  event.preventDefault();
  trouble(event.reason.message);
});
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (button) copy(document.getElementById(button.dataset.copy).textContent, button);
});
