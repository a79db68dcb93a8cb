"""The whole record as JSON lines, with what is needed to prove it elsewhere."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from mlorch_site.audit.chain import hashed_content
from mlorch_site.audit.models import AuditRecord
from mlorch_site.audit.verification import signed_checkpoints

READ_AT_ONCE = 2000
VERIFIER = Path(__file__).parent / "standalone" / "export_verifier.py"


def export_lines() -> Iterator[str]:
    """First the records, oldest first, then the checkpoints as `{"checkpoint": …}`, each in a line."""
    for record in AuditRecord.objects.order_by("sequence").iterator(chunk_size=READ_AT_ONCE):
        content = {**hashed_content(record), "previous_hash": record.previous_hash, "hash": record.hash}
        yield json.dumps(content) + "\n"
    for checkpoint in signed_checkpoints():
        yield json.dumps({"checkpoint": asdict(checkpoint)}) + "\n"
