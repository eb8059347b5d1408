"""Masked text is unknown text: a verdict that depends on what is behind a mask is not a verdict.

Redaction masks known secrets wherever they appear. A secret may be a word that a tool prints (`Traceback`), and then
its mask hides what a check looks for. So a check that passes on evidence with such a mask is repeated with each word
that evidence consists of in place of the mask, and counts only if the result is always the same; one that does not pass
counts only if the command itself failed. A mask in a place that always holds a secret (`password: ***`,
`amqp://user:***@host`) hides nothing: it would be there whatever the value.
"""

from __future__ import annotations

from functools import lru_cache

from promotion_gate.base.redact import MASK, Redactor

# The hint of a finding that depends on masked text.
MASKED = "masked"
# Not a word of any tool, and not a shape or a name that redaction knows.
_UNKNOWN = "Qz7xWk3vJp"
_REDACTOR = Redactor()

# What changes a PASS into another verdict if a tool prints it: failures, states, and phrases of several words, since a
# secret may consist of several.
WORDS = (
    *("Traceback", "Traceback (most recent call last)", "Traceback (most recent call last):", "recent call last"),
    *("Critical", "Critical: failed", "Error", "Error: failed", "Warning", "FAILED", "FAILED test_a.py", "ERROR"),
    *(
        "ERROR test_a.py",
        "failed",
        "1 failed in 0.1s",
        "= 1 failed",
        "no tests ran",
        "contract checks failed",
        "skipped",
    ),
    *(
        "failure",
        "failures",
        "UNKNOWN",
        "Daemon is running as PID 1 since now",
        "Profile: other",
        "drained",
        "draining",
    ),
    *("maintenance", "RESERVED", "MAINTENANCE", "NOT_RESPONDING", "DOWN", "INACTIVE", "ACTIVE", "ReservationName"),
    *("CANCELLED", "Submitted batch job 2", "--apply", "diff --git", "untracked", "modified"),
)


def hides(text: str) -> bool:
    """Whether the text has a mask that can only come from a known value."""
    return MASK in text and len(_pieces(text)) > 1


def taken_for(text: str, word: str) -> str:
    """The text with `word` in place of every mask that hides something."""
    return word.join(_pieces(text)) if MASK in text else text


@lru_cache(maxsize=256)
def _pieces(text: str) -> tuple[str, ...]:
    """The text between the masks that hide something."""
    asked = (_REDACTOR.text(line.replace(MASK, _UNKNOWN)) if MASK in line else line for line in text.split("\n"))
    return tuple("\n".join(asked).split(_UNKNOWN))
