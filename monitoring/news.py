"""What live charts are told, the same by websocket and by polling."""

from typing import Any

from mlorch_site.lib import clock
from monitoring import charts
from monitoring.selectors import CHART_SPAN, series_after


def points_since(environment: str, endpoint: str, after_id: int) -> dict[str, Any]:
    """The message with the points that windows after `after_id` touched; its `sequence` is the newest window's id."""
    since = clock.now() - CHART_SPAN
    points, newest = series_after(environment, endpoint, after_id=after_id, not_before=since)
    return {"sequence": newest, **charts.finished(points, since)}
