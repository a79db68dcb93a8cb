"""`python -m dataplane.worker --socket PATH --artifacts DIR --digest sha256:… --model NAME --version N`."""

import argparse
import contextlib
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

from dataplane.wire import shapes
from dataplane.wire.digest import UnsafeArtifact, digest
from dataplane.wire.worker_profile import WorkerProfile


def say(channel: "int | None", event: str, **fields: Any) -> None:
    """Tell the agent on the channel for events, one JSON object per line; and whoever reads the log, on standard
    output.

    An agent that is gone, or was told enough, hears nothing.
    """
    line = json.dumps({"event": event, **fields})
    with contextlib.suppress(OSError):
        print(line, flush=True)
    if channel is not None:
        with contextlib.suppress(OSError):
            os.write(channel, line.encode() + b"\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dataplane.worker")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--artifacts", type=Path, required=True)
    parser.add_argument("--digest", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--rows-independent", action="store_true")
    parser.add_argument("--nan-literal", action="store_true")
    parser.add_argument("--decide-s", type=float, default=math.inf)
    parser.add_argument("--profile", type=kept_profile, default=None)
    parser.add_argument("--events", type=int, help="descriptor of the channel for events")
    parser.add_argument("--listener", type=int, help="descriptor of the bound socket; without it the worker binds PATH")
    return parser.parse_args()


def kept_profile(text: str) -> "WorkerProfile | None":
    """What an earlier start decided, None when that cannot be read."""
    try:
        return shapes.read(WorkerProfile, text.encode())
    except shapes.Malformed:
        return None


def check_digest(artifacts: Path, wanted: str) -> None:
    """Raise RuntimeError unless the artifacts are exactly those that were approved."""
    try:
        found = digest(artifacts)
    except (OSError, UnsafeArtifact) as error:
        raise RuntimeError(f"the artifacts cannot be read: {error}") from error
    if found != wanted:
        raise RuntimeError(f"the artifacts are not what was approved: digest {found}, expected {wanted}")


def load(options: argparse.Namespace) -> Any:
    """Check, load and warm up the version; return its scorer."""
    say(options.events, "loading")
    check_digest(options.artifacts, options.digest)
    # Loads MLflow, which nobody waits for when the artifacts are wrong.
    from dataplane.worker.scorer import Scorer

    scorer = Scorer(
        options.artifacts,
        options.version,
        rows_independent=options.rows_independent,
        nan_literal=options.nan_literal,
        decide_s=options.decide_s,
    )
    say(options.events, "warming")
    began = time.monotonic()
    has_example = scorer.warm_up(options.profile)
    warmup_ms = round((time.monotonic() - began) * 1000, 1)
    say(options.events, "warmed", warmup_ms=warmup_ms, input_example=has_example, **shapes.plain(scorer.profile))
    return scorer


def main() -> int:
    options = arguments()
    try:
        scorer = load(options)
    except Exception as error:  # the agent shows this sentence to people
        say(options.events, "failed", error=f"{type(error).__name__}: {error}"[:1000])
        return 1
    # Only a version that is loaded is served.
    from dataplane.worker.server import WorkerServer

    WorkerServer(scorer, options.socket, options.listener).serve(lambda: say(options.events, "ready"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
