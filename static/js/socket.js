// One way for every part of a page to hear news: a websocket, and polling where websockets are blocked.
// mlorch.follow({ socket, poll, pollMs, pingMs, since, hear, show }): `socket` and `poll` are addresses that end where the
// position is written; each message goes to hear(message, isNew), each change of state to show(mode): connecting, live, polling,
// reconnecting, signed-out, refused. After a break it goes on from the last message's sequence. Every `pingMs` the server is
// asked whether anything was missed: what was comes first, then `pong` with the position; a poll that was answered ends with one
// too. Nothing is asked while nobody looks, and at once when somebody looks again. Whoever is told that the session is over, or
// that this may not be heard, does not ask again.
(function () {
  "use strict";
  const RETRY_FIRST_MS = 500, RETRY_MAX_MS = 15000, PING_MS = 20000, LOST_BEFORE_POLLING = 2;
  const MALFORMED = 4400, UNAUTHENTICATED = 4401, FORBIDDEN = 4403, REFUSALS = [400, 403, 404];
  const RELOAD_MIN_MS = 30000, RELOADED_AT = "mlorch-reloaded-at";
  const JITTER = 0.2;  // of every interval: pages that were opened together do not ask together for ever
  const ends = new Set();

  function jittered(ms) {
    return ms * (1 + JITTER * (2 * Math.random() - 1));
  }

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
    let pinging = null;

    function take(message) {
      const isNew = message.sequence > since;
      if (isNew || message.type === "reload") since = message.sequence;
      wish.hear(message, isNew);
    }

    function ping() {
      clearTimeout(pinging);
      pinging = setTimeout(ping, jittered(wish.pingMs || PING_MS));
      if (!document.hidden && socket && socket.readyState === WebSocket.OPEN) socket.send("{}");
    }

    function lookAgain() {
      if (over || document.hidden) return;
      ping();
      if (polling) poll();
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
      poll();
    }

    function stopPolling() {
      clearTimeout(polling);
      polling = null;
    }

    async function poll() {
      clearTimeout(polling);
      polling = setTimeout(poll, jittered(wish.pollMs));
      if (document.hidden) return;
      let mode = "reconnecting";
      try {
        const answer = await fetch(wish.poll + since, { credentials: "same-origin", redirect: "manual" });
        const news = answer.ok ? await answer.json() : null;
        if (!polling) return;
        if (answer.type === "opaqueredirect" || answer.status === 401) { signedOut(); return; }
        if (REFUSALS.includes(answer.status)) { end("refused"); return; }
        if (news) { news.messages.forEach(take); take({ type: "pong", sequence: since }); mode = "polling"; }
      } catch (error) { /* not reached: the next poll tries again */ }
      if (polling) wish.show(mode);
    }

    function end(mode) {
      over = true;
      ends.delete(end);
      stopPolling();
      clearTimeout(connecting);
      clearTimeout(pinging);
      document.removeEventListener("visibilitychange", lookAgain);
      if (socket) socket.close();
      wish.show(mode);
    }

    document.addEventListener("visibilitychange", lookAgain);
    ends.add(end);
    wish.show("connecting");
    connect();
  }

  window.mlorch = { follow: follow, jittered: jittered };
})();
