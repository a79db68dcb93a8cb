"""The artifacts were downloaded and their digest is known, so that what is approved is what will run."""

from registry import artifacts
from registry.gates.base import Found, GateInput, NotYet, failed, passed
from registry.lifecycle import DigestStatus

LABEL = "Artifacts are in the store"
HELP = "The artifacts were downloaded and their digest is known: what is approved is what will run."
LOOKS_AT = ("digest",)
WAIVABLE = False


def check(given: GateInput) -> Found:
    version = given.version
    if version.digest_status == DigestStatus.PENDING:
        raise NotYet("The artifacts are being downloaded.")
    if version.digest_status == DigestStatus.FAILED:
        return failed(f"The artifacts could not be read: {version.digest_error}")
    if not artifacts.path_of(version.digest).is_dir():
        return failed("The artifacts are not in the store any more.", digest=version.digest)
    return passed(
        f"{len(version.manifest)} files, digest {version.digest[:19]}….",
        digest=version.digest,
        size_bytes=version.size_bytes,
    )
