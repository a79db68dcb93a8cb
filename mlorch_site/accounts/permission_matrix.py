"""What every route of the site asks for, and which roles have it: read from the routes themselves."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

from mlorch_site.accounts.roles import ALLOWED, Role

ADMIN = "admin/"  # the admin site asks its own permissions, which come from the same roles
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
PAGE = "page"
INTRODUCTION = (
    "Made out of the routes themselves by `manage.py permission_matrix`; a test holds it. A role counts where it is "
    "given: everywhere, for an environment, or for a model; what lies outside is not there (404). A right somewhere "
    "opens the route; what may be done with the object is asked again for the object."
)


@dataclass(frozen=True)
class Demand:
    """What a route asks for with a method (`page` for a page): an action, or a word such as `signed in`."""

    path: str
    method: str
    permission: str

    @property
    def roles(self) -> list[Role]:
        """The roles that have it, none when it is no action."""
        return [role for role in Role if self.permission in {str(action) for action in ALLOWED[role]}]


def routes(resolver: URLResolver | None = None, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Every address of the site as its pattern, with its view."""
    for entry in (resolver or get_resolver()).url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from routes(entry, path)
        else:
            yield path, entry


def permissions_of(pattern: URLPattern) -> list[Any]:
    """What a route declares, for each of its methods: a view that is a class declares it on the class."""
    declared = _declared(pattern)
    return list(declared.values()) if isinstance(declared, dict) else [declared]


def _declared(pattern: URLPattern) -> Any:
    view = pattern.callback
    return getattr(view, "permission", None) or getattr(getattr(view, "cls", None), "permission", None)


def demands() -> Iterator[Demand]:
    """What each route asks for, the admin's left out, by address."""
    for path, pattern in sorted(routes(), key=lambda one: one[0]):
        if path.startswith(ADMIN):
            continue
        declared, cls = _declared(pattern), getattr(pattern.callback, "cls", None)
        for method in [name for name in METHODS if hasattr(cls, name.lower())] or [PAGE]:
            own = declared.get(method, declared.get("GET")) if isinstance(declared, dict) else declared
            yield Demand(path, method, str(own))


def document() -> str:
    """The matrix as Markdown: one row for each route and what it asks for."""
    heads = " | ".join(role.label for role in Role)
    lines = [
        "# Who may do what",
        "",
        INTRODUCTION,
        "",
        f"| route | asks for | {heads} |",
        "|---" * (len(Role) + 2) + "|",
    ]
    rows: dict[tuple[str, str], list[Demand]] = {}
    for demand in demands():
        rows.setdefault((demand.path, demand.permission), []).append(demand)
    for (path, permission), same in rows.items():
        marks = " | ".join("yes" if role in same[0].roles else "" for role in Role)
        how = "" if same[0].method == PAGE else " ".join(demand.method for demand in same) + " "
        lines.append(f"| `{how}/{path}` | {permission} | {marks} |")
    return "\n".join(lines) + "\n"
