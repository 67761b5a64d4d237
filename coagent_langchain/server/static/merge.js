// Shows updated HTML from the server without undoing what the reader did to the previous version.

const key = (node) => `${node.nodeName} ${node.dataset?.item ?? node.dataset?.href ?? ""}`;

/**
 * Replace the children of `shown`, made from `sent`, by those of `fresh`. Nodes equal in both stay, with their focus,
 * selection, and what was folded or fetched; changed nodes are updated in place.
 */
function merge(shown, sent, fresh) {
  const was = [...sent.childNodes], live = [...shown.childNodes];
  if (live.length !== was.length) return shown.replaceChildren(...fresh.childNodes); // the reader fetched more
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

/** A function that shows nodes in `box` with `merge`. */
export function updater(box) {
  let sent = new DocumentFragment();
  sent.append(...box.cloneNode(true).childNodes);
  return (...all) => {
    const fresh = new DocumentFragment();
    fresh.append(...all);
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
