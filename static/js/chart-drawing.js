// Draws a chart with Plotly in the colours of the page: mlorch.drawChart(box, lines, marks). Sizes and colours only; what is drawn,
// in which order and with which dashes and names comes finished (charts.js). mlorch.saveChart(box, name) gives its picture as PNG.
(function () {
  "use strict";
  const CONFIG = { displayModeBar: false, responsive: true, displaylogo: false };
  const TRANSPARENT = "rgba(0,0,0,0)";
  const HEIGHT = 260, TALL = 420, SHARP = 2, MARGIN = { l: 44, r: 84, t: 22, b: 46 };
  const TEXT_SIZE = 11, NOTE_SIZE = 10, END_LABEL_SIZE = 9, LINE_WIDTH = 2, LIMIT_WIDTH = 1.5, MARKER_WIDTH = 1, DOT_SIZE = 3, DOTS_MAX = 120, TICKS = 5, TICKS_MIN = 2, TICK_ROOM = 64;
  const LEGEND_ROWS = 3, LEGEND_ROW = 19, LEGEND_SIGN = 40;  // rows that the usual height has room for; a row's height; a sign's width
  const NOTE_ROWS = 2, LETTER = 0.6, JOINED_ROOM = 3;  // a letter's width in sizes of the text, and letters left for "+1"
  const BAND_OPACITY = 0.12, JUDGED_OPACITY = 0.35, JUDGED_FROM = 0.98;
  const ROOF = 1.05;  // what reaches higher than all lines, by this, is cut there: an interval of few requests would flatten them

  // A legend of many rows, on a phone, takes nothing off the picture.
  function heightOf(box, lines) {
    const longest = Math.max(0, ...lines.map(function (line) { return line.name.length; }));
    const inRow = Math.max(1, Math.floor(roomOf(box) / (LEGEND_SIGN + longest * TEXT_SIZE * LETTER)));
    const more = Math.max(0, Math.ceil(lines.length / inRow) - LEGEND_ROWS) * LEGEND_ROW;
    return (box.classList.contains("chart-tall") ? TALL : HEIGHT) + more;
  }

  function roomOf(box) {
    return box.clientWidth - MARGIN.l - MARGIN.r;
  }

  // Asking the browser for a colour has it work out the styles of the whole page, so each is asked for once in a theme.
  const colours = new Map();
  let theme = null;

  function colour(name) {
    const worn = document.documentElement.dataset.bsTheme;
    if (worn !== theme) colours.clear();
    theme = worn;
    if (!colours.has(name)) colours.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
    return colours.get(name);
  }

  // A dot at each point is dear where there are many, and needed where a point has no neighbour that a line could lead to.
  function needsDots(line) {
    return line.y.length <= DOTS_MAX || line.y.some(function (value, at) {
      return value !== null && (line.y[at - 1] ?? null) === null && (line.y[at + 1] ?? null) === null;
    });
  }

  function traceOf(line) {
    const own = colour(line.colour);
    return {
      type: "scatter", mode: needsDots(line) ? "lines+markers" : "lines", name: line.name, x: line.x, y: line.y, hoverinfo: "x+y+name",
      visible: line.onRequest ? "legendonly" : true,
      line: { color: own, width: LINE_WIDTH, dash: line.dash }, marker: { color: own, size: DOT_SIZE }
    };
  }

  function note(text, size, ink, where) {
    return Object.assign({ text: text, showarrow: false, font: { size: size, color: ink } }, where);
  }

  // The name beside the end of a line, so that nobody has to tell lines apart by colour.
  function endLabel(line) {
    const last = line.y.findLastIndex(function (value) { return value !== null; });
    if (last < 0) return [];
    return [note(line.name, END_LABEL_SIZE, colour(line.colour), { x: line.x[last], y: line.y[last], xanchor: "left", xshift: 3 })];
  }

  // Labels whose lines end at the same height stand above each other: each is moved up until it is clear of the one below.
  function spread(labels, top, height) {
    const perUnit = (height - MARGIN.t - MARGIN.b) / (top || 1);
    let free = -Infinity;
    labels.slice().sort(function (a, b) { return a.y - b.y; }).forEach(function (label) {
      const at = Math.max(label.y * perUnit, free);
      label.yshift = at - label.y * perUnit;
      free = at + END_LABEL_SIZE;
    });
    return labels;
  }

  function markerLine(marker, ink) {
    return { type: "line", x0: marker.x, x1: marker.x, yref: "paper", y0: 0, y1: 1, line: { color: ink, width: MARKER_WIDTH, dash: "dot" } };
  }

  // The texts of the moments above the picture, in rows; one that has no room in any stands in its neighbour's, as "+1".
  function markerNotes(box, markers, span, ink) {
    const perMs = roomOf(box) / Math.max(span[1] - span[0], 1);
    const free = Array(NOTE_ROWS).fill(-Infinity), notes = [];
    markers.slice().sort(function (a, b) { return a.x - b.x; }).forEach(function (marker) {
      const at = (marker.x - span[0]) * perMs;
      const row = free.findIndex(function (end) { return end <= at; });
      if (row < 0) return join(notes[notes.length - 1], marker);
      free[row] = at + (marker.text.length + JOINED_ROOM) * NOTE_SIZE * LETTER;
      const where = { x: marker.x, yref: "paper", y: 1, yshift: row * NOTE_SIZE, xanchor: "left", yanchor: "bottom" };
      notes.push(Object.assign(note(marker.text, NOTE_SIZE, ink, where), { first: marker.text, joined: [], captureevents: true }));
    });
    return notes;
  }

  function join(known, marker) {
    known.joined.push(marker.text);
    known.text = known.first + " +" + known.joined.length;
    known.hovertext = [known.first].concat(known.joined).join(", ");
  }

  // From when until when a chart shows, in milliseconds.
  function spanOf(lines, marks) {
    const times = marks.range || lines.flatMap(function (line) { return line.x; }).concat(marks.markers.map(function (marker) { return marker.x; }));
    return [Math.min(...times), Math.max(...times)];
  }

  // What the guardrail allows over the width, and at its right edge where the judge says that the candidate is.
  function bandShapes(marks, roof) {
    const shapes = [], warning = colour("--mlorch-limit"), candidate = colour("--mlorch-candidate");
    function add(band, x0, fill, opacity) {
      shapes.push({ type: "rect", layer: "below", xref: "paper", x0: x0, x1: 1, y0: Math.min(band[0], roof), y1: upTo(band, roof), fillcolor: fill, opacity: opacity, line: { width: 0 } });
    }
    if (marks.band) add(marks.band, 0, warning, BAND_OPACITY);
    if (marks.judged) add(marks.judged, JUDGED_FROM, candidate, JUDGED_OPACITY);
    return shapes;
  }

  // How high a band is drawn; one without an upper end reaches to the roof.
  function upTo(band, roof) {
    return band[1] === null ? roof : Math.min(band[1], roof);
  }

  function judgedNote(judged, name, roof) {
    const open = judged[1] === null, from = judged[0].toFixed(1);
    const text = "judged " + (name && name + " ") + (open ? "above " + from : from + " to " + judged[1].toFixed(1));
    return note(text, NOTE_SIZE, colour("--mlorch-candidate"), { xref: "paper", x: JUDGED_FROM, y: upTo(judged, roof), xanchor: "right", yanchor: "top" });
  }

  function limitLine(limit, ink) {
    return {
      type: "line", xref: "paper", x0: 0, x1: 1, y0: limit.value, y1: limit.value, line: { color: ink, width: LIMIT_WIDTH, dash: "longdash" }
    };
  }

  function limitNote(limit, ink) {
    return note(limit.text, NOTE_SIZE, ink, { xref: "paper", x: 0, y: limit.value, xanchor: "left", yanchor: "bottom" });
  }

  // What every picture shares, also the silent one: Plotly places a legend by the margins that it drew with before.
  // What somebody chose in the legend stays with new points.
  function frame(box, lines, parts) {
    return Object.assign({
      autosize: true, uirevision: "kept", hovermode: "x unified", height: heightOf(box, lines), margin: MARGIN, paper_bgcolor: TRANSPARENT, plot_bgcolor: TRANSPARENT,
      font: { color: colour("--mlorch-chart-text"), size: TEXT_SIZE }, showlegend: true, legend: { orientation: "h", y: -0.25, x: 0 }
    }, parts);
  }

  // As many moments on the axis as stand beside each other.
  function ticksOf(box) {
    return Math.max(TICKS_MIN, Math.min(TICKS, Math.floor(roomOf(box) / TICK_ROOM)));
  }

  function layoutOf(box, lines, marks) {
    const ink = colour("--mlorch-chart-text"), grid = colour("--mlorch-chart-grid"), warning = colour("--mlorch-limit");
    const limits = marks.limit ? [marks.limit] : [];
    const seen = lines.filter(function (line) { return !line.onRequest; }).flatMap(function (line) { return line.y; });
    const top = Math.max(0, ...limits.map(function (limit) { return limit.value; }), ...seen), roof = top * ROOF;
    const labels = spread(lines.filter(function (line) { return line.named; }).flatMap(endLabel), top, heightOf(box, lines));
    // Whether a tick's text has room is not asked: it takes a layout of the page per chart.
    const axis = { gridcolor: grid, linecolor: grid, type: "date", tickangle: 0, ticklabeloverflow: "allow", nticks: ticksOf(box), showspikes: true, spikemode: "across", spikethickness: MARKER_WIDTH, spikecolor: ink };
    return frame(box, lines, {
      hoverlabel: { bgcolor: colour("--mlorch-chart-ground"), font: { color: ink } },
      xaxis: marks.range ? Object.assign(axis, { range: marks.range }) : axis,
      yaxis: { ticklabeloverflow: "allow", gridcolor: grid, rangemode: "tozero", zeroline: false, fixedrange: true },
      shapes: marks.markers.map(function (marker) { return markerLine(marker, ink); })
        .concat(limits.map(function (limit) { return limitLine(limit, warning); }), bandShapes(marks, roof)),
      annotations: labels
        .concat(markerNotes(box, marks.markers, spanOf(lines, marks), ink))
        .concat(marks.judged ? [judgedNote(marks.judged, marks.judgedName, roof)] : [])
        .concat(limits.map(function (limit) { return limitNote(limit, warning); }))
    });
  }

  // Without a point there is no picture, only the sentence: axes would be of a time and a height that mean nothing.
  function silence(box, text) {
    const where = { xref: "paper", yref: "paper", x: 0.5, y: 0.5 }, hidden = { visible: false, fixedrange: true };
    return frame(box, [], { xaxis: hidden, yaxis: hidden, annotations: [note(text, TEXT_SIZE, colour("--mlorch-chart-text"), where)] });
  }

  // The crosshair of one chart is that of all: each shows its own values at the same moment.
  let following = false;

  // Plotly's axes count what a clock of the page shows as if it were UTC.
  function millisecond(moment) {
    return typeof moment === "number" ? moment : Date.parse(moment.replace(" ", "T") + "Z");
  }

  function share(box, moment) {
    if (following) return;
    following = true;
    document.querySelectorAll("[data-chart]").forEach(function (other) {
      if (other === box || !other.layout || !other.data.length) return;
      if (moment) window.Plotly.Fx.hover(other, { xval: moment });
      else window.Plotly.Fx.unhover(other);
    });
    following = false;
  }

  function listen(box) {
    if (box.dataset.shares) return;
    box.dataset.shares = "yes";
    box.on("plotly_hover", function (event) { share(box, event.xvals && millisecond(event.xvals[0])); });
    box.on("plotly_unhover", function () { share(box, null); });
  }

  window.mlorch.drawChart = function (box, lines, marks) {
    const layout = lines.length ? layoutOf(box, lines, marks) : silence(box, box.getAttribute("aria-label"));
    if (!window.Plotly) return;
    window.Plotly.react(box, lines.map(traceOf), layout, CONFIG);
    listen(box);
  };

  window.mlorch.saveChart = function (box, name) {
    const ground = colour("--mlorch-chart-ground");
    const layout = Object.assign({}, box.layout, { paper_bgcolor: ground, plot_bgcolor: ground });
    const size = { width: box.clientWidth, height: box.layout.height, scale: SHARP };
    return window.Plotly.downloadImage({ data: box.data, layout: layout }, Object.assign({ format: "png", filename: name }, size));
  };
})();
