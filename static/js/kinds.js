// A form whose fields depend on the kind that is chosen in it shows those of that kind alone.
(function () {
  "use strict";

  function show(form) {
    const kind = form.elements.kind.value;
    form.querySelectorAll("[data-kinds]").forEach(function (part) {
      part.hidden = !part.dataset.kinds.split(" ").includes(kind);
    });
  }

  const forms = new Set(Array.from(document.querySelectorAll("form [data-kinds]"), function (part) { return part.closest("form"); }));
  forms.forEach(function (form) {
    form.elements.kind.addEventListener("change", function () { show(form); });
    show(form);
  });
})();
