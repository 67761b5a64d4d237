// The Conversation tab: fetched a page at a time. `news()` shows the first page, and what came since.
import { get, localTimes, nodes } from "./page.js";

export function open({ path }) {
  const box = document.getElementById("conversation"), panel = box.parentElement;
  let pages = 1;

  async function page(from) {
    return nodes(await (await get(`/view/conversation/${path}?from=${from}`)).text());
  }

  async function next(button) {
    if (button.disabled) return;
    button.disabled = true;
    button.replaceWith(...await page(button.dataset.next));
    pages++;
    localTimes(box);
  }

  async function news() {
    if (pages > 1) return; // somebody reads further down: leave it; the next visit has it
    const open = [...box.querySelectorAll("details[open] a.to")].map((link) => link.dataset.seq);
    const bottom = box.hasChildNodes() && panel.scrollHeight - panel.scrollTop - panel.clientHeight < 40, top = panel.scrollTop;
    box.replaceChildren(...await page(0));
    for (const seq of open) box.querySelector(`details a.to[data-seq="${CSS.escape(seq)}"]`)?.closest("details").setAttribute("open", "");
    localTimes(box);
    panel.scrollTop = bottom ? panel.scrollHeight : top;
  }

  box.addEventListener("click", (event) => {
    const button = event.target.closest("[data-next]");
    if (button) next(button);
  });
  return { news, move: (step) => panel.scrollBy({ top: step * 120 }) };
}
