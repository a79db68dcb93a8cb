"""Compare-and-swap on one row: whoever comes second changes nothing."""

from typing import Any

from django.db.models import Model

ROW_VERSION = "row_version"


def swap(row: Model, *guards: str, **values: Any) -> bool:
    """Write `values` unless a field among `guards` changed since `row` was read; on success `row` carries them.

    Without guards the row's `row_version` is the guard, and rises by one.
    """
    if not guards:
        guards = (ROW_VERSION,)
        values[ROW_VERSION] = getattr(row, ROW_VERSION) + 1
    unchanged = {name: getattr(row, name) for name in guards}
    if not type(row)._default_manager.filter(pk=row.pk, **unchanged).update(**values):
        return False
    for name, value in values.items():
        setattr(row, name, value)
    return True
