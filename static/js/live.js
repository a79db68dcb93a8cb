// Tells the page what changed, and keeps it true without being told.
// <body data-live-topics="release.1,overview" data-live-since="42">; news become a `live` event on <body> (throttled), and
// htmx elements with hx-trigger="live from:body" fetch their fragment again. A message can be lost: so the server is asked every
// HEARTBEAT_MS (every POLL_MS without websockets) whether there was any, which is cheap, and the parts are fetched when there
// was. What no event tells, how long ago something was above all, is fetched after WHOLE_MS; a page with [data-live-figures]
// in it shows figures that move all the time, and is fetched after TRUTH_MS, as every page is that hears nothing; so is one on
// which nothing was confirmed for UNSURE_MS. A fetch that failed is tried again after AGAIN_MS. #connection-state says how news come and as of when the page is right; a page that
// could not be made right for STALE_MS says so, is greyed, and its acts are off (`inert`). A page that nobody looks at asks
// for nothing, and for everything when somebody does. #announcer says politely that something changed. Nothing here moves the
// focus.
(function () {
  "use strict";
  const body = document.body;
  const topics = encodeURIComponent(body.dataset.liveTopics || "");
  if (!topics) return;
  const state = document.getElementById("connection-state");
  const announcer = document.getElementById("announcer");
  const stale = document.getElementById("stale");
  const PARTS = "[hx-trigger*='live from:body']", ACTS = ".page-actions, [data-acts], .modal-footer";
  const FIGURES = "[data-live-figures]";
  const POLL_MS = 8000, HEARTBEAT_MS = 9000, TRUTH_MS = 9000, WHOLE_MS = 60000, AGAIN_MS = 2000, UNSURE_MS = 12000;
  const STALE_MS = 15000, THROTTLE_MS = 400, SHOW_MS = 1000, SAY_MS = 5000;
  const TEXTS = {
    "connecting": "Connecting", "live": "Live", "polling": "Polling every " + POLL_MS / 1000 + " s",
    "signed-out": "Signed out: load the page again to sign in", "refused": "No live news: you may not hear them"
  };
  let mode = "connecting", lastNews = Date.now(), pending = null, saying = null;
  let trueAt = Date.now(), askedAt = Date.now(), failed = false, fetching = false, spread = window.mlorch.jittered(1);

  function show(newMode) {
    mode = newMode;
    if (isHeard()) lastNews = Date.now();
    paint();
  }

  function paint() {
    const hasParts = document.querySelector(PARTS) !== null;
    if (hasParts) keepTrue();
    if (!state) return;
    const age = Math.round((Date.now() - lastNews) / 1000);
    const asOf = hasParts && isHeard() ? ", as of " + clock(trueAt) : "";
    const text = (TEXTS[mode] || "Reconnecting, last update " + age + " s ago") + asOf;
    const label = state.querySelector("[data-state-text]");
    if (label.textContent !== text) label.textContent = text;
    state.dataset.state = mode;
  }

  function clock(time) {
    return new Date(time).toLocaleTimeString([], { hour12: false, timeZone: document.documentElement.dataset.timeZone || undefined });
  }

  function keepTrue() {
    const now = Date.now();
    if (mode !== "signed-out" && isDue(now - askedAt, now - trueAt)) refresh();
    if (!document.hidden) mark(now - trueAt > STALE_MS);
  }

  // A connection can be silent and look alive: then nothing was confirmed for UNSURE_MS.
  function isDue(sinceAsked, sinceTrue) {
    if (failed || sinceTrue >= UNSURE_MS) return sinceAsked >= AGAIN_MS;
    return sinceAsked >= spread * (isHeard() && !document.querySelector(FIGURES) ? WHOLE_MS : TRUTH_MS);
  }

  function isHeard() {
    return mode === "live" || mode === "polling";
  }

  // Nothing was missed up to now, so what was fetched is right, unless it is still on its way or moves by itself.
  function confirm() {
    if (!failed && !fetching && !pending && !document.querySelector(FIGURES)) trueAt = Date.now();
  }

  function mark(isStale) {
    if (stale) {
      stale.hidden = !isStale;
      if (isStale) stale.textContent = "This page is not known to be right since " + clock(trueAt) + ". Nothing can be done here until it is.";
    }
    body.classList.toggle("is-stale", isStale);
    document.querySelectorAll(ACTS).forEach(function (part) { part.inert = isStale; });
  }

  function hear(message, isNew) {
    if (isNew) body.dataset.liveSince = String(message.sequence);
    const wasAway = message.type === "hello" && mode !== "connecting";
    if (message.type === "reload" || wasAway || (message.type === "pong" && isNew)) refresh();
    else if (message.type === "pong") confirm();
    else if (message.type === "event" && isNew && message.kind !== "windows.stored") announce(message.kind);
  }

  function announce(kind) {
    say(kind);
    if (!pending) pending = setTimeout(function () { pending = null; refresh(); }, window.mlorch.jittered(THROTTLE_MS));
  }

  function say(kind) {
    if (!announcer || saying) return;
    saying = setTimeout(function () { saying = null; }, SAY_MS);
    announcer.textContent = kind.replace(/[._]/g, " ") + ", " + new Date().toLocaleTimeString();
  }

  function refresh() {
    if (document.hidden) return;
    askedAt = Date.now();
    fetching = document.querySelector(PARTS) !== null;
    spread = window.mlorch.jittered(1);
    body.dispatchEvent(new CustomEvent("live"));
  }

  // A session that ended answers with the sign-in page, which is no part of this one.
  function isAnswer(detail) {
    return detail.xhr.status === 200 && detail.xhr.responseURL.split("?")[0].endsWith(detail.pathInfo.requestPath.split("?")[0]);
  }

  body.addEventListener("htmx:beforeSwap", function (event) {
    if (event.detail.elt.matches(PARTS) && !isAnswer(event.detail)) event.detail.shouldSwap = false;
  });
  // A dialog in which somebody writes stays as it is.
  body.addEventListener("htmx:oobBeforeSwap", function (event) {
    if (event.detail.target.querySelector(".modal.show")) event.detail.shouldSwap = false;
  });
  body.addEventListener("htmx:afterRequest", function (event) {
    if (!event.detail.elt.matches(PARTS)) return;
    failed = !isAnswer(event.detail);
    fetching = false;
    if (!failed) trueAt = Date.now();
    paint();
  });
  document.addEventListener("visibilitychange", function () {
    if (document.hidden || mode === "signed-out") return;
    trueAt = Math.max(trueAt, Date.now() - TRUTH_MS);  // nothing was asked while nobody looked
    refresh();
  });

  setInterval(paint, SHOW_MS);
  window.mlorch.follow({
    socket: "/ws/live/?topics=" + topics + "&since=", poll: "/live/events.json?topics=" + topics + "&since=",
    pollMs: POLL_MS, pingMs: HEARTBEAT_MS,
    since: Number(body.dataset.liveSince || 0), hear: hear, show: show
  });
})();
