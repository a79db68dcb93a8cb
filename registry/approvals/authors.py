"""Who made a version, by MLflow's word, and which people here that is (reads people).

It is a claim: whoever writes to MLflow can write it. So it gives nobody a right, and only keeps whom it names from
deciding. A name of MLflow is somebody's when it is their user name, their e-mail address or the part of it before the
`@`, or one of the names in MLflow that an administrator noted of them; capitals do not count. An address in MLflow
means whoever has the part before the `@` as user name, too, unless another address is known of them.
"""

import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from mlorch_site.accounts.models import User
from registry.approvals.rules import one_more
from registry.lifecycle import AuthorUnknown
from registry.models import ApprovalRequest, Policy, Version

CLAIMS_MAX = 10

type_Rules = list[dict[str, Any]]


@dataclass(frozen=True)
class Authorship:
    """Names of MLflow, and the ids of the people who have them: `people` themselves, and who answers for `people` that
    are service accounts.
    """

    claims: list[str]
    people: list[int]
    owners: list[int]

    @property
    def excluded(self) -> set[int]:
        """Who may not decide."""
        return {*self.people, *self.owners}

    @property
    def kept(self) -> dict[str, Any]:
        """As a request keeps it."""
        return {"claims": self.claims, "people": self.people}


def claims_of(version: Version) -> list[str]:
    """The names by which MLflow says who made a version, as far as it was mirrored."""
    said = [*version.evidence.get("authors", []), version.evidence.get("run_user")]
    return list(dict.fromkeys(str(name).strip() for name in said if name and str(name).strip()))[:CLAIMS_MAX]


def authorship_of(claims: Collection[str]) -> Authorship:
    """The people whom the names mean; everybody whom they could mean."""
    wanted = {form for claim in claims for form in _forms(claim)}
    found = list(User.objects.values_list("pk", "owner_id", "username", "email", "mlflow_names")) if wanted else []
    matched = [row for row in found if wanted & set(_names(*row[2:]))]
    owners = sorted({owner for _, owner, *_ in matched if owner is not None})
    return Authorship(list(claims), sorted(pk for pk, *_ in matched), owners)


def _forms(claim: str) -> Iterator[str]:
    """A name as it may be noted here: as it is, without a domain of Windows before it, and the user of an address."""
    name = _folded(claim)
    yield name
    yield name.rsplit("\\", 1)[-1]
    user, at, _ = name.partition("@")
    if at:
        yield f"{user}@"


def _names(username: str, email: str, mlflow_names: str) -> Iterator[str]:
    """All names that a person may have in MLflow."""
    yield from (name for name in map(_folded, (username, email, *mlflow_names.split(","))) if name)
    yield _folded(email).partition("@")[0] or f"{_folded(username)}@"


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).strip().casefold()


def asked_rules(policy: Policy, authorship: Authorship) -> "type_Rules":
    """The approval rules for a version that these people made, or of which nobody knows who did."""
    is_stricter = not authorship.people and policy.when_author_unknown == AuthorUnknown.ONE_MORE
    return one_more(policy.approval_rules) if is_stricter else list(policy.approval_rules)


def authorship_words(request: ApprovalRequest) -> str:
    """Who made the version that a request is about, as it was frozen; empty for one that kept nothing of it."""
    if "claims" not in request.authors:
        return ""
    claims, people = ", ".join(request.authors["claims"]), request.authors["people"]
    stricter = " So one more approval is asked for." if request.rules != request.policy.approval_rules else ""
    if not claims:
        return f"MLflow does not say who made this version.{stricter}"
    if not people:
        return f"By MLflow's word {claims} made this version, and nobody here has that name.{stricter}"
    names = ", ".join(User.objects.filter(pk__in=people).order_by("username").values_list("username", flat=True))
    return (
        f"By MLflow's word {claims} made this version: {names} here, who may not decide on it. It is a claim, which "
        "keeps from deciding and gives no right."
    )
