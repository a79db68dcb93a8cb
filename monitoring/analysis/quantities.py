"""What a guardrail measures, as people say it: a share in percent, its difference in points, a time in milliseconds."""

from monitoring.analysis.guardrail_result import Unit


def said(value: float | None, unit: str = Unit.SHARE) -> str:
    """A value in its unit; a dash when it is not known."""
    if value is None:
        return "–"
    if unit == Unit.SHARE:
        return f"{value * 100:.1f} %"
    return f"{value:,.4g} ms" if unit == Unit.MS else f"{value:,.4g}"


def said_difference(value: float | None, unit: str = Unit.SHARE) -> str:
    """A difference in its unit, with its sign; of shares in percentage points."""
    if value is None:
        return "–"
    if unit == Unit.SHARE:
        return f"{value * 100:+.1f}"
    return f"{value:+,.4g} ms" if unit == Unit.MS else f"{value:+,.4g}"
