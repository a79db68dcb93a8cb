// Keyboard: "/" search, "g" then a letter to go, "j"/"k"/Enter in lists, "?" help. Off while typing.
(function () {
  "use strict";
  const GO = { o: "/", m: "/models/", a: "/approvals/", r: "/releases/", e: "/endpoints/", l: "/audit/" };
  const page = document.documentElement;
  let waiting = false, selected = -1, selectedHref = "";

  function typing(target) {
    return target.closest("input, textarea, select, [contenteditable]") !== null;
  }

  function rows() {
    return Array.from(document.querySelectorAll("tr[data-href]"));
  }

  function select(step) {
    const all = rows();
    if (!all.length) return;
    selected = Math.min(Math.max(selected + step, 0), all.length - 1);
    all.forEach(function (row, index) { row.classList.toggle("selected", index === selected); });
    selectedHref = all[selected].dataset.href;
    all[selected].scrollIntoView({ block: "nearest" });
    focusRow();
  }

  // Whoever moves by keys stands in the row: it is read out, Enter opens it, Tab goes on from it.
  function focusRow() {
    const link = rows()[selected].querySelector("a");
    if (link) link.focus({ preventScroll: true });
  }

  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (page.dataset.shortcuts === "off" || event.target.closest(".modal")) return;
    const key = event.key;
    if (waiting) {
      waiting = false;
      setTimeout(function () { delete page.dataset.waiting; });
      if (GO[key]) { event.preventDefault(); location.href = GO[key]; }
      return;
    }
    if (key === "g") { waiting = true; page.dataset.waiting = "g"; }
    else if (key === "/") { const box = document.querySelector("[data-search]"); if (box) { event.preventDefault(); box.focus(); } }
    else if (key === "?") { const help = document.getElementById("help-button"); if (help) help.click(); }
    else if (key === "j") select(1);
    else if (key === "k") select(-1);
    else if (key === "Enter" && selected >= 0 && event.target === document.body) { const row = rows()[selected]; if (row) location.href = row.dataset.href; }
  });

  document.addEventListener("change", function (event) {
    if (event.target.matches("[data-submit-on-change]")) event.target.form.requestSubmit();
  });

  document.addEventListener("click", function (event) {
    const button = event.target.closest("[data-copy]");
    if (button) navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent.trim());
    if (event.target.closest("[data-print]")) window.print();
  });

  // Focus stays where it was when a live fragment is swapped: elements that keep their id get it back.
  let focused = "", inRow = false, unfolded = [];
  document.body.addEventListener("htmx:beforeSwap", function () {
    const active = document.activeElement;
    focused = active ? active.id : "";
    inRow = active !== null && active.closest("tr.selected") !== null;
    unfolded = Array.from(document.querySelectorAll("details[open][id]"), function (fold) { return fold.id; });
  });
  document.body.addEventListener("htmx:afterSwap", function () {
    // What was unfolded stays so.
    unfolded.map(function (id) { return document.getElementById(id); }).forEach(function (fold) { if (fold) fold.open = true; });
    const element = focused && document.getElementById(focused);
    if (element && document.activeElement === document.body) element.focus({ preventScroll: true });
    // So does the row that is selected; it may have moved, and one that is gone is selected no more.
    if (!selectedHref) return;
    selected = rows().findIndex(function (row) { return row.dataset.href === selectedHref; });
    if (selected < 0) { selectedHref = ""; return; }
    rows()[selected].classList.add("selected");
    if (inRow && document.activeElement === document.body) focusRow();
  });
})();
