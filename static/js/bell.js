// The bell in the navigation: fetched again after news of the page, when somebody comes back to it, and once a minute.
// It is no part of the page's truth (live.js): that it was fetched proves nothing of the rest.
(function () {
  "use strict";
  const AFTER_NEWS_MS = 3000, OTHERWISE_MS = 60000;
  const bell = document.getElementById("bell");
  if (!bell) return;
  let waiting = null;

  function ring() {
    waiting = null;
    const now = document.getElementById("bell");
    if (now && !document.hidden) now.dispatchEvent(new CustomEvent("bell"));
  }

  document.body.addEventListener("live", function () {
    if (!waiting) waiting = setTimeout(ring, window.mlorch.jittered(AFTER_NEWS_MS));
  });
  document.addEventListener("visibilitychange", ring);
  setInterval(ring, OTHERWISE_MS);
})();
