// How long ago a moment was, or in how long it is: told on hover where one stands on the page as "2026-11-25 13:30" or with seconds,
// in the zone of the page or, with " UTC" behind it, in that. What stands as "5 minutes ago" has its moment from the server.
(function () {
  "use strict";
  const MOMENT = /\b(\d{4}-\d\d-\d\d) (\d\d:\d\d(?::\d\d)?)( UTC)?(?![\d:])/g;
  const LONGEST = 600;  // letters; a longer text is somebody's answer or a log
  const UNITS = [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const FROM = 2;  // of a unit; less is said in the next smaller one, so that "1 hour ago" is not nearly two
  const zone = document.documentElement.dataset.timeZone || undefined;
  const inZone = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "medium" });
  const words = new Intl.RelativeTimeFormat("en", { numeric: "always" });

  function asUtc(time) {
    return Date.parse(time.replace(" ", "T") + "Z");
  }

  // By how much the zone's clock is before UTC's at an instant.
  function ahead(instant) {
    return asUtc(inZone.format(instant)) - Math.floor(instant / 1000) * 1000;
  }

  function instantOf(time, isUtc) {
    const shown = asUtc(time);
    return isUtc ? shown : shown - ahead(shown - ahead(shown));
  }

  function away(instant) {
    const seconds = Math.round((instant - Date.now()) / 1000), long = Math.abs(seconds);
    const unit = UNITS.find(function (known) { return long >= FROM * known[1]; }) || UNITS[UNITS.length - 1];
    return words.format(Math.trunc(seconds / unit[1]), unit[0]);
  }

  function ownText(element) {
    return Array.from(element.childNodes).filter(function (node) { return node.nodeType === Node.TEXT_NODE; })
      .map(function (node) { return node.data; }).join(" ");
  }

  function told(text) {
    const found = Array.from(text.matchAll(MOMENT)).filter(function (part) { return !Number.isNaN(asUtc(part[1] + " " + part[2])); });
    return found.map(function (part) {
      const said = away(instantOf(part[1] + " " + part[2], Boolean(part[3])));
      return found.length > 1 ? part[2] + ": " + said : said;
    }).join(", ");
  }

  function tell(event) {
    const element = event.target;
    if (!(element instanceof HTMLElement) || element.isContentEditable || element.matches("textarea, option, pre, code")) return;
    if (element.title && element.dataset.away === undefined) return;
    const text = ownText(element), said = text.length > LONGEST ? "" : told(text);
    if (!said) return;
    element.title = said;
    element.dataset.away = "";
  }

  document.addEventListener("mouseover", tell);
  document.addEventListener("focusin", tell);
})();
