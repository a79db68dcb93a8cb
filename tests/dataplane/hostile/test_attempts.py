"""Each hostile model runs through the real agent, template and worker: it gets nothing, and a sentence says so."""

import re

import pytest

from tests.dataplane.hostile.attempts import ATTEMPTS
from tests.dataplane.hostile.conftest import SECRET, World
from tests.dataplane.hostile.models import Attempt

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.parametrize("tried", ATTEMPTS, ids=lambda tried: tried.name)
async def test_attempt__gets_nothing_and_a_sentence_says_so(world: World, tried: Attempt) -> None:
    replica = await world.begin(tried)
    await world.ready(replica)
    said = await world.told(replica)

    assert SECRET not in said
    assert not said.startswith("200"), said
    assert re.search(tried.sentence, said), said
    assert world.row("r-0").state == "ready"
