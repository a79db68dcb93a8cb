"""What a gateway may say per unit bucket."""

from typing import Any

import pytest

from dataplane.wire import shapes
from dataplane.wire.histogram import Histogram
from dataplane.wire.shapes import Malformed
from dataplane.wire.window_batch import UNIT_BUCKETS, Window


def window(units: Any, **fields: Any) -> dict[str, Any]:
    """A window of ten requests: one error, one timeout, two client errors, three slower than 100 ms."""
    histogram = Histogram()
    for latency_ms in [5.0] * 7 + [500.0] * 3:
        histogram.add(latency_ms)
    return {
        "environment": "production",
        "endpoint": "e",
        "arm": "candidate",
        "version": "2",
        "release": "rel-2",
        "start": 1000,
        "requests": 10,
        "ok": 6,
        "client_errors": 2,
        "server_errors": 1,
        "timeouts": 1,
        "latency": histogram.to_dict(),
        **({} if units is None else {"units": units}),
        **fields,
    }


def units(slos_ms: Any = (100.0,), **buckets: Any) -> dict[str, Any]:
    return {"slos_ms": list(slos_ms), "buckets": {name.removeprefix("b"): counts for name, counts in buckets.items()}}


@pytest.mark.parametrize(
    "fitting",
    [
        None,
        units(b3=[10, 2, 2, 3]),
        units(b0=[4, 2, 0, 3], b63=[6, 0, 2, 0]),
        units((), b0=[1, 0, 0]),
        units(b0=[6, 0, 0, 0]),
        units(()),
    ],
)
def test_window__units_that_are_part_of_it__accepted(fitting: Any) -> None:
    read = shapes.convert(Window, window(fitting))

    assert shapes.plain(read)["units"] == fitting


@pytest.mark.parametrize(
    "wrong",
    [
        units(b3=[11, 0, 0, 0]),
        units(b3=[6, 2, 0, 0], b4=[5, 0, 0, 0]),
        units(b3=[10, 3, 2, 3]),
        units(b3=[10, 2, 3, 3]),
        units(b3=[10, 2, 2, 4]),
        units(b3=[7, 0, 0, 0]),
        units(b3=[1, 1, 1, 0]),
        units(b3=[1, 0, 0, 2]),
        units(b3=[0, 0, 0, 0]),
        units(b3=[-1, 0, 0, 0]),
        units(b3=[1, 0, 0]),
        units(b3=[1, 0, 0, 0, 0]),
        units(b3=[1.5, 0, 0, 0]),
        units(**{f"b{UNIT_BUCKETS}": [1, 0, 0, 0]}),
        {"slos_ms": [100.0], "buckets": {"-1": [1, 0, 0, 0]}},
        {"slos_ms": [100.0], "buckets": {"x": [1, 0, 0, 0]}},
        units((0.0,), b3=[1, 0, 0, 0]),
        units((1e9,), b3=[1, 0, 0, 0]),
        units(range(1, shapes.SLOS_MAX + 2)),
        {"buckets": {}},
        [],
    ],
)
def test_window__units_that_cannot_be__refused(wrong: Any) -> None:
    with pytest.raises(Malformed):
        shapes.convert(Window, window(wrong))


def test_window__drawn_requests__are_in_no_bucket() -> None:
    with pytest.raises(Malformed, match="units must not count more"):
        shapes.convert(Window, window(units(b3=[6, 0, 0, 0]), drawn=5))
