"""MLflow's registry. The only module of the site that imports mlflow, and only inside Celery's work processes."""

import contextlib
import math
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings

from registry.artifact_sources import why_not_fetched
from registry.backends.base import BackendDown, BackendRefused, Evidence, SeenFile, SeenModel, SeenVersion

PAGE = 1000
PAGES_MAX = 500
TEXT_MAX = 20_000
ITEMS_MAX = 300
NAME_MAX = 150
NAMES_MAX = 4  # a version's source is a run's or a logged model's name, and that one an address
FOLDERS_MAX = 2000  # of one version's artifacts that are listed; each is one request
WEBHOOK_NAME = "mlorch"
GONE = "RESOURCE_DOES_NOT_EXIST"


def _time(milliseconds: int | None) -> datetime:
    return datetime.fromtimestamp((milliseconds or 0) / 1000, tz=UTC)


def _text(value: Any, limit: int = TEXT_MAX) -> str:
    """A text the database can hold: of bounded length and without NUL, which PostgreSQL refuses."""
    return str(value or "").replace("\0", "")[:limit]


def _bounded(values: dict[str, Any], limit: int = ITEMS_MAX) -> dict[str, Any]:
    """Return at most `limit` items with texts of bounded length: the registry is an untrusted neighbour."""
    return {
        _text(key, 250): _text(value) if isinstance(value, str) else value
        for key, value in list(values.items())[:limit]
    }


def _finite(metrics: dict[str, float]) -> dict[str, Any]:
    """The metrics that are numbers; NaN and infinities are not JSON."""
    return _bounded({name: value for name, value in metrics.items() if math.isfinite(value)})


