"""Cards are saved one after another, shown, compared, imported and printed; what was written is never lost."""

import re
import zlib
from typing import Any

import pytest
from django.urls import reverse

from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import paper
from mlorch_site.lib.errors import Forbidden
from mlorch_site.live.models import Event
from registry import tasks
from registry.cards import card_printing
from registry.cards.card_content import missing_fields, read_content
from registry.cards.card_prefill import prefilled
from registry.cards.selectors import card_in_force, card_said, readme_of
from registry.models import CardPdf, CardRevision, Model, Version
from registry.services import CardRevisedMeanwhile, card_save
from tests.registry.test_cards import FULL
from tests.support.live import signed_in

README = b"---\nlicense: mit\nbase_model: x/y\n---\n# T\n\nFrom the files.\n\n## Limits\n\n<script>alert(1)</script>\n"


@pytest.fixture
def version(registry, look, store, people) -> Version:
    registry.add("tumours", files={"README.md": README}, params={"depth": 3}, git_commit="abc")
    look()
    row = Version.objects.get()
    tasks.digest_version(row.pk)
    return Version.objects.select_related("model").get()


def save(version: Version, who: Any, based_on: int = 0, **changes: Any) -> CardRevision:
    content = {**FULL, **changes}
    return card_save(actor=who.actor, version=version, content=content, based_on=based_on, note="because")


def page_of(name: str, who: str = "emma", **query: Any) -> Any:
    return signed_in(who).get(reverse(name, args=["tumours", 1]), query)


def form_of(version: Version, **changes: str) -> dict[str, str]:
    answer = page_of("card-edit")
    texts = {row.field.name: row.text for row in answer.context["rows"]}
    return {**texts, "based_on": str(answer.context["based_on"]), "extra": answer.context["extra"], **changes}


def test_save__each_is_a_revision_with_its_record(version, people):
    first = save(version, people.emma)
    second = save(version, people.mona, 1, owner="team red")

    assert (first.number, second.number, second.files_digest) == (1, 2, version.digest)
    assert card_in_force(version).content["owner"] == "team red"
    assert AuditRecord.objects.filter(action="card.saved").count() == 2
    assert Event.objects.filter(kind="version.changed", data__version=1).exists()
    assert save(version, people.mona, 1, owner="team red").number == 2
    assert card_said(version)["licence"] == "apache-2.0"


def test_save__somebody_else_was_first__refused_and_nothing_is_lost(version, people):
    save(version, people.emma)
    with pytest.raises(CardRevisedMeanwhile, match="saved by emma"):
        save(version, people.mona, 0, owner="other")
    with pytest.raises(Forbidden):
        save(version, people.rita, 1, owner="other")

    assert CardRevision.objects.count() == 1


def test_prefilled__what_mlflow_says__can_be_saved_as_it_is(version, people):
    content = prefilled(version)

    assert content["results"] == [{"metric": "accuracy", "value": 0.91, "dataset": ""}]
    assert "`depth`: `3`" in content["more"]
    assert "Code commit: `abc`" in content["more"]
    assert [field.name for field in missing_fields(content)][:2] == ["owner", "contact"]
    assert card_save(actor=people.emma.actor, version=version, content=content, based_on=0).number == 1


def test_prefilled__hostile_registry__still_fits(version):
    Model.objects.update(tags={"license": "x" * 5000, "contact": "a\nb", "language": "en, de"}, owner="o" * 150)
    row = Version.objects.select_related("model").get()
    row.description = "```\nnever closed\n## Limits"
    row.tags = {"intended_use": "# big\n```", "risk_tier": "none", "limits": "## x"}
    row.signature = {"inputs": [{"name": "`|\n## x"}], "outputs": None}
    row.evidence = {
        "metrics": {":": 1, "a:b": 2, "t": True, "s": "x"},
        "params": {"`\n# h": "|\n```"},
        "datasets": [5, {"name": "## d\n```", "digest": None}],
        "flavors": ["python_function", 7],
        "requirements": ["a\n## b"] * 60,
    }
    content = prefilled(row)

    assert read_content(content) == content
    assert content["licence"] == ""
    assert content["contact"] == "a b"
    assert content["language"] == ["en", "de"]
    assert [row["metric"] for row in content["results"]] == ["a b"]
    assert "and 20 more" in content["more"]


def test_readme__kept_with_the_files_and_not_in_lists(version):
    assert readme_of(version) == README.decode()
    assert "readme" not in version.evidence


