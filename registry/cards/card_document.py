"""A model card as one document: Markdown below YAML front matter, as Hugging Face reads and writes it. Pure.

What is exported is imported again without loss. What somebody else wrote is taken as far as it can be understood; what
cannot stays in the card's last section, or beside the front matter's own fields.
"""

import re
from dataclasses import dataclass
from typing import Any

import yaml

from mlorch_site.lib.errors import Invalid
from mlorch_site.lib.markdown import MarkdownPart, parts_of
from mlorch_site.lib.yaml_text import read_yaml
from registry.cards.card_content import EXTRA, FIELDS, SECTIONS, empty_content, tidy, type_Content

DOCUMENT_MAX_CHARS = 200_000
FENCE = "---"
OURS = "mlorch"  # the key of the front matter under which the fields are that Hugging Face has no word for
FRONT = {"license": "licence", "library_name": "library", "pipeline_tag": "task"}
LISTS = ("language", "tags", "datasets", "metrics")
KEPT_BY_US = ("owner", "contact", "risk_tier")
INDEX = "model-index"
ANY_TASK, ANY_DATASET = "other", "unknown"
# Headings of other people's cards, in small letters, and the section that they mean.
HEADINGS = {field.label.lower(): field.name for field in SECTIONS} | {
    "intended uses": "intended_use",
    "uses": "intended_use",
    "use": "intended_use",
    "intended uses & limitations": "intended_use",
    "limitations": "limits",
    "out-of-scope use": "limits",
    "bias, risks, and limitations": "limits",
    "limitations and bias": "limits",
    "training details": "training_data",
    "training": "training_data",
    "evaluation": "evaluation_data",
    "ethical considerations": "risks",
    "risks": "risks",
    "model description": "summary",
    "description": "summary",
}


@dataclass(frozen=True)
class ReadCard:
    """An imported document: the content, not checked yet, and sentences about what was not understood."""

    content: type_Content
    notes: list[str]


def card_document(*, title: str, about: dict[str, Any], content: type_Content) -> str:
    """The card as a document. `about` says which version it is of; it is told, and not read again."""
    front = yaml.safe_dump(_front(title, about, content), sort_keys=False, allow_unicode=True, width=1000)
    sections = [f"## {field.label}\n\n{content[field.name]}" for field in SECTIONS[1:] if content[field.name]]
    summary = [content["summary"]] if content["summary"] else []
    return "\n\n".join([f"{FENCE}\n{front}{FENCE}", f"# {_heading(title)}", *summary, *sections]) + "\n"


def _heading(title: str) -> str:
    """A title whose signs mean nothing in Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", " ".join(title.split()))


def _front(title: str, about: dict[str, Any], content: type_Content) -> dict[str, Any]:
    """The front matter. What an imported card said besides stands last."""
    front: dict[str, Any] = {key: content[name] for key, name in FRONT.items() if content[name]}
    front |= {key: content[key] for key in LISTS if content[key]}
    if content["results"]:
        front[INDEX] = [{"name": title, "results": _index(content)}]
    ours = {key: content[key] for key in KEPT_BY_US if content[key]}
    front[OURS] = {**ours, **about}
    return {**front, **{key: value for key, value in content[EXTRA].items() if key not in front}}


def _index(content: type_Content) -> list[dict[str, Any]]:
    """The results as `model-index` has them: by data set, each with a task, a data set and its metrics."""
    by_dataset: dict[str, list[dict[str, Any]]] = {}
    for row in content["results"]:
        metric = {"type": row["metric"], "value": row["value"]}
        by_dataset.setdefault(row["dataset"], []).append(metric)
    return [
        {
            "task": {"type": content["task"] or ANY_TASK},
            "dataset": {"type": name or ANY_DATASET, "name": name or ANY_DATASET},
            "metrics": metrics,
        }
        for name, metrics in by_dataset.items()
    ]


def read_document(text: str) -> ReadCard:
    """What a document says. Raises Invalid for one that is too large, and for front matter that is no YAML mapping."""
    if len(text) > DOCUMENT_MAX_CHARS:
        raise _invalid(f"The document has more than {DOCUMENT_MAX_CHARS:,} characters.")
    text = tidy(text.removeprefix("\ufeff"))
    front, body = _cut(text)
    content, notes = empty_content(), list[str]()
    _take_front(front, content, notes)
    _take_body(body, content)
    return ReadCard(content, notes)


def _invalid(sentence: str) -> Invalid:
    return Invalid(sentence, details={"document": sentence})


def _cut(text: str) -> tuple[dict[str, Any], str]:
    if not text.startswith(f"{FENCE}\n"):
        return {}, text
    head, fence, body = f"{text}\n".removeprefix(f"{FENCE}\n").partition(f"\n{FENCE}\n")
    if not fence:
        raise _invalid("The front matter has no end: a line of --- has to follow it.")
    try:
        front = read_yaml(head)
    except ValueError as error:
        raise _invalid(f"The front matter cannot be read: {error}.") from error
    if front is not None and not isinstance(front, dict):
        raise _invalid("The front matter is no mapping of names to values.")
    return front or {}, body


def _take_front(front: dict[str, Any], content: type_Content, notes: list[str]) -> None:
    rest = dict(front)
    ours = rest.pop(OURS, {})
    said = {name: rest.pop(key) for key, name in FRONT.items() if isinstance(rest.get(key), str)}
    said |= {name: ours[name] for name in KEPT_BY_US if isinstance(ours, dict) and isinstance(ours.get(name), str)}
    for key in LISTS:
        value = [rest[key]] if isinstance(rest.get(key), str) else rest.get(key)
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            said[key] = value
            rest.pop(key)
    try:
        said["results"] = _results(rest.get(INDEX))
        rest.pop(INDEX, None)
    except (ValueError, TypeError, AttributeError, KeyError):
        notes.append("The results (model-index) were not understood; they are kept as they were.")
    for key in sorted(rest.keys() & {*FRONT, *LISTS}):
        notes.append(f"“{key}” is not written as a text or a list of texts; it is kept as it was.")
    content |= {**said, EXTRA: rest}


def _results(index: Any) -> list[dict[str, Any]]:
    """The metrics of a `model-index`. Raises ValueError and what else comes of another shape."""
    rows = []
    for entry in index or []:
        for result in entry["results"]:
            name = result["dataset"]["name"]
            for metric in result["metrics"]:
                if isinstance(metric["value"], bool):
                    raise ValueError("a value is no number")
                dataset = "" if name == ANY_DATASET else name
                rows.append({"metric": metric["type"], "value": float(metric["value"]), "dataset": dataset})
    return rows


def _take_body(body: str, content: type_Content) -> None:
    parts = parts_of(tidy(body), deepest=2)
    for place, part in enumerate(parts):
        # The first heading of all is the title, as long as it is a large one.
        is_title = place == 1 and part.level == 1 and not parts[0].text.strip()
        name = "summary" if place == 0 or is_title else HEADINGS.get(part.heading.lower(), "more")
        is_known = place == 0 or is_title or FIELDS[name].label.lower() == part.heading.lower()
        text = tidy(part.text)
        _append(content, name, text if is_known or not text else _under(part, text))


def _under(part: MarkdownPart, text: str) -> str:
    """A section of somebody else's under its own heading, in one of ours."""
    return f"### {part.heading}\n\n{text}"


def _append(content: type_Content, name: str, text: str) -> None:
    content[name] = tidy(f"{content[name]}\n\n{text}") if content[name] else text
