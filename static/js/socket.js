// One way for every part of a page to hear news: a websocket, and polling where websockets are blocked.
// mlorch.follow({ socket, poll, pollMs, since, hear, show }): `socket` and `poll` are addresses that end where the position is
// written; each message goes to hear(message, isNew), each change of state to show(mode): connecting, live, polling, reconnecting,
// signed-out, refused. After a break it goes on from the last message's sequence. Whoever is told that the session is over, or
// that this may not be heard, does not ask again.
(function () {
  "use strict";
  const RETRY_FIRST_MS = 500, RETRY_MAX_MS = 15000, PING_MS = 20000, LOST_BEFORE_POLLING = 2;
  const MALFORMED = 4400, UNAUTHENTICATED = 4401, FORBIDDEN = 4403, REFUSALS = [400, 403, 404];
  const RELOAD_MIN_MS = 30000, RELOADED_AT = "mlorch-reloaded-at";
  const ends = new Set();

  // The server sends whoever is not signed in to the sign-in page; once, lest two opinions about that make a loop.
  function signedOut() {
    ends.forEach(function (end) { end("signed-out"); });
    const now = Date.now();
    if (now - Number(sessionStorage.getItem(RELOADED_AT) || 0) < RELOAD_MIN_MS) return;
    sessionStorage.setItem(RELOADED_AT, String(now));
    location.reload();
  }

  function follow(wish) {
    const base = location.origin.replace(/^http/, "ws") + wish.socket;
    let since = wish.since, retry = RETRY_FIRST_MS, lost = 0, over = false, socket = null, polling = null, connecting = null;

    function take(message) {
      const isNew = message.sequence > since;
      if (isNew || message.type === "reload") since = message.sequence;
      wish.hear(message, isNew);
    }

    function ping() {
      if (socket && socket.readyState === WebSocket.OPEN) socket.send("{}");
    }

    function heard(event) {
      lost = 0;
      retry = RETRY_FIRST_MS;
      stopPolling();
      take(JSON.parse(event.data));
      wish.show("live");
    }

    function closed(event) {
      if (over) return;
      if (event.code === UNAUTHENTICATED) signedOut();
      else if (event.code === FORBIDDEN || event.code === MALFORMED) end("refused");
      else again();
    }

    function connect() {
      try {
        socket = new WebSocket(base + since);
      } catch (error) {
        again();
        return;
      }
      socket.onopen = ping;  // its answer says that the connection is more than a refusal
      socket.onmessage = heard;
      socket.onclose = closed;
    }

    function again() {
      lost += 1;
      if (!polling) wish.show("reconnecting");
      if (lost >= LOST_BEFORE_POLLING && !polling) startPolling();
      connecting = setTimeout(connect, retry);
      retry = Math.min(retry * 2, RETRY_MAX_MS);
    }

    function startPolling() {
      polling = setInterval(poll, wish.pollMs);
      poll();
    }

    function stopPolling() {
      clearInterval(polling);
      polling = null;
    }

    async function poll() {
      let mode = "reconnecting";
      try {
        const answer = await fetch(wish.poll + since, { credentials: "same-origin", redirect: "manual" });
        const news = answer.ok ? await answer.json() : null;
        if (!polling) return;
        if (answer.type === "opaqueredirect" || answer.status === 401) { signedOut(); return; }
        if (REFUSALS.includes(answer.status)) { end("refused"); return; }
        if (news) { news.messages.forEach(take); mode = "polling"; }
      } catch (error) { /* not reached: the next poll tries again */ }
      if (polling) wish.show(mode);
    }

    function end(mode) {
      over = true;
      ends.delete(end);
      stopPolling();
      clearTimeout(connecting);
      clearInterval(pinging);
      if (socket) socket.close();
      wish.show(mode);
    }

    const pinging = setInterval(ping, PING_MS);
    ends.add(end);
    wish.show("connecting");
    connect();
  }

  window.mlorch = { follow: follow };
})();
