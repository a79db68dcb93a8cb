"""What a rollout says while it is judged: how much is missing, and with what the candidate is compared."""

import re

from django.urls import reverse

from monitoring.analysis.planning import candidate_requests_to_promote
from tests.support.live import signed_in


def test_waiting__one_guardrail__the_check_on_client_errors_needs_nothing(world):
    world.serve(1)
    world.rate = 20
    release = world.request(2, guardrails=[{"metric": "error_rate", "margin": 0.02}])
    world.tick(40)
    release.refresh_from_db()
    (errors,) = [row for row in release.rollout.assessment["guardrails"] if row["metric"] == "error_rate"]
    ratio = errors["baseline_n"] / errors["candidate_n"]
    needed = candidate_requests_to_promote(errors["margin"], errors["baseline_share"], ratio, 1)

    told = re.search(r"About ([\d,]+) more requests", release.rollout.waiting_for)
    assert told, release.rollout.waiting_for
    assert int(told.group(1).replace(",", "")) == needed - errors["candidate_n"]


def test_blue_green__verdict_page_and_report__say_that_earlier_minutes_are_compared(world):
    sentence = "its last 10 minutes before the switch stand for it"
    world.serve(1)
    world.tick(20)
    release = world.request(2, strategy={"kind": "blue_green", "bake_s": 10})
    world.tick(10)
    release.refresh_from_db()
    assert sentence in release.rollout.assessment["sentence"]
    assert sentence in signed_in("vik").get(reverse("release", args=[release.pk])).content.decode()

    world.until(release, "succeeded")

    assert release.report.document["assessment"]["reference"].endswith(sentence + ".")
    assert sentence in signed_in("vik").get(reverse("release-report", args=[release.pk])).content.decode()


def test_canary__compared_with_the_same_time__says_nothing_of_earlier_minutes(world):
    world.serve(1)
    release = world.until(world.request(2), "succeeded")

    assert "reference" not in release.report.document["assessment"]
    assert "stand for it" not in release.rollout.assessment["sentence"]
