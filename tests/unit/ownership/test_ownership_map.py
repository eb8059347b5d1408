"""A mistake in an ownership map is named with file, line and field."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promotion_gate.base.errors import InputError
from promotion_gate.judge.ownership import load_map, shipped_map
from promotion_gate.judge.ownership.map import REQUIRED_SECTIONS, shipped_text

SMALL = """\
internals: {surfaces: [Update], patterns: [pk]}
Update:
  document: docs/update.md
  required:
    event_id: transient
  optional:
    message: product
"""


def test_the_shipped_map_is_complete() -> None:
    ownership = shipped_map()
    assert [surface.name for surface in ownership.surfaces] == [
        "SubmitJobCommand",
        "ExecutionEvent",
        "ProjectionUpdate",
    ]
    assert [len(surface.fields) for surface in ownership.surfaces] == [19, 21, 16]
    assert all(surface.sections == REQUIRED_SECTIONS for surface in ownership.surfaces)
    assert {owner.name: owner.owns for owner in ownership.owners.values()} == {
        "product": "durable",
        "execution": "durable",
        "transient": "transient",
        "fastapi": "nothing",
        "redis": "nothing",
    }
    for surface in ownership.surfaces:
        assert all(len(field.owners) == 1 for field in surface.fields.values())


def test_what_a_map_leaves_out_is_the_shipped_maps() -> None:
    ownership = load_map(SMALL, "own.yml")
    assert ownership.owners == shipped_map().owners and ownership.sections == shipped_map().sections
    assert ownership.internal_patterns == ("pk",)
    assert ownership.surfaces[0].fields["message"].line == 7
    before = shipped_text().replace("names: [transient, nobody]", "names: [transient, fleeting]")
    owners = load_map(SMALL, "own.yml", before).owners
    assert owners["transient"].names == ("transient", "fleeting"), "the shipped map of the bundle, not today's"


@pytest.mark.parametrize(
    ("before", "after", "line", "says"),
    [
        ("event_id: transient", "event_id: transent", 5, 'did you mean "transient"?'),
        ("  document: docs/update.md", "  documnet: docs/update.md", 3, 'did you mean "document"?'),
        ("  document: docs/update.md\n", "", 2, "document is missing (expected a string)"),
        ("docs/update.md", "../update.md", 3, "inside the repository"),
        ("docs/update.md", "/etc/passwd", 3, "inside the repository"),
        ("message: product", "event_id: product", 7, "both required and optional"),
        ("message: product", "message: product\n    message: execution", 8, "duplicate key"),
        ("message: product", "message: {owner: product}", 7, "there is no owner a mapping"),
        ("message: product", "message: [product, [execution]]", 7, "there is no owner a list"),
        ("  optional:\n    message: product", "  optional: [message]", 6, "must be a mapping, not a list"),
        ("internals: {surfaces: [Update], patterns: [pk]}\n", "", 1, 'there is no surface "ProjectionUpdate"'),
        ("surfaces: [Update]", "surfaces: [Updte]", 1, 'did you mean "Update"?'),
        ("patterns: [pk]", "patterns: []", 1, "must be a list of strings"),
        ("internals:", "intern:", 1, 'did you mean "internals"?'),
        ("Update:\n", "schema: 2\nUpdate:\n", 2, "schema must be 1"),
        ("Update:\n", "schema: true\nUpdate:\n", 2, "schema must be a whole number"),
        ("Update:\n", "adr_digests: {docs/adr/a.md: abc}\nUpdate:\n", 2, "SHA-256"),
        ("Update:\n", "sections: {retry: [Retry]}\nUpdate:\n", 2, 'did you mean "retry_rule"?'),
        ("Update:\n", "sections: {other: [Errors]}\nUpdate:\n", 2, "opens both"),
        ("Update:\n", "owners: {product: {owns: all}}\nUpdate:\n", 2, "owns must be one of"),
        (
            "Update:\n",
            "owners: {product: {owns: durable, names: [Convex]}, x: {owns: nothing, names: [convex]}}\nUpdate:\n",
            2,
            "names both product and x",
        ),
        ("Update:\n", "owners: {}\nUpdate:\n", 2, "owners is empty"),
        ("  document:", "  sections: [retry]\n  document:", 3, 'did you mean "retry_rule"?'),
        (SMALL[SMALL.index("Update:") :], "", 1, "there is no surface"),
        (SMALL[SMALL.index("  required") :], "", 2, "has no fields"),
        (SMALL, "- a", 1, "must be a mapping, not a list"),
        (SMALL, "", 1, "must be a mapping, not nothing"),
        (SMALL, "A: [", 1, "not valid YAML"),
        (SMALL, "a: &x 1\nb: *x", 1, "anchors and aliases"),
        (SMALL, "? [a]\n: b", 1, "a key must be a string"),
    ],
)
def test_a_mistake_is_named(before: str, after: str, line: int, says: str) -> None:
    assert before in SMALL
    with pytest.raises(InputError) as caught:
        load_map(SMALL.replace(before, after, 1), "own.yml")
    sentence = str(caught.value)
    assert sentence.startswith(f"own.yml, line {line}, column ")
    assert says in sentence and "\n" not in sentence


def test_two_surfaces_have_two_documents() -> None:
    text = SMALL + SMALL[SMALL.index("Update:") :].replace("Update:", "Event:")
    with pytest.raises(InputError, match=r"own\.yml, line 9, column 3: Update and Event have the same document"):
        load_map(text, "own.yml")


@given(st.text(max_size=300))
def test_any_text_is_a_map_or_an_input_error(text: str) -> None:
    try:
        load_map(text, "own.yml")
    except InputError as error:
        assert "own.yml" in str(error)


@given(st.data())
def test_a_damaged_map_is_a_map_or_an_input_error(data: st.DataObject) -> None:
    text = shipped_text()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    try:
        load_map(text[:start] + data.draw(st.text(max_size=10)) + text[end:], "own.yml")
    except InputError as error:
        assert "own.yml" in str(error)
