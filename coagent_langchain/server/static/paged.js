// The Conversation and Raw tabs, fetched a page at a time. `news()` shows new items and leaves the others untouched.
import { updater } from "./merge.js";
import { busy, get, localTimes, nodes } from "./page.js";

const OPEN = ".x-open, .said.open"; // without an end so far
const first = ({ items }) => items.firstElementChild?.dataset.item;

export function open(name, { path, search }) {
  const box = document.getElementById(name), panel = box.parentElement;
  const update = updater(box);
  let pages = [], turn = Promise.resolve(), words = search.value.trim();

  async function page(from) {
    const items = new DocumentFragment(), query = new URLSearchParams({ from, q: words });
    const html = await (await get(`/view/${name}/${path}?${query}`)).text();
    items.append(...[...nodes(html)].filter((node) => node instanceof Element));
    const last = items.lastElementChild;
    return { from, items, next: last?.matches("[data-next]") ? last : null };
  }

  /** Show these pages, with only the button of the last. */
  function show(all) {
    pages = all;
    for (const { next } of all.slice(0, -1)) next?.remove();
    update(...all.map(({ items }) => items.cloneNode(true)));
    localTimes(box);
  }

  /** Refetch pages that may have changed: the last, and those with open items. Stay at the bottom if there. */
  async function renew() {
    const bottom = box.hasChildNodes() && panel.scrollHeight - panel.scrollTop - panel.clientHeight < 40;
    const last = pages.at(-1), refetch = (changed) => Promise.all(pages.map((each) => (changed(each) ? page(each.from) : each)));
    let all = await refetch((each) => each === last || each.items.querySelector(OPEN));
    if (last && first(last) !== first(all.at(-1))) all = await refetch(() => true); // items arrived before it, as from another process
    if (!last) all.push(await page(0));
    while (last && !last.next && all.at(-1).next) all.push(await page(all.at(-1).next.dataset.next));
    show(all);
    if (bottom) panel.scrollTop = panel.scrollHeight;
  }

  /** Run actions one after another: each starts from the pages that the previous one showed. */
  const inTurn = (action) => (turn = turn.catch(() => {}).then(action));

  box.addEventListener("click", (event) => {
    const button = event.target.closest("[data-next]");
    if (!button) return;
    return busy(button, () => inTurn(async () => show([...pages, await page(button.dataset.next)])));
  });
  return {
    news: () => inTurn(renew),
    search: (sought) => inTurn(async () => {
      if (sought === words) return;
      words = sought;
      show([await page(0)]);
    }),
    move: (step) => panel.scrollBy({ top: step * 120 }),
  };
}
