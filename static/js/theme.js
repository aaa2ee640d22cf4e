// Sets the colours before the first paint. Loaded in <head> without defer, since a later change would flash.
(function () {
  "use strict";
  var root = document.documentElement;
  var system = window.matchMedia("(prefers-color-scheme: dark)");

  function apply() {
    var choice = root.dataset.themeChoice;
    var dark = choice === "dark" || (choice !== "light" && system.matches);
    root.setAttribute("data-bs-theme", dark ? "dark" : "light");
    document.dispatchEvent(new CustomEvent("filaia:theme"));
  }

  system.addEventListener("change", apply);
  new MutationObserver(apply).observe(root, { attributes: true, attributeFilter: ["data-theme-choice"] });
  apply();
})();
