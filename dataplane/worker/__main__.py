"""`python -m dataplane.worker --socket PATH --artifacts DIR --digest sha256:… --model NAME --version N`."""

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

from dataplane.wire import shapes
from dataplane.wire.digest import UnsafeArtifact, digest
from dataplane.wire.worker_ways import Ways


def say(event: str, **fields: Any) -> None:
    """Tell the agent, one JSON object per line on standard output."""
    print(json.dumps({"event": event, **fields}), flush=True)


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
    parser.add_argument("--ways", type=kept_ways, default=None)
    return parser.parse_args()


def kept_ways(text: str) -> "Ways | None":
    """What an earlier start decided, None when that cannot be read."""
    try:
        return shapes.read(Ways, text.encode())
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
    say("loading")
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
    say("warming")
    began = time.monotonic()
    has_example = scorer.warm_up(options.ways)
    warmup_ms = round((time.monotonic() - began) * 1000, 1)
    say("warmed", warmup_ms=warmup_ms, input_example=has_example, **shapes.plain(scorer.ways))
    return scorer


def main() -> int:
    options = arguments()
    try:
        scorer = load(options)
    except Exception as error:  # the agent shows this sentence to people
        say("failed", error=f"{type(error).__name__}: {error}"[:1000])
        return 1
    # Only a version that is loaded is served.
    from dataplane.worker.server import WorkerServer

    WorkerServer(scorer, options.socket).serve(lambda: say("ready"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
