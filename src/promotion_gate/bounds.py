"""Bounds on a version, as `supported_versions` of a policy has them: `>=2.7,<2.10`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

Parts = tuple[int, ...]

_OPERATORS: dict[str, Callable[[Parts, Parts], bool]] = {
    ">=": operator.ge, "<=": operator.le, "==": operator.eq,
    "!=": operator.ne, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
_BOUND = re.compile(r"\s*(>=|<=|==|!=|<|>)\s*([0-9]{1,9}(?:\.[0-9]{1,9})*)\s*")
GRAMMAR = "bounds joined by commas, each one of >= <= == != < > and a number such as 2.7"


def parse_bounds(text: str) -> tuple[tuple[str, Parts], ...]:
    """The bounds of a text, or ValueError: what is not understood must not pass for a bound that is met."""
    found = [_BOUND.fullmatch(part) for part in text.split(",")]
    if not all(found):
        raise ValueError(f"{text!r} is not {GRAMMAR}")
    return tuple((match[1], _parts(match[2])) for match in found if match)


def within(version: str, bounds: str) -> bool:
    """Whether `3.13.5` lies within `>=3.9,<3.14`; missing parts count as 0. Raises ValueError for bad bounds."""
    mine = _parts(version)
    return all(_OPERATORS[name](mine, bound) for name, bound in parse_bounds(bounds))


def _parts(version: str) -> Parts:
    numbers = [int(part) for part in version.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
