"""Pages and REST of reports: list, filters, one, two side by side, on paper; what is hidden stays hidden."""

import json
import re
import zlib

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from deployments import tasks
from deployments.models import Report, ReportPdf
from deployments.reports.report_page import figure_rows
from mlorch_site.accounts.roles import Role
from mlorch_site.lib import paper
from tests.deployments.world import World
from tests.factories import make_person
from tests.support.live import signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def three(world: World) -> World:
    """Reports of a first release, of a canary that was taken back, and of one that was promoted."""
    world.serve(1)
    world.errors = {"2": 0.5}
    world.until(world.request(2, ticket="CHG-7"), "rolled_back")
    world.errors = {}
    world.until(world.request(3), "succeeded")
    return world


def page(path: str, name: str = "vik", **query: object) -> str:
    answer = signed_in(name).get(path, query)
    assert answer.status_code == 200, answer.content
    return answer.content.decode()


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ({}, {1, 2, 3}),
        ({"outcome": "rolled_back"}, {2}),
        ({"environment": "production", "model": "tumours", "endpoint": "clinic"}, {1, 2, 3}),
        ({"environment": "staging"}, set()),
        ({"kind": "rollback"}, set()),
        ({"person": "emma"}, {1, 2, 3}),
        ({"person": "rita"}, set()),
        ({"since": "2026-11-23", "until": "2026-11-23"}, {1, 2, 3}),
        ({"until": "2026-11-22"}, set()),
        ({"q": "clin"}, {1, 2, 3}),
    ],
)
def test_list__filtered__page_and_rest_and_csv_agree(three, query, shown):
    rest = signed_in("vik").get(reverse("api-reports"), query).json()["results"]
    csv = signed_in("vik").get(reverse("reports-csv"), query).getvalue().decode().splitlines()
    html = page(reverse("reports"), **query)

    assert {row["version"] for row in rest} == shown
    assert len(csv) == 1 + len(shown)
    assert {number for number in (1, 2, 3) if f">tumours version {number}</a>" in html} == shown


@pytest.mark.parametrize("name", ["reports", "api-reports"])
def test_list__more_rows__no_more_queries(three, name):
    browser, counts = signed_in("vik"), []
    browser.get(reverse(name))
    for query in ({"outcome": "rolled_back"}, {"outcome": ""}):
        with CaptureQueriesContext(connection) as asked:
            assert browser.get(reverse(name), query).status_code == 200
        counts.append(len(asked))

    assert counts[0] == counts[1]


def test_report__hidden__is_404_on_every_surface(three):
    make_person("sam", [(Role.VIEWER, "environment:staging")])
    found = Report.objects.latest("pk")
    browser = signed_in("sam")
    pair = {"one": found.pk, "other": found.pk}

    for name in ("report", "report-print", "report-pdf", "api-report"):
        assert browser.get(reverse(name, args=[found.pk])).status_code == 404, name
    assert browser.post(reverse("report-pdf", args=[found.pk])).status_code == 404
    assert browser.get(reverse("reports-compare"), pair).status_code == 404
    assert browser.get(reverse("api-reports")).json()["count"] == 0
    assert not ReportPdf.objects.exists()


def test_compare__two_canaries__differences_first_and_charts_over_each_other(three):
    one, other = Report.objects.order_by("pk")[1:3]
    html = page(reverse("reports-compare"), one=one.pk, other=other.pk)
    rows = signed_in("vik").get(reverse("api-reports-compare"), {"one": one.pk, "other": other.pk}).json()
    said = {row["what"]: (row["one"], row["other"]) for row in rows}

    assert said["Outcome"] == ("rolled back", "succeeded")
    assert said["Change ticket"] == ("CHG-7", "–")
    assert said["Asked by"] == ("emma", "emma")
    assert [row["differs"] for row in rows] == sorted((row["differs"] for row in rows), reverse=True)
    assert "1: candidate (version 2)" in html
    assert "2: candidate (version 3)" in html


@pytest.mark.parametrize("query", [{}, {"one": "x", "other": "1"}, {"one": "0"}])
def test_compare__not_two__says_what_to_do(three, query):
    answer = signed_in("vik").get(reverse("reports-compare"), query)
    assert answer.status_code in (400, 422)
    assert signed_in("vik").get(reverse("api-reports-compare"), query).status_code in (400, 422)


