"""The patterns of a checklist: what they match is what Python's own engine matches, in linear time."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promotion_gate.base.patterns import BadPattern, check_pattern, first_match


@given(st.text(r"ab()[]{}|*+?^$\.-1,", max_size=12), st.text("ab1\n\ud800é", max_size=6))
def test_any_pattern_is_matched_or_refused(pattern: str, text: str) -> None:
    try:
        check_pattern(pattern)
    except BadPattern:
        return
    found = first_match([pattern], text)
    assert found is None or found in text.replace("\ud800", "?")


@pytest.mark.parametrize(
    ("pattern", "text", "line"),
    [
        ("^Error: ", "fine\nError: no\nmore", "Error: no"),
        ("failed$", "1 failed\n2 passed", "1 failed"),
        (r"\bfailed\b", "prefailed failed_", None),
        ("(?i)error", "an ERROR here", "an ERROR here"),
        ("(?i)[a-c]x", "BX", "BX"),
        (r"\n\n", "a\n\nb", ""),
        ("é+", "caféé", "caféé"),
        (".", "a\ud800b", "a?b"),
    ],
)
def test_the_line_of_the_match_is_what_is_shown(pattern: str, text: str, line: str | None) -> None:
    assert first_match([pattern], text) == line


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(", "missing ): ("),
        (")", "unexpected ): )"),
        ("[", "missing ]: ["),
        ("*a", "no argument for repetition operator: *"),
        ("a**", "bad repetition operator: **"),
        ("^*", "matches the empty string"),
        ("(?=a)b", "invalid perl operator: (?= (look-arounds are not supported)"),
        (r"(a)\1", r"invalid escape sequence: \1 (back references are not supported"),
        ("a{1001}", "invalid repetition size: {1001}"),
        ("a{2,1}", "invalid repetition size: {2,1}"),
        ("((a{100}){100}){100}", "invalid repetition size: {100}"),
        ("x" * 2000, "longer than 1000 characters"),
        ("[b-a]", "invalid character class range: b-a"),
        ("a\ud800", "half of a surrogate pair"),
        ("a|", "matches the empty string"),
        ("", "matches the empty string"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_reason(pattern: str, why: str) -> None:
    with pytest.raises(BadPattern, match=re.escape(why)):
        check_pattern(pattern)


@pytest.mark.stranger("14.6", "a regular expression of the checklist that takes exponential time")
@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "a*a*a*a*a*a*b", r".*.*.*\d"])
def test_matching_is_linear(pattern: str) -> None:
    """Python's own engine would not come back from these."""
    assert first_match([pattern], "a" * 1_000_000 + "!") is None


def test_of_several_patterns_the_first_match_in_the_output_is_shown() -> None:
    assert first_match(["later", "early"], "fine\nearly\nlater") == "early"
