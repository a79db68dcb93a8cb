// Draws every [data-chart] on the page from one stream of points, and keeps its table twin and its sentence right.
// <div data-chart="rate|latency|errors" data-environment data-endpoint data-table="id">; markers and limits are in #chart-facts
(function () {
  "use strict";
  const SPAN_S = 600, POLL_MS = 2000, RETRY_MAX_MS = 15000, DRAW_MS = 500, TABLE_ROWS = 60;
  const charts = Array.from(document.querySelectorAll("[data-chart]"));
  if (!charts.length || !window.Plotly) return;
  const place = charts[0].dataset.environment + "/" + charts[0].dataset.endpoint;
  const points = new Map();
  let since = 0, dirty = true, retry = 500, failures = 0, polling = null;
  const TITLES = { rate: "Requests per second", latency: "Latency in ms", errors: "Share of errors in %" };
  const FIELDS = {
    rate: [["", function (p) { return p.rate; }]],
    latency: [["p50", function (p) { return p.p50; }], ["p95", function (p) { return p.p95; }], ["p99", function (p) { return p.p99; }]],
    errors: [["", function (p) { return p.error_share === null ? null : p.error_share * 100; }]]
  };
  const QUANTILE_DASH = { p50: "dot", p95: "solid", p99: "dash" };
  const ARM_DASH = { stable: "solid", candidate: "dash", baseline: "dot", shadow: "dashdot" };

  function css(name, fallback) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim() || fallback;
  }

  function armColour(arm) {
    return arm === "candidate" ? css("--mlorch-candidate", "#d9730d") : css("--mlorch-stable", "#1769c4");
  }

  function take(message) {
    if (message.type !== "points") return;
    since = Math.max(since, message.sequence);
    message.points.forEach(function (p) { points.set(p.t + "|" + p.arm + "|" + p.version, p); });
    const newest = Math.max.apply(null, Array.from(points.values(), function (p) { return p.t; }).concat([0]));
    points.forEach(function (p, key) { if (p.t < newest - SPAN_S) points.delete(key); });
    dirty = true;
  }

  function sorted() {
    return Array.from(points.values()).sort(function (a, b) { return a.t - b.t; });
  }

  function traces(kind, rows) {
    const arms = Array.from(new Set(rows.map(function (p) { return p.arm; }))).sort().reverse();
    const made = [];
    arms.forEach(function (arm) {
      const own = rows.filter(function (p) { return p.arm === arm; });
      FIELDS[kind].forEach(function (field) {
        made.push({
          type: "scatter", mode: "lines", name: (arm + " " + field[0]).trim(), hoverinfo: "x+y+name",
          x: own.map(function (p) { return new Date(p.t * 1000); }), y: own.map(field[1]),
          line: { color: armColour(arm), width: field[0] === "p50" ? 1 : 2, dash: QUANTILE_DASH[field[0]] || ARM_DASH[arm] || "solid" }
        });
      });
    });
    return made;
  }

  function layout(box) {
    const text = css("--mlorch-text", "#33404f"), grid = css("--mlorch-grid", "#e3e7ec");
    const shapes = [], notes = [];
    const facts = document.getElementById("chart-facts");
    const limit = facts ? (box.dataset.chart === "errors" ? facts.dataset.limitErrors : box.dataset.chart === "latency" ? facts.dataset.limitLatency : "") : "";
    JSON.parse((facts && facts.dataset.markers) || "[]").forEach(function (marker) {
      const x = new Date(marker.t * 1000);
      if (x.getTime() / 1000 < Date.now() / 1000 - SPAN_S) return;
      shapes.push({ type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, line: { color: text, width: 1, dash: "dot" } });
      notes.push({ x: x, yref: "paper", y: 1.02, text: marker.text, showarrow: false, xanchor: "left", yanchor: "bottom", font: { size: 10, color: text } });
    });
    if (limit) {
      const y = Number(limit);
      shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, line: { color: css("--mlorch-limit", "#c92a2a"), width: 1.5, dash: "longdash" } });
      notes.push({ xref: "paper", x: 1, y: y, text: box.dataset.chart === "latency" ? "SLO" : "guardrail", showarrow: false, xanchor: "right", yanchor: "bottom", font: { size: 10, color: css("--mlorch-limit", "#c92a2a") } });
    }
    return {
      autosize: true, height: 240, margin: { l: 44, r: 12, t: 22, b: 46 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: text, size: 11 }, showlegend: true, legend: { orientation: "h", y: -0.18, x: 0 }, shapes: shapes, annotations: notes,
      xaxis: { gridcolor: grid, linecolor: grid, type: "date" }, yaxis: { gridcolor: grid, rangemode: "tozero", zeroline: false, fixedrange: true }
    };
  }

  function number(value) {
    return value === null || value === undefined ? "–" : value.toFixed(1);
  }

  function fillTable(box, kind, rows) {
    const table = document.getElementById(box.dataset.table || "");
    if (!table || !table.closest("details") || !table.closest("details").open) return;
    const target = table.querySelector("tbody");
    target.replaceChildren.apply(target, rows.slice(-TABLE_ROWS).reverse().map(function (p) {
      const line = document.createElement("tr");
      const cells = [new Date(p.t * 1000).toLocaleTimeString(), p.arm, String(p.version)].concat(FIELDS[kind].map(function (f) { return number(f[1](p)); }));
      cells.forEach(function (text) { const cell = document.createElement("td"); cell.textContent = text; line.appendChild(cell); });
      return line;
    }));
  }

  function sentence(kind, rows) {
    const newest = {};
    rows.forEach(function (p) { newest[p.arm] = p; });
    const field = FIELDS[kind][kind === "latency" ? 1 : 0];
    const parts = Object.keys(newest).sort().reverse().map(function (arm) { return arm + " " + number(field[1](newest[arm])); });
    return TITLES[kind] + (field[0] ? " (" + field[0] + ")" : "") + (parts.length ? ", newest: " + parts.join(", ") + "." : ": no requests yet.");
  }

  function draw() {
    if (!dirty) return;
    dirty = false;
    const rows = sorted();
    charts.forEach(function (box) {
      const kind = box.dataset.chart;
      window.Plotly.react(box, traces(kind, rows), layout(box), { displayModeBar: false, responsive: true, displaylogo: false });
      box.setAttribute("aria-label", sentence(kind, rows));
      box.dataset.points = String(rows.length);
      fillTable(box, kind, rows);
    });
  }

  async function poll() {
    try {
      const answer = await fetch("/live/charts/" + place + ".json?since=" + since, { credentials: "same-origin" });
      if (answer.ok) take(await answer.json());
    } catch (error) { /* the next poll tries again */ }
  }

  function connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    let socket;
    try { socket = new WebSocket(scheme + "//" + location.host + "/ws/charts/" + place + "/?since=" + since); } catch (error) { lost(); return; }
    socket.onmessage = function (event) {
      failures = 0; retry = 500; clearInterval(polling); polling = null;
      take(JSON.parse(event.data));
    };
    socket.onclose = lost;
  }

  function lost() {
    failures += 1;
    if (failures >= 2 && !polling) polling = setInterval(poll, POLL_MS);
    setTimeout(connect, retry);
    retry = Math.min(retry * 2, RETRY_MAX_MS);
  }

  new MutationObserver(function () { dirty = true; }).observe(document.documentElement, { attributes: true, attributeFilter: ["data-bs-theme"] });
  document.querySelectorAll("details").forEach(function (box) { box.addEventListener("toggle", function () { dirty = true; }); });
  setInterval(draw, DRAW_MS);
  poll().then(function () { draw(); connect(); });
})();
