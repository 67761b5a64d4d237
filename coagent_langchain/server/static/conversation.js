// The Conversation tab, fetched a page at a time. `news()` shows new items and leaves the others untouched.
import { merge } from "./merge.js";
import { busy, get, localTimes, nodes } from "./page.js";

const OPEN = ".x-open, .said.open"; // without an end so far

export function open({ path }) {
  const box = document.getElementById("conversation"), panel = box.parentElement;
  let pages = [], sent = new DocumentFragment(), turn = Promise.resolve();

  async function page(from) {
    const items = new DocumentFragment();
    items.append(...[...nodes(await (await get(`/view/conversation/${path}?from=${from}`)).text())].filter((node) => node instanceof Element));
    const last = items.lastElementChild;
    return { from, items, next: last?.matches("[data-next]") ? last : null };
  }

  /** Show these pages, with only the button of the last. */
  function show(all) {
    const fresh = new DocumentFragment();
    for (const { items, next } of all) {
      if (next && all.at(-1).next !== next) next.remove();
      fresh.append(items.cloneNode(true));
    }
    merge(box, sent, fresh.cloneNode(true));
    [pages, sent] = [all, fresh];
    localTimes(box);
  }

  /** Refetch pages that may have changed: the last, and those with open items. Stay at the bottom if there. */
  async function renew() {
    const bottom = box.hasChildNodes() && panel.scrollHeight - panel.scrollTop - panel.clientHeight < 40;
    const last = pages.at(-1), stays = ({ items }) => !items.querySelector(OPEN);
    const all = await Promise.all(pages.map((each) => (each !== last && stays(each) ? each : page(each.from))));
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
  return { news: () => inTurn(renew), move: (step) => panel.scrollBy({ top: step * 120 }) };
}
