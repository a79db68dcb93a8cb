// Tells the page what changed.
// <body data-live-topics="release.1,overview" data-live-since="42">; news become a `live` event on <body> (throttled), and
// htmx elements with hx-trigger="live from:body" fetch their fragment again. Connection state is shown in #connection-state;
// #announcer says politely that something changed. Nothing here moves the focus.
(function () {
  "use strict";
  const body = document.body;
  const topics = encodeURIComponent(body.dataset.liveTopics || "");
  if (!topics) return;
  const state = document.getElementById("connection-state");
  const announcer = document.getElementById("announcer");
  const POLL_MS = 4000, THROTTLE_MS = 400, SHOW_MS = 1000, SAY_MS = 5000;
  const TEXTS = {
    "connecting": "Connecting", "live": "Live", "polling": "Polling every " + POLL_MS / 1000 + " s",
    "signed-out": "Signed out: load the page again to sign in", "refused": "No live news: you may not hear them"
  };
  let mode = "connecting", lastNews = Date.now(), pending = null, saying = null;

  function show(newMode) {
    mode = newMode;
    if (mode === "live" || mode === "polling") lastNews = Date.now();
    paint();
  }

  function paint() {
    if (!state) return;
    const age = Math.round((Date.now() - lastNews) / 1000);
    const text = TEXTS[mode] || "Reconnecting, last update " + age + " s ago";
    const label = state.querySelector("[data-state-text]");
    if (label.textContent !== text) label.textContent = text;
    state.dataset.state = mode;
  }

  function hear(message, isNew) {
    if (isNew) body.dataset.liveSince = String(message.sequence);
    const wasAway = message.type === "hello" && mode !== "connecting";
    if (message.type === "reload" || wasAway) refresh();
    else if (message.type === "event" && isNew && message.kind !== "windows.stored") announce(message.kind);
  }

  function announce(kind) {
    say(kind);
    if (!pending) pending = setTimeout(function () { pending = null; refresh(); }, THROTTLE_MS);
  }

  function say(kind) {
    if (!announcer || saying) return;
    saying = setTimeout(function () { saying = null; }, SAY_MS);
    announcer.textContent = kind.replace(/[._]/g, " ") + ", " + new Date().toLocaleTimeString();
  }

  function refresh() {
    body.dispatchEvent(new CustomEvent("live"));
  }

  setInterval(paint, SHOW_MS);
  window.mlorch.follow({
    socket: "/ws/live/?topics=" + topics + "&since=", poll: "/live/events.json?topics=" + topics + "&since=", pollMs: POLL_MS,
    since: Number(body.dataset.liveSince || 0), hear: hear, show: show
  });
})();
