// The bell in the navigation: fetched again after news of the page, and when somebody comes back to it. On a page without
// news it is as old as the page: to fetch it by the clock would keep a session from ever being idle.
// It is no part of the page's truth (live.js): that it was fetched proves nothing of the rest.
(function () {
  "use strict";
  const AFTER_NEWS_MS = 3000;
  let waiting = null;

  function ring() {
    waiting = null;
    const bell = document.getElementById("bell");
    if (bell && !document.hidden) bell.dispatchEvent(new CustomEvent("bell"));
  }

  document.body.addEventListener("live", function () {
    if (!waiting) waiting = setTimeout(ring, window.mlorch.jittered(AFTER_NEWS_MS));
  });
  document.addEventListener("visibilitychange", ring);
})();
