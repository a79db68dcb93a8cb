"""A registry in memory, an artifact store in a temporary folder, and a look at MLflow that takes no broker."""

from datetime import timedelta

import pytest

from mlorch_site.lib import clock
from registry.backends.fake import FakeBackend
from registry.models import BackendState
from registry.services import sync_from_backend
from registry.services.sync import lease_release, lease_take


@pytest.fixture
def registry(db):
    FakeBackend.reset()
    yield FakeBackend
    FakeBackend.reset()


@pytest.fixture
def store(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    yield tmp_path / "artifacts"
    for path in (tmp_path / "artifacts").rglob("*"):
        path.chmod(0o700)


@pytest.fixture
def look(registry):
    """A function that mirrors the registry once; `ago_s` makes the look older than now."""

    def once(*, ago_s: float = 0.0) -> int:
        now = clock.now() - timedelta(seconds=ago_s)
        BackendState.objects.update(lease_until=None)
        epoch = lease_take(now)
        changed = sync_from_backend(registry(), epoch=epoch, now=now)
        lease_release(epoch)
        return changed

    return once
