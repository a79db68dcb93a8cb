"""Signing keys and external checks in the admin: what is refused is said at its field, secrets are shown once."""

import pytest

from mlorch_site.audit.models import AuditRecord
from registry.evidence.services import advisories_load
from registry.models import ExternalCheck, SigningKey
from tests.registry.test_advisories import advisory, raw
from tests.registry.test_signed_artifacts import PUBLIC


@pytest.fixture
def page(client, people):
    """A function that opens or posts a page of the admin as somebody."""

    def ask(name: str, path: str, values: dict | None = None):
        client.force_login(getattr(people, name).user)
        url = f"/admin/registry/{path}"
        return client.get(url) if values is None else client.post(url, values, follow=True)

    return ask


def test_key__added_seen_and_ended(page):
    wrong = page("ada", "signingkey/add/", {"name": "team", "pem": "nonsense", "reason": "of the team"})
    assert "This is no public key in PEM form" in wrong.text
    assert "of the team" in wrong.text  # what was written stays
    page("ada", "signingkey/add/", {"name": "team", "pem": PUBLIC, "reason": "of the team"})
    key = SigningKey.objects.get()
    assert key.fingerprint in page("ada", f"signingkey/{key.pk}/change/").text
    again = page("ada", "signingkey/add/", {"name": "team", "pem": PUBLIC, "reason": "twice"})
    assert "counts already" in again.text
    assert "Say why." in page("ada", f"signingkey/{key.pk}/change/", {"ended_reason": ""}).text
    ended = page("ada", f"signingkey/{key.pk}/change/", {"ended_reason": "it leaked", "name": "other"})
    assert "It was ended: team" in ended.text
    key.refresh_from_db()
    assert (key.name, key.ended_reason, key.ended_by) == ("team", "it leaked", "ada")
    assert page("ada", f"signingkey/{key.pk}/change/", {"ended_reason": "again"}).status_code == 403
    assert AuditRecord.objects.filter(action__startswith="signing_key.").count() == 2


def test_check__secret__is_shown_once(page, settings):
    values = {"name": "desk", "url": "http://127.0.0.1:9/ask", "reason": "the risk desk"}
    assert "which is not public" in page("ada", "externalcheck/add/", values).text
    settings.OUTGOING_PRIVATE_NETWORKS = ["127.0.0.0/8"]
    made = page("ada", "externalcheck/add/", values)
    assert "whsec_" in made.text
    assert "desk</a>” was added" in made.text
    check = ExternalCheck.objects.get()
    assert "whsec_" not in page("ada", f"externalcheck/{check.pk}/change/").text
    page("ada", f"externalcheck/{check.pk}/change/", {"ended_reason": "moved"})
    check.refresh_from_db()
    assert check.ended_reason == "moved"


@pytest.mark.parametrize("path", ["signingkey/", "externalcheck/", "advisoryset/", "signingkey/add/"])
def test_pages__are_for_those_who_write_policies(page, path):
    assert page("ada", path).status_code == 200
    assert page("rita", path).status_code in (302, 403)


def test_rest__keys_and_advisories_for_all_who_see_models_addresses_for_administrators(page, client, people):
    page("ada", "signingkey/add/", {"name": "team", "pem": PUBLIC, "reason": "of the team"})
    advisories_load(actor=people.ada.actor, name="all.zip", raw=raw(advisory()))
    client.force_login(people.vik.user)
    (key,) = client.get("/api/v1/signing-keys").json()["results"]
    assert (key["name"], key["pem"], key["ended_at"]) == ("team", PUBLIC, None)
    (rows,) = client.get("/api/v1/advisories").json()["results"]
    assert (rows["count"], rows["name"]) == (1, "all.zip")
    assert client.get("/api/v1/external-checks").status_code == 403
    client.force_login(people.ada.user)
    assert client.get("/api/v1/external-checks").json()["results"] == []
    client.logout()
    assert client.get("/api/v1/signing-keys").status_code == 401
