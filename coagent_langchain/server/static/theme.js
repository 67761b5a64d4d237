// Sets the chosen theme before the first paint. A classic script, so that the page does not flash.
(() => {
  const root = document.documentElement;
  const names = ["system", "light", "dark"];
  const stored = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  let theme = names.includes(stored()) ? stored() : "system";

  function apply() {
    if (theme === "system") delete root.dataset.theme; else root.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (!button) return;
    const words = theme === "system" ? "as the system" : theme;
    button.setAttribute("aria-label", `Theme: ${words}`);
    button.title = `Theme: ${words}`;
  }

  function next() {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const order = dark ? ["system", "light", "dark"] : ["system", "dark", "light"];
    theme = order[(order.indexOf(theme) + 1) % 3];
    try { localStorage.setItem("theme", theme); } catch { /* private mode: the choice lasts as long as the page */ }
    apply();
  }

  apply();
  document.addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("theme").addEventListener("click", next);
  });
})();
