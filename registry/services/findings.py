"""What was found and nobody has looked at yet."""

from datetime import datetime
from typing import Any

from django.db import transaction

from mlorch_site.live.outbox import publish
from registry.models import Finding, Model


@transaction.atomic
def finding_add(*, model: Model, kind: str, summary: str, data: dict[str, Any], now: datetime) -> Finding:
    """Show a finding about `model` until somebody has resolved it.

    The act it comes from is audited by its own service.
    """
    finding = Finding.objects.create(model=model, kind=kind, summary=summary[:500], data=data, found_at=now)
    publish("registry", "model.changed", {"model": model.name})
    return finding
