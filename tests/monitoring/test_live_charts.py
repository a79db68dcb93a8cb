"""Windows on their way to a chart: by websocket, and by polling."""

import pytest
from asgiref.sync import sync_to_async
from django.test import TestCase

from deployments.models import Endpoint
from mlorch_site.accounts.models import User
from mlorch_site.live import consumers, rights
from monitoring import consumers as chart_consumers
from monitoring.models import Window
from monitoring.news import points_since
from registry.models import Environment
from tests.deployments.world import make_model
from tests.monitoring.windows import NOW, at, row, store
from tests.support.live import close_code, run, signed_in, socket

pytestmark = pytest.mark.usefixtures("data_dir")

SOCKET = "/ws/charts/production/clinic/"
URL = "/live/charts/production/clinic.json"


@pytest.fixture
def vik(people):
    """A viewer, in a world with the endpoint `clinic`; the clock stands still."""
    with at(-60):
        environment = Environment.objects.create(name="production", position=0)
        Endpoint.objects.create(environment=environment, name="clinic", model=make_model(), created_at=NOW)
    with at():
        yield signed_in("vik")


def push(sequence, *rows, gateway="g1"):
    with TestCase.captureOnCommitCallbacks(execute=True):
        store(sequence, *rows, gateway=gateway)


async def points(ws):
    message = await ws.receive_json_from(timeout=5)
    assert message["type"] == "points"
    return message["sequence"], drawn(message)


def drawn(message):
    """Return (second, arm, requests in it) of each point of a message."""
    return [
        (point["t"] - int(NOW.timestamp()), point["arm"], point["values"]["rate"][0]) for point in message["points"]
    ]


def test_socket__no_position__what_a_chart_shows_then_each_arrival(vik):
    push(1, row(-3000), row(-5), row(-5, arm="candidate", version="2"))

    async def scenario():
        async with socket(SOCKET, vik) as ws:
            first = await points(ws)
            await sync_to_async(push)(2, row(-2, latencies=[1, 2]))
            return first, await points(ws), await ws.receive_nothing()

    first, second, silent = run(scenario)
    assert first[1] == [(-5, "candidate", 1), (-5, "stable", 1)]
    assert second == (Window.objects.latest("id").pk, [*first[1], (-2, "stable", 2)])
    assert silent


def test_sockets__several_at_the_same_position__read_once(vik, monkeypatch):
    push(1, row(-5))
    reads = []
    monkeypatch.setattr(chart_consumers, "points_since", lambda *asked: reads.append(asked) or points_since(*asked))

    async def scenario():
        async with socket(SOCKET, vik) as one, socket(SOCKET, vik) as other:
            first = await points(one), await points(other)
            await sync_to_async(push)(2, row(-2))
            return first, (await points(one), await points(other))

    first, second = run(scenario)
    assert first[0] == first[1]
    assert second[0] == second[1]
    assert len(reads) == 2


def test_socket__resumed__before_plus_points_is_after(vik):
    push(1, row(-9), row(-8))

    async def part(since):
        async with socket(f"{SOCKET}?since={since}", vik) as ws:
            return await points(ws)

    reached, before = run(lambda: part(0))
    push(2, row(-7), row(-6))
    push(1, row(-8, latencies=[1, 1]), gateway="g2")
    _, missed = run(lambda: part(reached))
    _, after = run(lambda: part(0))

    state = {(t, arm): requests for t, arm, requests in before} | {(t, arm): requests for t, arm, requests in missed}
    assert state == {(t, arm): requests for t, arm, requests in after}
    assert state[-8, "stable"] == 3


def test_socket__nothing_new_since_the_position__silent(vik):
    push(1, row(-2))
    newest = Window.objects.latest("id").pk

    async def scenario():
        async with socket(f"{SOCKET}?since={newest}", vik) as ws:
            return await ws.receive_nothing()

    assert run(scenario)


def test_socket__windows_of_another_endpoint__not_told(vik):
    async def scenario():
        async with socket(SOCKET, vik) as ws:
            await sync_to_async(push)(1, row(-2, endpoint="other"))
            return await ws.receive_nothing()

    assert run(scenario)


@pytest.mark.parametrize(
    ("person", "path", "code"),
    [
        (None, SOCKET, consumers.CLOSE_UNAUTHENTICATED),
        ("noa", SOCKET, consumers.CLOSE_FORBIDDEN),
        ("max", SOCKET, consumers.CLOSE_FORBIDDEN),
        ("vik", "/ws/charts/production/nothing/", consumers.CLOSE_FORBIDDEN),
        ("vik", f"{SOCKET}?since=x", consumers.CLOSE_MALFORMED),
    ],
)
def test_socket__not_to_be_seen__closed(vik, person, path, code):
    client = signed_in(person) if person else None

    async def scenario():
        async with socket(path, client) as ws:
            return await close_code(ws)

    assert run(scenario) == code


def test_socket__person_disabled_while_watching__closed(vik, monkeypatch):
    monkeypatch.setattr(rights, "RECHECK_S", 0.01)

    async def scenario():
        async with socket(SOCKET, vik) as ws:
            await User.objects.filter(username="vik").aupdate(is_active=False)
            return await close_code(ws)

    assert run(scenario) == consumers.CLOSE_UNAUTHENTICATED


def test_poll__says_the_same_as_the_socket(vik):
    push(1, row(-3000), row(-5))
    [first] = vik.get(URL).json()["messages"]
    push(2, row(-2))
    [second] = vik.get(URL, {"since": first["sequence"]}).json()["messages"]

    assert (drawn(first), drawn(second)) == ([(-5, "stable", 1)], [(-2, "stable", 1)])
    assert first["type"] == second["type"] == "points"
    assert vik.get(URL, {"since": second["sequence"]}).json() == {"messages": []}


@pytest.mark.parametrize("since", ["x", "-1", "9" * 30])
def test_poll__malformed_position__400(vik, since):
    assert vik.get(URL, {"since": since}).status_code == 400


@pytest.mark.parametrize("person", ["max", "vik"])
def test_poll__hidden_and_missing__look_the_same(vik, person):
    url = URL if person == "max" else "/live/charts/production/nothing.json"

    assert signed_in(person).get(url).status_code == 404


def test_poll__ten_minutes_of_two_gateways__constant_number_of_queries(vik, django_assert_max_num_queries):
    push(1, *(row(-second) for second in range(600)))
    push(1, *(row(-second) for second in range(600)), gateway="g2")
    vik.get(URL)

    with django_assert_max_num_queries(8):
        [message] = vik.get(URL).json()["messages"]

    assert len(message["points"]) == 600


def test_sentence__an_arm_was_not_asked_now__is_said_as_it_stood(vik):
    push(1, row(-40, latencies=[1, 2, 3], arm="candidate", version="2"), row(-40))
    [first] = vik.get(URL).json()["messages"]
    push(2, row(-2))
    [second] = vik.get(URL, {"since": first["sequence"]}).json()["messages"]

    assert second["sentences"]["rate"] == "Requests per second, newest: stable 1.0, candidate 3.0."
