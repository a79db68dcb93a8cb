"""Reports of periods: the figures of a small chronicle, frozen, and only by who sees all of it."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import jsonschema
import pytest
from django.urls import reverse

from deployments import tasks
from deployments.models import Report, ReportPdf, ServingConfig
from deployments.reports.period_report import PeriodWish, period_document
from deployments.reports.report_proof import proof_of
from deployments.reports.report_schema import report_schema
from deployments.services import endpoint_rollback, period_report_freeze
from deployments.serving_cost import cost_per_day
from mlorch_site.accounts.roles import Role
from mlorch_site.lib.errors import Forbidden, Invalid
from monitoring import outside_figures
from monitoring.spans import Span
from registry.services import environment_create
from tests.deployments.world import START, World
from tests.factories import make_person
from tests.support.live import signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def chronicle(world: World) -> World:
    """One promoted, one taken back by the judge, one promoted and then rolled back by hand, within two hours."""
    world.serve(1)
    world.errors = {"2": 0.5}
    world.until(world.request(2), "rolled_back")
    world.errors = {}
    third = world.until(world.request(3), "succeeded")
    with world.at():
        back = endpoint_rollback(
            actor=world.people.mona.actor, endpoint=world.endpoint, expects=str(third.pk), reason="it is slow"
        )
    world.until(back, "succeeded")
    ServingConfig.objects.update(replicas=2, cost_per_replica_hour=3)
    world.now = START + timedelta(hours=2)
    return world


def wish(world: World, **about: Any) -> PeriodWish:
    return PeriodWish(Span(START, world.now), **about)


def document(world: World, name: str = "mona", **about: Any) -> dict[str, Any]:
    with world.at():
        return period_document(getattr(world.people, name).actor, wish(world, **about))


def test_cost__of_an_endpoint__is_an_amount_a_day_and_unknown_where_a_config_does_not_say_it(chronicle):
    asked = ("production", "clinic", START, chronicle.now)
    with chronicle.at():
        assert cost_per_day(*asked) == pytest.approx(document(chronicle)["cost"]["amount"] * 12, rel=1e-3)
        assert outside_figures.cost_per_day(*asked[:2], since=START, until=chronicle.now) == cost_per_day(*asked)
        ServingConfig.objects.update(cost_per_replica_hour=0)
        assert cost_per_day(*asked) is None


def test_document__chronicle__has_the_figures_with_what_they_rest_on(chronicle):
    told = document(chronicle)

    assert (told["promotion"]["part"], told["promotion"]["whole"]) == (2, 3)
    assert (told["change_failure"]["part"], told["change_failure"]["whole"]) == (2, 3)
    assert told["restore"]["n"] == 2
    assert told["exceptions"]["deviations"] == {"taken back": 1}
    assert told["causes"] == [{"status": "rolled_back", "cause": "Harmful", "count": 1}]
    assert len(told["releases"]) == told["releases_total"] == 4
    assert list(jsonschema.Draft202012Validator(report_schema()).iter_errors(told)) == []


def test_cost__replica_hours_of_what_was_in_the_traffic(chronicle):
    cost = document(chronicle)["cost"]
    # One version for all but the seconds of two canaries and the begin: two replicas for close to two hours.
    assert 3.9 < cost["replica_hours"] < 4.1
    assert cost["amount"] == pytest.approx(cost["replica_hours"] * 3, abs=0.001)
    with chronicle.at():
        later = PeriodWish(Span(START + timedelta(hours=1), chronicle.now))
        last_hour = period_document(chronicle.people.mona.actor, later)["cost"]
    assert last_hour["replica_hours"] == pytest.approx(2), "it stood so before the span already"


def test_document__of_an_environment_without_releases__says_nothing_of_nothing(chronicle, people):
    other = environment_create(actor=people.ada.actor, name="staging", position=1)
    told = document(chronicle, environment=other)

    assert (told["promotion"]["value"], told["releases_total"], told["cost"]["amount"]) == (None, 0, 0)


def test_freeze__stays_as_it_was_and_is_verified(chronicle):
    with chronicle.at():
        frozen = period_report_freeze(actor=chronicle.people.mona.actor, wish=wish(chronicle))
    before = Report.objects.get(pk=frozen.pk).document
    Report.objects.exclude(pk=frozen.pk).delete()

    assert Report.objects.get(pk=frozen.pk).document == before
    assert proof_of(Report.objects.get(pk=frozen.pk)).state == "verified"


def test_freeze__sees_only_a_part__is_refused_and_only_its_part_is_shown(chronicle):
    sam = make_person("sam", [(Role.REVIEWER, "environment:production")])
    with chronicle.at():
        with pytest.raises(Forbidden, match="choose an environment"):
            period_report_freeze(actor=sam.actor, wish=wish(chronicle))
        everything = period_report_freeze(actor=chronicle.people.mona.actor, wish=wish(chronicle))
        own = period_report_freeze(actor=sam.actor, wish=wish(chronicle, environment=chronicle.environment))
        browser = signed_in("sam")
        assert browser.get(reverse("report", args=[everything.pk])).status_code == 404
        assert browser.get(reverse("report", args=[own.pk])).status_code == 200
        assert browser.get(reverse("reports-period"), {"environment": "nowhere"}).status_code == 404


def test_freeze__period_not_over__is_refused(chronicle):
    late = PeriodWish(Span(START, chronicle.now + timedelta(hours=1)))
    with chronicle.at(), pytest.raises(Invalid, match="over"):
        period_report_freeze(actor=chronicle.people.mona.actor, wish=late)


def test_surfaces__page_csv_rest_print_and_pdf_are_of_one_document(chronicle, monkeypatch):
    browser = signed_in("mona")
    monkeypatch.setattr(tasks, "printed", lambda page: b"%PDF-" + page.encode())
    with chronicle.at():
        span = {"from": START.isoformat(), "to": chronicle.now.isoformat()}
        page = browser.get(reverse("reports-period"), span).content.decode()
        csv = browser.get(reverse("reports-period-csv"), span).getvalue().decode()
        rest = browser.get(reverse("api-reports-period"), span).json()
        sent = browser.post(f"{reverse('reports-period')}?{urlencode(span)}")
        frozen = browser.get(sent["Location"]).content.decode()
        report = Report.objects.get(kind="period")
        browser.post(reverse("report-pdf", args=[report.pk]))
        tasks.print_report(ReportPdf.objects.get().pk)
        pdf = browser.get(reverse("report-pdf", args=[report.pk])).content.decode()

    assert "66.7 %" in page
    assert '"promotion","0.6666666666666666","3"' in csv
    assert rest["promotion"] == report.document["promotion"]
    assert "Hash verified." in frozen
    assert "66.7 %" in pdf
    assert report.digest in pdf


def test_freeze__somebody_who_only_looks__is_refused_with_the_roles_that_may_and_nothing_is_kept(world, people):
    with world.at():
        before = Report.objects.count()
        page = signed_in("vik").post(f"{reverse('reports-period')}?range=7d")
        rest = signed_in("vik").post(f"{reverse('api-reports-period')}?range=7d")

    assert (page.status_code, rest.status_code) == (403, 403)
    assert "Risk officer" in page.content.decode()
    assert Report.objects.count() == before