class MlflowBackend:
    """Speaks to the tracking server of `settings.MLFLOW_TRACKING_URI`."""

    def __init__(self) -> None:
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(settings.MLFLOW_TIMEOUT_S)
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"
        os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
        import mlflow  # after its settings: it reads them once

        mlflow.set_tracking_uri(settings.MLFLOW_TRACKING_URI)
        self._mlflow = mlflow
        self._client = mlflow.MlflowClient(settings.MLFLOW_TRACKING_URI, settings.MLFLOW_TRACKING_URI)

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        """Turn MLflow's errors into ours: no answer or a server error is BackendDown, a refusal is BackendRefused."""
        # MLflow must not be loaded before `__init__` has set what it reads.
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as error:
            status = error.get_http_status_code()
            text = str(error.message)[:300]
            if status < 500:
                raise BackendRefused(text) from error
            raise BackendDown(text) from error
        except OSError as error:
            raise BackendDown(f"{type(error).__name__}: {str(error)[:200]}") from error

    def _pages(self, search: Callable[..., Any]) -> Iterator[Any]:
        token = None
        for _ in range(PAGES_MAX):
            page = search(max_results=PAGE, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def ping(self) -> None:
        with self._speaking():
            self._client.search_registered_models(max_results=1)

    def models(self) -> list[SeenModel]:
        with self._speaking():
            return [self._model(model) for model in self._pages(self._client.search_registered_models)]

    def _model(self, model: Any) -> SeenModel:
        return SeenModel(
            name=model.name,
            description=_text(model.description),
            tags=_bounded(dict(model.tags or {})),
            aliases={name: int(number) for name, number in dict(model.aliases or {}).items()},
            created_at=_time(model.creation_timestamp),
            updated_at=_time(model.last_updated_timestamp),
        )

    def versions(self) -> list[SeenVersion]:
        with self._speaking():
            return [self._version(version) for version in self._pages(self._client.search_model_versions)]

    def version(self, model: str, number: int) -> SeenVersion:
        """One version as it is now."""
        with self._speaking():
            return self._version(self._client.get_model_version(model, str(number)))

    def _version(self, version: Any) -> SeenVersion:
        return SeenVersion(
            model=version.name,
            number=int(version.version),
            status=version.status,
            status_message=_text(version.status_message),
            source=_text(version.source, 1000),
            run_id=_text(version.run_id, 64),
            description=_text(version.description),
            tags=_bounded(dict(version.tags or {})),
            created_at=_time(version.creation_timestamp),
            updated_at=_time(version.last_updated_timestamp),
            logged_model=_text(version.model_id, 64),
            user=_text(version.user_id, NAME_MAX),
        )

    def evidence(self, version: SeenVersion) -> Evidence:
        """Metrics, params, datasets and origin of a version, out of its run and its logged model."""
        values: dict[str, Any] = {}
        if run := self._found(self._client.get_run, version.run_id):
            values = self._of_run(run)
        if logged := self._found(self._client.get_logged_model, version.logged_model):
            evaluated = _finite({metric.key: metric.value for metric in logged.metrics or []})
            values["metrics"] = {**values.get("metrics", {}), **evaluated}
        values["authors"] = [name for name in (*values.get("authors", []), version.user) if name]
        return Evidence(values)

    def _found(self, get: Callable[[str], Any], key: str) -> Any:
        """What `get` gives for `key`, None when there is no key or MLflow does not have it."""
        if not key:
            return None
        with self._speaking():
            try:
                return get(key)
            except self._mlflow.exceptions.MlflowException as error:
                if error.error_code == GONE:
                    return None
                raise

    def _of_run(self, run: Any) -> dict[str, Any]:
        tags = run.data.tags
        inputs = run.inputs.dataset_inputs if run.inputs else []
        origin = f"{settings.MLFLOW_TRACKING_URI}/#/experiments/{run.info.experiment_id}"
        return {
            "metrics": _finite(run.data.metrics),
            "params": _bounded(dict(run.data.params)),
            "run_name": _text(run.info.run_name, 250),
            "run_user": _text(run.info.user_id or tags.get("mlflow.user"), NAME_MAX),
            "authors": [_text(name, NAME_MAX) for name in (run.info.user_id, tags.get("mlflow.user"))],
            "experiment": run.info.experiment_id,
            "datasets": [
                {
                    "name": _text(found.dataset.name, 250),
                    "digest": _text(found.dataset.digest, 100),
                    "context": _text(_context_of(found), 60),
                }
                for found in inputs[:20]
            ],
            "git_commit": _text(tags.get("mlflow.source.git.commit"), 64),
            "git_dirty": _text(tags.get("mlflow.source.git.dirty"), 10),
            "source_type": _text(tags.get("mlflow.source.type"), 40),
            "run_url": f"{origin}/runs/{run.info.run_id}",
        }

    def set_alias(self, model: str, alias: str, number: int) -> None:
        with self._speaking():
            self._client.set_registered_model_alias(model, alias, str(number))

    def delete_alias(self, model: str, alias: str) -> None:
        with self._speaking():
            self._client.delete_registered_model_alias(model, alias)

    def set_version_tag(self, model: str, number: int, key: str, value: str) -> None:
        with self._speaking():
            self._client.set_model_version_tag(model, str(number), key, value)

    def delete_version_tag(self, model: str, number: int, key: str) -> None:
        with self._speaking():
            self._client.delete_model_version_tag(model, str(number), key)

    def _source(self, model: str, number: int) -> str:
        """The address of a version's artifacts. Raises BackendRefused when it leads where nothing is fetched from."""
        # MLflow must not be loaded before `__init__` has set what it reads.
        from mlflow.store.artifact.models_artifact_repo import ModelsArtifactRepository

        # For the same reason.
        from mlflow.store.artifact.runs_artifact_repo import RunsArtifactRepository

        address = f"models:/{model}/{number}"
        found = address
        for _ in range(NAMES_MAX):
            with self._speaking():
                if RunsArtifactRepository.is_runs_uri(found):
                    found = RunsArtifactRepository.get_underlying_uri(found, settings.MLFLOW_TRACKING_URI)
                elif ModelsArtifactRepository.is_models_uri(found):
                    found = ModelsArtifactRepository.get_underlying_uri(found)
                else:
                    return address
            if reason := why_not_fetched(found):
                raise BackendRefused(reason)
        raise BackendRefused("The source of the version is a name for a name, without end.")

    def files(self, model: str, number: int) -> Iterator[SeenFile]:
        """List the artifact files of a version, folder by folder; of a tree with very many folders only the first
        ones.
        """
        # MLflow must not be loaded before `__init__` has set what it reads.
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        uri, folders = self._source(model, number), [""]
        with self._speaking():
            repository = get_artifact_repository(uri, tracking_uri=settings.MLFLOW_TRACKING_URI)
        for _ in range(FOLDERS_MAX):
            if not folders:
                return
            with self._speaking():
                found = repository.list_artifacts(folders.pop() or None)
            folders += [entry.path for entry in found if entry.is_dir]
            yield from (SeenFile(entry.path, entry.file_size) for entry in found if not entry.is_dir)

    def download(self, model: str, number: int, target: Path) -> None:
        """Copy the artifacts of a version into `target`."""
        source = self._source(model, number)
        with self._speaking():
            self._mlflow.artifacts.download_artifacts(
                artifact_uri=source,
                dst_path=str(target),
                tracking_uri=settings.MLFLOW_TRACKING_URI,
            )
        # MLflow notes where a download came from in this file; it is not part of what was registered.
        (target / "registered_model_meta").unlink(missing_ok=True)

    def ensure_webhook(self, url: str, secret: str) -> bool:
        """Make sure that MLflow tells us about changes; return whether a webhook had to be made."""
        events = [
            "registered_model.created",
            "model_version.created",
            "model_version_alias.created",
            "model_version_alias.deleted",
        ]
        events += ["model_version_tag.set", "model_version_tag.deleted"]
        with self._speaking():
            for webhook in self._client.list_webhooks():
                if webhook.name == WEBHOOK_NAME and webhook.url == url:
                    # MLflow never shows a secret, so the only way to know that it has ours is to write it.
                    self._client.update_webhook(webhook.webhook_id, secret=secret, events=events)  # type: ignore[arg-type]
                    return False
            self._client.create_webhook(name=WEBHOOK_NAME, url=url, events=events, secret=secret)  # type: ignore[arg-type]
        return True


def _context_of(found: Any) -> str:
    """What a data set was used for, as whoever logged it says: training, evaluation, …"""
    return next((tag.value for tag in found.tags or [] if tag.key == "mlflow.data.context"), "")
