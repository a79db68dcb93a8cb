"""The JSON Schema of reports (draft 2020-12), which REST serves. Kinds that it does not know have only the head."""

from typing import Any

type_Schema = dict[str, Any]

TEXT: type_Schema = {"type": "string"}
NUMBER: type_Schema = {"type": "number"}
COUNT: type_Schema = {"type": "integer", "minimum": 0}
FLAG: type_Schema = {"type": "boolean"}
MOMENT: type_Schema = {"type": "string", "format": "date-time"}
HASH: type_Schema = {"type": "string", "pattern": "^(sha256:)?[0-9a-f]{64}$|^$"}
ANY_OBJECT: type_Schema = {"type": "object"}


def _or_null(schema: type_Schema) -> type_Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(schema: type_Schema, most: int | None = None) -> type_Schema:
    return {"type": "array", "items": schema, **({"maxItems": most} if most else {})}


def _object(**properties: type_Schema) -> type_Schema:
    """An object with exactly these."""
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(properties),
        "additionalProperties": False,
    }


DECISION = _object(
    person=TEXT,
    kind=TEXT,
    roles=_list(TEXT),
    comment=TEXT,
    at=MOMENT,
    content_hash=TEXT,
    counts=FLAG,
    proven_by=TEXT,
    proven_at=_or_null(MOMENT),
)
REQUEST: dict[str, type_Schema] = {
    "status": TEXT,
    "sentence": TEXT,
    "policy": TEXT,
    "policy_revision": COUNT,
    "content_hash": TEXT,
    "risk_tier": TEXT,
    "opened_at": MOMENT,
    "ended_at": _or_null(MOMENT),
    "approved_at": _or_null(MOMENT),
    "rules": _list(_object(rule=TEXT, given_by=_list(TEXT))),
    "decisions": _list(DECISION),
}
EMERGENCY = _object(used_by=TEXT, at=MOMENT, reason=TEXT, ticket=TEXT, skipped={})
APPROVAL = _object(**REQUEST, emergency=_or_null(EMERGENCY), earlier=_list(_object(**REQUEST)))
STAY = _object(
    release=TEXT,
    version=COUNT,
    endpoint=TEXT,
    requested_at=MOMENT,
    ended_at=_or_null(MOMENT),
    status=TEXT,
    sentence=TEXT,
)
WEIGHTS = _object(
    at=MOMENT,
    sentence=TEXT,
    revision=COUNT,
    wanted=_list(_object(arm=TEXT, version=_or_null(COUNT), weight_pct=NUMBER, mirror_pct=NUMBER)),
    obeyed_at=_or_null(MOMENT),
    seen=_list(_object(arm=TEXT, version=COUNT, requests=COUNT, share_pct=_or_null(NUMBER))),
)
FIGURES = _object(
    since=MOMENT,
    began=MOMENT,
    until=MOMENT,
    width_s=COUNT,
    columns=_list(TEXT),
    lines=_list(_object(arm=TEXT, version=COUNT, rows=_list(_list(_or_null(NUMBER)), 120)), 12),
    lines_left_out=COUNT,
)
AUDIT = _object(
    first=_or_null(COUNT),
    last=_or_null(COUNT),
    count=COUNT,
    hash=HASH,
    records=_list(_object(sequence=COUNT, action=TEXT, hash=HASH)),
    checkpoint_size=COUNT,
)
RELEASE = _object(
    format={"const": 2},
    kind={"enum": ["release", "rollback"]},
    release=TEXT,
    what=_object(
        model=TEXT,
        version=COUNT,
        digest=TEXT,
        environment=TEXT,
        endpoint=TEXT,
        replaces=_or_null(COUNT),
        restores=_or_null(TEXT),
        requested_at=MOMENT,
        started_at=_or_null(MOMENT),
    ),
    who=_object(requester=TEXT, reason=TEXT),
    ticket=TEXT,
    outcome=_object(status=TEXT, sentence=TEXT, ended_at=MOMENT),
    policy=TEXT,
    plan=ANY_OBJECT,
    content_hash=TEXT,
    guardrails=_list(ANY_OBJECT),
    approval=_or_null(APPROVAL),
    gates=_list(ANY_OBJECT),
    waivers=_list(ANY_OBJECT),
    biography=_object(stays=_list(STAY), elsewhere=COUNT, taken_back=_list(TEXT)),
    sandboxes=_list(TEXT),
    assessment=ANY_OBJECT,
    verdicts=_list(_object(at=MOMENT, old=TEXT, new=TEXT, sentence=TEXT, guardrails=_list(ANY_OBJECT))),
    weights=_list(WEIGHTS),
    figures=_or_null(FIGURES),
    deviations=_list(_object(kind=TEXT, at=_or_null(MOMENT), sentence=TEXT)),
    timeline=_list(_object(at=MOMENT, kind=TEXT, sentence=TEXT, actor=TEXT, data=ANY_OBJECT)),
    audit=AUDIT,
)
WATCH = _object(
    state=TEXT,
    sentence=TEXT,
    began_at=_or_null(MOMENT),
    until=_or_null(MOMENT),
    guardrails=_list(
        _object(
            label=TEXT,
            requests=COUNT,
            events=COUNT,
            reference=NUMBER,
            accepted=NUMBER,
            cusum=NUMBER,
            limit=NUMBER,
            sentence=TEXT,
        )
    ),
)
RELEASE["properties"]["watch"] = _or_null(WATCH)  # not required: reports from before there was a watch have none
HEAD: type_Schema = {
    "type": "object",
    "properties": {"format": COUNT, "kind": TEXT},
    "required": ["format", "kind"],
}
SHARE = _object(part=COUNT, whole=COUNT, value=_or_null(NUMBER))
DURATIONS = _object(n=COUNT, median_s=_or_null(NUMBER), p90_s=_or_null(NUMBER))
COUNTS: type_Schema = {"type": "object", "additionalProperties": COUNT}
PERIOD = _object(
    format={"const": 2},
    kind={"const": "period"},
    span=_object(since=MOMENT, until=MOMENT),
    about=_object(environment=_or_null(TEXT), model=_or_null(TEXT)),
    definitions=ANY_OBJECT,
    promotion=SHARE,
    change_failure=SHARE,
    lead_time=DURATIONS,
    restore=DURATIONS,
    outcomes=COUNTS,
    exceptions=_object(deviations=COUNTS, not_told=COUNT),
    cost=_object(amount=NUMBER, replica_hours=NUMBER, rests_on=TEXT),
    causes=_list(_object(status=TEXT, cause=TEXT, count=COUNT)),
    releases=_list(_object(release=TEXT, kind=TEXT, version=COUNT, status=TEXT, ended_at=MOMENT, sentence=TEXT), 500),
    releases_total=COUNT,
)
KINDS: dict[str, type_Schema] = {"release": RELEASE, "rollback": RELEASE, "period": PERIOD}


def report_schema() -> type_Schema:
    """The schema of a report's document, of whichever kind; reports of format 1 have the head only."""
    cases = [
        {
            "if": {"properties": {"kind": {"const": kind}, "format": {"const": 2}}},
            "then": {"$ref": f"#/$defs/{kind}"},
        }
        for kind in KINDS
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:mlorch:report:2",
        "title": "mlorch report",
        **HEAD,
        "allOf": cases,
        "$defs": KINDS,
    }
