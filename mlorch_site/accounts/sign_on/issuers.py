"""Who may vouch for people: issuers that an administrator wrote down, and those of the installation's file.

The file wins where both have the same short name. It is read whenever somebody asks, so that a change needs no start;
one that cannot be read takes away its issuers and says so.
"""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.conf import settings

from mlorch_site.accounts.models import SignOnIssuer
from mlorch_site.accounts.roles import Role
from mlorch_site.lib.errors import Invalid, NotFound
from mlorch_site.lib.sealing import unseal

log = structlog.get_logger(__name__)

SLUG = re.compile(r"^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$")
RULES_MAX = 200
GROUP_MAX_CHARS = 200
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
FIELDS = {
    "slug",
    "name",
    "url",
    "client_id",
    "secret",
    "secret_file",
    "groups_claim",
    "enabled",
    "links_verified_address",
    "counts_as_second_factor",
    "binding_days",
    "rules",
}


@dataclass(frozen=True)
class GroupRule:
    """What a group of an issuer gives: a role in a scope, or being in a group of ours."""

    group: str
    role: str = ""
    scope: str = ""
    member_of: str = ""

    @property
    def gives(self) -> str:
        """What it gives, as people read it."""
        return f"in our group {self.member_of}" if self.member_of else Role(self.role).label


@dataclass(frozen=True)
class Issuer:
    """An issuer as it is in force. `origin` is `page` or `file`; the secret of one of the page is sealed."""

    slug: str
    name: str
    url: str
    client_id: str
    secret: str = field(default="", repr=False)
    groups_claim: str = "groups"
    enabled: bool = True
    links_verified_address: bool = False
    counts_as_second_factor: bool = False
    binding_days: int = 30
    rules: tuple[GroupRule, ...] = ()
    origin: str = "page"

    def secret_in_clear(self) -> str:
        """The client's secret, for one exchange. Raises Unavailable when it was sealed with another key."""
        return unseal(self.secret) if self.secret and self.origin == "page" else self.secret

    @property
    def discovery_url(self) -> str:
        """Where it says what it can do."""
        return f"{self.url.rstrip('/')}/.well-known/openid-configuration"


@dataclass(frozen=True)
class Vouched:
    """What an issuer says of a person, verified. `purpose` and `kept` are what the sign-on was begun for."""

    subject: str
    name: str
    preferred_name: str
    address: str
    address_is_verified: bool
    groups: frozenset[str]
    session: str
    next_url: str
    purpose: str
    kept: str


def is_asked(url: str) -> bool:
    """Whether anything is asked at an address: over HTTPS, or on this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme, parts.hostname in LOOPBACK) == ("http", True)
    )


def url_problem(url: str) -> str:
    """Why an issuer cannot be at `url`; empty when it can."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return "This is no address."
    if not host or parts.query or parts.fragment or parts.username:
        return "Give the issuer's address as it calls itself: https://host/path, without a query."
    return "" if is_asked(url) else "An issuer is asked over HTTPS only."


def rule_of(raw: Any) -> GroupRule:
    """A rule as somebody wrote it down. Raises Invalid."""
    known = {"group", "role", "scope", "member_of"}
    if not isinstance(raw, dict) or set(raw) - known or not all(isinstance(value, str) for value in raw.values()):
        raise Invalid(f"A rule has group, and role with scope or member_of, all texts: not {raw!r:.120}.")
    rule = GroupRule(**{name: value.strip() for name, value in raw.items()})
    if not rule.group or len(rule.group) > GROUP_MAX_CHARS:
        raise Invalid("A rule names a group of the issuer.", details={"group": "required"})
    if bool(rule.member_of) == bool(rule.role):
        raise Invalid("A rule gives either a role or a group of ours.", details={"role": "one of the two"})
    if rule.role and rule.role not in set(Role):
        raise Invalid(f"There is no role {rule.role[:40]}.", details={"role": "unknown"})
    if rule.role and not rule.scope:
        raise Invalid("Say where the role holds; * is everywhere.", details={"scope": "required"})
    return rule


def _of_row(row: SignOnIssuer) -> Issuer:
    return Issuer(
        slug=row.slug,
        name=row.name,
        url=row.url,
        client_id=row.client_id,
        secret=row.secret,
        groups_claim=row.groups_claim,
        enabled=row.is_enabled,
        links_verified_address=row.links_verified_address,
        counts_as_second_factor=row.counts_as_second_factor,
        binding_days=row.binding_days,
        rules=tuple(GroupRule(**rule) for rule in row.rules),
    )


