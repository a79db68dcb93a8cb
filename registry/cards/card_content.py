"""What a model card says: its fields, their bounds, and what of the standard schema is missing. Pure."""

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mlorch_site.lib.errors import Invalid
from mlorch_site.lib.hashing import canonical_json, content_hash, settled
from mlorch_site.lib.markdown import parts_of
from mlorch_site.lib.readable import is_text
from registry.lifecycle import RiskTier

LINE_MAX_CHARS = 300
ITEM_MAX_CHARS = 100
ITEMS_MAX = 50
SECTION_MAX_CHARS = 20_000
RESULTS_MAX = 100
EXTRA_MAX_BYTES = 8_000
EXTRA_DEPTH_MAX = 8
RESULT = re.compile(r"^(?P<metric>[^:]{1,100}):\s*(?P<value>[-+0-9.eE]{1,30})(?:\s+on\s+(?P<dataset>.{1,100}))?$")

type_Content = dict[str, Any]


class FieldKind(StrEnum):
    LINE = "line"
    CHOICE = "choice"
    LIST = "list"  # of short texts
    SECTION = "section"  # Markdown
    RESULTS = "results"


@dataclass(frozen=True)
class CardField:
    """One field: its name in content and REST, how people read it, and whether the standard schema requires it."""

    name: str
    label: str
    kind: FieldKind
    help: str
    required: bool = False


CARD_FIELDS = (
    CardField("owner", "Owner", FieldKind.LINE, "The person or team that answers for it.", required=True),
    CardField("contact", "Contact", FieldKind.LINE, "Where questions go: an address or a channel.", required=True),
    CardField("risk_tier", "Risk tier", FieldKind.CHOICE, "How much harm a wrong answer does.", required=True),
    CardField("licence", "Licence", FieldKind.LINE, "By its SPDX name, such as apache-2.0.", required=True),
    CardField("language", "Languages", FieldKind.LIST, "Of the data, as codes: en, de."),
    CardField("tags", "Tags", FieldKind.LIST, ""),
    CardField("datasets", "Data sets", FieldKind.LIST, ""),
    CardField("metrics", "Metrics", FieldKind.LIST, ""),
    CardField("library", "Library", FieldKind.LINE, "What loads it, such as sklearn."),
    CardField("task", "Task", FieldKind.LINE, "Such as tabular-classification."),
    CardField("summary", "Summary", FieldKind.SECTION, "What it is, in a few sentences."),
    CardField("intended_use", "Intended use", FieldKind.SECTION, "What it is for, and for whom.", required=True),
    CardField("limits", "Limits", FieldKind.SECTION, "What it is not for, and where it fails.", required=True),
    CardField("training_data", "Training data", FieldKind.SECTION, "What it was made from.", required=True),
    CardField("evaluation_data", "Evaluation data", FieldKind.SECTION, "What it was measured with.", required=True),
    CardField("results", "Results", FieldKind.RESULTS, "One a line: accuracy: 0.93 on holdout."),
    CardField("risks", "Risks and fairness", FieldKind.SECTION, "Who may be harmed, and what was done about it."),
    CardField("more", "More", FieldKind.SECTION, "Anything else, under headings of its own (###)."),
)
FIELDS = {field.name: field for field in CARD_FIELDS}
SECTIONS = tuple(field for field in CARD_FIELDS if field.kind is FieldKind.SECTION)
EXTRA = "extra"  # what an imported card said besides, kept as it was


def empty_content() -> type_Content:
    """A card that says nothing."""
    return {**{field.name: _empty(field) for field in CARD_FIELDS}, EXTRA: {}}


def _empty(field: CardField) -> Any:
    return [] if field.kind in (FieldKind.LIST, FieldKind.RESULTS) else ""


def read_content(given: dict[str, Any]) -> type_Content:
    """The content that `given` says, in one form. Fields that are not there are empty.

    Raises Invalid with a sentence for each field that cannot be taken, and for names that no field has.
    """
    problems = {name: "A card has no such field." for name in given if name not in FIELDS and name != EXTRA}
    content: type_Content = {}
    for field in CARD_FIELDS:
        try:
            content[field.name] = _read(field, given.get(field.name, _empty(field)))
        except ValueError as error:
            problems[field.name] = f"{field.label}: {error}"
    try:
        content[EXTRA] = _read_extra(given.get(EXTRA, {}))
    except ValueError as error:
        problems[EXTRA] = f"What else the card says: {error}"
    if problems:
        raise Invalid(" ".join(problems.values()), details=problems)
    return content


