// The charts of a page: puts the points that the server finished (monitoring/charts.py) in place and has them drawn and told.
// [data-chart]: a box, with its lines in data-lines. #chart-points: the points of a span that is over, as JSON; without it the
// endpoint in data-environment and data-endpoint of #charts is followed. #chart-marks: marks in data-marks; may be swapped any time.
// #chart-state: says when nothing comes. #chart-markers: a box that says whether moments are marked. [data-chart-image]: a button that saves a chart as PNG.
(function () {
  "use strict";
  const DRAW_MS = 500, POLL_MS = 2000, SILENT_S = 15, AROUND = "200px";
  const page = document.getElementById("charts");
  if (!page) return;
  const charts = Array.from(page.querySelectorAll("[data-chart]"), function (box) {
    return { box: box, kind: box.dataset.chart, lines: JSON.parse(box.dataset.lines), drawnOf: null, inView: false };
  });
  const inZone = new Intl.DateTimeFormat("sv-SE", {
    timeZone: document.documentElement.dataset.timeZone, dateStyle: "short", timeStyle: "medium"
  });
  const markers = document.getElementById("chart-markers");
  const state = document.getElementById("chart-state");
  const points = new Map();
  const sentences = {};
  const due = new Set();  // charts that do not show the newest points yet
  let from = 0, to = 0, newest = 0, dirty = false, heard = false, inOrder = [];

  // A moment in the person's time zone: "2026-11-25 13:30:00".
  function timeOf(t) {
    return inZone.format(t * 1000);
  }

  // The same for Plotly, which shows milliseconds as UTC has them: a number is placed without being read as a text.
  function clockOf(time) {
    return Date.parse(time.replace(" ", "T") + "Z");
  }

  function placeOf(t) {
    return clockOf(timeOf(t));
  }

  function placed(point) {
    const time = timeOf(point.t);
    return Object.assign({ time: time, x: clockOf(time) }, point);
  }

  function take(message) {
    from = message.from;
    to = message.to || 0;
    Object.assign(sentences, message.sentences);
    message.points.forEach(function (point) { points.set(point.id, placed(point)); });
    points.forEach(function (point, id) { if (point.t < from) points.delete(id); else newest = Math.max(newest, point.t); });
    dirty = heard = true;
  }

  // Between two points that are not joined there is one without a value.
  function place(line, kind, rows) {
    const x = [], y = [];
    let until = Infinity;
    rows.filter(function (point) { return point.arm === line.arm; }).forEach(function (point) {
      if (point.t > until) { x.push(placeOf(until)); y.push(null); }
      x.push(point.x);
      y.push(point.values[kind][line.at]);
      until = point.until;
    });
    return Object.assign({ x: x, y: y }, line);
  }

  function marksOf(kind) {
    const source = document.getElementById("chart-marks");
    const known = source ? JSON.parse(source.dataset.marks) : { markers: [], limits: {} };
    const wanted = !markers || markers.checked;
    const begins = Math.max(from, known.from || 0), ends = to || (known.from ? newest : 0);
    const shown = known.markers.filter(function (marker) { return wanted && marker.t >= begins; });
    return {
      range: ends > begins ? [placeOf(begins), placeOf(ends)] : null,
      markers: shown.map(function (marker) { return { x: placeOf(marker.t), text: marker.text }; }),
      limit: known.limits[kind] || null,
      band: (known.bands || {})[kind] || null,
      judged: (known.judged || {})[kind] || null,
      judgedName: (known.judgedNames || {})[kind] || ""
    };
  }

  // A chart that nobody sees is told and not drawn: it owes its picture until it comes into view.
  function show(chart) {
    if (chart.inView || !chart.drawnOf) draw(chart);
    window.mlorch.tellChart(chart.box, chart.kind, rowsOf(chart), sentences[chart.kind]);
  }

  function rowsOf(chart) {
    return inOrder.filter(function (point) { return chart.kind in point.values; });
  }

  function draw(chart) {
    const rows = rowsOf(chart), lines = chart.lines.map(function (line) { return place(line, chart.kind, rows); });
    window.mlorch.drawChart(chart.box, lines.filter(function (line) { return line.x.length; }), marksOf(chart.kind));
    chart.drawnOf = rows.length ? inOrder : null;
  }

  // One chart a frame: between two of them the browser answers the person.
  function showNext() {
    const chart = due.values().next().value;
    if (!chart) return;
    due.delete(chart);
    if (due.size) requestAnimationFrame(showNext);  // before it is drawn: one that cannot be leaves the others be
    show(chart);
  }

  function ask(wanted) {
    const resting = due.size === 0;
    wanted.forEach(function (chart) { due.add(chart); });
    if (resting && due.size) requestAnimationFrame(showNext);
  }

  function showAll() {
    if (!dirty || document.hidden) return;
    dirty = false;
    inOrder = Array.from(points.values()).sort(function (a, b) { return a.t - b.t; });
    ask(charts);
  }

  function look(entries) {
    entries.forEach(function (entry) {
      const chart = charts.find(function (known) { return known.box === entry.target; });
      chart.inView = entry.isIntersecting;
      if (chart.inView && chart.drawnOf !== inOrder) ask([chart]);
    });
  }

  // What is followed says when it waits for its first points, and since when none came.
  function tellState() {
    if (!state) return;
    const silent = newest && Date.now() / 1000 - newest > SILENT_S;
    const text = !heard ? "Loading the charts …" : silent ? "No data since " + timeOf(newest).slice(11) + "." : "";
    if (state.textContent !== text) state.textContent = text;
  }

  function redraw() {
    dirty = true;
  }

  function follow() {
    const place = encodeURIComponent(page.dataset.environment) + "/" + encodeURIComponent(page.dataset.endpoint);
    window.mlorch.follow({
      socket: "/ws/charts/" + place + "/?since=", poll: "/live/charts/" + place + ".json?since=", pollMs: POLL_MS,
      since: 0, hear: function (message) { if (message.type === "points") take(message); }, show: function () {}
    });
  }

  new MutationObserver(redraw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-bs-theme"] });
  page.querySelectorAll("details").forEach(function (fold) { fold.addEventListener("toggle", redraw); });
  document.body.addEventListener("htmx:afterSettle", redraw);
  if (markers) markers.addEventListener("change", redraw);
  page.querySelectorAll("[data-chart-image]").forEach(function (button) {
    button.addEventListener("click", function () {
      const box = page.querySelector("[data-chart='" + button.dataset.chartImage + "']");
      window.mlorch.saveChart(box, document.title + " " + button.dataset.chartImage);
    });
  });
  const eye = new IntersectionObserver(look, { rootMargin: AROUND });
  charts.forEach(function (chart) { eye.observe(chart.box); });
  window.addEventListener("beforeprint", function () { charts.forEach(draw); });
  redraw();
  const finished = document.getElementById("chart-points");
  if (finished) take(JSON.parse(finished.textContent));
  else follow();
  showAll();
  tellState();
  setInterval(function () { showAll(); tellState(); }, DRAW_MS);
})();
