"""What Prometheus says: one value that counts, or the reason why there is none."""

import json

import pytest

from monitoring.analysis.prometheus_answer import read_answer

NOW = 1_800_000_000.0


def vector(*samples: object) -> bytes:
    rows = [{"metric": {}, "value": sample} for sample in samples]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": rows}}).encode()


def test_answer__one_fresh_value__counts():
    assert read_answer(200, vector([NOW - 5, "0.25"]), now=NOW, stale_after_s=60).value == 0.25


def test_answer__scalar__counts():
    body = json.dumps({"status": "success", "data": {"resultType": "scalar", "result": [NOW, "3"]}}).encode()
    assert read_answer(200, body, now=NOW, stale_after_s=60).value == 3.0


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, vector([NOW, "NaN"]), "not a number"),
        (200, vector([NOW, "+Inf"]), "infinite"),
        (200, vector([NOW, "-Inf"]), "infinite"),
        (200, vector(), "No series"),
        (200, vector([NOW, "1"], [NOW, "2"]), "2 series"),
        (200, vector([NOW - 61, "1"]), "stale"),
        (200, vector([NOW + 120, "1"]), "future"),
        (200, vector(["NaN", "1"]), "future"),
        (200, vector([NOW]), "instant query"),
        (200, vector("12"), "instant query"),
        (200, vector(None), "instant query"),
        (200, b"", "instant query"),
        (200, b"<html>", "instant query"),
        (200, b"[" * 100_000, "instant query"),
        (200, b"null", "instant query"),
        (200, b'{"status": "error", "data": {"resultType": "vector", "result": []}}', "instant query"),
        (200, b'{"status": "success", "data": {"resultType": "matrix", "result": []}}', "instant query"),
        (200, b'{"status": "success", "data": {"resultType": "vector", "result": {}}}', "instant query"),
        (200, b'{"status": "success", "data": {"resultType": "vector", "result": [7]}}', "instant query"),
        (302, b"", "answered 302"),
        (400, b'{"status": "error", "error": "parse error"}', "answered 400: parse error."),
        (500, b'{"error": 7}', "answered 500."),
        (503, b"\xff", "answered 503."),
    ],
)
def test_answer__is_no_value__says_why(status, body, reason):
    found = read_answer(status, body, now=NOW, stale_after_s=60)

    assert found.value is None
    assert reason in found.reason
