"""Where artifacts may be fetched from: MLflow shows whatever a version's author wrote there, and would go anywhere."""

from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

WEB = ("http", "https")
INNER = ("models", "runs")  # names in MLflow, resolved to another address
PROXIED = "mlflow-artifacts"
FILE = "file"


def why_not_fetched(uri: str) -> str:
    """The sentence that says why nothing is fetched from this address, empty when it may be."""
    try:
        parts = urlsplit(uri)
        place = parts.netloc
    except ValueError:
        return "The source of the version is no address."
    scheme = parts.scheme.lower() or FILE
    if scheme not in settings.SOURCE_SCHEMES:
        return (
            f"Sources with the scheme {scheme[:20]}: are not fetched; the setting MLORCH_SOURCE_SCHEMES may allow it."
        )
    if scheme == FILE:
        return _why_not_file(parts)
    if scheme in INNER and place:
        return f"The source names another registry ({place[:80]}); only the one that is mirrored is asked."
    if scheme in (*WEB, PROXIED) and not _is_tracking_server(parts):
        return f"The source lies on {place[:80]}, which is not the tracking server."
    return ""


def _is_tracking_server(parts: SplitResult) -> bool:
    own = urlsplit(settings.MLFLOW_TRACKING_URI)
    if parts.scheme.lower() == PROXIED:
        return parts.netloc.lower() in ("", own.netloc.lower())
    return (parts.scheme.lower(), parts.netloc.lower()) == (own.scheme.lower(), own.netloc.lower())


def _why_not_file(parts: SplitResult) -> str:
    """A file of this machine is one of our own server's; links out of its folder are followed before it is compared."""
    roots = [Path(root).resolve() for root in settings.SOURCE_FILE_ROOTS]
    path = Path(parts.path) if parts.netloc in ("", "localhost") else Path()
    is_plain = path.is_absolute() and "%" not in parts.path and "\x00" not in parts.path
    if is_plain and any(path.resolve().is_relative_to(root) for root in roots):
        return ""
    return "The source is a file of this machine outside the folder of our own MLflow server."
