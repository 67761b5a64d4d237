// The Events tab: a table in which only the visible rows exist; pages are fetched as they are scrolled to.
import { cost, count, duration } from "./format.js";
import { clock, get, write } from "./page.js";
import { VirtualList } from "./virtual_list.js";

const PAGE = 200, KEPT = 30; // rows per fetch (fragments.py); cached pages
const GAP = 12, EDGE = 16; // pixels between two columns, and at the edges (session.css)
const [SEQ, AT, TYPE, TURN, NAME, NOTE, WHO, STATE, MS, INPUT, OUTPUT, CACHED, COST, ID, BYTES, FAILED] = Array(16).keys();
const tokens = (row, place) => (row[place] === null && row[TYPE] !== "llm_response" ? "" : count(row[place]));

// name, label, width, text of a row, class, shown by default
const columns = [
  ["time", "Time", "92px", (row) => clock(row[AT]), "", true],
  ["after", "After", "88px", (row, t0) => `+${duration(row[AT] - t0)}`, "num", true],
  ["type", "Type", "128px", (row) => row[TYPE], "type", true],
  ["turn", "Prompt.turn", "80px", (row) => row[TURN], "num", true],
  ["name", "Name", "minmax(90px, 150px)", (row) => row[NAME], "", true],
  ["content", "Content", "minmax(120px, 1fr)", (row) => row[NOTE], "", true],
  ["by", "By", "110px", (row) => row[WHO], "", false],
  ["outcome", "Outcome", "130px", (row) => row[STATE], "", false],
  ["took", "Took", "84px", (row) => (row[MS] === null ? "" : duration(row[MS])), "num", true],
  ["in", "In", "64px", (row) => tokens(row, INPUT), "num", true],
  ["out", "Out", "64px", (row) => tokens(row, OUTPUT), "num", true],
  ["cached", "Cached", "64px", (row) => tokens(row, CACHED), "num", false],
  ["cost", "Cost", "72px", (row) => cost(row[COST]), "num", false],
  ["bytes", "Bytes", "72px", (row) => count(row[BYTES]), "num", false],
  ["id", "Event id", "260px", (row) => row[ID], "mono", false],
];

const main = new Set(["time", "type", "turn", "name", "content"]);

class Events {
  constructor(path, detail, words) {
    Object.assign(this, { path, detail, words, pages: new Map(), total: 0, t0: 0, at: -1, version: 0 });
    this.box = document.getElementById("events");
    this.type = document.getElementById("type");
    this.chosen = new Set(this.stored() ?? columns.flatMap((column) => (column[5] ? [column[0]] : [])));
    this.head = document.createElement("div");
    this.head.className = "row columns";
    this.head.setAttribute("role", "row");
    this.head.ariaRowIndex = "1";
    this.box.append(this.head);
    this.list = new VirtualList(this.box, { top: 28, make: () => this.make(), fill: (element, index) => this.fill(element, index) });
    this.box.addEventListener("click", (event) => { const row = event.target.closest("[data-index]"); if (row) this.select(Number(row.dataset.index)); });
    this.type.addEventListener("change", () => this.reload());
    this.choices();
    this.layout();
    new ResizeObserver(() => { if (this.narrow !== this.isNarrow()) this.layout(); }).observe(this.box);
  }

  /** Whether only the main columns fit: beside the details, or on a phone. */
  isNarrow() { return this.box.clientWidth > 0 && this.box.clientWidth < 900; }

  stored() { try { return JSON.parse(localStorage.getItem("columns")); } catch { return null; } }

  choices() {
    const box = document.getElementById("columns");
    box.replaceChildren(...columns.map(([name, label]) => {
      const line = document.createElement("label"), check = document.createElement("input");
      check.type = "checkbox";
      check.checked = this.chosen.has(name);
      check.addEventListener("change", () => {
        if (check.checked) this.chosen.add(name); else this.chosen.delete(name);
        try { localStorage.setItem("columns", JSON.stringify([...this.chosen])); } catch { /* kept only for this page */ }
        this.layout();
      });
      line.append(check, ` ${label}`);
      return line;
    }));
  }

