// Rows of the form of a policy: one more at the press of a button. Without it there are two empty ones to write into.
"use strict";

function addRow(rows) {
  const total = rows.querySelector(`[name="${rows.dataset.rows}-TOTAL_FORMS"]`);
  const all = rows.querySelectorAll("[data-row]");
  const last = all[all.length - 1];
  if (!last || all.length >= Number(rows.querySelector(`[name="${rows.dataset.rows}-MAX_NUM_FORMS"]`).value)) return;
  const number = Number(total.value);
  const row = last.cloneNode(true);
  const old = `${rows.dataset.rows}-${number - 1}-`;
  for (const part of row.querySelectorAll("[name], [id], [for]")) {
    for (const name of ["name", "id", "for"]) {
      if (part.hasAttribute(name)) {
        part.setAttribute(name, part.getAttribute(name).replace(old, `${rows.dataset.rows}-${number}-`));
      }
    }
    if (part.matches("input[type=checkbox]")) part.checked = false;
    else if (part.matches("select")) part.selectedIndex = 0;
    else if (part.matches("input")) part.value = "";
  }
  for (const error of row.querySelectorAll(".errorlist")) error.remove();
  row.querySelector("legend").textContent = last.querySelector("legend").textContent.replace(/\d+$/, String(number + 1));
  last.after(row);
  total.value = String(number + 1);
  row.querySelector("input, select").focus();
}

for (const button of document.querySelectorAll("[data-add-row]")) {
  button.hidden = false;
  button.addEventListener("click", () => addRow(button.closest("[data-rows]")));
}
