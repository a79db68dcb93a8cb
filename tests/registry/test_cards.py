"""What a card says, as fields and as a document: nothing gets lost, and nothing of strangers does anything."""

from typing import Any

import pytest
from huggingface_hub import ModelCard
from hypothesis import assume, given
from hypothesis import strategies as st

from mlorch_site.lib.errors import Invalid
from registry.cards.card_comparison import compare_cards
from registry.cards.card_content import (
    CARD_FIELDS,
    FieldKind,
    card_digest,
    empty_content,
    missing_fields,
    read_content,
    stands_alone,
    written_results,
)
from registry.cards.card_document import card_document, read_document

FULL: dict[str, Any] = {
    "owner": "team wine",
    "contact": "wine@example.org",
    "risk_tier": "high",
    "licence": "apache-2.0",
    "language": ["no", "en"],
    "tags": ["1e3", "2020-01-01", "quality: high", "- x"],
    "datasets": ["wine"],
    "metrics": ["accuracy"],
    "library": "sklearn",
    "task": "tabular-classification",
    "summary": "Says how good a wine is.\n\n### Not a heading of ours\n\n```\n## code\n```",
    "intended_use": "- tasting",
    "limits": "> ## a quote\n\nRed wine only.",
    "training_data": "    indented code",
    "evaluation_data": "| a | b |\n|---|---|\n| 1 | 2 |",
    "results": [{"metric": "accuracy", "value": 0.123456789, "dataset": "wine"}],
    "risks": "",
    "more": "### One\n\nx",
    "extra": {"base_model": "x/y", "co2_eq_emissions": {"emissions": 1.5}, "odd": [None, True, "~", "1.0"]},
}
MARKS = st.text(st.sampled_from(list("#`~->|*[]_=:\n \t!<&x1é")), max_size=60)


def document(content: dict[str, Any]) -> str:
    return card_document(title="tumours_a version 2", about={"model": "tumours_a", "version": 2}, content=content)


def test_document__exported_and_imported__is_the_same() -> None:
    content = read_content(FULL)
    read = read_document(document(content))

    assert read.content == content
    assert read.notes == []
    assert read_content(read.content) == content


@given(MARKS, MARKS, MARKS, st.lists(MARKS, max_size=3), MARKS)
def test_document__whatever_can_be_saved__comes_back(
    summary: str, limits: str, more: str, tags: list[str], owner: str
) -> None:
    given_content = {"summary": summary, "limits": limits, "more": more, "tags": tags, "owner": owner}
    try:
        content = read_content(given_content)
    except Invalid:
        assume(False)

    assert read_document(document(content)).content == content


def test_document__hugging_face__reads_it_as_its_own() -> None:
    card = ModelCard(document(read_content(FULL)), ignore_metadata_errors=False)
    result = card.data.eval_results[0]

    assert card.data.license == "apache-2.0"
    assert card.data.language == ["no", "en"]
    assert card.data.library_name == "sklearn"
    assert card.data.pipeline_tag == "tabular-classification"
    assert (result.metric_type, result.metric_value, result.dataset_name) == ("accuracy", 0.123456789, "wine")
    assert result.task_type == "tabular-classification"
    assert "## Intended use\n\n- tasting" in card.text


