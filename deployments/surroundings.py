"""What gates are given that the registry does not know: where the same files were, and what surrounds the release."""

from deployments.biography import taken_back_sentences
from deployments.models import Release
from registry.gates.base import Surroundings


def surroundings(release: Release) -> Surroundings:
    """What the gates of the release's policy ask about, as it is now (reads the database for those that run)."""
    return Surroundings(taken_back=taken_back_sentences(release))
