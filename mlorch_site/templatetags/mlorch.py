"""Template tags of the site: display only."""

import re
from datetime import datetime
from typing import Any

from django import template
from django.template import Context
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince, timeuntil

from mlorch_site.accounts.access import access_key
from mlorch_site.accounts.actor import MissingRole
from mlorch_site.accounts.scopes import scope_label
from mlorch_site.lib.reasons import Reason
from monitoring.analysis.guardrail_result import Unit
from monitoring.analysis.quantities import said, said_difference

register = template.Library()

CELL = re.compile(r"<(tr|td|th)\b(?![^>]*\bcolspan=)(?=[^>]*>(\s*</td>)?)")
SPARK_WIDTH, SPARK_HEIGHT = 120, 24
MOMENT = re.compile(r"\b(\d{4}-\d\d-\d\d) (\d\d:\d\d(?::\d\d)?) UTC\b")


@register.simple_tag
def icon(name: str) -> SafeString:
    """An icon of our sprite, hidden from screen readers: the text beside it says it."""
    sprite = static("img/sprite.svg")
    return format_html('<svg class="icon-sprite" aria-hidden="true"><use href="{}#{}"/></svg>', sprite, name)


@register.simple_tag
def badge(look: Any) -> SafeString:
    """A state as a badge with icon and word."""
    return format_html(
        '<span class="badge bg-{}-lt text-{}-lt-fg">{} {}</span>', look.colour, look.colour, icon(look.icon), look.label
    )


@register.simple_tag
def why(reason: str, *parts: Any) -> SafeString:
    """Why a button cannot be pressed, with the way to one's access where a role is missing; nothing without a reason.

    `parts` together are the id that the button names as its description.
    """
    if not reason:
        return SafeString("")
    name = "".join(str(part) for part in parts)
    return format_html('<small class="why" id="{}">{} {}</small>', name, local_times(reason), access_link(reason))


@register.simple_tag
def access_link(reason: str) -> SafeString:
    """The way to what helps: where the reason says, or for a missing role to what one's roles allow; else nothing."""
    if isinstance(reason, Reason):
        return format_html('<a href="{}">{}</a>', reason.url, reason.label)
    if not isinstance(reason, MissingRole):
        return SafeString("")
    return format_html('<a href="{}#{}">My access</a>', reverse("access"), access_key(reason.action))


@register.filter
def local_times(sentence: str) -> str:
    """A sentence whose moments are shown in the reader's zone: they stand in it as `2026-11-23 13:00 UTC`."""
    return MOMENT.sub(_in_the_reader_s_zone, str(sentence))


def _in_the_reader_s_zone(found: re.Match[str]) -> str:
    try:
        moment = datetime.fromisoformat(f"{found[1]} {found[2]}+00:00").astimezone(timezone.get_current_timezone())
    except (ValueError, OverflowError):  # somebody's words that only look like a moment
        return found[0]
    written = f"{moment:%Y-%m-%d %H:%M:%S}" if found[2].count(":") > 1 else f"{moment:%Y-%m-%d %H:%M}"
    return f"{written} {moment.tzname()}"


@register.filter
def since(moment: datetime | None) -> SafeString:
    """How long ago a moment was; the moment itself, in the reader's zone, is told on hover."""
    return _told(moment, timesince(moment)) if moment else SafeString("–")


@register.filter
def till(moment: datetime | None) -> SafeString:
    """In how long a moment is; the moment itself, in the reader's zone, is told on hover."""
    return _told(moment, timeuntil(moment)) if moment else SafeString("–")


def _told(moment: datetime, said: str) -> SafeString:
    local = timezone.localtime(moment)
    title = f"{local:%Y-%m-%d %H:%M:%S %Z}"
    return format_html('<time datetime="{}" title="{}">{}</time>', local.isoformat(), title, said)


@register.filter
def place(scope: str) -> str:
    """A scope as people read it."""
    return scope_label(scope)


@register.filter
def pct(share: float | None) -> str:
    """A share (0–1) in percent."""
    return "–" if share is None else f"{share * 100:.1f} %"


@register.filter
def ms(value: float | None) -> str:
    """A latency in ms."""
    return "–" if value is None else f"{value:.1f} ms"


