"""Groups of people: made, filled and emptied by those who give roles, and by nobody else."""

import pytest
from django.contrib.auth.models import Group
from django.urls import reverse

from mlorch_site.accounts.groups import group_create, member_add, member_remove
from mlorch_site.accounts.roles import Role
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib.errors import Forbidden, Invalid
from tests.factories import make_person
from tests.support.live import signed_in


@pytest.fixture
def board(people):
    return group_create(actor=people.ada.actor, name="board")


def names(group: Group) -> list[str]:
    return sorted(group.user_set.values_list("username", flat=True))


@pytest.mark.parametrize("name", ["", " ", "a/b", "group:x", "x" * 151, "Board", "a\nb"])
def test_create__name_that_cannot_be__said_at_the_field(people, board, name):
    with pytest.raises(Invalid) as error:
        group_create(actor=people.ada.actor, name=name)
    assert set(error.value.details) == {"name"}
    assert Group.objects.count() == 1


def test_members__added_and_removed__once_in_the_record_with_the_reason(people, board):
    for service in (member_add, member_add, member_remove, member_remove):
        service(actor=people.ada.actor, group=board, user=people.rita.user, reason=" she knows ")
    found = AuditRecord.objects.filter(action__startswith="group.member").order_by("sequence")

    assert [(row.action, row.reason, row.subject_label) for row in found] == [
        ("group.member_added", "she knows", "rita"),
        ("group.member_removed", "she knows", "rita"),
    ]
    assert found[0].data == {"group": "board", "to_oneself": False}
    with pytest.raises(Invalid, match="Say why"):
        member_add(actor=people.ada.actor, group=board, user=people.rita.user, reason=" ")


def test_oneself__while_another_administrator_can__is_forbidden(people, board):
    member_add(actor=people.ada.actor, group=board, user=people.ada.user, reason="alone here")
    member_remove(actor=people.ada.actor, group=board, user=people.ada.user, reason="no")
    make_person("bob", [(Role.ADMINISTRATOR, "*")])
    with pytest.raises(Forbidden, match="Nobody puts themselves into a group"):
        member_add(actor=people.ada.actor, group=board, user=people.ada.user, reason="me")
    assert names(board) == []


def test_pages__made_filled_and_emptied__by_administrators_only(people, board):
    ada, address = signed_in("ada"), reverse("group", args=["board"])
    made = ada.post(reverse("groups"), {"name": "medical <b>"})
    taken = ada.post(reverse("groups"), {"name": "board"})
    wrong = ada.post(address, {"person": "nobody", "reason": "my words"})
    put = ada.post(address, {"person": "rita", "reason": "she knows"})
    page, access = ada.get(address).content.decode(), ada.get(reverse("person", args=["rita"])).content.decode()

    assert (made.status_code, taken.status_code, wrong.status_code, put.status_code) == (303, 422, 422, 303)
    assert "There is no person nobody." in wrong.content.decode()
    assert "my words" in wrong.content.decode()
    assert reverse("person", args=["rita"]) in page
    assert "In the group:</strong> board." in access
    assert "medical &lt;b&gt;" in ada.get(reverse("groups")).content.decode()
    assert ada.post(reverse("group-remove", args=["board"]), {"person": "rita", "reason": "x"}).status_code == 303
    assert names(board) == []
    for route in (reverse("groups"), address, "/api/v1/groups"):
        assert signed_in("emma").get(route).status_code == 403
    assert ada.get(reverse("group", args=["none"])).status_code == 404


def test_rest__made_filled_and_emptied(people):
    ada = signed_in("ada")

    def post(path: str, **body: str):
        return ada.post(f"/api/v1/groups{path}", body, content_type="application/json")

    assert post("", name="board").json() == {"name": "board", "members": []}
    assert post("/board/members", person="rita", reason="x").json()["members"] == ["rita"]
    assert post("/board/members", person="rita").status_code == 400
    assert post("/board/members", person="who", reason="x").status_code == 404
    assert ada.get("/api/v1/groups").json()["results"] == [{"name": "board", "members": ["rita"]}]
    assert post("/board/members/remove", person="rita", reason="x").json()["members"] == []
