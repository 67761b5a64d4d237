// Applies the chosen theme before the first paint, and the keyboard switch. A classic script, so the page does not flash.
(() => {
  const names = ["system", "light", "dark"];
  const stored = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
  const store = (name, value) => { try { localStorage.setItem(name, value); } catch { /* private mode: kept only for this page */ } };
  let theme = names.includes(stored("theme")) ? stored("theme") : "system";

  function apply() {
    document.documentElement.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (button) button.ariaLabel = button.title = `Theme: ${theme === "system" ? "as the system" : theme}`;
  }

  function next() {
    const step = matchMedia("(prefers-color-scheme: dark)").matches ? 1 : 2; // first the opposite of the system's
    theme = names[(names.indexOf(theme) + step) % 3];
    store("theme", theme);
    apply();
  }

  apply();
  document.addEventListener("DOMContentLoaded", () => {
    const single = document.getElementById("single");
    apply();
    document.getElementById("theme").addEventListener("click", next);
    single.checked = stored("single") !== "false";
    single.addEventListener("change", () => store("single", single.checked));
  });
})();
