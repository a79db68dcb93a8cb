"""What mlorch needs of a model registry."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol


class BackendDown(Exception):
    """The registry does not answer; the text says how. Nothing was changed."""


class BackendRefused(Exception):
    """The registry answered that it will not do this; trying again will not help."""


@dataclass(frozen=True)
class SeenModel:
    """A registered model as the registry shows it."""

    name: str
    description: str
    tags: dict[str, str]
    aliases: dict[str, int]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class SeenVersion:
    """A model version as the registry shows it.

    `logged_model` is the id of the logged model it was made from, or empty; `user` who registered it, as the registry
    has it, or empty.
    """

    model: str
    number: int
    status: str
    status_message: str
    source: str
    run_id: str
    description: str
    tags: dict[str, str]
    created_at: datetime
    updated_at: datetime
    logged_model: str = ""
    user: str = ""

    @property
    def identity(self) -> tuple[datetime, str, str]:
        """What the registry never gives to another version of the number; as `registry.models.Version.identity`."""
        return self.created_at, self.run_id, self.source


@dataclass(frozen=True)
class SeenFile:
    """An artifact file as the registry lists it; `size` in bytes is None when the registry does not tell."""

    path: str
    size: int | None


@dataclass(frozen=True)
class Evidence:
    """What is known of how a version was made; keys as in `registry.models.Version.evidence`."""

    values: dict[str, Any] = field(default_factory=dict)


class Backend(Protocol):
    """A model registry. Every method raises BackendDown when it does not answer."""

    def ping(self) -> None: ...

    def models(self) -> list[SeenModel]: ...

    def versions(self) -> list[SeenVersion]: ...

    def version(self, model: str, number: int) -> SeenVersion: ...

    def evidence(self, version: SeenVersion) -> Evidence: ...

    def set_alias(self, model: str, alias: str, number: int) -> None: ...

    def delete_alias(self, model: str, alias: str) -> None: ...

    def set_version_tag(self, model: str, number: int, key: str, value: str) -> None: ...

    def delete_version_tag(self, model: str, number: int, key: str) -> None: ...

    def files(self, model: str, number: int) -> Iterator[SeenFile]: ...

    def download(self, model: str, number: int, target: Path) -> None: ...

    def ensure_webhook(self, url: str, secret: str) -> bool: ...
