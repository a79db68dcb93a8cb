"""Every address says who may use it."""

from django.test import Client

from mlorch_site.accounts.permission_matrix import permissions_of, routes
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import RoutePermission

DECLARED = {"public", "signed in", "control token", "metrics token", "signed delivery"}


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
