"""External checks: asked by a signed message, answered by one, once and in time, about the very same release."""

import base64
import hashlib
import hmac
import json
import socket
import subprocess
import sys
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine

from mlorch_site.audit.models import AuditRecord
from mlorch_site.audit.services import Subject
from mlorch_site.lib import clock, signatures
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from registry.evidence.services import external_call_send, external_check_add, external_check_end
from registry.gates import GATES, GateInput, NotYet, look
from registry.models import Environment, ExternalCall, GateResult, Policy
from registry.services.gate_runs import gates_ask, gates_ask_again, gates_run
from tests.registry.test_gates import given
from tests.support import receiver
from tests.support.ports import free_ports
from tests.support.waiting import patience, until

DIGEST = "sha256:" + "a" * 64
SUBJECT = Subject("release", "r1")
# Computed apart from this code: printf '%s' 'm-1.1787000000.{"a":1}' | openssl dgst -sha256 -hmac 'secret' -binary |
# base64
KNOWN = "v1,FQZAajThXKRd0VkyU6nT/zJtYQVz25/xejx6l+4Aq40="


class Outside:
    """The program that is asked, as a process of its own, and what it got."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.url = folder, f"http://127.0.0.1:{port}/ask"

    @property
    def messages(self) -> list[dict]:
        return [json.loads(path.read_text()) for path in sorted(self.folder.glob("message-*.json"))]

    def answers_with(self, status: int) -> None:
        (self.folder / "status").write_text(str(status))

    def knows(self, secret: str) -> None:
        (self.folder / "secret").write_text(secret)


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    folder, (port,) = tmp_path_factory.mktemp("outside"), free_ports(1)
    running = subprocess.Popen([sys.executable, receiver.__file__, str(port), str(folder)])

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    until(answers, "the receiver listens")
    yield Outside(folder, port)
    running.kill()
    running.wait(patience())


@pytest.fixture
def outside(process, settings):
    settings.OUTGOING_PRIVATE_NETWORKS = ["127.0.0.0/8"]
    for path in process.folder.iterdir():
        path.unlink()
    return process


@pytest.fixture
def check(people, outside):
    made, secret = external_check_add(
        actor=people.ada.actor, name="risk-desk", url=outside.url, reason="the risk desk looks at everything"
    )
    outside.knows(secret)
    made.secret = base64.b64decode(secret.removeprefix("whsec_"))
    return made


def what(**changes) -> GateInput:
    policy = Policy(gate_parameters={"external_check": {"check": "risk-desk"}})
    values = {"policy": policy, "environment": Environment(name="production"), **changes}
    return replace(given(digest=DIGEST), **values)


def asked() -> ExternalCall:
    return ExternalCall.objects.select_related("asked_of").latest("created_at")


def about(question: ExternalCall, **changes) -> dict:
    """An answer to a question, as a program outside would write it from what it got."""
    told = question.body["data"]
    answer = {"call": told["call"], "digest": told["digest"], "content_hash": told["content_hash"]}
    return {**answer, "outcome": "pass", "sentence": "Looks fine", **changes}


@pytest.fixture
def answer(client):
    """A function that posts an answer, signed as a library of others would."""

    def post(call: ExternalCall, secret: bytes, body: dict, *, at: datetime | None = None, **headers: str):
        raw = json.dumps(body).encode()
        timestamp = str(int((at or clock.now()).timestamp()))
        number = str(uuid.uuid4())
        made = hmac.new(secret, f"{number}.{timestamp}.".encode() + raw, hashlib.sha256).digest()
        own = {
            "webhook-id": number,
            "webhook-timestamp": timestamp,
            "webhook-signature": f"v1a,other v1,{base64.b64encode(made).decode()}",
        }
        path = call.body["data"]["answer_url"].partition("/webhooks/")[2]
        return client.post("/webhooks/" + path, raw, content_type="application/json", headers={**own, **headers})

    return post


def ask_and_wait(given_what: GateInput | None = None) -> ExternalCall:
    with pytest.raises(NotYet):
        look("external_check", given_what or what())
    return asked()


def test_signature__known_vector__agrees_with_openssl():
    assert signatures.signature_of(b"secret", "m-1", "1787000000", b'{"a":1}') == KNOWN


def test_gate__asks_a_real_program_once_and_takes_its_answer(check, outside, answer):
    call = ask_and_wait()
    ask_and_wait()
    (message,) = outside.messages
    assert (message["is_right"], message["path"], message["id"]) == (True, "/ask", str(call.pk))
    assert message["body"]["data"].items() >= {"digest": DIGEST, "content_hash": "sha256:a", "model": "tumours"}.items()
    assert answer(call, check.secret, about(call, evidence_url="https://desk.example/7")).json() == {"status": "taken"}
    found = look("external_check", what())
    assert (found.outcome.value, found.sentence) == ("pass", "risk-desk says: Looks fine.")
    assert found.evidence["url"] == "https://desk.example/7"
    actions = AuditRecord.objects.filter(subject_id="r1").order_by("sequence").values_list("action", flat=True)
    assert list(actions) == ["external_check.asked", "external_check.answered"]


@pytest.mark.parametrize(("outcome", "wanted"), [("warn", "warn"), ("fail", "fail")])
def test_gate__answer__is_what_is_found(check, answer, outcome, wanted):
    call = ask_and_wait()
    assert answer(call, check.secret, about(call, outcome=outcome)).status_code == 200
    assert look("external_check", what()).outcome.value == wanted


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"digest": "sha256:" + "b" * 64}, 409),
        ({"content_hash": "sha256:b"}, 409),
        ({"call": str(uuid.uuid4())}, 409),
        ({"digest": None}, 409),
        ({"outcome": "error"}, 400),
        ({"outcome": ["pass"]}, 400),
        ({"sentence": ""}, 400),
        ({"sentence": 7}, 400),
        ({"evidence_url": "javascript:alert(1)"}, 400),
        ({"evidence_url": "https://x y"}, 400),
    ],
)
def test_answer__about_something_else_or_none__refused_and_counts_for_nothing(check, answer, changes, status):
    call = ask_and_wait()
    assert answer(call, check.secret, about(call, **changes)).status_code == status
    assert ask_and_wait() == call
    assert asked().answered_at is None


def test_answer__forged_old_or_of_nobody__unauthenticated(check, answer):
    call = ask_and_wait()
    now = clock.now()
    tries = [
        answer(call, b"another secret", about(call)),
        answer(call, check.secret, about(call), at=now - timedelta(seconds=400)),
        answer(call, check.secret, about(call), at=now + timedelta(seconds=400)),
        answer(call, check.secret, about(call), **{"webhook-id": "another"}),
        answer(call, check.secret, about(call), **{"webhook-signature": ""}),
        answer(call, check.secret, about(call), **{"webhook-signature": "v1,%%% nonsense \xe9"}),
        answer(call, check.secret, about(call), **{"webhook-timestamp": "9" * 40}),
        answer(call, check.secret, about(call), **{"webhook-timestamp": "-1"}),
    ]
    assert [one.status_code for one in tries] == [401] * len(tries)
    nobody = ExternalCall(
        body={"data": {**call.body["data"], "answer_url": f"/webhooks/external-checks/{uuid.uuid4()}"}}
    )
    assert answer(nobody, check.secret, about(call)).json()["error"]["message"] == "The signature is wrong."
    assert asked().answered_at is None


def test_answer__second_late_and_of_an_ended_check__refused(people, check, answer):
    call = ask_and_wait()
    late = call.answer_by + timedelta(seconds=1)
    with time_machine.travel(late, tick=False):
        assert answer(call, check.secret, about(call)).json()["error"]["code"] == "late"
    assert answer(call, check.secret, about(call)).status_code == 200
    assert answer(call, check.secret, about(call, outcome="fail")).json()["error"]["code"] == "answered"
    other = ask_and_wait(what(content_hash="sha256:other"))
    external_check_end(actor=people.ada.actor, check=check, reason="replaced")
    assert answer(other, check.secret, about(other)).json()["error"]["code"] == "ended"
    assert look("external_check", what()).sentence.startswith("There is no external check 'risk-desk'")


def test_answer__body_that_is_no_object_or_too_long__refused(check, client):
    call = ask_and_wait()
    path = f"/webhooks/external-checks/{call.pk}"
    for raw, status in ((b"[1]", 400), (b"{", 400), (b"[" * 40_000, 400), (b" " * 70_000, 413)):
        headers = signatures.signed_headers(check.secret, "m-1", raw, clock.now())
        assert client.post(path, raw, content_type="application/json", headers=headers).status_code == status
    assert client.get(path).status_code == 405


def test_send__refused_redirected_or_gone__tried_again_with_the_reason(check, outside):
    outside.answers_with(302)
    call = ask_and_wait()
    assert (call.attempts, call.last_error, call.sent_at) == (1, "The answer was 302.", None)
    ask_and_wait()
    assert len(outside.messages) == 1  # not before it is due
    outside.answers_with(200)
    with time_machine.travel(call.next_attempt_at + timedelta(seconds=1), tick=False):
        ask_and_wait()
    assert [message["id"] for message in outside.messages] == [str(call.pk)] * 2
    assert asked().sent_at is not None


def test_send__twice_at_once__is_sent_once(check, outside):
    call = ask_and_wait()
    ExternalCall.objects.update(sent_at=None, attempts=0, next_attempt_at=clock.now())
    one, other = asked(), asked()
    external_call_send(call=one)
    external_call_send(call=other)
    assert len(outside.messages) == 2  # of the question above, and one more
    assert call.pk == one.pk


def test_run__restart_in_the_middle__goes_on_with_the_same_question(check, outside, answer):
    gates_ask(subject=SUBJECT, gates=["external_check"], content_hash="sha256:a")
    gates_run(subject=SUBJECT, given=what())
    call = asked()
    # The process dies over the gate; its lease runs out.
    GateResult.objects.update(state="running", lease_until=clock.now() - timedelta(seconds=1))
    gates_run(subject=SUBJECT, given=what())
    assert ExternalCall.objects.count() == 1
    assert answer(call, check.secret, about(call)).status_code == 200
    gates_run(subject=SUBJECT, given=what())
    assert GateResult.objects.get().outcome == "pass"


def test_run__asked_anew__asks_outside_anew(people, check, answer):
    gates_ask(subject=SUBJECT, gates=["external_check"], content_hash="sha256:a")
    gates_run(subject=SUBJECT, given=what())
    first = asked()
    answer(first, check.secret, about(first, outcome="fail"))
    gates_run(subject=SUBJECT, given=what())
    gates_ask_again(
        actor=people.emma.actor,
        subject=SUBJECT,
        gates=["external_check"],
        content_hash="sha256:a",
        reason="looked again",
    )
    gates_run(subject=SUBJECT, given=what())
    row = GateResult.objects.get(is_current=True)
    assert (row.state, ExternalCall.objects.count()) == ("pending", 2)


def test_run__no_answer_by_the_deadline__is_an_error_that_says_whom_it_waited_for(check):
    gates_ask(subject=SUBJECT, gates=["external_check"], content_hash="sha256:a")
    gates_run(subject=SUBJECT, given=what())
    deadline = GateResult.objects.get().deadline_at
    with time_machine.travel(deadline + timedelta(seconds=1), tick=False):
        gates_run(subject=SUBJECT, given=what())
    row = GateResult.objects.get()
    assert (row.outcome, "risk-desk" in row.sentence) == ("error", True), row.sentence


def test_gate__other_address__makes_the_answer_stale(people, check, outside):
    before = GATES["external_check"].fingerprints(what())
    external_check_end(actor=people.ada.actor, check=check, reason="moved")
    external_check_add(actor=people.ada.actor, name="risk-desk", url=outside.url, reason="moved")
    assert before != GATES["external_check"].fingerprints(what())


def test_gate__names_nobody__is_an_error(db):
    found = look("external_check", what(policy=Policy()))
    assert (found.outcome.value, "names no external check" in found.sentence) == ("error", True)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "a b"}, "name"),
        ({"name": ""}, "name"),
        ({"url": "ftp://127.0.0.1/"}, "url"),
        ({"url": "http://user:secret@127.0.0.1/"}, "url"),
        ({"url": "http://169.254.169.254/latest"}, "url"),
        ({"url": "http://10.0.0.1/"}, "url"),
        ({"url": "not an address"}, "url"),
        ({"reason": "  "}, "reason"),
    ],
)
def test_check__that_cannot_be__refused_at_its_field(people, outside, changes, field):
    values = {"name": "desk", "url": outside.url, "reason": "why", **changes}
    with pytest.raises(Invalid) as refused:
        external_check_add(actor=people.ada.actor, **values)
    assert field in refused.value.details


def test_check__secret__is_stored_nowhere_and_another_after_ending(people, check, outside):
    with pytest.raises(Forbidden):
        external_check_end(actor=people.mona.actor, check=check, reason="no right")
    with pytest.raises(Conflict):
        external_check_add(actor=people.ada.actor, name="risk-desk", url=outside.url, reason="again")
    external_check_end(actor=people.ada.actor, check=check, reason="rotated")
    again, secret = external_check_add(actor=people.ada.actor, name="risk-desk", url=outside.url, reason="rotated")
    assert base64.b64decode(secret.removeprefix("whsec_")) != check.secret
    kept = [str(row.data) + row.reason for row in AuditRecord.objects.all()]
    assert not [text for text in kept if secret.removeprefix("whsec_") in text]
    assert again.added_at.tzinfo == UTC
