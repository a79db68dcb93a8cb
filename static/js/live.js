// Tells the page what changed: by websocket, or by polling when that is blocked.
// <body data-live-topics="release.1,overview" data-live-since="42">; every event becomes a `live` event on <body>, and
// htmx elements with hx-trigger="live from:body" fetch their fragment again. Connection state is shown in #connection-state.
(function () {
  "use strict";
  const body = document.body;
  const topics = body.dataset.liveTopics || "";
  if (!topics) return;
  const state = document.getElementById("connection-state");
  const POLL_MS = 4000, RETRY_MAX_MS = 15000, THROTTLE_MS = 400, SAY_MS = 1000;
  let since = Number(body.dataset.liveSince || 0);
  let retry = 500, failures = 0, socket = null, pending = null, lastNews = Date.now(), polling = null, mode = "connecting";

  function show() {
    if (!state) return;
    const age = Math.round((Date.now() - lastNews) / 1000);
    const text = mode === "live" ? "Live" : mode === "polling" ? "Polling every 4 s" : mode === "connecting" ? "Connecting"
      : "Reconnecting, last update " + age + " s ago";
    const label = state.querySelector("[data-state-text]") || state;
    if (label.textContent !== text) label.textContent = text;
    state.dataset.state = mode;
  }

  function announce(message) {
    if (message.sequence > since) { since = message.sequence; body.dataset.liveSince = String(since); }
    lastNews = Date.now();
    body.dispatchEvent(new CustomEvent("live-event", { detail: message }));
    if (message.kind === "windows.stored" || pending) return;
    pending = setTimeout(function () { pending = null; refresh(); }, THROTTLE_MS);
  }

  function refresh() {
    body.dispatchEvent(new CustomEvent("live"));
  }

  function connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const url = scheme + "//" + location.host + "/ws/live/?topics=" + encodeURIComponent(topics) + "&since=" + since;
    try { socket = new WebSocket(url); } catch (error) { lost(); return; }
    socket.onmessage = function (event) {
      const message = JSON.parse(event.data);
      if (message.type === "hello") {
        if (!since) since = message.sequence;
        const wasAway = mode !== "connecting";
        mode = "live"; failures = 0; retry = 500; lastNews = Date.now(); stopPolling(); show();
        if (wasAway) refresh();
      } else if (message.type === "reload") { since = message.sequence; refresh(); }
      else if (message.type === "event") announce(message);
    };
    socket.onclose = function (event) {
      if (event.code === 4401) { location.reload(); return; }
      if (event.code === 4403 || event.code === 4400) { mode = "polling"; startPolling(); show(); return; }
      lost();
    };
  }

  function lost() {
    failures += 1;
    mode = failures >= 2 ? "polling" : "reconnecting";
    if (failures >= 2) startPolling();
    show();
    setTimeout(connect, retry);
    retry = Math.min(retry * 2, RETRY_MAX_MS);
  }

  function startPolling() {
    if (!polling) { polling = setInterval(poll, POLL_MS); poll(); }
  }

  function stopPolling() {
    clearInterval(polling); polling = null;
  }

  async function poll() {
    try {
      const answer = await fetch("/live/events.json?topics=" + encodeURIComponent(topics) + "&since=" + since, { credentials: "same-origin" });
      if (!answer.ok) return;
      const news = await answer.json();
      lastNews = Date.now();
      news.events.forEach(announce);
      if (news.sequence > since) since = news.sequence;
      if (news.reload) refresh();
    } catch (error) { mode = "reconnecting"; }
    show();
  }

  setInterval(show, SAY_MS);
  setInterval(function () { if (socket && socket.readyState === 1) socket.send("{}"); }, 20000);
  show();
  connect();
})();
