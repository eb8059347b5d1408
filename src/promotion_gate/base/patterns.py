"""Regular expressions from a checklist. They run on what a VM printed, so they run in RE2, which takes linear time.

Python's own engine backtracks: `^(a+)+$` would keep a decision busy forever on one long line.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

try:
    import re2
except ImportError as error:
    raise ImportError("google-re2 is not installed; run `pip install --editable .` again.") from error

MAX_PATTERN = 1000
# How many bytes beside a match are looked at.
BESIDE = 24
_NOT_IN_RE2 = {
    "invalid perl operator": "look-arounds are not supported",
    "invalid escape sequence": "back references are not supported, nor are escapes of letters without a meaning",
}


class BadPattern(ValueError):
    """A pattern that cannot be used; the message says why."""


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    """The pattern for use on whole outputs: `^` and `$` match at the beginning and end of a line. Raises BadPattern."""
    if len(pattern) > MAX_PATTERN:
        raise BadPattern(f"longer than {MAX_PATTERN} characters")
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(b"(?m)" + pattern.encode(), options)
    except UnicodeError:
        raise BadPattern("it holds half of a surrogate pair, which is not a character") from None
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace").replace("(?m)", "", 1)
        why = _NOT_IN_RE2.get(reason.partition(":")[0])
        raise BadPattern(f"{reason} ({why})" if why else reason) from None


def check_pattern(pattern: str) -> None:
    """Raises BadPattern if it cannot be used, or if it matches an empty line: it would match anything."""
    if _compiled(pattern).search(b"") is not None:
        raise BadPattern("it matches the empty string, so it matches any output")


def first_match(patterns: Sequence[str], text: str) -> str | None:
    """The line in which the first match of any of the patterns ends, or None."""
    data = text.encode("utf-8", "replace")
    ends = [found.span() for pattern in patterns if (found := _compiled(pattern).search(data)) is not None]
    if not ends:
        return None
    _, end = min(ends)
    begin = data.rfind(b"\n", 0, max(0, end - 1)) + 1
    return data[begin:].partition(b"\n")[0].decode("utf-8", "replace").strip()


def groups(pattern: str) -> int:
    """How many capturing groups a pattern has."""
    return int(_compiled(pattern).groups)


def captured(pattern: str, printed: str) -> list[tuple[str, str, str]]:
    """What the only group of a pattern captured in each match; an empty string where it captured nothing.

    With it comes the text before and behind, of the same line, where the group is at that edge of its match: a number
    of which the pattern matched only a part is noticed by it.
    """
    data = printed.encode("utf-8", "replace")
    found = []
    for match in _compiled(pattern).finditer(data):
        begin, end = match.span(1)
        before = data[max(0, begin - BESIDE) : begin] if begin == match.start() else b""
        after = data[end : end + BESIDE] if end == match.end() else b""
        parts = (before.rpartition(b"\n")[2], match.group(1) or b"", after.partition(b"\n")[0])
        left, text, right = (part.decode("utf-8", "replace") for part in parts)
        found.append((left, text, right))
    return found