def test_page__without_a_card__proposes_and_names_what_is_missing(version, people):
    page = page_of("card", "vik").content.decode()

    assert "Nobody has written a card" in page
    assert "Intended use" in page
    assert "missing" in page
    assert "This needs the role" in page
    assert page_of("card-edit", "vik").status_code == 403
    assert page_of("card", "noa").status_code == 403
    assert page_of("card-export").status_code == page_of("card", revision="7").status_code == 404


def test_edit__saved__shown_without_anything_that_runs(version, people):
    browser, where = signed_in("emma"), reverse("card-edit", args=["tumours", 1])
    given = form_of(version, limits="<script>alert(1)</script> **none**", results="accuracy: 0.5 on holdout")
    answer = browser.post(where, given)
    page = page_of("card").content.decode()

    assert answer.status_code == 303
    assert "<strong>none</strong>" in page
    assert "<script>alert" not in page
    assert "holdout" in page
    assert "Revision 1" in signed_in("vik").get(reverse("version", args=["tumours", 1])).content.decode()


@pytest.mark.parametrize(
    ("field", "text"),
    [("results", "accuracy high"), ("limits", "## Mine"), ("owner", "x" * 400), ("risk_tier", "huge"), ("extra", "[")],
)
def test_edit__wrong__said_at_the_field_and_everything_stays(version, people, field, text):
    where = reverse("card-edit", args=["tumours", 1])
    answer = signed_in("emma").post(where, form_of(version, contact="desk 7", **{field: text}))
    page = answer.content.decode()

    assert answer.status_code == 400
    assert "desk 7" in page
    assert "Nothing is saved yet" in page
    problems = {row.field.name for row in answer.context["rows"] if row.problem}
    assert problems == ({field} - {"extra"}) or answer.context["extra_problem"]
    assert not CardRevision.objects.exists()


def test_edit__two_editors__each_keeps_what_only_they_changed_and_sees_what_both_did(version, people):
    save(version, people.emma)
    browser, where = signed_in("mona"), reverse("card-edit", args=["tumours", 1])
    given = form_of(version, contact="mona", limits="mona says so")
    save(version, people.emma, 1, licence="mit", limits="emma says so")
    answer = browser.post(where, given)
    rows = {row.field.name: row for row in answer.context["rows"]}

    assert answer.status_code == 409
    assert "What emma changed meanwhile" in answer.content.decode()
    assert (rows["contact"].text, rows["limits"].text, rows["licence"].text) == ("mona", "mona says so", "mit")
    assert [name for name, row in rows.items() if row.problem] == ["limits"]
    again = {name: row.text for name, row in rows.items()} | {"based_on": "2", "extra": answer.context["extra"]}
    assert browser.post(where, again).status_code == 303
    content = card_in_force(version).content
    assert (content["licence"], content["limits"], content["extra"]) == ("mit", "mona says so", FULL["extra"])


def test_edit__two_first_cards_at_once__the_second_is_told(version, people):
    given = form_of(version, contact="mona")
    save(version, people.emma)
    answer = signed_in("mona").post(reverse("card-edit", args=["tumours", 1]), given)

    assert answer.status_code == 409
    assert {row.field.name: row.text for row in answer.context["rows"]}["licence"] == "apache-2.0"


def test_import__fills_the_form_and_saves_nothing(version, people):
    browser, where = signed_in("emma"), reverse("card-import", args=["tumours", 1])
    readme = browser.post(where, {"readme": "1", "owner": "typed", "limits": "typed"})
    texts = {row.field.name: row.text for row in readme.context["rows"]}

    assert texts["licence"] == "mit"
    assert texts["summary"] == "From the files."
    assert (texts["owner"], texts["limits"]) == ("typed", "<script>alert(1)</script>")
    assert "Kept beside the fields: base_model." in readme.content.decode()
    bad = browser.post(where, {"document": "---\na: &x 1\nb: *x\n---\n", "owner": "typed"})
    assert "refers to another part" in bad.content.decode()
    assert 'value="typed"' in bad.content.decode()
    assert "b: *x" in bad.content.decode()
    assert not CardRevision.objects.exists()
    preview = browser.post(reverse("card-preview", args=["tumours", 1]), {**texts, "extra": readme.context["extra"]})
    assert "&lt;script&gt;" in preview.content.decode()


