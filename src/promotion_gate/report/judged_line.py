"""Finds the line of a transcript that a finding is about, so that evidence is named with the line to look at."""

from __future__ import annotations

import re

# What identifies a line: words, numbers, paths, names of nodes and services.
_WORDS = re.compile(r"[A-Za-z0-9_./@-]{2,}")


def judged_line(observed: str, transcript: str) -> int | None:
    """The number, from 1, of the line that shares the most words with what was observed; None if no line shares two.

    Among equals, the first line. It only helps readers; no decision depends on it.
    """
    wanted = _words(observed)
    enough = min(2, len(wanted))
    best, number = 0, None
    for count, line in enumerate(transcript.splitlines(), start=1):
        common = len(wanted & _words(line))
        if common > best:
            best, number = common, count
    return number if best >= enough else None


def _words(text: str) -> set[str]:
    return {word.strip("./-").casefold() for word in _WORDS.findall(text)} - {""}
