// The timeline: tree and waterfall as one list. Rows are arrays, as the server sends them (rows.py).
import { Axis } from "./axis.js";
import { cost, count, duration } from "./format.js";
import { write } from "./page.js";
import { VirtualList } from "./virtual_list.js";
import { Waits } from "./waits.js";

const [LEVEL, KIND, STATUS, LABEL, NOTE, START, TIME, TURN, INPUT, OUTPUT, COST, ERRORS, LEAD, EVENTS] = Array(14).keys();
const words = new Map([["error", "failed"], ["recovered", "failed, recovered"]]);
const icons = new Map([["error", "error"], ["recovered", "recovered"], ["warning", "warning"], ["cut off", "warning"], ["cancelled", "cancelled"], ["abandoned", "cancelled"], ["unknown", "cancelled"], ["not run", "cancelled"], ["interrupted", "idle"], ["unanswered", "idle"]]);
const LONG = 60_000; // milliseconds: a shorter wait is drawn in full
const works = new Set(["model", "tool", "retriever", "component"]);
const framing = new Set(["prompt", "turn", "end"]); // their icon is that of their kind, whatever their status

export class Tree {
  /** @param choose  called with a row's index and its array when the reader selects it */
  constructor(box, axis, template, choose) {
    Object.assign(this, { box, axis: new Axis(axis), template, choose, rows: [], shown: [], folded: new Set(), at: -1, hits: null, now: null, zoomed: -1 });
    this.list = new VirtualList(box, { make: () => this.make(), fill: (element, place) => this.fill(element, place) });
    box.addEventListener("click", (event) => this.click(event));
    setInterval(() => this.tick(), 1000);
  }

  /**
   * Load the rows; what was folded, selected and zoomed to stays so, identified by its first entry.
   * @param now  milliseconds since the session began, or null if it is not running: open rows do not grow
   */
  load(rows, now) {
    const selected = this.rows[this.at], zoomed = this.rows[this.zoomed], folded = new Set([...this.folded].map((index) => this.key(this.rows[index])));
    Object.assign(this, { rows, now, loaded: performance.now(), passed: 0 });
    this.box.classList.toggle("running", now !== null);
    this.at = this.find(selected);
    this.zoomed = this.find(zoomed);
    this.start = new Float64Array(rows.length);
    this.parent = new Int32Array(rows.length).fill(-1);
    this.position = new Int32Array(rows.length);
    this.siblings = new Int32Array(rows.length);
    this.below = new Int32Array(rows.length); // rows at any depth
    this.index();
    this.folded = new Set(folded.size ? rows.flatMap((row, index) => (this.below[index] && folded.has(this.key(row)) ? [index] : [])) : []);
    this.layout();
  }

  key(row) { return row[EVENTS][1] ?? `${row[KIND]} ${row[TURN]}`; }

  /** The index of a row of the previous load, or -1. */
  find(row) { return row ? this.rows.findIndex((each) => this.key(each) === this.key(row)) : -1; }

  index() {
    const open = [], children = new Map();
    this.running = -1;
    this.rows.forEach((row, index) => {
      if (this.elapsed(row) !== null) this.running = index;
      open.length = row[LEVEL] - 1;
      const parent = open.at(-1) ?? -1;
      this.parent[index] = parent;
      if (!children.has(parent)) children.set(parent, []);
      this.position[index] = children.get(parent).push(index);
      open.push(index);
    });
    for (let index = this.rows.length - 1; index >= 0; index--) if (this.parent[index] >= 0) this.below[this.parent[index]] += this.below[index] + 1;
    for (const group of children.values()) for (const index of group) this.siblings[index] = group.length;
    this.waits = new Waits(this.spans());
    this.measure();
    this.stretch();
  }

  /** The long waits for a human, and the rows that worked, without those around a question, which wait too. */
  spans() {
    const asked = this.rows.flatMap((row, index) => (row[KIND] === "human" && row[TIME] > LONG ? [index] : [])), around = new Set();
    for (let index of asked) for (; index >= 0; index = this.parent[index]) around.add(index);
    const worked = asked.length ? this.rows.filter((row, index) => works.has(row[KIND]) && !around.has(index)) : [];
    const span = (row, asks) => [row[START], row[START] + (row[TIME] ?? this.elapsed(row) ?? 0), asks];
    return [...worked.map((row) => span(row, 0)), ...asked.map((index) => span(this.rows[index], 1))];
  }