def _of_file(raw: Any, folder: Path) -> Issuer:
    """An issuer out of the file. Raises Invalid with what is wrong."""
    if not isinstance(raw, dict) or set(raw) - FIELDS:
        raise Invalid(f"An issuer has only {', '.join(sorted(FIELDS))}.")
    values = {name: value for name, value in raw.items() if name not in ("secret_file", "rules")}
    if "secret_file" in raw:
        values["secret"] = (folder / str(raw["secret_file"])).read_text().strip()
    rules = raw.get("rules", [])
    if not isinstance(rules, list) or len(rules) > RULES_MAX:
        raise Invalid(f"Rules are a list of {RULES_MAX} at most.")
    try:
        issuer = Issuer(**values, rules=tuple(rule_of(rule) for rule in rules), origin="file")
    except TypeError as error:
        raise Invalid("An issuer needs slug, name, url and client_id.") from error
    _check(issuer)
    return issuer


def _check(issuer: Issuer) -> None:
    texts = (issuer.slug, issuer.name, issuer.url, issuer.client_id, issuer.secret, issuer.groups_claim)
    switches = (issuer.enabled, issuer.links_verified_address, issuer.counts_as_second_factor)
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(switch, bool) for switch in switches):
        raise Invalid("Names and addresses are texts, switches are true or false.")
    if not SLUG.match(issuer.slug):
        raise Invalid("The short name is made of small letters, digits and hyphens.", details={"slug": "malformed"})
    if problem := url_problem(issuer.url):
        raise Invalid(problem, details={"url": "malformed"})
    if not issuer.name or not issuer.client_id:
        raise Invalid("An issuer has a name and a client id.", details={"client_id": "required"})
    if type(issuer.binding_days) is not int or not 1 <= issuer.binding_days <= 366:
        raise Invalid("Roles by sign-on hold for 1 to 366 days.", details={"binding_days": "out of range"})


def _read(path: str) -> tuple[Issuer, ...]:
    found = tomllib.loads(Path(path).read_text())
    if set(found) - {"issuer"} or not isinstance(found.get("issuer", []), list):
        raise Invalid("The file holds [[issuer]] tables and nothing else.")
    issuers = tuple(_of_file(raw, Path(path).parent) for raw in found.get("issuer", []))
    for name in ("slug", "url"):
        if len({getattr(issuer, name) for issuer in issuers}) < len(issuers):
            raise Invalid(f"Two issuers have the same {name}.")
    return issuers


def issuers_of_file() -> tuple[Issuer, ...]:
    """The issuers of the installation's file. Raises Invalid when it cannot be read as what it should be."""
    if not settings.OIDC_FILE:
        return ()
    try:
        return _read(settings.OIDC_FILE)
    except (OSError, ValueError) as error:
        raise Invalid(f"The file of issuers cannot be read: {type(error).__name__}: {error}.") from error


def file_problem() -> str:
    """What is wrong with the file of issuers; empty when nothing is."""
    try:
        issuers_of_file()
    except Invalid as error:
        return error.message
    return ""


def issuers() -> list[Issuer]:
    """All issuers, enabled or not, by short name (reads the database and the file)."""
    try:
        of_file = {issuer.slug: issuer for issuer in issuers_of_file()}
    except Invalid as error:
        log.warning("sign_on.file_refused", reason=error.message)
        of_file = {}
    urls = {issuer.url for issuer in of_file.values()}
    rows = SignOnIssuer.objects.exclude(slug__in=of_file).exclude(url__in=urls)
    of_page = {row.slug: _of_row(row) for row in rows}
    return [issuer for _, issuer in sorted({**of_page, **of_file}.items())]


def issuers_enabled() -> list[Issuer]:
    """The issuers that people can sign on with (reads the database and the file)."""
    return [issuer for issuer in issuers() if issuer.enabled]


def issuer_for(slug: str) -> Issuer:
    """An issuer that people can sign on with. Raises NotFound."""
    found = next((issuer for issuer in issuers_enabled() if issuer.slug == slug), None)
    if found is None:
        raise NotFound("There is nobody of this name to sign on with.")
    return found
