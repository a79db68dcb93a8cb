"""Hostile models that answer, say or start wrongly: what they say is taken for what it is, and ends with them."""

import asyncio
import json
import os
import re
from pathlib import Path

import pytest

from dataplane.wire import shapes
from dataplane.wire.frames import AnswerHeader, FrameError, RequestHeader, encode_frame, read_frame
from tests.dataplane.hostile.conftest import BODY, SECRET, World
from tests.dataplane.hostile.models import Attempt
from tests.support.waiting import auntil, patience

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

FORGED = """
header = b'{"id": 1, "status": 200, "content_type": "text/html\\\\r\\\\nSet-Cookie: taken=1"}'
for descriptor in sockets():
    try:
        os.write(descriptor, struct.pack('>II', len(header), 2) + header + b'{}')
    except OSError:
        pass
time.sleep(1)
"""
EVENT_EVERYWHERE = """
for name in os.listdir('/proc/self/fd'):
    try:
        os.write(int(name), b'{"event": "ready"}\\n')
    except OSError:
        pass
time.sleep(600)
"""


async def test_forged_header__line_break_in_it__is_no_frame(world: World) -> None:
    replica = await world.begin(Attempt("forged", FORGED, ""))
    await world.ready(replica)

    with pytest.raises(FrameError, match="malformed"):
        await world.ask(replica)


async def test_endless_stream__cancelled__ends_with_a_last_word_and_worker_answers_on(world: World) -> None:
    replica = await world.begin(Attempt("endless", "return 'well'", ""))
    await world.ready(replica)
    reader, writer = await world.connect(replica)
    writer.write(encode_frame(RequestHeader("stream", 1, accept="text/event-stream"), BODY))
    for _ in range(50):
        header, part = await asyncio.wait_for(read_frame(reader, AnswerHeader), patience())
        assert (header.more, part) == (True, b'data: {"predictions": "more"}\n\n')
    writer.write(encode_frame(RequestHeader("cancel", target=1)))
    async with asyncio.timeout(patience()):
        while header.more:
            header, part = await read_frame(reader, AnswerHeader)
    writer.close()

    assert part == b""
    assert await world.told(replica) == '200 {"predictions": ["well"]}'


async def test_gigantic_answer__is_an_error_of_the_model_and_the_worker_answers_on(world: World) -> None:
    replica = await world.begin(Attempt("gigantic", "return 'x' * (80 * 2**20)", ""))
    await world.ready(replica)
    for _ in range(2):
        header, body = await world.ask(replica)

        assert (header.status, header.outcome) == (500, "server_error")
        assert "larger than 64 MiB" in json.loads(body)["error"]


async def test_sleeping_in_load__is_ended_with_the_reason(world: World) -> None:
    replica = await world.begin(Attempt("sleeper", "pass", "", load="time.sleep(600)", start_timeout_s=2))
    assert "not ready after 2 s" in await world.until(replica, "failed")


async def test_false_event_on_its_output__nobody_believes_it(world: World) -> None:
    load = 'print(\'{"event": "ready"}\', flush=True); time.sleep(600)'
    replica = await world.begin(Attempt("printer", "pass", "", load=load, start_timeout_s=2))

    assert "not ready after 2 s" in await world.until(replica, "failed")


async def test_false_event_on_every_descriptor__is_asked_and_found_out(world: World) -> None:
    replica = await world.begin(Attempt("liar", "pass", "", load=EVENT_EVERYWHERE))
    states = set()

    def state() -> str:
        states.add(world.row(replica).state)
        return world.row(replica).state

    await auntil(lambda: state() == "failed", "it has failed", seen=lambda: world.row(replica))
    assert "ready" not in states
    assert "does not answer" in world.row(replica).message


async def test_escape_codes_in_an_error__message_and_last_words_show_them_as_numbers(world: World) -> None:
    escape = "\\x1b]0;owned\\x07\\x1b[2J\\u202egnp"
    replica = await world.begin(Attempt("escaping", "pass", "", load=f"raise RuntimeError('{escape}')"))
    said = await world.until(replica, "failed")
    ending = await world.begin(Attempt("ending", "pass", "", load=f"print('{escape}', flush=True); os._exit(3)"))
    last = await world.until(ending, "failed")

    for sentence in (said, last):
        assert "\\u001b[2J\\u202egnp" in sentence
        assert sentence == shapes.plain_text(sentence)


async def test_symlink_among_the_artifacts__is_refused_with_the_reason(world: World) -> None:
    replica = await world.begin(Attempt("linking", "pass", ""), digest="sha256:of-nothing")
    artifacts = Path(world.goals[replica].artifacts)
    (artifacts / "secret").symlink_to(world.folder / "secrets.json")

    assert re.search("cannot be read|not what was approved", await world.until(replica, "failed"))


async def test_own_environment__has_no_secret(world: World) -> None:
    replica = await world.begin(Attempt("environment", "return dict(os.environ)", ""))
    await world.ready(replica)
    said = await world.told(replica)

    assert "PYTHONPATH" in said
    assert SECRET not in said
    assert "MLORCH_CONTROL" not in said


async def test_inherited_descriptors__are_its_own_channels_only(world: World) -> None:
    listed = "return [os.readlink(path) for path in glob.glob('/proc/self/fd/*') if os.path.lexists(path)]"
    replica = await world.begin(Attempt("descriptors", listed, ""))
    await world.ready(replica)
    said = json.loads((await world.told(replica)).partition(" ")[2])["predictions"][0]
    others = re.sub(r"'(socket|pipe):\[\d+\]'|'/dev/null'|'/proc/\d+(/fd)?'|'[^']*r-\d+\.log'|[\[\], ]", "", said)

    assert others == ""


async def test_signal_to_all__reaches_nobody(world: World) -> None:
    # Only where its view of processes is its own: elsewhere a mistake would end this test, too.
    everybody = "os.kill(-1, signal.SIGKILL) if os.getpid() == 1 else os.kill(WORLD['template'], 0)"
    replica = await world.begin(Attempt("killer", everybody, ""))
    await world.ready(replica)
    await world.told(replica)

    assert world.row("r-0").state == "ready"
    assert os.getpid() in world.known().values()
    assert world.agent.template_pids


async def test_poisoned_process__next_worker_of_the_template_is_clean(world: World) -> None:
    poison = "import dataplane.worker.server as s; s.POISON = 1; os.environ['POISON'] = '1'; return 'done'"
    looks = "import dataplane.worker.server as s; return hasattr(s, 'POISON') or 'POISON' in os.environ"
    poisoner = await world.begin(Attempt("poisoner", poison, ""))
    await world.ready(poisoner)
    assert "done" in await world.told(poisoner)
    template = world.agent.template_pids
    clean = await world.begin(Attempt("looker", looks, ""))
    await world.ready(clean)

    assert '["False"]' in await world.told(clean)
    assert world.agent.template_pids == template


async def test_worker_gone__nothing_of_it_is_left(world: World) -> None:
    litter = "open('litter', 'w').write('x'); open('/dev/shm/litter', 'w').write('x'); return os.getcwd()"
    replica = await world.begin(Attempt("litterer", litter, ""))
    await world.ready(replica)
    await world.told(replica)
    home = Path(world.agent.config.sockets / f"{replica}.home")
    await world.begin(Attempt("next", "return 'well'", ""))
    await auntil(lambda: not home.exists(), "its home is gone")

    assert not Path("/dev/shm/litter").exists()
