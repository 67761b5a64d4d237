// Shows what the server sends anew without undoing what the reader did to what it sent before.
import { nodes } from "./page.js";

const key = (node) => `${node.nodeName} ${node.dataset?.item ?? ""}`;

/**
 * Make `shown` show the children of `fresh` in place of those of `sent`, which it was made of. What is the same in both
 * stays the same nodes, with the focus, a selection, what was folded or fetched; what has changed changes in its place.
 */
export function merge(shown, sent, fresh) {
  const was = [...sent.childNodes], live = [...shown.childNodes];
  if (live.length !== was.length) return shown.replaceChildren(...fresh.childNodes); // the reader fetched the rest of it
  const free = new Set(was.keys());
  const take = (same) => {
    const found = [...free].find((place) => same(was[place]));
    free.delete(found);
    return found;
  };
  const wanted = [...fresh.childNodes];
  const equal = wanted.map((node) => take((each) => each.isEqualNode(node)));
  const made = wanted.map((node, place) => {
    if (equal[place] !== undefined) return live[equal[place]];
    const found = take((each) => key(each) === key(node));
    return found === undefined ? node : change(live[found], was[found], node);
  });
  for (const place of free) live[place].remove();
  made.forEach((node, place) => {
    if (shown.childNodes[place] !== node) shown.insertBefore(node, shown.childNodes[place] ?? null);
  });
}

/** Show HTML in `box`, again and again, each time as `merge` does. */
export function kept(box) {
  let sent = new DocumentFragment();
  sent.append(...box.cloneNode(true).childNodes);
  return (html) => {
    const fresh = new DocumentFragment();
    fresh.append(...nodes(html));
    merge(box, sent, fresh.cloneNode(true));
    sent = fresh;
  };
}

function change(shown, sent, fresh) {
  if (!(shown instanceof Element)) {
    shown.data = fresh.data;
    return shown;
  }
  for (const { name, value } of fresh.attributes) if (sent.getAttribute(name) !== value) shown.setAttribute(name, value);
  for (const { name } of sent.attributes) if (!fresh.hasAttribute(name)) shown.removeAttribute(name);
  merge(shown, sent, fresh);
  return shown;
}
