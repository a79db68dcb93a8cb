"""MLflow's registry. The only module of the site that imports mlflow, and only inside Celery's work processes."""

import contextlib
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings

from registry.backends.base import BackendDown, BackendRefused, Evidence, SeenModel, SeenVersion

PAGE = 200
PAGES_MAX = 500
TEXT_MAX = 20_000
ITEMS_MAX = 300
WEBHOOK_NAME = "mlorch"
GONE = "RESOURCE_DOES_NOT_EXIST"


def _time(milliseconds: int | None) -> datetime:
    return datetime.fromtimestamp((milliseconds or 0) / 1000, tz=UTC)


def _bounded(values: dict[str, Any], limit: int = ITEMS_MAX) -> dict[str, Any]:
    """Return at most `limit` items with texts of bounded length: the registry is an untrusted neighbour."""
    return {
        str(key)[:250]: value[:TEXT_MAX] if isinstance(value, str) else value
        for key, value in list(values.items())[:limit]
    }


class MlflowBackend:
    """Speaks to the tracking server of `settings.MLFLOW_TRACKING_URI`."""

    def __init__(self) -> None:
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(settings.MLFLOW_TIMEOUT_S)
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"
        os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
        import mlflow

        mlflow.set_tracking_uri(settings.MLFLOW_TRACKING_URI)
        self._mlflow = mlflow
        self._client = mlflow.MlflowClient(settings.MLFLOW_TRACKING_URI)

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        """Turn MLflow's errors into ours: no answer or a server error is BackendDown, a refusal is BackendRefused."""
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
            description=(model.description or "")[:TEXT_MAX],
            tags=_bounded(dict(model.tags or {})),
            aliases={name: int(number) for name, number in dict(model.aliases or {}).items()},
            created_at=_time(model.creation_timestamp),
            updated_at=_time(model.last_updated_timestamp),
        )

    def versions(self) -> list[SeenVersion]:
        with self._speaking():
            return [self._version(version) for version in self._pages(self._client.search_model_versions)]

    def _version(self, version: Any) -> SeenVersion:
        return SeenVersion(
            model=version.name,
            number=int(version.version),
            status=version.status,
            status_message=(version.status_message or "")[:TEXT_MAX],
            source=(version.source or "")[:1000],
            run_id=version.run_id or "",
            description=(version.description or "")[:TEXT_MAX],
            tags=_bounded(dict(version.tags or {})),
            created_at=_time(version.creation_timestamp),
            updated_at=_time(version.last_updated_timestamp),
        )

    def evidence(self, version: SeenVersion) -> Evidence:
        """Return metrics, params, datasets and origin of a version, out of its run and its logged model."""
        if not version.run_id:
            return Evidence({})
        with self._speaking():
            try:
                run = self._client.get_run(version.run_id)
            except self._mlflow.exceptions.MlflowException as error:
                if error.error_code == GONE:
                    return Evidence({})
                raise
        tags = run.data.tags
        inputs = run.inputs.dataset_inputs if run.inputs else []
        return Evidence(
            {
                "metrics": _bounded({k: v for k, v in run.data.metrics.items() if v == v and abs(v) != float("inf")}),
                "params": _bounded(dict(run.data.params)),
                "run_name": (run.info.run_name or "")[:250],
                "run_user": (run.info.user_id or tags.get("mlflow.user", ""))[:150],
                "experiment": run.info.experiment_id,
                "datasets": [{"name": d.dataset.name, "digest": d.dataset.digest} for d in inputs[:20]],
                "git_commit": tags.get("mlflow.source.git.commit", "")[:64],
                "source_type": tags.get("mlflow.source.type", "")[:40],
                "run_url": f"{settings.MLFLOW_TRACKING_URI}/#/experiments/{run.info.experiment_id}/runs/{version.run_id}",
            }
        )

    def set_alias(self, model: str, alias: str, number: int) -> None:
        with self._speaking():
            self._client.set_registered_model_alias(model, alias, str(number))

    def delete_alias(self, model: str, alias: str) -> None:
        with self._speaking():
            self._client.delete_registered_model_alias(model, alias)

    def download(self, model: str, number: int, target: Path) -> None:
        """Copy the artifacts of a version into `target`."""
        with self._speaking():
            self._mlflow.artifacts.download_artifacts(
                artifact_uri=f"models:/{model}/{number}",
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
                    return False
            self._client.create_webhook(name=WEBHOOK_NAME, url=url, events=events, secret=secret)  # type: ignore[arg-type]
        return True
