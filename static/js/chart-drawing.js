// Draws a chart with Plotly in the colours of the page: mlorch.drawChart(box, lines, marks). Sizes and colours only; what is drawn,
// in which order and with which dashes and names comes finished (charts.js).
(function () {
  "use strict";
  const CONFIG = { displayModeBar: false, responsive: true, displaylogo: false };
  const TRANSPARENT = "rgba(0,0,0,0)";
  const HEIGHT = 260, MARGIN = { l: 44, r: 84, t: 22, b: 46 };
  const TEXT_SIZE = 11, NOTE_SIZE = 10, END_LABEL_SIZE = 9, LINE_WIDTH = 2, LIMIT_WIDTH = 1.5, MARKER_WIDTH = 1, DOT_SIZE = 3, TICKS = 5;

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function traceOf(line) {
    const own = colour(line.colour);
    return {
      type: "scatter", mode: "lines+markers", name: line.name, x: line.x, y: line.y, hoverinfo: "x+y+name",
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
  function spread(labels, top) {
    const perUnit = (HEIGHT - MARGIN.t - MARGIN.b) / (top || 1);
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

  function markerNote(marker, ink) {
    return note(marker.text, NOTE_SIZE, ink, { x: marker.x, yref: "paper", y: 1, xanchor: "left", yanchor: "bottom" });
  }

  function limitLine(limit, ink) {
    return {
      type: "line", xref: "paper", x0: 0, x1: 1, y0: limit.value, y1: limit.value, line: { color: ink, width: LIMIT_WIDTH, dash: "longdash" }
    };
  }

  function limitNote(limit, ink) {
    return note(limit.text, NOTE_SIZE, ink, { xref: "paper", x: 0, y: limit.value, xanchor: "left", yanchor: "bottom" });
  }

  function layoutOf(lines, marks) {
    const ink = colour("--mlorch-chart-text"), grid = colour("--mlorch-chart-grid"), warning = colour("--mlorch-limit");
    const limits = marks.limit ? [marks.limit] : [];
    const top = Math.max(0, ...limits.map(function (limit) { return limit.value; }), ...lines.flatMap(function (line) { return line.y; }));
    const labels = spread(lines.filter(function (line) { return line.named; }).flatMap(endLabel), top);
    return {
      autosize: true, height: HEIGHT, margin: MARGIN, paper_bgcolor: TRANSPARENT, plot_bgcolor: TRANSPARENT,
      font: { color: ink, size: TEXT_SIZE }, showlegend: true, legend: { orientation: "h", y: -0.25, x: 0 },
      xaxis: { gridcolor: grid, linecolor: grid, type: "date", tickangle: 0, nticks: TICKS },
      yaxis: { gridcolor: grid, rangemode: "tozero", zeroline: false, fixedrange: true },
      shapes: marks.markers.map(function (marker) { return markerLine(marker, ink); })
        .concat(limits.map(function (limit) { return limitLine(limit, warning); })),
      annotations: labels
        .concat(marks.markers.map(function (marker) { return markerNote(marker, ink); }))
        .concat(limits.map(function (limit) { return limitNote(limit, warning); }))
    };
  }

  window.mlorch.drawChart = function (box, lines, marks) {
    if (window.Plotly) window.Plotly.react(box, lines.map(traceOf), layoutOf(lines, marks), CONFIG);
  };
})();
