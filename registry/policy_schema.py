"""The JSON Schema of a policy as a document, out of the bounds of its fields."""

from typing import Any

from dataplane.wire.sandbox import LEVELS
from mlorch_site.accounts.roles import Action, roles_that_allow
from registry.change_windows import KEYS, KINDS, MINUTES_MAX, OPTIONAL_KEYS, WINDOWS_MAX
from registry.gate_cards import GateSetting, gate_cards
from registry.lifecycle import RiskTier
from registry.policy_fields import (
    CHOICES,
    COUNT_MAX,
    GUARDRAIL_KEYS,
    GUARDRAIL_METRICS,
    METADATA_MAX,
    METADATA_NAME_MAX_CHARS,
    NUMBERS,
    OPERATIONS,
    POLICY_FIELDS,
    QUOTAS,
    RULES_MAX,
    STRATEGIES,
    SWITCHES,
)
from registry.policy_sentences import field_words

DIALECT = "https://json-schema.org/draft/2020-12/schema"
NOTE_MAX_CHARS = 300
MARGIN = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}

type_Schema = dict[str, Any]


def policy_schema() -> type_Schema:
    """The schema: an object with the line, a note, and the fields of a policy; one left out stays as it is."""
    line: type_Schema = {
        "environment": {"type": "string", "minLength": 1},
        "model": {"type": ["string", "null"], "description": "Only for this model."},
        "tier": {"enum": ["", *(tier.value for tier in RiskTier)], "description": "Only for models of this risk tier."},
        "note": {"type": "string", "maxLength": NOTE_MAX_CHARS, "description": "Why."},
    }
    fields = _fields()
    said = {name: fields.get(name, {}) for name in POLICY_FIELDS if name != "note"}
    return {
        "$schema": DIALECT,
        "title": "A policy of mlorch",
        "type": "object",
        "properties": {**line, **said},
        "required": ["environment"],
        "additionalProperties": False,
    }


def _fields() -> dict[str, type_Schema]:
    return {
        **{name: {"type": "integer", "minimum": least, "maximum": most} for name, (least, most, _) in NUMBERS.items()},
        **{name: _quota(name, *bounds) for name, bounds in QUOTAS.items()},
        **{name: {"type": "boolean", "description": field_words(name, True)[0]} for name in SWITCHES},
        **{name: {"enum": [str(choice) for choice in choices]} for name, choices in CHOICES.items()},
        "sandbox_level_min": {"enum": list(LEVELS)},
        "gates": _some([gate.name for gate in gate_cards()]),
        "gate_parameters": _parameters(),
        "allowed_strategies": _some(STRATEGIES),
        "approval_rules": {"type": "array", "maxItems": RULES_MAX, "items": _rule()},
        "default_guardrails": {
            "type": "array",
            "items": {"anyOf": [_guardrail(metric) for metric in GUARDRAIL_METRICS]},
        },
        "required_metadata": {
            "type": "array",
            "maxItems": METADATA_MAX,
            "uniqueItems": True,
            "items": {"type": "string", "minLength": 1, "maxLength": METADATA_NAME_MAX_CHARS},
        },
        "margins_max": _object(dict.fromkeys(GUARDRAIL_METRICS, MARGIN), []),
        "operators": _object(
            {
                act: {**_some([role.value for role in roles_that_allow(action)]), "minItems": 1}
                for act, action in OPERATIONS.items()
            },
            [],
        ),
        "windows": {"type": "array", "maxItems": WINDOWS_MAX, "items": _window()},
    }


def _object(properties: type_Schema, required: list[str]) -> type_Schema:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _some(names: Any) -> type_Schema:
    return {"type": "array", "uniqueItems": True, "items": {"enum": list(names)}}


def _quota(name: str, least: int, most: int) -> type_Schema:
    kind = "number" if name == "cost_per_day_max" else "integer"
    return {"type": [kind, "null"], "minimum": least, "maximum": most, "description": "null: no limit."}


def _rule() -> type_Schema:
    count = {"type": "integer", "minimum": 1, "maximum": COUNT_MAX}
    name = {"type": "string"}
    roles = {"enum": [role.value for role in roles_that_allow(Action.RELEASE_DECIDE)]}
    by_role = _object({"role": roles, "count": count, "name": name}, ["role", "count"])
    by_group = _object({"group": {"type": "string"}, "count": count, "name": name}, ["group", "count"])
    return {"anyOf": [by_role, by_group]}


def _guardrail(metric: str) -> type_Schema:
    keys = sorted(GUARDRAIL_KEYS[metric])
    shapes = {"metric": {"const": metric}, "margin": MARGIN, "slo_ms": {"type": "number", "exclusiveMinimum": 0}}
    return _object({key: shapes[key] for key in keys}, keys)


def _window() -> type_Schema:
    text = {"type": "string"}
    shapes: type_Schema = dict.fromkeys(sorted(KEYS | OPTIONAL_KEYS), text)
    shapes |= {
        "kind": {"enum": list(KINDS)},
        "minutes": {"type": "integer", "minimum": 1, "maximum": MINUTES_MAX},
        "except": {"type": "array", "items": {"type": "string", "format": "date"}},
    }
    return _object(shapes, sorted(KEYS))


def _parameters() -> type_Schema:
    return _object(
        {
            gate.name: _object({setting.name: _setting(setting) for setting in gate.settings}, [])
            for gate in gate_cards()
        },
        [],
    )


def _setting(setting: GateSetting) -> type_Schema:
    kinds: dict[str, type_Schema] = {
        "number": {"type": "number"},
        "whole": {"type": "integer"},
        "text": {"type": "string"},
        "choice": {"enum": list(setting.choices)},
        "switch": {"type": "boolean"},
        "lines": {"type": "array", "items": {"type": "string"}},
    }
    bounds = {"minimum": setting.least, "maximum": setting.most}
    known = {name: value for name, value in bounds.items() if value is not None}
    return {**kinds.get(setting.kind, {}), **known, "description": setting.help}
