"""Regular expressions from a checklist. They run over what a VM printed, so they run in RE2: its time is linear."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

try:
    import re2
except ImportError as error:
    raise ImportError("google-re2 is not installed; run `pip install --editable .` again.") from error

MAX_PATTERN = 1000


class BadPattern(ValueError):
    """A pattern that cannot be used; the message says why."""


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Any:
    """The pattern for use on whole outputs: `^` and `$` are the begin and end of a line. Raises BadPattern."""
    if len(pattern) > MAX_PATTERN:
        raise BadPattern(f"longer than {MAX_PATTERN} characters")
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(f"(?m){pattern}", options)
    except (re2.error, UnicodeError) as error:
        reason = error.args[0] if error.args else error
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise BadPattern(text) from None


def check_pattern(pattern: str) -> None:
    """Raises BadPattern for one that cannot be compiled, or that matches an empty line: it would match anything."""
    if compiled(pattern).search("") is not None:
        raise BadPattern("it matches the empty string, so it matches any output")


def first_match(patterns: Sequence[str], text: str) -> str | None:
    """What the first of the patterns that occurs in `text` matches there, or None."""
    text = text.encode("utf-8", "replace").decode()  # RE2 takes no lone surrogates
    for pattern in patterns:
        found = compiled(pattern).search(text)
        if found is not None:
            return str(found.group(0))
    return None
