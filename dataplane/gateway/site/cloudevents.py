"""Log entries as CloudEvents 1.0 in binary mode, with the types and extensions of KServe's payload logger, so that its
consumers can read them.
"""

import base64
from typing import Any

from dataplane.gateway.site.log_entry import LogEntry

SOURCE = "mlorch-gateway"
REQUEST = "org.kubeflow.serving.inference.request"
RESPONSE = "org.kubeflow.serving.inference.response"


def pair(entry: LogEntry, row: dict[str, Any]) -> list[tuple[dict[str, str], bytes]]:
    """Return (headers, body) of the request's and of the answer's event; both carry the same id."""
    return [
        _event(entry, row, REQUEST, "request", entry.content_type or "application/json"),
        _event(entry, row, RESPONSE, "answer", entry.answer_type),
    ]


def _event(
    entry: LogEntry, row: dict[str, Any], kind: str, field: str, content_type: str
) -> tuple[dict[str, str], bytes]:
    headers = {
        "ce-specversion": "1.0",
        "ce-id": entry.id,
        "ce-source": SOURCE,
        "ce-type": kind,
        "ce-time": row["at"],
        "ce-inferenceservicename": entry.endpoint,
        "ce-namespace": entry.environment,
        "ce-component": "predictor",
        "ce-endpoint": f"{entry.arm}-{entry.version}",
        "Content-Type": content_type,
    }
    text: str = row[field]
    return headers, base64.b64decode(text) if row[f"{field}_is_base64"] else text.encode()
