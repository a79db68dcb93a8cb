"""What a refused request gets: the site's own page for people, the one error shape for programs."""

import pytest
from django.test import Client

from deployments import selectors
from tests.deployments.test_api import client_of
from tests.support.live import signed_in

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
SITE = 'class="page-title"'  # only pages of the site's own frame have it


def code_of(answer) -> str:
    assert answer.headers["Content-Type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "details", "request_id"}
    assert error["request_id"] == answer.headers["X-Request-Id"]
    return error["code"]


def test_docs__signed_out__the_site_s_page_leads_to_sign_in_and_back(db):
    answer = Client().get("/api/v1/docs/", headers=BROWSER)

    assert answer.status_code == 401
    assert SITE in answer.content.decode()
    assert "/sign-in/?next=/api/v1/docs/" in answer.content.decode()


def test_docs__without_a_role__the_site_s_page_names_the_role(people):
    html = signed_in("noa").get("/api/v1/docs/", headers=BROWSER).content.decode()

    assert SITE in html
    assert "This needs the role Viewer" in html


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/vnd.oai.openapi"])
@pytest.mark.parametrize(("who", "status", "code"), [(None, 401, "unauthenticated"), ("noa", 403, "forbidden")])
def test_schema__refused__json_in_the_error_shape(people, accept, who, status, code):
    answer = (signed_in(who) if who else Client()).get("/api/v1/schema/", headers={"Accept": accept})

    assert (answer.status_code, code_of(answer)) == (status, code)


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/internal/v1/nothing", "/api/v1/releases/x/y"])
def test_api__unknown_address__json_in_the_error_shape(db, path):
    answer = Client().get(path)

    assert (answer.status_code, code_of(answer)) == (404, "not_found")


@pytest.mark.parametrize("path", ["/nothing", "/api/v1/nothing", "/api/v1/docs/nothing"])
@pytest.mark.parametrize("who", [None, "vik"])
def test_browser__unknown_address__the_site_s_page(people, path, who):
    answer = (signed_in(who) if who else Client()).get(path, headers=BROWSER)

    assert answer.status_code == 404
    assert SITE in answer.content.decode()
    assert "nothing at this address" in answer.content.decode()


def test_form__without_csrf_token__the_site_s_page_says_what_to_do(people):
    browser = Client(enforce_csrf_checks=True)
    answer = browser.post("/sign-in/", {"username": "vik"}, headers=BROWSER)

    assert answer.status_code == 403
    assert SITE in answer.content.decode()
    assert "load its page again" in answer.content.decode()


@pytest.mark.parametrize("path", ["/", "/api/v1/models"])
def test_host__foreign__refused_without_falling_over(db, path):
    answer = Client(headers={"Host": "evil.example"}).get(path)

    assert answer.status_code == 400
    assert ("error" in answer.json()) if path.startswith("/api/") else (b"<h1>" in answer.content)


@pytest.mark.parametrize(("path", "is_json"), [("/api/v1/endpoints", True), ("/endpoints/", False)])
def test_failure__of_ours__answers_in_the_right_shape_and_tells_nothing(people, monkeypatch, path, is_json):
    def fail(actor):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(selectors, "endpoints_visible_to", fail)
    browser = client_of(people.vik) if is_json else signed_in("vik")
    browser.raise_request_exception = False
    answer = browser.get(path)

    assert answer.status_code == 500
    assert b"secret detail" not in answer.content
    assert (code_of(answer) == "internal") if is_json else (b"<h1>500" in answer.content)
