// Number formats of the browser, the same as in the server's formats.py.

const grouped = new Intl.NumberFormat("en-US");
const cents = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const two = (number) => String(number).padStart(2, "0");

/** 1,200; an en dash if unknown. */
export const count = (number) => (number === null ? "–" : grouped.format(number));

/** 412 ms, 2.3 s, 1 min 04 s, 2 h 05 min. */
export function duration(ms) {
  if (ms === null || ms < 0) return "–";
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(Math.round(ms / 100) / 10).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 2880) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor(minutes % 1440 / 60)} h`;
}

export function cost(dollars) {
  if (!dollars) return "";
  if (dollars < 0.0001) return "<$0.0001";
  return dollars >= 0.99995 ? `$${cents.format(dollars)}` : `$${dollars.toFixed(4)}`;
}

/** Round steps for a time axis of `span` milliseconds, at most `most` of them. */
export function ticks(span, most) {
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 216e5, 432e5, 864e5];
  const step = steps.find((each) => span / each <= most) ?? Math.ceil(span / most / 864e5) * 864e5;
  return Array.from({ length: Math.floor(span / step) + 1 }, (_, number) => number * step);
}
