// The Raw tab: the entries as JSON, a page at a time.
import { get, nodes } from "./page.js";

export async function open({ path }) {
  const box = document.getElementById("raw"), panel = box.parentElement;

  async function page(from) {
    return nodes(await (await get(`/view/raw/${path}?from=${from}`)).text());
  }

  box.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-next]");
    if (!button || button.disabled) return;
    button.disabled = true;
    button.replaceWith(...await page(button.dataset.next));
  });
  box.replaceChildren(...await page(0));

  async function news() {
    const last = box.querySelector(":scope > [data-next]");
    if (last || box.querySelector("details[open]")) return;
    box.replaceChildren(...await page(0));
  }
  return { news, move: (step) => panel.scrollBy({ top: step * 80 }) };
}
