"""What holds for every document: it never raises, and no field comes or goes unseen."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from promotion_gate.judge.ownership import analyse, load_map

CASES = Path(__file__).parent / "cases"
DOCUMENT = "docs/update.md"
MAP = load_map((CASES / "map.yml").read_text(encoding="utf-8"), "map.yml")
PLAIN = (CASES / "style-plain.md").read_text(encoding="utf-8")
MAPPED = {path for surface in MAP.surfaces for path in surface.fields}
STYLES = [path.read_text(encoding="utf-8") for path in sorted(CASES.glob("style-*.md")) if "non-ascii" not in path.name]
NAMES = st.text(string.ascii_lowercase + string.digits + "_", min_size=2, max_size=20).map(lambda tail: f"f{tail}")
BULLETS = st.sampled_from(
    [
        "- `{0}` (string)",
        "- `{0}`",
        "* **{0}** (integer, optional)",
        "+ `{0}`: object",
        "1. `{0}` — what it is for",
        "- {0}: string",
        "- {0} (string, owner: product)",
        "- [ ] `{0}`",
        "- [`{0}`](#more)",
        "- <code>{0}</code> (string)",
    ]
)
# Pieces of Markdown that change how the text around them is read.
BLOCKS = [
    "- ",
    "* ",
    "# ",
    "## ",
    "### ",
    "1. ",
    "> ",
    "```",
    "~~~",
    "    ",
    "\t",
    "| --- |",
    "---",
    "===",
    "\n",
    "\n\n",
]
INLINES = ["`", "**", "_", "~~", "[", "](", "]", "(", ")", ":", "|", "\\", "&nbsp;", "<!--", "-->", "<div>", "</div>"]
WORDS = ["\r\n", "\r", "## Required fields", "## Optional fields", "`a_b` (string)", "owner: Convex", "<details>"]
MARKS = st.sampled_from([*BLOCKS, *INLINES, *WORDS])


def seen(text: str, name: str) -> bool:
    """Does the outcome hold because of this name, or because the document cannot be read?"""
    outcome = analyse(MAP, {DOCUMENT: text})
    return bool(outcome.unreadable) or any(name in fault.field for fault in outcome.faults)


@given(st.text(max_size=400))
def test_any_text_has_an_outcome(text: str) -> None:
    outcome = analyse(MAP, {DOCUMENT: text}, {DOCUMENT: text})
    assert outcome.faults or outcome.unreadable
    assert outcome.changes == ()


@given(st.lists(MARKS | st.text(max_size=8), max_size=60).map("".join))
def test_any_markdown_has_an_outcome(text: str) -> None:
    for document in (text, text + PLAIN, PLAIN + text):
        outcome = analyse(MAP, {DOCUMENT: document}, {DOCUMENT: PLAIN})
        assert all(1 <= field.line <= document.count("\n") + document.count("\r") + 1 for field in outcome.fields)


@pytest.mark.parametrize("bullet", ["f00 (string, owner: product)", "f00: string, owner: product"])
def test_a_plain_word_with_a_type_and_an_owner_is_seen_below_another_field(bullet: str) -> None:
    """Found by the test below: it was taken for a remark on the owner of the field above."""
    nested = "- `result_ref` (object)\n  - `output_uri` (string)\n"
    style = next(style for style in STYLES if nested in style)
    assert seen(style.replace(nested, nested + f"  - {bullet}\n"), "f00")


@given(st.sampled_from(STYLES), NAMES, BULLETS, st.data())
def test_an_added_bullet_is_always_seen(style: str, name: str, bullet: str, data: st.DataObject) -> None:
    assume(name not in style)
    lines = style.splitlines()
    # Anywhere below a bullet of a section of fields, at that bullet's own indentation.
    places = [
        number
        for number, line in enumerate(lines)
        if line.lstrip()[:3] in ("- `", "* `") and "_" in line and number < _end_of_fields(lines)
    ]
    assume(places)
    at = data.draw(st.sampled_from(places))
    indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
    lines.insert(at + 1, indent + bullet.format(name))
    assert seen("\n".join(lines), name)


@given(st.sampled_from(sorted(MAPPED)), st.booleans())
def test_a_removed_bullet_is_always_seen(path: str, crlf: bool) -> None:
    outcome = analyse(MAP, {DOCUMENT: PLAIN})
    line = next(field.line for field in outcome.fields if field.path == path)
    lines = PLAIN.splitlines()
    del lines[line - 1]
    assert seen(("\r\n" if crlf else "\n").join(lines), path)


@given(NAMES, st.integers(0, 300), BULLETS)
def test_a_section_of_optional_fields_may_be_anywhere(name: str, at: int, bullet: str) -> None:
    lines = PLAIN.splitlines()
    headings = [number for number, line in enumerate(lines) if line.startswith("## ")] + [len(lines)]
    place = headings[at % len(headings)]
    section = ["", "## Optional fields", "", bullet.format(name), ""]
    assert seen("\n".join(lines[:place] + section + lines[place:]), name)


def _end_of_fields(lines: list[str]) -> int:
    """The line where the first section that is none of fields begins."""
    for number, line in enumerate(lines):
        if line.lstrip("# 0123456789.").lower().startswith(("idempot", "example")):
            return number
    return len(lines)