def _read(field: CardField, value: Any) -> Any:
    match field.kind:
        case FieldKind.LIST:
            return _read_list(value)
        case FieldKind.RESULTS:
            return _read_results(value)
        case FieldKind.SECTION:
            return _read_section(value)
        case FieldKind.CHOICE:
            text = _text(value, LINE_MAX_CHARS)
            known = [tier.value for tier in RiskTier]
            if text and text not in known:
                raise ValueError(f"it is {', '.join(known)} or empty.")
            return text
        case FieldKind.LINE:
            return _line(value, LINE_MAX_CHARS)


def _text(value: Any, limit: int) -> str:
    if not isinstance(value, str):
        raise ValueError("it is no text.")
    if not is_text(value):
        raise ValueError("it holds what cannot be kept.")
    if len(value) > limit:
        raise ValueError(f"it has more than {limit:,} characters.")
    return value


def _line(value: Any, limit: int) -> str:
    return " ".join(_text(value, limit).split())


def _read_list(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise ValueError("it is no list.")
    if len(value) > ITEMS_MAX:
        raise ValueError(f"it has more than {ITEMS_MAX} entries.")
    lines = [_line(item, ITEM_MAX_CHARS) for item in value]
    return list(dict.fromkeys(line for line in lines if line))


def _read_section(value: Any) -> str:
    text = tidy(_text(value, SECTION_MAX_CHARS))
    if not stands_alone(text):
        raise ValueError(
            "its headings begin at ### (larger ones are the card's own), and every block of code it opens it closes."
        )
    return text


def tidy(text: str) -> str:
    """Markdown without blank lines around it, and with one kind of line end."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return re.sub(r"\A(?:[^\S\n]*\n)+", "", lines).rstrip()


def stands_alone(text: str) -> bool:
    """Whether a section can stand before another one and nothing of it reaches into that, or looks like one."""
    parts = parts_of(f"{text}\n\n## end", deepest=2)
    return [part.heading for part in parts] == ["", "end"]


def _read_results(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise ValueError("it is no list.")
    if len(value) > RESULTS_MAX:
        raise ValueError(f"it has more than {RESULTS_MAX} lines.")
    return [_read_result(row) for row in value]


def _read_result(row: Any) -> dict[str, Any]:
    if not isinstance(row, dict) or not set(row) <= {"metric", "value", "dataset"}:
        raise ValueError("a result has a metric, a value and the data set.")
    number = row.get("value")
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise ValueError("the value of a result is a number.")
    metric = _line(row.get("metric"), ITEM_MAX_CHARS)
    if not metric or ":" in metric:
        raise ValueError("the metric of a result has a name, without a colon.")
    return {"metric": metric, "value": float(number), "dataset": _line(row.get("dataset", ""), ITEM_MAX_CHARS)}


def _read_extra(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("it is no mapping.")
    if len(canonical_json(value)) > EXTRA_MAX_BYTES:
        raise ValueError(f"it has more than {EXTRA_MAX_BYTES:,} bytes.")
    if _depth(value) > EXTRA_DEPTH_MAX:
        raise ValueError(f"it is nested more than {EXTRA_DEPTH_MAX} deep.")
    return value


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max((_depth(part) for part in inner), default=0)


def written_list(text: str) -> list[str]:
    """The entries of a list that a person wrote with commas or line ends between them."""
    return [item.strip() for item in re.split(r"[,\n]", text) if item.strip()]


def written_results(text: str) -> list[dict[str, Any]]:
    """The results that a person wrote, one a line. Raises ValueError naming the line that is none."""
    rows = []
    for line in (line.strip() for line in text.splitlines()):
        found = RESULT.match(line)
        if line and found is None:
            raise ValueError(f"“{line[:60]}” is no result; write “accuracy: 0.93 on holdout”.")
        if found is not None:
            try:
                number = float(found["value"])
            except ValueError:
                raise ValueError(f"{found['value']} is no number.") from None
            rows.append({"metric": found["metric"].strip(), "value": number, "dataset": found["dataset"] or ""})
    return rows


def result_line(row: dict[str, Any]) -> str:
    """A result as `written_results` reads it."""
    return f"{row['metric']}: {row['value']!r}" + (f" on {row['dataset']}" if row["dataset"] else "")


def missing_fields(content: type_Content) -> list[CardField]:
    """The fields of the standard schema that say nothing."""
    return [field for field in CARD_FIELDS if field.required and not content.get(field.name)]


def card_digest(content: type_Content) -> str:
    """What a release freezes of a card."""
    return content_hash(settled(content))
