"""The advisory file that the installation names, and the advisories in force."""

from pathlib import Path

from django.conf import settings

from mlorch_site.lib.errors import Conflict, Invalid
from registry.actors import ADVISORIES
from registry.evidence.services.advisories import advisories_load
from registry.models import AdvisorySet

type_Seen = tuple[str, int, int, int]
_loaded: dict[type_Seen, str] = {}  # what a file looked like → the digest of the set that it became


class BeingLoaded(Exception):
    """Another process loads the file just now."""


def advisories_in_force() -> AdvisorySet | None:
    """The advisories that count, None when none were ever loaded."""
    return AdvisorySet.objects.filter(is_current=True).first()


def advisories_refresh() -> str:
    """Load the file that `MLORCH_ADVISORIES` names when it is another one than the advisories in force come from.

    Returns what is wrong with it, empty when nothing is or no file is named. Raises BeingLoaded.
    """
    if not settings.ADVISORIES:
        return ""
    path = Path(settings.ADVISORIES)
    try:
        about = path.stat()
        seen = (str(path), about.st_mtime_ns, about.st_size, about.st_ino)
        if seen in _loaded and AdvisorySet.objects.filter(is_current=True, digest=_loaded[seen]).exists():
            return ""
        made = advisories_load(actor=ADVISORIES, name=path.name, raw=path.read_bytes())
    except OSError as error:
        return f"The advisory file that MLORCH_ADVISORIES names cannot be read: {error.strerror}."
    except Conflict as error:
        raise BeingLoaded(error.message) from error
    except Invalid as error:
        return f"The advisory file that MLORCH_ADVISORIES names cannot be taken: {error.message}"
    _loaded.clear()
    _loaded[seen] = made.digest
    return ""