def test_document__written_by_hugging_face__is_understood() -> None:
    text = """---
language:
- en
license: mit
datasets: squad
co2: 5
model-index:
- name: x
  results:
  - task: {type: question-answering}
    dataset: {type: squad, name: squad}
    metrics: [{type: f1, value: 1e-1}]
---

# bert

BERT is a model.

## Intended uses & limitations

Answers.

## How to use

```python
# not a heading
```

## Limitations

None known.
"""
    content = read_content(read_document(text).content)

    assert (content["licence"], content["language"], content["datasets"]) == ("mit", ["en"], ["squad"])
    assert content["results"] == [{"metric": "f1", "value": 0.1, "dataset": "squad"}]
    assert content["summary"] == "BERT is a model."
    assert content["intended_use"] == "### Intended uses & limitations\n\nAnswers."
    assert content["limits"] == "### Limitations\n\nNone known."
    assert content["more"] == "### How to use\n\n```python\n# not a heading\n```"
    assert content["extra"] == {"co2": 5}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("---\na: [", "cannot be read|has no end"),
        ("---\na: 1\n", "has no end"),
        ("---\n- a\n---\n", "no mapping"),
        ("---\na: &x [1]\nb: *x\n---\n", "refers to another part"),
        ("---\na: !!python/object:os.system x\n---\n", "cannot be read"),
        ("---\na: 1\na: 2\n---\n", "there twice"),
        ("---\na: " + "[" * 50 + "\n---\n", "nested more than"),
        ("---\na: [" + "1, " * 9000 + "]\n---\n", "more than 5,000 parts"),
        ("---\na: " + "x" * 70_000 + "\n---\n", "more than 64,000 characters"),
        ('---\na: "\\0"\n---\n', "zero character"),
        ("---\na: " + "9" * 19 + "\n---\n", "too large"),
        ("x" * 200_001, "more than 200,000 characters"),
    ],
)
def test_document__hostile__refused_with_a_sentence(text: str, problem: str) -> None:
    with pytest.raises(Invalid, match=problem) as refused:
        read_document(text)
    assert set(refused.value.details) == {"document"}


def test_document__odd_front_matter__is_kept_and_said() -> None:
    read = read_document("---\nlicense: [a, b]\nlanguage: 5\nmodel-index: nonsense\nmlorch: 3\n---\nHello")

    assert read.content["extra"] == {"license": ["a", "b"], "language": 5, "model-index": "nonsense"}
    assert len(read.notes) == 3
    assert read.content["summary"] == "Hello"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("summary", "## Limits"),
        ("summary", "Title\n==="),
        ("summary", "```\nnever closed"),
        ("summary", "~~~"),
        ("summary", "x" * 20_001),
        ("summary", "a\0b"),
        ("owner", 5),
        ("owner", "x" * 301),
        ("risk_tier", "enormous"),
        ("tags", "a,b"),
        ("tags", ["x"] * 51),
        ("results", [{"metric": "a", "value": float("nan")}]),
        ("results", [{"metric": "a", "value": True}]),
        ("results", [{"value": 1}]),
        ("results", [5]),
        ("extra", []),
        ("extra", {"a": "x" * 9000}),
        ("nonsense", "x"),
    ],
)
def test_content__that_cannot_be_taken__is_named(name: str, value: Any) -> None:
    with pytest.raises(Invalid) as refused:
        read_content({name: value})
    assert set(refused.value.details) == {name}


def test_content__missing__is_what_the_schema_requires() -> None:
    required = [field.name for field in CARD_FIELDS if field.required]
    assert [field.name for field in missing_fields(empty_content())] == required
    assert missing_fields(read_content(FULL)) == []
    assert card_digest(read_content(FULL)) != card_digest(read_content({**FULL, "owner": "x"}))


def test_results__written_by_hand__are_read_or_named() -> None:
    assert written_results("accuracy: .5 on hold out\n\n loss: 1e-3 ") == [
        {"metric": "accuracy", "value": 0.5, "dataset": "hold out"},
        {"metric": "loss", "value": 0.001, "dataset": ""},
    ]
    for wrong in ("accuracy", "accuracy: high", "accuracy: 1e", "a: 1 of b"):
        with pytest.raises(ValueError):
            written_results(wrong)


def test_comparison__says_what_differs_line_by_line() -> None:
    before = read_content(FULL)
    changed = {**FULL, "limits": "> ## a quote\n\nAll wine.", "tags": [], "extra": {}}
    found = {row.name: row.lines for row in compare_cards(before, read_content(changed))}

    assert set(found) == {"limits", "tags", "extra"}
    assert ("-", "Red wine only.") in found["limits"]
    assert ("+", "All wine.") in found["limits"]
    assert ("-", "- x") in found["tags"]
    assert compare_cards(before, before) == []


def test_stands_alone__sections_are_told_apart_by_headings_only() -> None:
    assert [stands_alone(text) for text in ("", "### x", "> ## x", "- ## x", "    ## x", "``` ## x```")] == [True] * 6
    assert {field.kind for field in CARD_FIELDS} == set(FieldKind)
