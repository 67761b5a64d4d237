// The detail pane of an event: tabs, copying, the rest of long texts.
import { busy, copy, get, localTimes, nodes, turnTabs } from "./page.js";

const CHUNK = 16_384; // characters per element: the browser skips those out of view

export class Detail {
  constructor(pane, path, { opened, closed }) {
    Object.assign(this, { pane, path, opened, closed, refs: [], tab: "content", turn: 0 });
    pane.addEventListener("click", (event) => this.click(event));
    pane.addEventListener("keydown", turnTabs);
  }

  url(name, refs) { return `/view/${name}/${this.path}?${new URLSearchParams(refs.map((ref) => ["e", ref]))}`; }

  /** Whether it shows exactly these entries, or is about to. */
  shows(refs) { return refs.length > 0 && refs.join() === this.refs.join(); }

  /** Show the bar of these entries; the last request wins. A bar with more entries keeps its scroll position. */
  async show(refs) {
    const turn = ++this.turn, grown = refs[0] === this.refs[0];
    this.refs = refs;
    this.pane.ariaBusy = true; // still shows another bar
    const html = await (await get(this.url("detail", refs))).text();
    if (turn !== this.turn) return;
    this.pane.ariaBusy = null;
    const top = grown ? this.pane.scrollTop : 0, focused = this.pane.contains(document.activeElement);
    this.pane.replaceChildren(...nodes(html));
    this.pane.hidden = false;
    this.pane.scrollTop = top;
    localTimes(this.pane);
    this.choose(this.pane.querySelector(`[data-body="${this.tab}"]`) ? this.tab : "content");
    this.opened(this.pane.firstElementChild.dataset.event, refs);
    if (focused) this.pane.focus();
  }

  /** Repeat a request that got no response. */
  async retry() { if (this.pane.ariaBusy) await this.show(this.refs); }

  close() {
    this.turn++;
    this.refs = [];
    this.pane.ariaBusy = null;
    if (this.pane.hidden) return false;
    this.pane.hidden = true;
    this.pane.replaceChildren();
    this.closed();
    return true;
  }

  choose(name) {
    for (const tab of this.pane.querySelectorAll("[data-body]")) {
      const chosen = tab.dataset.body === name;
      tab.ariaSelected = chosen;
      tab.tabIndex = chosen ? 0 : -1;
    }
    for (const body of this.pane.querySelectorAll(".d-body")) body.hidden = body.dataset.of !== name;
  }

  async click(event) {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.body) {
      this.tab = button.dataset.body;
      this.choose(this.tab);
    } else if (button.dataset.act === "close") this.close();
    else if (button.dataset.act === "link") copy(location.href, button);
    else if (button.dataset.act === "markdown") copy(await (await get(this.url("markdown", this.refs))).text(), button);
    else if (button.dataset.act === "copy") {
      const url = `${this.url("text", [button.dataset.ref])}&whole=1&path=${encodeURIComponent(button.dataset.path)}`;
      copy(await (await get(url)).text(), button);
    } else if (button.dataset.earlier) busy(button, () => this.earlier(button));
  }

  /** Replace the button with the messages before the first one shown. */
  async earlier(button) {
    const { earlier: ref, to } = button.dataset;
    const html = await (await get(`${this.url("earlier", [ref])}&to=${to}`)).text();
    button.closest(".part")?.replaceWith(...nodes(html));
  }
}

/** The end of a chunk that begins at `at`: after a newline or a space in its second half, if any. */
function cut(text, at) {
  const end = at + CHUNK;
  if (end >= text.length) return text.length;
  const found = [text.lastIndexOf("\n", end), text.lastIndexOf(" ", end)].find((place) => place > at + CHUNK / 2);
  return found === undefined ? end : found + 1;
}

/** Append the next part of a long text, for any `data-more` button. */
export const more = (button, path) => busy(button, () => append(button, path));

async function append(button, path) {
  const { more: ref, path: keys, from } = button.dataset;
  const query = new URLSearchParams([["e", ref], ["path", keys], ["from", from]]);
  const answer = await get(`/view/text/${path}?${query}`);
  const text = await answer.text();
  for (let at = 0, end; at < text.length; at = end) {
    end = cut(text, at);
    const piece = document.createElement("span");
    if (text.length > CHUNK) piece.className = "chunk";
    piece.textContent = text.slice(at, end);
    button.before(piece);
  }
  const next = answer.headers.get("x-next");
  if (!next) return button.remove();
  button.dataset.from = next;
  button.textContent = `Show more: ${Math.round(100 * next / answer.headers.get("x-total"))} % shown`;
}
