"""Numbers that a checklist's pattern finds in text: whether it found the whole number, in the unit that is meant."""

from __future__ import annotations

import re

NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)
# What beside digits belongs to the number: digits, a decimal point, a sign, an exponent; thousands (1,200) by threes.
_BEFORE = re.compile(r"[0-9]$|(?<!\.)\.$|(?:^|\W)-$", re.ASCII)
_AFTER = re.compile(r"[0-9]|\.[0-9]|[eE][+-]?[0-9]", re.ASCII)
_THOUSANDS_BEFORE = re.compile(r"[0-9][,']$", re.ASCII)
_THOUSANDS_AFTER = re.compile(r"[,'][0-9]{3}(?![0-9])", re.ASCII)
# 3.13.5 or 10.0.0.1, of which a part may be meant; but 1.234.567 is a number in many languages.
_DOTTED = re.compile(r"[0-9]+(?:\.[0-9]+){2,}", re.ASCII)
_GROUPED = re.compile(r"[0-9]{1,3}(?:\.[0-9]{3})+", re.ASCII)
_UNIT = re.compile(r" ?([A-Za-zµ]+)")
_SIZE = re.compile(r"([kKMGTPE]?)(i?[bB](?:ytes?)?|i)?")
_TIMES = {"s": "s", "sec": "s", "secs": "s", "second": "s", "seconds": "s", "ms": "ms", "us": "us", "µs": "us",
          "ns": "ns", "min": "min", "minutes": "min", "h": "h", "hours": "h"}  # fmt: skip


def part_of(before: str, text: str, after: str, unit: str | None) -> str:
    """What a number is only a part of (1,200 of which a pattern took 200; 2T where the unit is GB), or an empty string.

    `before` and `after` are beside it on its line, empty where the pattern itself goes on there.
    """
    whole = f"{before[-20:]}{text}{after[:20]}".strip()
    dotted = _digits_at_end(before) + text + _digits_at_start(after)
    if _DOTTED.fullmatch(dotted.rstrip(".")) and not _GROUPED.fullmatch(dotted):
        return ""
    left = not text[:1].isspace() and (_BEFORE.search(before) or (len(text) == 3 and _THOUSANDS_BEFORE.search(before)))
    other = unit and (found := _UNIT.match(after)) and _kind(found[1]) != _kind(unit) and _comparable(found[1], unit)
    return whole if left or _AFTER.match(after) or _THOUSANDS_AFTER.match(after) or other else ""


def _digits_at_end(text: str) -> str:
    return text[len(text.rstrip("0123456789.")) :]


def _digits_at_start(text: str) -> str:
    return text[: len(text) - len(text.lstrip("0123456789."))]


def _kind(unit: str) -> tuple[str, str]:
    """A unit as its dimension and its multiple; the letters themselves for one that is not known."""
    if unit in _TIMES:
        return "time", _TIMES[unit]
    size = _SIZE.fullmatch(unit)
    return ("size", size[1].upper()) if size and unit else ("", unit)


def _comparable(one: str, other: str) -> bool:
    dimension = _kind(one)[0]
    return bool(dimension) and dimension == _kind(other)[0]
