// Time without the stretches of waiting for a human in which nothing else ran: the layout of the bars.

export class Waits {
  /** @param spans  [from, to, asks] in milliseconds: asks is 1 for a question to a human, 0 for work */
  constructor(spans) {
    const edges = spans.flatMap(([from, to, asks]) => [[from, asks, 1 - asks], [to, -asks, asks - 1]]).sort((one, other) => one[0] - other[0]);
    let asked = 0, works = 0, gone = 0;
    this.cuts = []; // [from, to, milliseconds cut before]
    edges.forEach(([from, ask, work], place) => {
      const to = edges[place + 1]?.[0];
      asked += ask;
      works += work;
      if (!asked || works || !(to > from)) return;
      this.cuts.push([from, to, gone]);
      gone += to - from;
    });
  }

  /** A moment minus what was cut before it. */
  cut(ms) {
    let low = 0, high = this.cuts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.cuts[middle][0] < ms) low = middle + 1; else high = middle;
    }
    const [from, to, gone] = this.cuts[low - 1] ?? [ms, ms, 0];
    return ms - gone - Math.min(ms, to) + from;
  }
}
