"""What a release that has become stable is watched for, or why it is not. Reads the database."""

from dataclasses import dataclass

from deployments.models import Release, Rollout
from deployments.rollout.steps import watch_s_of
from monitoring.analysis.bake_watch import Watched, begin
from monitoring.analysis.judge import JudgeState


@dataclass(frozen=True)
class WatchTerms:
    """The guardrails that are watched and for how long; without any, `why_not` says why."""

    watched: tuple[Watched, ...] = ()
    seconds: int = 0
    why_not: str = ""


def watch_terms(release: Release) -> WatchTerms:
    """The terms of a release that becomes stable, by how the stable version did while the candidate was compared with
    it.

    What a rollback restores is that stable version: it is held against how it did then, by the guardrails and for the
    time of the plan that is taken back.
    """
    judged = release.replaces
    if judged is None:
        return WatchTerms(why_not="It was the first release of its endpoint: nothing says what is usual.")
    if release.kind != "rollback":
        judged = release
    elif not _was_compared_with(judged, release):
        return WatchTerms(why_not="What it took back was not compared with this version: nothing says what is usual.")
    seconds = watch_s_of(judged.plan)
    if not seconds:
        return WatchTerms(why_not="The plan asks for no watch after the promotion.")
    rollout = Rollout.objects.filter(release=judged).first()
    if rollout is None or not rollout.judge:
        return WatchTerms(why_not="No guardrail compared it with a stable version: nothing says what is usual.")
    watched = begin(JudgeState.from_dict(rollout.judge), seconds)
    if not watched:
        return WatchTerms(why_not="The stable version had too few requests meanwhile to say what is usual.")
    return WatchTerms(watched, seconds)


def _was_compared_with(judged: Release, restored: Release) -> bool:
    """Whether the stable version beside which a release rolled out is what is restored now."""
    before = judged.replaces
    same = before is not None and (before.version_id, before.digest) == (restored.version_id, restored.digest)
    return judged.kind != "rollback" and same
