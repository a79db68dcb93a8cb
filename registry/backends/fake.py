"""A registry in memory, shipped for fast tests and trials. State is per process."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from mlorch_site.lib import clock
from registry.backends.base import BackendDown, BackendRefused, Evidence, SeenFile, SeenModel, SeenVersion
from registry.lifecycle import VersionStatus

type_Snapshot = tuple[
    dict[str, SeenModel],
    dict[tuple[str, int], SeenVersion],
    dict[tuple[str, int], dict[str, bytes]],
    dict[tuple[str, int], dict[str, Any]],
]


class FakeBackend:
    """Holds models, versions and artifacts in class attributes; `reset` empties it, `down` makes every call raise."""

    down: ClassVar[bool] = False
    _models: ClassVar[dict[str, SeenModel]] = {}
    _versions: ClassVar[dict[tuple[str, int], SeenVersion]] = {}
    _files: ClassVar[dict[tuple[str, int], dict[str, bytes]]] = {}
    _evidence: ClassVar[dict[tuple[str, int], dict[str, Any]]] = {}

    @classmethod
    def reset(cls) -> None:
        cls.down = False
        for part in (cls._models, cls._versions, cls._files, cls._evidence):
            part.clear()

    @classmethod
    def add(
        cls, model: str, *, files: dict[str, bytes] | None = None, status: str = VersionStatus.READY, **evidence: Any
    ) -> int:
        """Register one more version of `model` and return its number."""
        now = clock.now()
        cls._models.setdefault(model, SeenModel(model, "", {}, {}, now, now))
        number = 1 + max((n for name, n in cls._versions if name == model), default=0)
        cls._versions[model, number] = SeenVersion(
            model, number, status, "", f"fake:/{model}/{number}", "", "", {}, now, now
        )
        content = {"MLmodel": json.dumps({"version": number}).encode(), **(files or {})}
        cls._files[model, number] = content
        cls._evidence[model, number] = {"metrics": {"accuracy": 0.9 + number / 100}, "params": {}, **evidence}
        return number

    @classmethod
    def change_file(cls, model: str, number: int, name: str, content: bytes) -> None:
        """Change an artifact behind the registry's back."""
        cls._files[model, number][name] = content

    @classmethod
    def change(cls, model: str, number: int, **fields: Any) -> None:
        """Change what a version says of itself."""
        cls._versions[model, number] = replace(cls._versions[model, number], **fields)

    @classmethod
    def aliases(cls, model: str) -> dict[str, int]:
        return dict(cls._models[model].aliases)

    @classmethod
    def snapshot(cls) -> "type_Snapshot":
        """All that is there, for `restore`."""
        return dict(cls._models), dict(cls._versions), dict(cls._files), dict(cls._evidence)

    @classmethod
    def restore(cls, snapshot: "type_Snapshot") -> None:
        cls.reset()
        models, versions, files, evidence = snapshot
        cls._models.update(models)
        cls._versions.update(versions)
        cls._files.update(files)
        cls._evidence.update(evidence)

    @classmethod
    def remove(cls, model: str, number: int) -> None:
        """Delete a version, and the aliases that point to it."""
        del cls._versions[model, number]
        seen = cls._models[model]
        cls._models[model] = replace(seen, aliases={name: n for name, n in seen.aliases.items() if n != number})

    @classmethod
    def remove_model(cls, model: str) -> None:
        """Delete a model with all its versions."""
        for key in [key for key in cls._versions if key[0] == model]:
            for part in (cls._versions, cls._files, cls._evidence):
                del part[key]
        del cls._models[model]

    @classmethod
    def rename(cls, old: str, new: str) -> None:
        """Give a model another name; as MLflow does, its times of creation stay."""
        if new in cls._models:
            raise BackendRefused(f"there is a model {new} already")
        cls._models[new] = replace(cls._models.pop(old), name=new)
        for key in [key for key in cls._versions if key[0] == old]:
            cls._versions[new, key[1]] = replace(cls._versions.pop(key), model=new)
            cls._files[new, key[1]] = cls._files.pop(key)
            cls._evidence[new, key[1]] = cls._evidence.pop(key)

    def ping(self) -> None:
        if self.down:
            raise BackendDown("the fake registry was switched off")

    def models(self) -> list[SeenModel]:
        self.ping()
        return list(self._models.values())

    def versions(self) -> list[SeenVersion]:
        self.ping()
        return list(self._versions.values())

    def version(self, model: str, number: int) -> SeenVersion:
        self.ping()
        if (model, number) not in self._versions:
            raise BackendRefused(f"there is no version {number} of {model}")
        return self._versions[model, number]

    def evidence(self, version: SeenVersion) -> Evidence:
        self.ping()
        return Evidence(dict(self._evidence[version.model, version.number]))

    def _model(self, name: str) -> SeenModel:
        self.ping()
        if name not in self._models:
            raise BackendRefused(f"there is no model {name}")
        return self._models[name]

    def set_alias(self, model: str, alias: str, number: int) -> None:
        seen = self._model(model)
        self._models[model] = replace(seen, aliases={**seen.aliases, alias: number})

    def delete_alias(self, model: str, alias: str) -> None:
        seen = self._model(model)
        self._models[model] = replace(seen, aliases={name: n for name, n in seen.aliases.items() if name != alias})

    def set_version_tag(self, model: str, number: int, key: str, value: str) -> None:
        seen = self.version(model, number)
        self._versions[model, number] = replace(seen, tags={**seen.tags, key: value})

    def delete_version_tag(self, model: str, number: int, key: str) -> None:
        seen = self.version(model, number)
        tags = {name: value for name, value in seen.tags.items() if name != key}
        self._versions[model, number] = replace(seen, tags=tags)

    def files(self, model: str, number: int) -> Iterator[SeenFile]:
        self.version(model, number)
        for name, content in self._files[model, number].items():
            yield SeenFile(name, len(content))

    def download(self, model: str, number: int, target: Path) -> None:
        self.version(model, number)
        for name, content in self._files[model, number].items():
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def ensure_webhook(self, url: str, secret: str) -> bool:
        self.ping()
        return False
