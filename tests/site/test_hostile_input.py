"""Whatever is sent, the answer is a refusal and never a failure of ours: every route, as a query, a path, a form and a
body.
"""

from urllib.parse import quote

import pytest
from django.test import Client

from mlorch_site.accounts.permission_matrix import permissions_of, routes
from mlorch_site.lib.readable import DEPTH_MAX, read_json, whole_number
from tests.deployments.world import World
from tests.support.live import signed_in

NAMES = "minutes page page_size since until topics q status environment endpoint model kind tab actor action next name"
QUERY_VALUES = ["²", "\x00", "१", "9" * 5000, "-1", "1e9", "nan", "%", "' OR 1=1", "\U0001f600", "a" * 4000]
BODIES = {
    "deep": b'{"strategy": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "somewhat deep": b'{"strategy": ' + b'{"a":' * 60 + b"1" + b"}" * 60 + b"}",
    "half a character": b'{"name": "\\ud800", "scopes": ["read"], "reason": "\\udfff", "decision": "\\ud800"}',
    "half a character as a name": b'{"\\ud800": 1}',
    "zero character": b'{"name": "a\\u0000b", "scopes": ["read"], "strategy": {"kind": "\\u0000"}}',
    "infinite": b'{"strategy": {"steps": [{"weight": 1e999}]}}',
    "no number": b'{"strategy": {"kind": NaN}}',
    "huge number": b'{"version": 1' + b"0" * 4000 + b"}",
    "larger number": b'{"version": 1' + b"0" * 5000 + b"}",
    "not UTF-8": b'{"name": "\xff\xfe"}',
    "list": b"[1, 2]",
    "text": b'"x"',
    "nothing": b"",
}
FILLED = {"environment": "production", "name": "clinic", "number": "1", "action": "pause", "endpoint": "clinic"}
UUID = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def world(people):
    return World(people)


@pytest.fixture
def browser(world):
    client = signed_in("mona")
    client.raise_request_exception = False
    return client


def addresses(value: str = "clinic") -> list[str]:
    """All addresses that people may ask for, with `value` in the place of what is a text."""
    found = []
    for path, pattern in routes():
        if permissions_of(pattern) == ["control token"] or path.startswith(("admin/", "webhooks/")) or "(" in path:
            continue
        for name, filled in FILLED.items():
            path = (
                path.replace(f"<int:{name}>", filled)
                .replace(f"<slug:{name}>", filled)
                .replace(f"<str:{name}>", quote(value, safe=""))
            )
        found.append("/" + path.replace("<uuid:pk>", UUID))
    return found


@pytest.mark.parametrize("value", QUERY_VALUES, ids=[str(number) for number in range(len(QUERY_VALUES))])
def test_query__of_any_route__whatever_it_says__is_no_failure(browser, value):
    query = dict.fromkeys(NAMES.split(), value)
    for where in addresses():
        assert browser.get(where, query).status_code < 500, where


@pytest.mark.parametrize("value", ["\x00", "²", "a" * 3000, "..", "\U0001f600"])
def test_path__of_any_route__whatever_it_names__is_no_failure(browser, value):
    for where in addresses(value):
        assert browser.get(where).status_code < 500, where


@pytest.mark.parametrize("value", ["\x00", "²", "\U0001f600"])
def test_form__of_any_route__whatever_it_says__is_no_failure(browser, value):
    form = dict.fromkeys((*NAMES.split(), "username", "password", "reason", "decision", "owner", "body"), value)
    for where in addresses():
        if "sign-out" not in where and "/api/" not in where:
            assert browser.post(where, form).status_code < 500, where


@pytest.mark.parametrize("body", BODIES, ids=[name.replace(" ", "_") for name in BODIES])
def test_body__of_any_route_of_the_api__whatever_it_says__is_no_failure(browser, body):
    for where in addresses():
        if where.startswith("/api/"):
            for method in (browser.post, browser.patch):
                answer = method(where, BODIES[body], content_type="application/json")
                assert answer.status_code < 500, where


def test_minutes__in_another_script__is_the_caller_s_error(browser, world):
    world.serve(1)
    answer = browser.get("/api/v1/endpoints/production/clinic/metrics", {"minutes": "²"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid")


@pytest.mark.parametrize("name", [name for name in BODIES if name not in ("list", "text", "nothing")])
def test_body__that_cannot_be_taken__says_so(browser, name):
    answer = browser.post("/api/v1/releases", BODIES[name], content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid"


def test_json__as_deep_as_it_may_be__is_taken():
    assert read_json(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX) is not None
    with pytest.raises(ValueError, match="deep"):
        read_json(b"[" * (DEPTH_MAX + 2) + b"]" * (DEPTH_MAX + 2))


@pytest.mark.parametrize("text", ["", "²", "१", "-1", "+1", " 1", "1_0", "1" * 10])
def test_whole_number__other_than_digits__is_none(text):
    assert whole_number(text) is None


def test_sign_in__hostile_name__is_a_refusal(db):
    client = Client(raise_request_exception=False)
    for name in ("\x00", "a" * 5000, "\U0001f600", "²"):
        assert client.post("/sign-in/", {"username": name, "password": name}).status_code in (200, 400)