@register.filter
def lasting(seconds: float | None) -> str:
    """How long something lasts, in the two largest units that it fills."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.3g} s"
    parts, rest = [], round(seconds)
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, length)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


@register.simple_tag
def sparkline(values: list[float | None], unit: str = "requests per second") -> SafeString:
    """A line of numbers as a small picture, broken where there is none; its sentence says the least and the most."""
    known = [value for value in values if value is not None]
    if not known:
        return SafeString("–")
    top, step = max(known) or 1.0, SPARK_WIDTH / max(1, len(values) - 1)
    path, pen = [], "M"
    for place, value in enumerate(values):
        if value is not None:
            path.append(f"{pen}{place * step:.1f} {SPARK_HEIGHT - 1 - value / top * (SPARK_HEIGHT - 2):.1f}")
        pen = "M" if value is None else "L"
    said = f"from {min(known):.2f} to {max(known):.2f} {unit}"
    return format_html(
        '<svg class="sparkline" viewBox="0 0 {} {}" role="img" aria-label="{}"><path d="{}"/></svg>',
        SPARK_WIDTH,
        SPARK_HEIGHT,
        said,
        "".join(path),
    )


@register.filter
def measured(row: dict[str, Any], arm: str) -> str:
    """What a guardrail found of `arm` (candidate, baseline), in its unit."""
    unit = row.get("unit", Unit.SHARE)
    return said(row.get(f"{arm}_share" if unit == Unit.SHARE else f"{arm}_value"), unit)


@register.filter
def apart(row: dict[str, Any], field: str) -> str:
    """The `difference` that a guardrail found, or its `margin`, in its unit."""
    return said_difference(row.get(field), row.get("unit", Unit.SHARE))


@register.filter
def limit(row: dict[str, Any]) -> str:
    """The fixed limit that a guardrail's own value has, in its unit."""
    return said(row["margin"], row["unit"])


@register.filter
def sample(row: dict[str, Any], arm: str) -> str:
    """How many requests a share of `arm` (candidate, baseline) is of, and about how many independent ones they are
    worth when those are fewer by a tenth.
    """
    count, effective = row[f"{arm}_n"], row.get("effective_n" if arm == "candidate" else "effective_baseline_n")
    worth = f", worth about {max(effective, 1):,.0f}" if effective is not None and effective < count * 0.9 else ""
    return f"n = {count:,}{worth}"


@register.filter
def short(digest: str) -> str:
    """The first characters of a digest."""
    return digest.removeprefix("sha256:")[:12] if digest else "–"


@register.filter
def told(value: Any) -> str:
    """A value of JSON as people read it: parts of a list after one another, those of a table with their names."""
    if isinstance(value, dict):
        return ", ".join(f"{words(str(name))}: {told(inner)}" for name, inner in value.items() if inner not in ("", []))
    if isinstance(value, list):
        return "; ".join(told(inner) for inner in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


@register.filter
def words(name: str) -> str:
    """An identifier as words."""
    return str(name).replace("_", " ")


@register.filter
def get(mapping: dict[str, Any], key: str) -> Any:
    """Return `mapping[key]`, or an empty string."""
    return mapping.get(key, "") if mapping else ""


@register.simple_block_tag(takes_context=True)
def table(
    context: Context,
    content: str,
    caption: str,
    columns: str | list[str],
    look: str = "card-table table-vcenter",
    **more: Any,
) -> SafeString:
    """A table with the rows that stand between the tags.

    `columns` is a list, or a text with "|" between the names. `more` is `page` for a pager, `filtered`, and what is
    said where there are no rows: a `text`, or `empty` of the tag `when_empty`. On a phone each row is a card.
    """
    heads = columns.split("|") if isinstance(columns, str) else columns
    if "card-table" in look and "board" not in look:
        look, content = f"{look} as-cards", _named_cells(content, heads)
    known = {"caption": caption, "heads": heads, "look": look, "rows": content.strip() and content}
    found = context.template.engine.get_template("components/table.html")  # type: ignore[union-attr]
    return found.render(context.new({"request": context.get("request"), **more.pop("empty", {}), **more, **known}))


def _named_cells(rows: str, heads: list[str]) -> SafeString:
    """Rows whose cells say under which heading they stand; the first cell of a row is its title, and says none."""
    column = 0

    def named(found: re.Match[str]) -> str:
        nonlocal column
        if found[1] == "tr":
            column = -1
            return found[0]
        column += 1
        head = heads[column] if 0 < column < len(heads) else ""
        return found[0] if not head or found[2] else str(format_html('{} data-head="{}"', SafeString(found[0]), head))

    return SafeString(CELL.sub(named, rows))


@register.simple_tag
def when_empty(title: str, text: str, url: str = "", action: str = "") -> dict[str, str]:
    """What a table says where it has no rows (see components/empty.html)."""
    return {"title": title, "text": text, "url": url, "action": action}


@register.simple_tag(takes_context=True)
def page_url(context: dict[str, Any], number: int) -> str:
    """The present address with another page number; filters stay."""
    query = context["request"].GET.copy()
    query["page"] = str(number)
    return f"?{query.urlencode()}"


@register.filter
def subtract(left: int, right: int) -> int:
    """Left − right."""
    return int(left) - int(right)


@register.filter
def moment(text: str) -> datetime | None:
    """A time that was stored as text in a document, so that it is shown in the reader's zone like every other."""
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
