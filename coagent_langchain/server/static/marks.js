// Marks the words of a search in texts. Elements are not changed: CSS paints the ranges.

const MOST = 5000; // ranges

/** What the server's search finds (search.py): terms at the beginning of a word; in JSON a word may follow `\n`. */
function pattern(search) {
  const terms = [...search.matchAll(/"([^"]+)"|(\S+)/g)].map(([, phrase, word]) => phrase ?? word);
  const any = terms.map((term) => term.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("|");
  return any && new RegExp(`(?:(?<![\\p{L}\\p{N}])|(?<=\\\\[nrt]))(?:${any})`, "giu");
}

function* ranges(box, found) {
  const texts = document.createTreeWalker(box, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    for (const { index, 0: { length } } of node.data.matchAll(found)) {
      const range = new Range();
      range.setStart(node, index);
      range.setEnd(node, index + length);
      yield range;
    }
  }
}

export class Marks {
  /** @param boxes  elements whose texts are marked, later ones included */
  constructor(boxes) {
    Object.assign(this, { boxes, found: "" });
    const observer = new MutationObserver(() => this.draw());
    for (const box of boxes) observer.observe(box, { childList: true, subtree: true });
  }

  /** Mark the words of a search from now on; "" marks none. */
  show(search) {
    if (!globalThis.CSS?.highlights) return;
    this.found = pattern(search);
    this.draw();
  }

  /** Renew the marks, and flag `details` that contain marked text. */
  draw() {
    for (const fold of document.querySelectorAll("details.found")) fold.classList.remove("found");
    const marked = new Highlight();
    for (const box of this.found ? this.boxes : []) {
      for (const range of ranges(box, this.found)) {
        if (marked.add(range).size === MOST) break;
        for (let fold = range.startContainer.parentElement.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.classList.add("found");
      }
    }
    CSS.highlights.set("found", marked);
  }
}
