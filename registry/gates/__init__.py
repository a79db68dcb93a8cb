"""Gates: automatic checks that leave evidence. One file per gate; a policy names those that run."""

import time
from collections.abc import Callable, Iterable

from django.db import transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib import clock
from registry.gates import (
    artifact_format,
    digest_known,
    guardrails_present,
    input_example_present,
    metadata_complete,
    not_taken_back,
    requirements_valid,
    signature_present,
    version_ready,
)
from registry.gates.base import Found, GateInput, GateOutcomeRow, NotYet
from registry.lifecycle import GateOutcome
from registry.models import GateResult

__all__ = ["GATES", "GateInput", "GateOutcomeRow", "gate_results_record", "run"]

GATES: dict[str, Callable[[GateInput], Found]] = {
    "version_ready": version_ready.check,
    "digest_known": digest_known.check,
    "signature_present": signature_present.check,
    "input_example_present": input_example_present.check,
    "metadata_complete": metadata_complete.check,
    "requirements_valid": requirements_valid.check,
    "artifact_format": artifact_format.check,
    "guardrails_present": guardrails_present.check,
    "not_taken_back": not_taken_back.check,
}


def run(names: Iterable[str], given: GateInput) -> list[GateOutcomeRow] | None:
    """Run the named gates; None when one of them still waits for something that is under way.

    A gate that raises or that nobody knows is an error, which refuses a release as a failure does.
    """
    rows = []
    for name in names:
        began = time.perf_counter()
        try:
            found = GATES[name](given)
        except NotYet:
            return None
        except Exception as error:
            found = Found(GateOutcome.ERROR, f"The gate could not look: {type(error).__name__}: {str(error)[:300]}")
        duration_ms = int((time.perf_counter() - began) * 1000)
        rows.append(GateOutcomeRow(name, found.outcome, found.sentence[:500], found.evidence, duration_ms))
    return rows


@transaction.atomic
def gate_results_record(*, actor: Actor, subject: Subject, content_hash: str, results: list[GateOutcomeRow]) -> None:
    """Keep what the gates found about a subject, with an audit record over all of it."""
    now = clock.now()
    GateResult.objects.bulk_create(
        GateResult(
            subject_kind=subject.kind,
            subject_id=subject.id,
            gate=row.gate,
            outcome=row.outcome,
            sentence=row.sentence,
            evidence=row.evidence,
            content_hash=content_hash,
            at=now,
            duration_ms=row.duration_ms,
        )
        for row in results
    )
    data = {"content_hash": content_hash, "outcomes": {row.gate: row.outcome for row in results}}
    audit_record(actor, "gates.run", subject, data=data)
