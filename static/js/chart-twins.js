// Says what a chart shows: mlorch.tellChart(box, kind, rows, sentence) gives the picture its sentence, and fills the table of
// data-table, newest first, while somebody has it open. Every text is the server's.
(function () {
  "use strict";
  const rowsOf = new WeakMap();  // point → its row per kind of chart: what did not change is not made again

  function rowOf(point, kind) {
    const known = rowsOf.get(point) || {};
    rowsOf.set(point, known);
    if (!known[kind]) known[kind] = makeRow([point.time.slice(11)].concat(point.row, point.texts[kind]));
    return known[kind];
  }

  function makeRow(texts) {
    const row = document.createElement("tr");
    texts.forEach(function (text) { row.appendChild(document.createElement("td")).textContent = text; });
    return row;
  }

  window.mlorch.tellChart = function (box, kind, rows, sentence) {
    if (sentence) box.setAttribute("aria-label", sentence);
    box.dataset.points = String(rows.length);
    const fold = document.getElementById(box.dataset.table);
    if (!rows.length || !fold.open) return;
    fold.querySelector("tbody").replaceChildren(...rows.map(function (point) { return rowOf(point, kind); }).reverse());
  };
})();