  /** Compute where each row begins, in the time of its prompt, and the length of the longest prompt. */
  measure() {
    let origin = 0;
    this.span = 1;
    this.rows.forEach((row, index) => {
      const start = this.waits.cut(row[START]);
      if (row[LEVEL] === 1 && row[KIND] === "prompt") origin = start;
      this.start[index] = start - origin;
      // an end is drawn where the last prompt ends, without the idle time before it
      if (row[KIND] === "end") this.start[index] = Math.min(start - origin, this.span);
      else this.span = Math.max(this.span, start - origin + this.length(row, row[TIME] ?? 0));
    });
  }

  /** The length of a row drawn for a duration in milliseconds; null if unknown. */
  length(row, took) { return took === null ? null : this.waits.cut(row[START] + took) - this.waits.cut(row[START]); }

  /** How long a row has been running, or null. */
  elapsed(row) {
    return this.now === null || row[STATUS] !== "open" ? null : Math.max(this.now + this.passed - row[START], 0);
  }

  /** Redraw as time passes, if something is running and the page is visible. */
  tick() {
    if (this.running < 0 || document.hidden) return;
    this.passed = performance.now() - this.loaded; // the same for the axis and all bars
    this.stretch();
    this.list.refill();
  }

  /** Set the span of the time axis: everything, up to now if a row is running, or the zoomed row. */
  stretch() {
    const last = this.rows[this.running], row = this.rows[this.zoomed];
    const whole = last ? Math.max(this.span, this.start[this.running] + this.length(last, this.elapsed(last))) : this.span;
    const from = row ? this.start[this.zoomed] : 0;
    this.axis.show(from, row ? Math.max(this.length(row, row[TIME]) ?? whole - from, 1) : whole);
    document.getElementById("zoom").ariaPressed = Boolean(row);
  }

  /** Zoom to the selected row, or back to everything. */
  zoomIn() {
    this.zoomed = this.zoomed < 0 ? this.at : -1;
    this.stretch();
    this.list.refill();
  }

  /** Compute the rows to show: all but those below folded ones, or the hits of a search and their parents. */
  layout() {
    const wanted = this.hits && this.withParents();
    document.getElementById("none").hidden = wanted?.size !== 0;
    this.shown = [];
    for (let index = 0; index < this.rows.length; index++) {
      if (wanted && !wanted.has(index)) continue;
      this.shown.push(index);
      if (!wanted && this.folded.has(index)) index += this.below[index];
    }
    document.getElementById("fold").textContent = this.folded.size ? "Unfold all" : "Fold all";
    this.place = new Map(this.shown.map((index, place) => [index, place]));
    this.list.show(this.shown.length);
    this.mark();
  }

  withParents() {
    const wanted = new Set();
    for (let index of this.hits) for (; index >= 0 && !wanted.has(index); index = this.parent[index]) wanted.add(index);
    return wanted;
  }

  /** Show only rows with one of these entries (a Set of seq as strings), or all rows with null. */
  search(seqs) {
    this.hits = seqs && new Set(this.rows.flatMap((row, index) => (seqsOf(row).some((seq) => seqs.has(seq)) ? [index] : [])));
    this.layout();
    return this.hits?.size ?? 0;
  }

  /** Select the first row that the search found. */
  selectHit() { if (this.hits?.size) this.select(this.hits.values().next().value); }

  make() { return this.template.content.firstElementChild.cloneNode(true); }

  fill(element, place) {
    const index = this.shown[place], row = this.rows[index], kind = row[KIND];
    const [what, lane, time, tokens, price] = element.children, [, icon, label, state] = what.children, [lead, note] = what.querySelectorAll("i");
    element.id = `row-${index}`;
    element.dataset.index = index;
    element.className = `row k-${kind} x-${row[STATUS].replace(/\W/g, "")}`;
    element.classList.toggle("at", index === this.at);
    element.classList.toggle("hit", Boolean(this.hits?.has(index)));
    element.ariaLevel = row[LEVEL];
    element.ariaSetSize = this.siblings[index];
    element.ariaPosInSet = this.position[index];
    element.ariaSelected = index === this.at;
    element.ariaExpanded = this.below[index] ? !this.folded.has(index) : null;
    what.style.paddingLeft = `min(${14 * (row[LEVEL] - 1)}px, 45%)`;
    icon.firstElementChild.setAttribute("href", `#i-${framing.has(kind) ? kind : icons.get(row[STATUS]) ?? kind}`);
    write(label, row[LABEL]);
    const elapsed = this.elapsed(row), took = row[TIME] ?? elapsed;
    write(state, row[STATUS] === "open" ? (elapsed === null ? "unfinished" : "running") : words.get(row[STATUS]) ?? "");
    write(lead, row[LEAD]);
    write(note, row[NOTE]);
    element.title = [row[LABEL], [row[LEAD], row[NOTE]].filter(Boolean).join(" · ")].filter(Boolean).join(": ");
    write(time, took !== 0 || this.below[index] || kind === "model" || kind === "tool" ? duration(took) : "");
    const told = kind === "model" || row[INPUT] !== null || row[OUTPUT] !== null;
    write(tokens, told ? `${count(row[INPUT])} → ${count(row[OUTPUT])}` : "");
    write(price, cost(row[COST]));
    this.axis.place(lane.firstElementChild, this.start[index], this.length(row, took));
  }

