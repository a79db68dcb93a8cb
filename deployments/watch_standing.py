"""How the watch after a promotion stands, for pages, REST and reports. Reads the database."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from deployments.lifecycle import BAKE_LOOKS, SIGNALLED, WATCHING, BakeOutcome, Look, ReleaseStatus
from deployments.models import BakeWatch, Release
from deployments.rollout.watch_terms import watch_terms
from monitoring.analysis.bake_watch import Watched

SENTENCES = {
    BakeOutcome.KEPT: "It was watched until {until} and stayed.",
    BakeOutcome.TAKEN_BACK: "The watch took it back.",
    BakeOutcome.REPLACED: "The watch ended: another release serves.",
    BakeOutcome.NO_RETURN: "The watch spoke against it, and nothing goes back by itself: a person has to choose.",
}
RUNNING = "Watched until {until}. What lastingly exceeds a limit takes it back by itself."
RUNNING_RESTORED = "Watched until {until}. What lastingly exceeds a limit is told; the way from here is for a person."
SPOKE = "The watch speaks against it; it goes back once the rollout under way has ended."


@dataclass(frozen=True)
class WatchRow:
    """One guardrail after the promotion. `s` is the sum of the CUSUM, which takes back at `limit`."""

    label: str
    sentence: str
    s: float
    limit: float
    reference: float
    accepted: float
    requests: int
    events: int

    @property
    def share_pct(self) -> int:
        """How near the sum is to its limit, in percent."""
        return min(100, round(100 * self.s / self.limit))

    @classmethod
    def of(cls, watched: Watched) -> "WatchRow":
        return cls(
            label=watched.guardrail.label,
            sentence=watched.sentence,
            s=watched.s,
            limit=watched.limit,
            reference=watched.reference,
            accepted=watched.accepted,
            requests=watched.requests,
            events=watched.events,
        )


@dataclass(frozen=True)
class WatchStanding:
    """The watch of a release, or in `sentence` why there is none: then it has no look and no rows."""

    title: str
    sentence: str
    look: Look | None = None
    is_running: bool = False
    began_at: datetime | None = None
    until: datetime | None = None
    rows: tuple[WatchRow, ...] = ()
    back: Release | None = None


def watch_standing(release: Release) -> WatchStanding | None:
    """How the watch stands; None for what has not become stable."""
    if release.status != ReleaseStatus.SUCCEEDED:
        return None
    title = "After the return" if release.kind == "rollback" else "After the promotion"
    watch = BakeWatch.objects.filter(release=release).select_related("back__version").first()
    if watch is None:
        why_not = watch_terms(release).why_not
        return WatchStanding(title, f"It is not watched. {why_not}") if why_not else None
    return WatchStanding(
        title=title,
        sentence=_sentence(watch, release),
        look=_look(watch),
        is_running=not watch.outcome,
        began_at=watch.began_at,
        until=watch.until,
        rows=tuple(WatchRow.of(Watched.from_dict(row)) for row in watch.watched),
        back=watch.back,
    )


def watch_values(release: Release) -> dict[str, Any] | None:
    """The same as JSON-able values; null for what has not become stable."""
    standing = watch_standing(release)
    if standing is None:
        return None
    return {
        "state": standing.look.label.lower() if standing.look else "not watched",
        "sentence": standing.sentence,
        "began_at": _iso(standing.began_at),
        "until": _iso(standing.until),
        "guardrails": list(_row_values(standing)),
    }


def _row_values(standing: WatchStanding) -> Iterator[dict[str, Any]]:
    for row in standing.rows:
        yield {
            "label": row.label,
            "requests": row.requests,
            "events": row.events,
            "reference": row.reference,
            "accepted": row.accepted,
            "cusum": row.s,
            "limit": row.limit,
            "sentence": row.sentence,
        }


def _look(watch: BakeWatch) -> Look:
    if watch.outcome:
        return BAKE_LOOKS[BakeOutcome(watch.outcome)]
    return SIGNALLED if watch.signalled_at else WATCHING


def _sentence(watch: BakeWatch, release: Release) -> str:
    if watch.outcome:
        text = SENTENCES[BakeOutcome(watch.outcome)]
    elif watch.signalled_at:
        text = SPOKE
    else:
        text = RUNNING_RESTORED if release.kind == "rollback" else RUNNING
    return text.format(until=f"{watch.until:%Y-%m-%d %H:%M} UTC")


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
