// The Raw tab: the entries as JSON, a page at a time; during a search, those with its words.
import { busy, get, nodes } from "./page.js";

export function open({ path, search }) {
  const box = document.getElementById("raw"), panel = box.parentElement;
  const count = () => box.querySelectorAll(":scope > details").length;
  let words = search.value.trim();

  /** Pass a page of entries to `put`, unless the search has changed meanwhile. */
  async function page(from, put) {
    const query = new URLSearchParams({ from, q: words });
    const html = await (await get(`/view/raw/${path}?${query}`)).text();
    if (query.get("q") === words) await put(...nodes(html));
  }

  const anew = () => page(0, (...first) => box.replaceChildren(...first));

  /** Pass `put` what follows the last entry; reload if entries arrived before it, as from another process. */
  async function follow(from, put) {
    const last = box.querySelector(":scope > details:last-of-type");
    await page(Math.max(from - 1, 0), (...entries) => {
      const again = last && entries.find((node) => node.nodeName === "DETAILS");
      if (again?.dataset.ref !== last?.dataset.ref) return anew();
      return put(...entries.slice(entries.indexOf(again) + 1));
    });
  }

  box.addEventListener("click", (event) => {
    const button = event.target.closest("[data-next]");
    if (!button) return;
    return busy(button, async () => {
      await follow(button.dataset.next, (...more) => button.replaceWith(...more));
      return box.querySelector(":scope > [data-next]");
    });
  });

  return {
    async news() {
      if (box.querySelector(":scope > [data-next]")) return;
      const known = count();
      if (!known) return anew();
      await follow(known, (...more) => { if (count() === known) box.append(...more); });
    },
    async search(sought) {
      if (sought === words) return;
      words = sought;
      await anew();
    },
    move: (step) => panel.scrollBy({ top: step * 80 }),
  };
}
