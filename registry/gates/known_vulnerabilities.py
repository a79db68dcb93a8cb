"""No package that the version needs has a known flaw: by an advisory file that an administrator loaded, without asking
anybody outside.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mlorch_site.lib import clock
from registry.evidence.advisories import Concern, Flaw, Severity, concern, flaw_of
from registry.evidence.advisory_files import BeingLoaded, advisories_in_force, advisories_refresh
from registry.evidence.resolutions import resolution_of
from registry.gates.base import Found, GateInput, NotYet, erred, failed, passed, skipped, warned, worst
from registry.gates.parameters import GateParameter
from registry.lifecycle import GateState
from registry.models import Advisory, AdvisorySet, GateResult

LABEL = "Known vulnerabilities"
HELP = (
    "The packages that the version names, and those they pull in once they were installed by a gate, are held against "
    "the advisory file in force. A flaw without a severity counts as one that is just severe enough to refuse."
)
WORDS = ("low", "moderate", "high", "critical")
PARAMETERS = {
    "severity": GateParameter("choice", "high", "Flaws of this severity and above refuse; others warn.", choices=WORDS),
    "unpinned": GateParameter(
        "choice", "warn", "What a requirement without an exact version does.", choices=("warn", "refuse")
    ),
    "days": GateParameter("whole", 14, "Advisories older than this warn.", "days", 1, 3_650),
}
LOOKS_AT = ("digest", "evidence")
DEADLINE_S = 7_500  # longer than the requirements may take to install
LEASE_S = 300
INSTALLS = "requirements_install"
SHOWN_MAX, NAMED_MAX = 100, 3


@dataclass
class _Packages:
    """What is known of the packages a version needs: name → version, and the lines that name no version."""

    pinned: dict[str, str] = field(default_factory=dict)
    unpinned: list[str] = field(default_factory=list)
    is_whole: bool = False


@dataclass(frozen=True)
class _Hit:
    """One flaw of one package."""

    package: str
    number: str
    severity: Severity
    concern: Concern
    flaw: Flaw

    def words(self) -> str:
        severity = "severity unknown" if self.severity == Severity.UNKNOWN else self.severity.name.lower()
        return f"{self.package}: {self.number} ({severity})"

    def evidence(self) -> dict[str, Any]:
        return {
            "package": self.package,
            "advisory": self.number,
            "severity": self.severity.name.lower(),
            "aliases": self.flaw.aliases,
            "summary": self.flaw.summary,
            "is_certain": self.concern == Concern.AFFECTED,
        }


def looked_at(given: GateInput) -> Mapping[str, Any]:
    """What an answer depends on besides the version: the advisories in force, and what its requirements came to."""
    rows, kept = advisories_in_force(), resolution_of(given.version)
    return {"advisories": rows.digest if rows else "", "resolved": kept.installed if kept else []}


def check(given: GateInput) -> Found:
    try:
        problem = advisories_refresh()
    except BeingLoaded as waiting:
        raise NotYet(str(waiting)) from waiting
    if problem:
        return erred(problem)
    rows = advisories_in_force()
    if rows is None:
        return erred("No advisory file is loaded, so nothing is known of flaws: manage.py advisories_load FILE.")
    if _is_resolving(given):
        raise NotYet("The requirements are being installed, which tells what they pull in.")
    packages = _packages(given)
    if not packages.pinned and not packages.unpinned:
        return skipped("The version names no requirements; it runs in the platform's own environment.")
    given.progress(f"holding {len(packages.pinned)} packages against {rows.count} advisories")
    hits = _hits(rows, packages.pinned)
    found = [_of_hits(given, hits), *_of_unknown(given, packages), *_of_age(given, rows)]
    answer = worst([one for one in found if one is not None] or [_clean(packages, rows)])
    others = [one.sentence for one in found if one is not None and one is not answer]
    evidence = {
        "advisories": {"digest": rows.digest, "as_of": rows.as_of.isoformat(), "count": rows.count},
        "packages": len(packages.pinned),
        "flaws": [hit.evidence() for hit in hits][:SHOWN_MAX],
        "unpinned": packages.unpinned[:SHOWN_MAX],
    }
    flaws = [[hit.package, hit.number, int(hit.severity), int(hit.concern)] for hit in hits]
    known_by = {"flaws": flaws, "unpinned": packages.unpinned, "is_whole": packages.is_whole}
    return Found(answer.outcome, " ".join([answer.sentence, *others]), evidence, known_by)


def _is_resolving(given: GateInput) -> bool:
    """Whether the gate that installs the requirements is still at it for this very subject."""
    rows = GateResult.objects.filter(
        subject_kind=given.subject_kind, subject_id=given.subject_id, gate=INSTALLS, is_current=True
    )
    return rows.exclude(state=GateState.ENDED).exists()


def _packages(given: GateInput) -> _Packages:
    """The versions that are known: what was installed, else what is pinned."""
    kept = resolution_of(given.version)
    found = _Packages(is_whole=kept is not None)
    for line in given.version.evidence.get("requirements", []):
        name, version = _pinned(line)
        if name and version:
            found.pinned[name] = version
        elif line.split("#", 1)[0].strip():
            found.unpinned.append(line[:200])
    for installed in kept.installed if kept else []:
        name, _, version = installed.partition("==")
        found.pinned[canonicalize_name(name)] = version
    if kept is not None:
        found.unpinned = [line for line in found.unpinned if _name(line) not in found.pinned]
    return found


def _name(line: str) -> str:
    try:
        return canonicalize_name(Requirement(line.split("#", 1)[0].strip()).name)
    except InvalidRequirement:
        return ""


def _pinned(line: str) -> tuple[str, str]:
    """Name and exact version of a requirement line, empty where it names none."""
    try:
        requirement = Requirement(line.split("#", 1)[0].strip())
    except InvalidRequirement:
        return "", ""
    exact = [one.version for one in requirement.specifier if one.operator in ("==", "===") and "*" not in one.version]
    return canonicalize_name(requirement.name), exact[0] if len(exact) == 1 else ""


def _hits(rows: AdvisorySet, pinned: dict[str, str]) -> list[_Hit]:
    """The flaws of the packages, worst first."""
    found: dict[tuple[str, str], _Hit] = {}
    known = Advisory.objects.filter(source=rows, package__in=pinned)
    for row in known.iterator(chunk_size=1_000):
        flaw = flaw_of(row.content)
        said = concern(flaw, pinned[row.package])
        if said == Concern.CLEAR:
            continue
        shown = f"{row.package} {pinned[row.package]}"
        hit = _Hit(shown, row.number, Severity(flaw.severity), said, flaw)
        before = found.get((row.package, row.number))
        if before is None or (said, hit.severity) > (before.concern, before.severity):
            found[row.package, row.number] = hit
    return sorted(found.values(), key=lambda hit: (-hit.concern, -(hit.severity or 99), hit.package, hit.number))


def _of_hits(given: GateInput, hits: list[_Hit]) -> Found | None:
    bound = Severity[given.parameters["severity"].upper()]
    certain = [hit for hit in hits if hit.concern == Concern.AFFECTED]
    refusing = [hit for hit in certain if hit.severity == Severity.UNKNOWN or hit.severity >= bound]
    if refusing:
        return failed(f"{_counted(refusing, 'known flaw')}: {_listed(refusing)}.")
    if certain:
        return warned(f"{_counted(certain, 'known flaw')} below {bound.name.lower()}: {_listed(certain)}.")
    if hits:
        return warned(f"Whether {_listed(hits)} concerns the version cannot be told.")
    return None


def _of_unknown(given: GateInput, packages: _Packages) -> list[Found]:
    found = []
    if packages.unpinned:
        judged = failed if given.parameters["unpinned"] == "refuse" else warned
        names = ", ".join(packages.unpinned[:NAMED_MAX])
        found.append(judged(f"Without an exact version nothing can be told of: {names}."))
    if not packages.is_whole:
        found.append(
            warned("What the packages pull in was not looked at: the gate requirements_install has not resolved it.")
        )
    return found


def _of_age(given: GateInput, rows: AdvisorySet) -> list[Found]:
    days = (clock.now() - rows.as_of).days
    if days <= given.parameters["days"]:
        return []
    return [warned(f"The advisories are {days} days old; load newer ones.")]


def _clean(packages: _Packages, rows: AdvisorySet) -> Found:
    return passed(f"{len(packages.pinned)} packages have no known flaw, by {rows.count} advisories as of {_day(rows)}.")


def _day(rows: AdvisorySet) -> str:
    return f"{rows.as_of:%Y-%m-%d}"


def _counted(hits: list[_Hit], what: str) -> str:
    return f"{len(hits)} {what}{'' if len(hits) == 1 else 's'}"


def _listed(hits: list[_Hit]) -> str:
    more = f" and {len(hits) - NAMED_MAX} more" if len(hits) > NAMED_MAX else ""
    return ", ".join(hit.words() for hit in hits[:NAMED_MAX]) + more
