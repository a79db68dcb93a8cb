"""Two reports of releases side by side: what differs, and what is the same. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from deployments.rollout.guardrails import sentence_of

ABSENT = "–"

type_Document = dict[str, Any]


@dataclass(frozen=True)
class ComparedRow:
    """One thing that both reports say, in words."""

    label: str
    one: str
    other: str

    @property
    def differs(self) -> bool:
        return self.one != self.other


def compared(one: type_Document, other: type_Document) -> list[ComparedRow]:
    """What two documents say of the same things, those that differ first."""
    rows = [ComparedRow(label, read(one) or ABSENT, read(other) or ABSENT) for label, read in READERS]
    rows += _verdict_rows(one, other) + _gate_rows(one, other)
    return sorted(rows, key=lambda row: not row.differs)


def _what(name: str) -> Callable[[type_Document], str]:
    return lambda document: str(document["what"].get(name) or "")


def _lasted(document: type_Document) -> str:
    began, ended = document["what"].get("started_at"), document["outcome"].get("ended_at")
    if not began or not ended:
        return ""
    return f"{(datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds():,.0f} s"


def _steps(document: type_Document) -> str:
    words = []
    for step in document["plan"].get("steps", []):
        parts = [str(step.get("kind", "")).replace("_", " ")]
        parts += [f"{step['weight_pct']} %"] if step.get("weight_pct") else []
        parts += [f"{step['duration_s']} s"] if step.get("duration_s") else []
        words.append(" ".join(parts))
    return ", ".join(words)


def _guardrails(document: type_Document) -> str:
    return "; ".join(_guardrail(row) for row in document["guardrails"])


def _guardrail(row: dict[str, Any]) -> str:
    try:
        return sentence_of(row)
    except (KeyError, TypeError, ValueError):  # a kind of guardrail that is not known any more
        return str(row.get("metric", row))


def _approved(document: type_Document) -> str:
    approval = document.get("approval") or {}
    people = [f"{one['person']} ({one['kind'].replace('_', ' ')})" for one in approval.get("decisions", [])]
    return ", ".join(people)


def _deviations(document: type_Document) -> str:
    return ", ".join(one["kind"] for one in document.get("deviations", []))


def _requests(document: type_Document) -> str:
    figures = document.get("figures")
    if not figures:
        return ""
    sums = {f"{line['arm']} {line['version']}": sum(row[1] for row in line["rows"]) for line in figures["lines"]}
    return ", ".join(f"{name}: {count:,}" for name, count in sums.items())


READERS: tuple[tuple[str, Callable[[type_Document], str]], ...] = (
    ("Kind", lambda document: str(document["kind"])),
    ("Model", _what("model")),
    ("Version", _what("version")),
    ("In place of version", _what("replaces")),
    ("Artifacts", _what("digest")),
    ("Environment", _what("environment")),
    ("Endpoint", _what("endpoint")),
    ("Asked by", lambda document: str(document["who"]["requester"])),
    ("Reason", lambda document: str(document["who"]["reason"])),
    ("Change ticket", lambda document: str(document["plan"].get("ticket") or "")),
    ("Outcome", lambda document: str(document["outcome"]["status"]).replace("_", " ")),
    ("Because", lambda document: str(document["outcome"]["sentence"])),
    ("Rollout took", _lasted),
    ("Policy", lambda document: str(document["policy"])),
    ("Steps", _steps),
    ("Guardrails", _guardrails),
    ("Decisions", _approved),
    ("Deviations", _deviations),
    ("Requests counted", _requests),
)


def _verdict_rows(one: type_Document, other: type_Document) -> list[ComparedRow]:
    """The guardrails as they were when it was decided, by their names."""
    said = [_verdicts(document) for document in (one, other)]
    names = list(dict.fromkeys([*said[0], *said[1]]))
    return [ComparedRow(f"Guardrail: {name}", *(each.get(name, ABSENT) for each in said)) for name in names]


def _verdicts(document: type_Document) -> dict[str, str]:
    rows = document.get("assessment", {}).get("guardrails", [])
    return {str(row.get("label") or row.get("metric")): _verdict(row) for row in rows}


def _verdict(row: dict[str, Any]) -> str:
    text = str(row.get("verdict", ""))
    if row.get("difference") is not None and row.get("unit", "share") == "share":
        text += f", {row['difference'] * 100:+.1f} points"
    if row.get("effective_n") is not None:
        text += f", {row.get('candidate_n', 0):,} requests worth {row['effective_n']:,.0f}"
    return text.replace("_", " ")


def _gate_rows(one: type_Document, other: type_Document) -> list[ComparedRow]:
    said = [{gate["gate"]: _gate(gate) for gate in document.get("gates", [])} for document in (one, other)]
    names = list(dict.fromkeys([*said[0], *said[1]]))
    rows = [(f"Gate: {name.replace('_', ' ')}", [each.get(name, ABSENT) for each in said]) for name in names]
    return [ComparedRow(label, *texts) for label, texts in rows]


def _gate(gate: dict[str, Any]) -> str:
    waived = ", waived" if any(not one["why_not_holding"] for one in gate.get("waivers", [])) else ""
    return f"{gate['outcome'] or gate['state']}{waived}"
