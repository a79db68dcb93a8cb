"""Every address says who may use it."""

from collections.abc import Iterator

from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from mlorch_site.accounts.roles import Action

DECLARED = {"public", "control token", "signed delivery"}


def routes(resolver: URLResolver | None = None, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for entry in (resolver or get_resolver()).url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from routes(entry, path)
        else:
            yield path, entry


def permission_of(pattern: URLPattern) -> object:
    view = pattern.callback
    declared = getattr(view, "permission", None)
    cls = getattr(view, "cls", None) or getattr(view, "view_class", None)
    return declared or getattr(cls, "permission_action", None)


def test_routes__each_declares_its_permission():
    undeclared = [
        path
        for path, pattern in routes()
        if not path.startswith("admin/")  # the admin site checks staff and model permissions itself
        and not isinstance(permission_of(pattern), Action)
        and permission_of(pattern) not in DECLARED
    ]
    assert undeclared == []


def test_routes__anonymous__reaches_only_public_ones(db):
    client = Client()
    open_routes = []
    for path, pattern in routes():
        if path.startswith("admin/") or permission_of(pattern) == "public" or "<" in path or "(" in path:
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
