// Tells the page what changed: by websocket, or by polling when that is blocked.
// <body data-live-topics="release.1,overview" data-live-since="42">; news become a `live` event on <body> (throttled), and
// htmx elements with hx-trigger="live from:body" fetch their fragment again. Connection state is shown in #connection-state;
// #announcer says politely that something changed. Nothing here moves the focus.
(function () {
  "use strict";
  const body = document.body;
  const topics = body.dataset.liveTopics || "";
  if (!topics) return;
  const state = document.getElementById("connection-state");
  const announcer = document.getElementById("announcer");
  const POLL_MS = 4000, RETRY_FIRST_MS = 500, RETRY_MAX_MS = 15000, THROTTLE_MS = 400, SHOW_MS = 1000, SAY_MS = 5000, PING_MS = 20000;
  const RELOAD_MIN_MS = 30000, RELOADED_AT = "mlorch-reloaded-at";
  const UNAUTHENTICATED = 4401, REFUSED = [4400, 4403];
  let since = Number(body.dataset.liveSince || 0);
  let retry = RETRY_FIRST_MS, failures = 0, socket = null, pending = null, saying = null, lastNews = Date.now(), polling = null, mode = "connecting";

  function show() {
    if (!state) return;
    const age = Math.round((Date.now() - lastNews) / 1000);
    const text = mode === "live" ? "Live" : mode === "polling" ? "Polling every 4 s" : mode === "connecting" ? "Connecting"
      : "Reconnecting, last update " + age + " s ago";
    const label = state.querySelector("[data-state-text]") || state;
    if (label.textContent !== text) label.textContent = text;
    state.dataset.state = mode;
  }

  function reach(sequence) {
    since = sequence;
    body.dataset.liveSince = String(since);
  }

  function announce(message) {
    if (message.sequence <= since) return;
    reach(message.sequence);
    lastNews = Date.now();
    if (message.kind === "windows.stored") return;
    say(message.kind);
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

  // The server sends whoever is not signed in to the sign-in page; once, lest two opinions about that make a loop.
  function signInAgain() {
    const now = Date.now();
    if (now - Number(sessionStorage.getItem(RELOADED_AT) || 0) < RELOAD_MIN_MS) return false;
    sessionStorage.setItem(RELOADED_AT, String(now));
    location.reload();
    return true;
  }

  function hear(message) {
    if (message.type === "hello") {
      const wasAway = mode !== "connecting";
      if (!since) reach(message.sequence);
      mode = "live"; failures = 0; retry = RETRY_FIRST_MS; stopPolling();
      if (wasAway) refresh();
    } else if (message.type === "reload") {
      reach(message.sequence);
      refresh();
    } else if (message.type === "event") {
      announce(message);
    }
    lastNews = Date.now();
    show();
  }

  function connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const url = scheme + "//" + location.host + "/ws/live/?topics=" + encodeURIComponent(topics) + "&since=" + since;
    try { socket = new WebSocket(url); } catch (error) { lost(); return; }
    socket.onmessage = function (event) { hear(JSON.parse(event.data)); };
    socket.onclose = function (event) {
      if (event.code === UNAUTHENTICATED && signInAgain()) return;
      if (REFUSED.includes(event.code)) { startPolling(); return; }
      lost();
    };
  }

  function lost() {
    failures += 1;
    if (failures >= 2) startPolling();
    else { mode = "reconnecting"; show(); }
    setTimeout(connect, retry);
    retry = Math.min(retry * 2, RETRY_MAX_MS);
  }

  function startPolling() {
    if (polling) return;
    mode = "reconnecting";
    polling = setInterval(poll, POLL_MS);
    poll();
  }

  function stopPolling() {
    clearInterval(polling); polling = null;
  }

  async function poll() {
    try {
      const answer = await fetch("/live/events.json?topics=" + encodeURIComponent(topics) + "&since=" + since, { credentials: "same-origin" });
      if (answer.redirected) { signInAgain(); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      const news = await answer.json();
      if (!polling) return;
      mode = "polling"; lastNews = Date.now();
      news.events.forEach(announce);
      if (news.reload || !since) reach(news.sequence);
      if (news.reload) refresh();
    } catch (error) {
      if (polling) mode = "reconnecting";
    }
    show();
  }

  setInterval(show, SHOW_MS);
  setInterval(function () { if (socket && socket.readyState === WebSocket.OPEN) socket.send("{}"); }, PING_MS);
  show();
  connect();
})();
