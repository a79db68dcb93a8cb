"""What MLflow says of a version, as a proposal for its card. Nobody has said that it is right.

Pure, apart from the rows it is given.
"""

import re
from typing import Any

from mlorch_site.lib.errors import Invalid
from registry.cards.card_content import (
    EXTRA,
    FIELDS,
    ITEM_MAX_CHARS,
    ITEMS_MAX,
    LINE_MAX_CHARS,
    RESULTS_MAX,
    SECTION_MAX_CHARS,
    FieldKind,
    empty_content,
    read_content,
    stands_alone,
    tidy,
    type_Content,
)
from registry.cards.card_document import ReadCard, read_document
from registry.models import Version

# Tags of a version or a model that name a field.
TAG_NAMES = {name: name for name in FIELDS} | {"license": "licence", "limitations": "limits", "risk": "risk_tier"}
ROWS_MAX = 40
NO_LIBRARY = "python_function"


def prefilled(version: Version) -> type_Content:
    """What is known of a version, in a card's fields; it can always be saved as it is."""
    content = empty_content()
    content |= _described(version.description or version.model.description)
    content |= _of_tags({**version.model.tags, **version.tags}, content)
    evidence = version.evidence
    content["owner"] = version.model.owner or content["owner"]
    content["risk_tier"] = version.model.risk_tier
    content["library"] = next((name for name in _texts(evidence.get("flavors")) if name != NO_LIBRARY), "")
    datasets = [row for row in evidence.get("datasets") or [] if isinstance(row, dict)]
    content["datasets"] = _lines(row.get("name") for row in datasets)
    content["results"] = _results(evidence.get("metrics"))
    content["metrics"] = _lines(row["metric"] for row in content["results"])
    content["training_data"] = content["training_data"] or _dataset_list(datasets)
    content["more"] = tidy(f"{content['more']}\n\n{_made(version)}")
    return fitting(content)


def fitting(content: type_Content) -> type_Content:
    """A content of strangers with what cannot be taken cut or left out, so that it can be shown in a form."""
    fit = {name: value for name, value in content.items() if name in FIELDS}
    for name, value in fit.items():
        if FIELDS[name].kind is FieldKind.SECTION:
            fit[name] = _fitting_section(value)
        try:
            read_content({name: fit[name]})
        except Invalid:
            fit[name] = empty_content()[name]
    return read_content({**fit, EXTRA: content.get(EXTRA, {})})


def _fitting_section(text: str) -> str:
    """A section as it is, or as plain text where it would reach into the next one."""
    text = tidy(text.replace("\0", ""))[:SECTION_MAX_CHARS]
    if stands_alone(text):
        return text
    return "\n".join(f"    {line}" for line in text.split("\n"))[:SECTION_MAX_CHARS].rstrip()


def _described(description: str) -> type_Content:
    """A description that is written as a card fills its sections."""
    try:
        read: ReadCard = read_document(description)
    except Invalid:
        return {"summary": description}
    return {name: value for name, value in read.content.items() if value}


def _of_tags(tags: dict[str, str], content: type_Content) -> type_Content:
    found: type_Content = {}
    for key, value in tags.items():
        name = TAG_NAMES.get(key.strip().lower().replace("-", "_").replace(" ", "_"), "")
        if name and not content[name] and FIELDS[name].kind in (FieldKind.LINE, FieldKind.SECTION):
            found[name] = str(value)
        elif name and not content[name] and FIELDS[name].kind is FieldKind.LIST:
            found[name] = _lines(re.split("[,;]", str(value)))
    return found


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _lines(values: Any) -> list[str]:
    lines = (" ".join(str(value or "").split())[:ITEM_MAX_CHARS].strip() for value in values)
    return list(dict.fromkeys(line for line in lines if line))[:ITEMS_MAX]


def _results(metrics: Any) -> list[dict[str, Any]]:
    """The metrics of the run. On which data set each was measured MLflow does not say."""
    rows = metrics.items() if isinstance(metrics, dict) else []
    numbers = [(name, value) for name, value in rows if isinstance(value, int | float) and not isinstance(value, bool)]
    return [
        {"metric": _lines([str(name).replace(":", " ")])[0], "value": float(value), "dataset": ""}
        for name, value in numbers[:RESULTS_MAX]
        if str(name).replace(":", "").strip()
    ]


def _code(value: Any) -> str:
    """A text of strangers as code in a line of Markdown."""
    text = " ".join(str(value if value is not None else "").replace("`", "'").replace("|", "/").split())
    return f"`{text[:LINE_MAX_CHARS]}`" if text else "–"


def _dataset_list(datasets: list[dict[str, Any]]) -> str:
    return "\n".join(f"- {_code(row.get('name'))}, digest {_code(row.get('digest'))}" for row in datasets[:ROWS_MAX])


def _made(version: Version) -> str:
    """How the version was made and what it needs, as far as MLflow tells."""
    evidence = version.evidence
    facts = [
        ("Run", evidence.get("run_name") or version.run_id),
        ("Made by", evidence.get("run_user")),
        ("Code commit", evidence.get("git_commit")),
        ("Python", evidence.get("python")),
    ]
    parts = [_list("How it was made", [f"{label}: {_code(value)}" for label, value in facts if value])]
    params = evidence.get("params") if isinstance(evidence.get("params"), dict) else {}
    parts.append(_list("Parameters", [f"{_code(name)}: {_code(value)}" for name, value in params.items()]))
    columns = [
        f"{word}: {_code(column.get('name') or 'unnamed')}"
        for word in ("inputs", "outputs")
        for column in (version.signature or {}).get(word) or []
    ]
    parts.append(_list("Inputs and outputs", columns))
    parts.append(_list("Requirements", [_code(line) for line in _texts(evidence.get("requirements"))]))
    return "\n\n".join(part for part in parts if part)


def _list(title: str, rows: list[str]) -> str:
    if not rows:
        return ""
    more = [f"- and {len(rows) - ROWS_MAX} more"] if len(rows) > ROWS_MAX else []
    return "\n".join([f"### {title}", "", *(f"- {row}" for row in rows[:ROWS_MAX]), *more])
