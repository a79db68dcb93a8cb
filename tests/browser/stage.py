"""The site alone, with something of everything that governance shows: `python -m tests.browser.stage DATA_DIR PORT`.

Rows come from the services that people use; nothing acts on them afterwards, so every page stays as it is.
"""

import json
import sys
from pathlib import Path

import pytest  # noqa: F401 - the settings look for it: the registry is the fake one, passwords are cheap

OUTGOING = "127.0.0.0/8"
WRITTEN = "stage.json"  # what `stage` returns, in the data directory


def prepare(data_dir: str) -> None:
    """Make an empty database in the data directory."""
    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlorch_site.settings")
    os.environ |= {"MLORCH_DATA_DIR": data_dir, "MLORCH_SIGN_INS_PER_MINUTE": "1000"}
    Path(data_dir).mkdir(parents=True, exist_ok=True)
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    settings.OUTGOING_PRIVATE_NETWORKS = [OUTGOING]
    call_command("migrate", verbosity=0)


def serve(port: int) -> None:
    """Serve the site on loopback until it is ended."""
    import uvicorn

    uvicorn.run("mlorch_site.asgi:application", host="127.0.0.1", port=port, log_level="critical", lifespan="off")


if __name__ == "__main__":
    prepare(sys.argv[1])
    from tests.browser.staged_rows import stage

    (Path(sys.argv[1]) / WRITTEN).write_text(json.dumps(stage()))
    serve(int(sys.argv[2]))
