"""The installation's secrets: made once, at random, readable by their owner only."""

import base64
import json
import os
import secrets
from pathlib import Path

FILE_NAME = "secrets.json"


def load_or_make(data_dir: Path) -> dict[str, str]:
    """The secrets of this data directory, making those that are missing.

    Raises OSError when the file cannot be read or is damaged.
    """
    path = data_dir / FILE_NAME
    try:
        known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    except ValueError as error:
        raise OSError(f"{path} is damaged ({error}); restore it, or remove it to sign everybody out") from error
    fresh = {
        "django": secrets.token_urlsafe(48),
        "control": secrets.token_urlsafe(32),
        "metrics": secrets.token_urlsafe(32),
        "mlflow_webhook": secrets.token_urlsafe(32),
        "mlflow_encryption": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    }
    complete = {**fresh, **known}
    if complete != known:
        temporary = path.with_name(f".{FILE_NAME}.{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(complete, file)
        temporary.replace(path)
    return complete