def test_revisions__listed_and_compared(version, people):
    save(version, people.emma)
    save(version, people.mona, 1, limits="White wine too.")
    page = page_of("card-revisions", "vik").content.decode()

    assert "From revision 1 to revision 2" in page
    assert "White wine too." in page
    assert "revision 1</a>" in page
    assert page_of("card-revisions", before="9", after="1").status_code == 404
    old = page_of("card", revision="1").content.decode()
    assert "This is revision 1" in old


def test_files_changed_since__said(version, people):
    save(version, people.emma)
    Version.objects.update(digest="sha256:" + "0" * 64)

    assert "are not those for which this revision was written" in page_of("card").content.decode()


def test_export_and_print__of_a_revision(version, people):
    save(version, people.emma)
    exported = page_of("card-export")
    printed = page_of("card-print", "vik").content.decode()

    assert exported["Content-Disposition"] == 'attachment; filename="tumours-1-card-1.md"'
    assert exported.content.startswith(b"---\nlicense: apache-2.0\n")
    assert "Red wine only." in printed
    assert "paper.css" in printed


@pytest.mark.slow
def test_pdf__made_by_the_work_queue_as_pdf_ua(version, people):
    card = save(version, people.emma, licence="")
    browser, where = signed_in("vik"), reverse("card-pdf", args=["tumours", 1])
    assert browser.get(where).status_code == 404
    assert browser.post(where).status_code == 303
    assert "The PDF is being made" in page_of("card").content.decode()
    tasks.print_card(CardPdf.objects.get().pk)
    answer = browser.get(where)
    pdf = CardPdf.objects.get()

    assert pdf.error == ""
    assert answer.content.startswith(b"%PDF-")
    streams = re.findall(rb"stream\n(.*?)\nendstream", answer.content, re.DOTALL)
    assert any(b"pdfuaid" in zlib.decompress(stream) for stream in streams if stream[:1] == b"x")
    assert answer["Content-Type"] == "application/pdf"
    tasks.print_card(pdf.pk)
    assert CardPdf.objects.get().made_at == pdf.made_at
    assert "missing" in card_printing.print_page(card, is_pdf=True)


def test_pdf__without_pango__says_what_to_install(version, people, monkeypatch, tmp_path):
    save(version, people.emma)
    (tmp_path / "weasyprint.py").write_text("raise OSError('cannot load library')")
    monkeypatch.setattr(paper.settings, "BASE_DIR", f"{tmp_path}:{paper.settings.BASE_DIR}")
    signed_in("vik").post(reverse("card-pdf", args=["tumours", 1]))
    tasks.print_card(CardPdf.objects.get().pk)

    assert "apt-get install libpango" in CardPdf.objects.get().error
    assert "apt-get install libpango" in page_of("card").content.decode()


def test_rest__put_and_get_and_conflict(version, people):
    browser, where = signed_in("emma"), reverse("api-card", args=["tumours", 1])

    def put(body: dict[str, Any]) -> Any:
        return browser.put(where, body, content_type="application/json")

    assert browser.get(where).json()["revision"] == 0
    saved = put({"based_on": 0, "content": FULL, "note": "first"})
    assert (saved.status_code, saved.json()["missing"]) == (200, [])
    conflict = put({"based_on": 0, "content": {**FULL, "owner": "b"}})
    assert (conflict.status_code, conflict.json()["error"]["details"]["in_force"]) == (409, 1)
    document = browser.get(reverse("api-card-export", args=["tumours", 1])).content.decode()
    assert put({"based_on": 1, "document": document}).json()["revision"] == 1
    assert put({"based_on": 1, "document": document.replace("team wine", "team red")}).json()["revision"] == 2
    assert browser.get(where, {"revision": 1}).json()["content"]["owner"] == "team wine"
    for wrong in (
        {"based_on": 2},
        {"based_on": -1, "content": {}},
        {"based_on": 2, "content": {"nonsense": 1}},
        {"based_on": 2, "content": {"extra": {"a": [[[[[[[[[[1]]]]]]]]]]}}},
        {"based_on": 2, "document": "---\n- a\n---"},
    ):
        assert put(wrong).status_code == 400, wrong
    rows = browser.get(reverse("api-card-revisions", args=["tumours", 1])).json()["results"]
    assert [(row["revision"], row["author"]) for row in rows] == [(2, "emma"), (1, "emma")]
    assert signed_in("vik").put(where, {"based_on": 2}, content_type="application/json").status_code == 403
