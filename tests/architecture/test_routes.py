"""Every address says who may use it."""

from collections.abc import Iterator

from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import RoutePermission

DECLARED = {"public", "signed in", "control token", "signed delivery"}


def routes(resolver: URLResolver | None = None, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for entry in (resolver or get_resolver()).url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from routes(entry, path)
        else:
            yield path, entry


def permissions_of(pattern: URLPattern) -> list[object]:
    """What a route declares, for each of its methods: a view that is a class declares it on the class."""
    view = pattern.callback
    declared = getattr(view, "permission", None) or getattr(getattr(view, "cls", None), "permission", None)
    return list(declared.values()) if isinstance(declared, dict) else [declared]


def test_routes__each_declares_its_permission():
    undeclared = [
        path
        for path, pattern in routes()
        if not path.startswith("admin/")  # the admin site checks staff and model permissions itself
        and not all(isinstance(one, Action) or one in DECLARED for one in permissions_of(pattern))
    ]
    assert undeclared == []


def test_routes__class_views__declare_what_the_one_permission_class_enforces():
    """Methods that are declared are those the view has, and nothing else decides."""
    wrong = []
    for path, pattern in routes():
        cls = getattr(pattern.callback, "cls", None)
        if cls is None:
            continue
        named = set(cls.permission) if isinstance(cls.permission, dict) else {"GET"}
        if cls.permission_classes != [RoutePermission] or any(
            not hasattr(cls, name.lower()) for name in named - {"GET"}
        ):
            wrong.append(path)
    assert wrong == []


def test_routes__anonymous__reaches_only_public_ones(db):
    client = Client()
    open_routes = []
    for path, pattern in routes():
        if path.startswith("admin/") or permissions_of(pattern) == ["public"] or "<" in path or "(" in path:
            continue
        status = client.get(f"/{path}").status_code
        if status < 300:
            open_routes.append((path, status))
    assert open_routes == []


def test_schema__valid_without_warnings(db, people):
    from drf_spectacular.drainage import GENERATOR_STATS
    from drf_spectacular.generators import SchemaGenerator

    GENERATOR_STATS.reset()
    with GENERATOR_STATS.silence():
        schema = SchemaGenerator().get_schema(public=True)

    assert list(GENERATOR_STATS._warn_cache) + list(GENERATOR_STATS._error_cache) == []
    assert schema["openapi"].startswith("3.1")
    assert "/api/v1/releases" in schema["paths"]