def test_rest__report_and_schema__document_with_proof(three):
    browser, found = signed_in("vik"), Report.objects.order_by("pk")[1]
    told = browser.get(reverse("api-report", args=[found.pk])).json()

    assert told["document"] == found.document
    assert told["proof"]["state"] == "verified"
    assert browser.get(reverse("api-report-schema")).json()["$defs"].keys() >= {"release", "rollback"}
    assert browser.get("/api/v1/reports/schema/").status_code == 200
    assert browser.get(reverse("api-report", args=[found.pk]), {"format": "pdf"}).status_code == 404


def test_page__tampered__says_that_it_is_not_the_report(three):
    found = Report.objects.order_by("pk")[1]
    Report.objects.filter(pk=found.pk).update(document={**found.document, "ticket": "<script>x</script>"})
    html = page(reverse("release-report", args=[found.release_id]))

    assert "This is not the report that was written." in html
    assert "<script>x</script>" not in html


def test_page__format_1__is_still_shown(three):
    found = Report.objects.order_by("pk")[1]
    new = ("ticket", "waivers", "biography", "verdicts", "weights", "figures", "deviations")
    old = {key: value for key, value in found.document.items() if key not in new}
    old |= {"format": 1, "audit": {key: found.document["audit"][key] for key in ("first", "last", "hash")}}
    Report.objects.filter(pk=found.pk).update(document=old)

    assert "Its charts were not kept" in page(reverse("release-report", args=[found.release_id]))
    assert "Nothing was noted." in page(reverse("report-print", args=[found.pk]))
    other = Report.objects.latest("pk")
    assert "no charts to lay over" in page(reverse("reports-compare"), one=found.pk, other=other.pk)


def test_figures__bounded__and_the_table_has_what_the_charts_show(three):
    document = Report.objects.latest("pk").document
    rows = figure_rows(document)

    assert 0 < len(rows) == sum(len(line["rows"]) for line in document["figures"]["lines"])
    assert all(len(line["rows"]) <= 120 for line in document["figures"]["lines"])
    assert len(json.dumps(document)) < 100_000


@pytest.mark.slow
def test_pdf__made_by_the_work_queue__is_tagged_and_has_title_and_language(three):
    found, browser = Report.objects.order_by("pk")[1], signed_in("vik")
    where = reverse("report-pdf", args=[found.pk])
    assert browser.get(where).status_code == 404
    assert browser.post(where).status_code == 303
    assert "The PDF is being made" in page(reverse("release-report", args=[found.release_id]))
    tasks.print_report(ReportPdf.objects.get().pk)
    pdf = browser.get(where)
    streams = [
        zlib.decompress(stream)
        for stream in re.findall(rb"stream\n(.*?)\nendstream", pdf.content, re.DOTALL)
        if stream[:1] == b"x"
    ]

    assert ReportPdf.objects.get().error == ""
    assert pdf.content.startswith(b"%PDF-")
    everything = pdf.content + b"".join(streams)
    for wanted in (b"pdfuaid", b"/StructTreeRoot", b"/MarkInfo", b"/Lang", b"/DisplayDocTitle true", b"/Figure"):
        assert wanted in everything, wanted
    assert browser.get(reverse("api-report", args=[found.pk]), {"format": "pdf"}).content == pdf.content
    accepted = browser.get(reverse("api-report", args=[found.pk]), HTTP_ACCEPT="application/pdf")
    assert accepted["Content-Type"] == "application/pdf"


def test_pdf__cannot_be_made__says_why_and_is_tried_again_when_asked(three, monkeypatch):
    found, browser = Report.objects.latest("pk"), signed_in("vik")

    def fails(text: str) -> bytes:
        raise paper.NotPrinted("There is no Pango.")

    monkeypatch.setattr(tasks, "printed", fails)
    for _ in range(2):
        browser.post(reverse("report-pdf", args=[found.pk]))
        tasks.print_report(ReportPdf.objects.get().pk)
        pdf = ReportPdf.objects.get()
        assert (pdf.error, pdf.due_at) == ("There is no Pango.", None)
    assert "There is no Pango." in page(reverse("release-report", args=[found.release_id]))
