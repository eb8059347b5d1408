"""The patterns of a checklist: what they match is what Python's own engine matches, in linear time."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promotion_gate.base.patterns import BadPattern, Search, check_pattern, first_match

ATOMS = st.sampled_from(
    ["a", "b", ".", "[ab]", "[^a]", r"\d", r"\w", r"\s", r"\S", r"\b", "^", "$", "c", r"\.", " ", "[a-c]", r"[\d.-]"]
)
SIGNS = st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{1,2}", "{1,}", "*?"])


def group(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    one = st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})")
    return st.tuples(one | inner.map(lambda text: f"(?:{text})"), SIGNS).map("".join)


PIECE = st.tuples(ATOMS, SIGNS).map(lambda pair: pair[0] if pair[0] in ("^", "$", r"\b") else "".join(pair))
PATTERNS = st.recursive(PIECE, lambda inner: group(inner) | st.tuples(inner, inner).map("".join), max_leaves=6)


@given(PATTERNS, st.text("abc1. -\n", max_size=12))
def test_it_finds_what_pythons_engine_finds(pattern: str, text: str) -> None:
    found = Search([pattern]).end_of_match(text) is not None
    assert found == (re.search(pattern, text, re.MULTILINE | re.ASCII) is not None)


@given(st.text(r"ab()[]{}|*+?^$\.-1,", max_size=12), st.text("ab1\n", max_size=6))
def test_any_pattern_is_matched_or_refused(pattern: str, text: str) -> None:
    try:
        search = Search([pattern])
    except BadPattern:
        return
    found = search.end_of_match(text)
    assert found is None or 0 <= found <= len(text)


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
    ],
)
def test_the_line_of_the_match_is_what_is_shown(pattern: str, text: str, line: str | None) -> None:
    assert first_match([pattern], text) == line


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(", "without its `)`"),
        (")", "without its `(`"),
        ("[", "without its `]`"),
        ("*a", "repeats nothing"),
        ("a**", "a repetition of nothing"),
        ("^*", "a repetition of nothing"),
        ("(?=a)b", "look-arounds"),
        ("(?P<n>a)", "look-arounds and flags"),
        (r"(a)\1", r"`\1` that is not supported"),
        ("a{1000}", "from 0 to 100"),
        ("a{2,1}", "the smaller number first"),
        ("a{", "write \\{ for the character"),
        ("((a{100}){100}){100}", "too large"),
        ("x" * 2000, "longer than 1000 characters"),
        ("[b-a]", "the wrong way round"),
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
    assert first_match([pattern], "a" * 20_000 + "!") is None
