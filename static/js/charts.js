// Draws charts with Plotly, themed by the page, each with its table twin and its sentence.
// [data-chart]: live, from one stream of points for all charts of the page. data-spec says which lines (monitoring/charts.py),
// data-environment and data-endpoint whose; #chart-facts holds data-markers and data-limit-<kind>, and may be swapped at any time.
// [data-figure]: a finished figure, in the JSON script element of that id.
(function () {
  "use strict";
  if (!window.Plotly) return;
  const SPAN_S = 600, POLL_MS = 2000, RETRY_FIRST_MS = 500, RETRY_MAX_MS = 15000, DRAW_MS = 500, TABLE_ROWS = 60, GAP_S = 30;
  const CONFIG = { displayModeBar: false, responsive: true, displaylogo: false };
  const TRANSPARENT = "rgba(0,0,0,0)";
  const live = Array.from(document.querySelectorAll("[data-chart]"), function (box) {
    return { box: box, kind: box.dataset.chart, spec: JSON.parse(box.dataset.spec) };
  });
  const finished = Array.from(document.querySelectorAll("[data-figure]"), function (box) {
    return { box: box, figure: JSON.parse(document.getElementById(box.dataset.figure).textContent) };
  });
  const points = new Map();
  let since = 0, dirty = true, themed = false, retry = RETRY_FIRST_MS, failures = 0, polling = null;

  function css(name, fallback) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim() || fallback;
  }

  function theme() {
    return {
      text: css("--mlorch-chart-text", "#3a4654"), grid: css("--mlorch-chart-grid", "#dfe4ea"), limit: css("--mlorch-limit", "#c92a2a"),
      arm: function (arm) { return arm === "candidate" || arm === "shadow" ? css("--mlorch-candidate", "#b8540a") : css("--mlorch-stable", "#1769c4"); }
    };
  }

  function baseLayout(colours) {
    return {
      autosize: true, height: 260, margin: { l: 44, r: 84, t: 22, b: 46 }, paper_bgcolor: TRANSPARENT, plot_bgcolor: TRANSPARENT,
      font: { color: colours.text, size: 11 }, showlegend: true, legend: { orientation: "h", y: -0.25, x: 0 },
      xaxis: { gridcolor: colours.grid, linecolor: colours.grid, type: "date" },
      yaxis: { gridcolor: colours.grid, rangemode: "tozero", zeroline: false, fixedrange: true }
    };
  }

  // The name beside the end of each arm's main line, so that nobody has to tell arms apart by colour.
  function endLabels(traces) {
    const labels = [];
    traces.filter(function (trace) { return trace.meta.spoken; }).forEach(function (trace) {
      let last = trace.y.length - 1;
      while (last >= 0 && trace.y[last] === null) last -= 1;
      if (last < 0) return;
      labels.push({ x: trace.x[last], y: trace.y[last], text: trace.name, showarrow: false, xanchor: "left", xshift: 3, font: { size: 9, color: trace.line.color } });
    });
    return labels;
  }

  function facts(chart) {
    const source = document.getElementById("chart-facts");
    if (!source) return { markers: [], limit: null };
    const limit = source.getAttribute("data-limit-" + chart.kind);
    return { markers: JSON.parse(source.dataset.markers || "[]"), limit: limit ? Number(limit) : null };
  }

  function marks(chart, colours, layout) {
    const known = facts(chart), oldest = Date.now() / 1000 - SPAN_S;
    known.markers.filter(function (marker) { return marker.t >= oldest; }).forEach(function (marker) {
      const x = new Date(marker.t * 1000);
      layout.shapes.push({ type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, line: { color: colours.text, width: 1, dash: "dot" } });
      layout.annotations.push({ x: x, yref: "paper", y: 1, text: marker.text, showarrow: false, xanchor: "left", yanchor: "bottom", font: { size: 10, color: colours.text } });
    });
    if (known.limit === null) return;
    layout.shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: known.limit, y1: known.limit, line: { color: colours.limit, width: 1.5, dash: "longdash" } });
    layout.annotations.push({ xref: "paper", x: 0, y: known.limit, text: chart.spec.limit_text, showarrow: false, xanchor: "left", yanchor: "bottom", font: { size: 10, color: colours.limit } });
  }

  function armsOf(rows) {
    return Array.from(new Set(rows.map(function (p) { return p.arm; }))).sort(function (a, b) {
      return (a !== "stable") - (b !== "stable") || a.localeCompare(b);
    });
  }

  function value(line, point) {
    const raw = point[line.key];
    return raw === null || raw === undefined ? null : raw * line.factor;
  }

  // Where nothing was asked for a while the line is broken instead of drawn straight across.
  function withGaps(own) {
    const made = [];
    own.forEach(function (p, index) {
      if (index && p.t - own[index - 1].t > GAP_S) made.push({ t: own[index - 1].t + 1 });
      made.push(p);
    });
    return made;
  }

  function tracesOf(chart, rows, colours) {
    const made = [];
    armsOf(rows).forEach(function (arm) {
      const own = withGaps(rows.filter(function (p) { return p.arm === arm; }));
      chart.spec.lines.forEach(function (line, index) {
        made.push({
          type: "scatter", mode: "lines+markers", name: (arm + " " + line.label).trim(), hoverinfo: "x+y+name",
          x: own.map(function (p) { return new Date(p.t * 1000); }), y: own.map(function (p) { return value(line, p); }),
          line: { color: colours.arm(arm), width: 2, dash: line.dash || chart.spec.dashes[arm] || "solid" },
          marker: { color: colours.arm(arm), size: 3 }, meta: { arm: arm, spoken: index === chart.spec.spoken }
        });
      });
    });
    return made;
  }

  function number(value) {
    return value === null ? "–" : value.toFixed(1);
  }

  function fillTable(chart, rows) {
    const table = document.getElementById(chart.box.dataset.table || "");
    const fold = table && table.closest("details");
    if (!table || (fold && !fold.open)) return;
    const target = table.querySelector("tbody");
    target.replaceChildren.apply(target, rows.slice(-TABLE_ROWS).reverse().map(function (p) {
      const cells = [new Date(p.t * 1000).toLocaleTimeString(), p.arm, String(p.version)];
      const row = document.createElement("tr");
      cells.concat(chart.spec.lines.map(function (line) { return number(value(line, p)); })).forEach(function (text) {
        row.appendChild(document.createElement("td")).textContent = text;
      });
      return row;
    }));
  }

  function sentence(chart, rows) {
    const newest = {}, line = chart.spec.lines[chart.spec.spoken];
    rows.forEach(function (p) { newest[p.arm] = p; });
    const parts = armsOf(rows).map(function (arm) { return arm + " " + number(value(line, newest[arm])); });
    return chart.spec.title + (parts.length ? (line.label ? " (" + line.label + ")" : "") + ", newest: " + parts.join(", ") + "." : ": no requests yet.");
  }

  function drawLive(chart, every, colours) {
    const rows = every.filter(function (p) { return !chart.spec.arms.length || chart.spec.arms.includes(p.arm); });
    const traces = tracesOf(chart, rows, colours), layout = baseLayout(colours);
    layout.shapes = [];
    layout.annotations = endLabels(traces);
    marks(chart, colours, layout);
    window.Plotly.react(chart.box, traces, layout, CONFIG);
    chart.box.setAttribute("aria-label", sentence(chart, rows));
    chart.box.dataset.points = String(rows.length);
    fillTable(chart, rows);
  }

  function drawFinished(chart, colours) {
    const layout = Object.assign({}, chart.figure.layout, baseLayout(colours));
    chart.figure.data.forEach(function (trace) { trace.line.color = trace.marker.color = colours.arm(trace.meta.arm); });
    layout.annotations = chart.figure.layout.annotations.concat(endLabels(chart.figure.data));
    layout.shapes = chart.figure.layout.shapes.map(function (shape) {
      return Object.assign({}, shape, { line: Object.assign({ color: shape.line.dash === "longdash" ? colours.limit : colours.text }, shape.line) });
    });
    window.Plotly.react(chart.box, chart.figure.data, layout, CONFIG);
  }

  function draw() {
    if (!dirty || document.hidden) return;
    dirty = false;
    const colours = theme();
    const rows = Array.from(points.values()).sort(function (a, b) { return a.t - b.t; });
    live.forEach(function (chart) { drawLive(chart, rows, colours); });
    if (!themed) finished.forEach(function (chart) { drawFinished(chart, colours); });
    themed = true;
  }

  function take(message) {
    if (message.type !== "points") return;
    since = message.sequence;
    message.points.forEach(function (p) { points.set(p.t + "|" + p.arm + "|" + p.version, p); });
    let newest = 0;
    points.forEach(function (p) { newest = Math.max(newest, p.t); });
    points.forEach(function (p, key) { if (p.t < newest - SPAN_S) points.delete(key); });
    dirty = true;
  }

  function follow(place) {
    async function poll() {
      try {
        const answer = await fetch("/live/charts/" + place + ".json?since=" + since, { credentials: "same-origin" });
        if (answer.ok && !answer.redirected) take(await answer.json());
      } catch (error) { /* the next poll tries again */ }
    }

    function lost() {
      failures += 1;
      if (failures >= 2 && !polling) polling = setInterval(poll, POLL_MS);
      setTimeout(connect, retry);
      retry = Math.min(retry * 2, RETRY_MAX_MS);
    }

    function connect() {
      const scheme = location.protocol === "https:" ? "wss:" : "ws:";
      let socket;
      try { socket = new WebSocket(scheme + "//" + location.host + "/ws/charts/" + place + "/?since=" + since); } catch (error) { lost(); return; }
      socket.onmessage = function (event) {
        failures = 0; retry = RETRY_FIRST_MS; clearInterval(polling); polling = null;
        take(JSON.parse(event.data));
      };
      socket.onclose = lost;
    }

    connect();
  }

  function redraw() { dirty = true; }

  new MutationObserver(function () { themed = false; redraw(); }).observe(document.documentElement, { attributes: true, attributeFilter: ["data-bs-theme"] });
  document.querySelectorAll("details").forEach(function (box) { box.addEventListener("toggle", redraw); });
  document.body.addEventListener("htmx:afterSettle", redraw);
  setInterval(draw, DRAW_MS);
  draw();
  if (live.length) follow(encodeURIComponent(live[0].box.dataset.environment) + "/" + encodeURIComponent(live[0].box.dataset.endpoint));
})();
