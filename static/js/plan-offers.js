// Puts a plan that is offered beside the form of a release into it, and back again. [data-offer]: a button with field → value as
// JSON; null empties a field. #offer-taken says which was taken and has the button #offer-undo. The form is asked for what it would
// do by its own change event. Both may be swapped any time, so nothing but the values before is kept here.
(function () {
  "use strict";
  const form = function () { return document.getElementById("release-form"); };
  let before = null;

  function read(field) {
    return field.type === "checkbox" ? field.checked : field.value;
  }

  function write(values) {
    Object.entries(values).forEach(function ([name, value]) {
      const field = form().elements.namedItem(name);
      if (!field) return;
      if (field.type === "checkbox") field.checked = value;
      else field.value = value === null ? "" : String(value);
    });
    form().dispatchEvent(new Event("change", { bubbles: true }));
  }

  function say(text) {
    const taken = document.getElementById("offer-taken");
    taken.querySelector("[data-offer-said]").textContent = text;
    taken.hidden = !text;
  }

  function take(button) {
    const values = JSON.parse(button.dataset.offer);
    const fields = Object.keys(values).map(function (name) { return form().elements.namedItem(name); }).filter(Boolean);
    before = Object.fromEntries(fields.map(function (field) { return [field.name, read(field)]; }));
    write(values);
    say("In the form: " + button.textContent.trim().replace(/^Take /, "") + ".");
    document.getElementById("offer-undo").focus();  // the button that was pressed goes with the next answer
  }

  function undo() {
    if (!before) return;
    write(before);
    before = null;
    say("");
    const first = form().querySelector("[name=kind]");
    if (first) first.focus();
  }

  document.addEventListener("click", function (event) {
    const button = event.target.closest("[data-offer]");
    if (button) take(button);
    else if (event.target.closest("#offer-undo")) undo();
  });
})();
