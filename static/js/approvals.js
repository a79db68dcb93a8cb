// The inbox: "a" and "r" ask about the selected row, what is chosen survives a live swap. A comment's "Reply" keeps what was typed.
(function () {
  "use strict";
  let chosen = [];

  function typing(target) {
    return target.closest("input, textarea, select, [contenteditable], .modal") !== null;
  }

  function tell(dialog, name, text) {
    const place = dialog.querySelector('[data-dialog="' + name + '"]');
    if (place) place.textContent = text;
  }

  function ask(row, decision) {
    const dialog = document.getElementById("decide-dialog"), form = dialog && dialog.querySelector("form");
    if (!form || !row.dataset.decide) return announce("This request is not for you to decide on.");
    const approve = decision === "approve", submit = form.querySelector('[data-dialog="submit"]');
    form.action = row.dataset.decide;
    form.elements.decision.value = decision;
    form.elements.on_behalf_of.value = row.dataset.for || "";
    form.elements.comment.required = !approve;
    tell(dialog, "title", row.dataset.title);
    tell(dialog, "hash", row.dataset.hash);
    tell(dialog, "missing", row.dataset.missing);
    tell(dialog, "needed", approve ? "" : "(needed)");
    tell(dialog, "for", row.dataset.for ? "You decide for " + row.dataset.for + "." : "");
    document.getElementById("dialog-title").textContent = approve ? "Approve this release?" : "Reject this release?";
    form.querySelector('[data-dialog="link"]').href = row.dataset.href;
    submit.textContent = approve ? "Approve" : "Reject";
    submit.className = "btn " + (approve ? "btn-success" : "btn-danger");
    dialog.addEventListener("shown.bs.modal", function () { (approve ? submit : form.elements.comment).focus(); }, { once: true });
    dialog.addEventListener("hidden.bs.modal", function () { const link = document.querySelector("tr.selected a"); if (link) link.focus(); }, { once: true });
    document.getElementById("decide-open").click();
  }

  function announce(text) {
    const place = document.getElementById("announcer");
    if (place) place.textContent = text;
  }

  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (document.documentElement.dataset.shortcuts === "off" || document.documentElement.dataset.waiting) return;
    if (event.key !== "a" && event.key !== "r") return;
    const row = document.querySelector("tr.selected"), button = document.querySelector('#decide [data-key="a"]');
    if (row) { event.preventDefault(); ask(row, event.key === "a" ? "approve" : "reject"); }
    else if (button && !button.disabled) { event.preventDefault(); (event.key === "a" ? button : document.getElementById("comment")).focus(); }
  });

  document.addEventListener("click", function (event) {
    const link = event.target.closest("[data-reply]"), form = document.getElementById("comment-form");
    if (!link || !form || form.elements.edit.value) return;
    event.preventDefault();
    form.elements.parent.value = link.dataset.reply;
    form.querySelector("[data-comment-label]").textContent = "Reply to " + link.dataset.author;
    form.elements.text.focus();
  });

  document.body.addEventListener("htmx:beforeSwap", function () {
    chosen = Array.from(document.querySelectorAll('input[name="request"]:checked'), function (box) { return box.value; });
  });
  document.body.addEventListener("htmx:afterSwap", function () {
    document.querySelectorAll('input[name="request"]').forEach(function (box) { if (chosen.includes(box.value) && !box.disabled) box.checked = true; });
  });
})();
