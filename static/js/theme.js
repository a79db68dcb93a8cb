// Sets the theme before the first paint: the person's choice, or the system's.
(function () {
  "use strict";
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  function apply() {
    const wish = root.dataset.theme || "auto";
    root.setAttribute("data-bs-theme", wish === "auto" ? (system.matches ? "dark" : "light") : wish);
  }
  apply();
  system.addEventListener("change", apply);
})();