  layout() {
    this.narrow = this.isNarrow();
    this.columns = columns.filter(([name]) => this.chosen.has(name) && (!this.narrow || main.has(name)));
    this.grid = this.columns.map((column) => column[2]).join(" ");
    this.head.style.gridTemplateColumns = this.grid;
    const least = this.columns.reduce((sum, column) => sum + parseInt(column[2].match(/\d+/)[0], 10) + GAP, 2 * EDGE - GAP);
    this.head.style.minWidth = this.list.space.style.minWidth = `${least}px`; // the rest scrolls, header included
    this.head.replaceChildren(...this.columns.map(([, label, , , cls]) => this.cell(label, cls === "num" ? cls : "", "columnheader")));
    this.box.ariaColCount = this.columns.length;
    this.list.drop(0, 0);
    this.list.show(this.total);
  }

  cell(text, cls, role) {
    const element = document.createElement("span");
    element.className = cls;
    element.setAttribute("role", role);
    element.textContent = text;
    return element;
  }

  make() {
    const element = document.createElement("div");
    element.setAttribute("role", "row");
    element.style.gridTemplateColumns = this.grid;
    element.append(...this.columns.map(([, , , , cls]) => this.cell("", cls, "gridcell")));
    return element;
  }

  fill(element, index) {
    const row = this.row(index), failed = row?.[FAILED] && (row[TYPE] === "error" || row[TYPE] === "tool_response");
    element.id = `event-${index}`;
    element.dataset.index = index;
    element.className = `row${index === this.at ? " at" : ""}${failed ? " x-error" : ""}`;
    element.ariaRowIndex = index + 2;
    element.ariaSelected = index === this.at;
    this.columns.forEach((column, place) => write(element.children[place], row ? column[3](row, this.t0) : ""));
    element.title = row ? row[NOTE] : "";
  }

  /** The row at an index, or undefined while its page is loading. */
  row(index) {
    const number = Math.floor(index / PAGE);
    if (!this.pages.has(number)) this.fetch(number);
    const page = this.pages.get(number);
    return Array.isArray(page) ? page[index % PAGE] : undefined;
  }

  async fetch(number) {
    const version = this.version;
    const query = new URLSearchParams({ from: number * PAGE, q: this.words, type: this.type.value });
    this.pages.set(number, null);
    const data = await (await get(`/view/events/${this.path}?${query}`)).json();
    if (version !== this.version) return;
    this.pages.set(number, data.rows);
    if (this.pages.size > KEPT) this.pages.delete(this.pages.keys().next().value);
    this.t0 = data.t0;
    this.offer(data.types);
    this.box.ariaRowCount = data.total + 1;
    document.getElementById("found").textContent = this.words || this.type.value ? `${count(data.total)} event${data.total === 1 ? "" : "s"}` : "";
    if (data.total !== this.total) { this.total = data.total; this.list.show(this.total); } else this.list.refill();
  }

  /** Offer the types that the session has so far. */
  offer(types) {
    const chosen = this.type.value;
    if (types.some(([, label], place) => this.type.options[place + 1]?.text !== label)) {
      this.type.replaceChildren(this.type.options[0], ...types.map(([name, label]) => new Option(label, name)));
      this.type.value = chosen;
    }
  }

  async reload() {
    this.version++;
    this.pages.clear();
    this.at = -1;
    await this.fetch(0);
  }

  async search(words) {
    if (words === this.words) return;
    this.words = words;
    await this.reload();
  }

  news() {
    this.version++;
    this.pages.clear();
    return this.fetch(Math.floor(this.list.range()[0] / PAGE));
  }

  move(step) { if (this.total) this.select(Math.min(Math.max(this.at + step, 0), this.total - 1)); }

  select(index) {
    const row = this.row(index);
    this.mark(index);
    if (row) this.detail.show([`${row[AT]}-${row[SEQ]}`]);
  }

  mark(index) {
    this.at = index;
    this.list.reveal(index);
    this.list.refill();
    this.box.setAttribute("aria-activedescendant", `event-${index}`);
  }

  /** Fetch the row of an event, then mark it: the total is not known before. */
  async reveal(ref) {
    const { place } = await (await get(`/view/place/${this.path}?e=${ref}`)).json();
    await this.fetch(Math.floor(place / PAGE));
    this.mark(place);
  }
}

export const open = (_, { path, detail, search }) => new Events(path, detail, search.value.trim());