  click(event) {
    const element = event.target.closest(".row");
    if (!element) return;
    const index = Number(element.dataset.index);
    if (event.target.closest(".twist") && this.below[index]) this.fold(index, !this.folded.has(index));
    else this.select(index);
  }

  /** Select a row, and unfold what hides it. */
  select(index) {
    if (index < 0 || index >= this.rows.length) return;
    this.at = index;
    let hidden = false;
    for (let above = this.parent[index]; above >= 0; above = this.parent[above]) hidden = this.folded.delete(above) || hidden;
    if (this.hits && !this.place.has(index)) { this.hits = null; hidden = true; }
    if (hidden) this.layout();
    this.list.reveal(this.place.get(index));
    this.mark();
    this.choose(index, this.rows[index]);
  }

  mark() {
    this.list.refill();
    const zoom = document.getElementById("zoom");
    zoom.disabled = this.at < 0 && this.zoomed < 0;
    zoom.title = zoom.disabled ? "Select a row to zoom to" : "Stretch the selected row to the full width, or back (z)";
    if (this.place.has(this.at)) this.box.setAttribute("aria-activedescendant", `row-${this.at}`);
    else this.box.removeAttribute("aria-activedescendant");
  }

  move(step) {
    const place = this.place.get(this.at) ?? (step > 0 ? -1 : this.shown.length);
    const next = Math.min(Math.max(place + step, 0), this.shown.length - 1);
    if (this.shown.length) this.select(this.shown[next]);
  }

  fold(index, folded) {
    if (folded) this.folded.add(index); else this.folded.delete(index);
    this.layout();
  }

  /** Left: fold, or go to the parent. Right: unfold, or go to the first child. */
  sideways(right) {
    const row = this.rows[this.at];
    if (!row) return;
    const folds = this.below[this.at] > 0, folded = this.folded.has(this.at);
    if (right && folds && folded) this.fold(this.at, false);
    else if (right && folds) this.select(this.at + 1);
    else if (!right && folds && !folded) this.fold(this.at, true);
    else if (!right && this.parent[this.at] >= 0) this.select(this.parent[this.at]);
  }

  foldAll() {
    if (this.folded.size) this.folded.clear();
    else this.rows.forEach((_, index) => { if (this.below[index]) this.folded.add(index); });
    this.layout();
  }

  /** The row that holds an entry, or -1. */
  rowOf(seq) { return this.rows.findIndex((row) => seqsOf(row).includes(seq)); }

  /** The next failed row, cyclically; if none is selected, the first not recovered. -1 if there is none. */
  nextError() {
    const all = this.rows.flatMap((row, index) => (failed(row) && !this.onlyPasses(index) ? [index] : []));
    const first = this.at < 0 ? all.find((index) => this.rows[index][STATUS] === "error") : null;
    return first ?? all.find((index) => index > this.at) ?? all[0] ?? -1;
  }

  /** Whether a row failed only because of rows below it, as a node does: it has no error of its own. */
  onlyPasses(index) {
    const row = this.rows[index], below = this.rows.slice(index + 1, index + 1 + this.below[index]);
    const errors = below.reduce((sum, each) => sum + (each[LEVEL] === row[LEVEL] + 1 ? each[ERRORS] : 0), 0);
    return row[ERRORS] === errors && below.some(failed);
  }
}

const failed = (row) => (row[STATUS] === "error" || row[STATUS] === "recovered") && row[KIND] !== "prompt" && row[KIND] !== "turn";

/** The `seq` of each of a row's entries: they come in pairs of time and `seq`. */
const seqsOf = (row) => row[EVENTS].filter((_, place) => place % 2);

/** The references of a row's entries, for the detail pane. */
export function refs(row, t0) {
  const found = [];
  for (let at = 0; at < row[EVENTS].length; at += 2) found.push(`${row[EVENTS][at] + t0}-${row[EVENTS][at + 1]}`);
  return found;
}
