"""What a terminal would hide is taken out before a tool's output is read.

The machine that prints is not trusted: escape sequences, overwritten lines and control characters must
neither hide a bad line nor make up a good one.
"""

from __future__ import annotations

import re

# ECMA-48 (and xterm for OSC): CSI sequences, the string sequences OSC/DCS/SOS/PM/APC up to BEL or ST, and
# the short two- or three-byte escapes; each also in its one-character (C1) form. A string sequence without an
# end is no sequence: only its introducer goes, so that it cannot swallow the lines after it.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    # No introducer within a string sequence: else a row of them would take quadratic time.
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x90\x98\x9c-\x9f\r\n]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def plain(text: str) -> str:
    """Return *text* without escape sequences, its lines ended by ``\\n`` alone.

    A lone carriage return ends a line: a terminal would overwrite what stood there, we keep both.
    Other control characters become U+FFFD, so that they can never join two halves of a word.
    """
    text = _ESCAPES.sub("", text)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("\ufffd", text)


def lines(text: str) -> list[str]:
    """Return the lines of *text*, plain (see :func:`plain`), without trailing blanks."""
    return [line.rstrip(" \t") for line in plain(text).split("\n")]


def number(digits: str) -> int | None:
    """Return the decimal number, or None if it is longer than any count, PID or job id that a tool prints."""
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else None


def last_line(text: str, limit: int = 300) -> str:
    """The last line with something on it, bounded; what most tools say last is the reason."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:limit] if lines else ""


def key_values(text: str) -> dict[str, str]:
    """Reads `key: value` lines, the format of this project's own probes; a key that stands twice keeps the first."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, separator, value = line.partition(": ")
        if separator and key.isascii() and key.translate({ord("_"): None, ord("-"): None}).isalnum():
            found.setdefault(key, value.strip())
    return found
