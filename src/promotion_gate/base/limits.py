"""Typed limits: each check declares its own where it is registered, and a checklist is read against them.

There are no defaults: a limit that the checklist does not set is an input error, and so is one that would switch the
check off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from promotion_gate.base.expressions import BadExpression, check_expression
from promotion_gate.base.fields import kind_of, nearest
from promotion_gate.base.patterns import BadPattern, check_pattern

Kind = Literal[
    "whole", "number", "flag", "word", "path", "paths", "patterns", "pattern", "value", "command", "expression"
]
# Which direction is tighter: a larger or a smaller number, true or false, more entries. None: the limit is not a
# threshold but says what is judged.
Tighter = Literal["larger", "smaller", "true", "false", "more"]
MAX_ENTRIES = 100
MAX_TEXT = 1000


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of a kind of check: `low` and `high` bound a number, inclusive; `choices` are the allowed words."""

    name: str
    kind: Kind
    tighter: Tighter | None = None
    low: float = 0
    high: float = 0
    unit: str = ""
    choices: tuple[str, ...] = ()
    required: bool = True

    @property
    def wanted(self) -> str:
        """What a value must be, in words."""
        unit = f" {self.unit}" if self.unit else ""
        return {
            "whole": f"a whole number from {self.low:g} to {self.high:g}{unit}",
            "number": f"a number from {self.low:g} to {self.high:g}{unit}",
            "flag": "true or false",
            "word": "one of " + ", ".join(self.choices) if self.choices else "a string",
            "path": "a relative path inside the checkout",
            "paths": "a list of relative paths inside the checkout",
            "patterns": "a list of regular expressions",
            "pattern": "a regular expression",
            "value": "a string, a number, or true or false",
            "command": "the id of a command of its gate",
            "expression": "a JMESPath expression",
        }[self.kind]

    def problem(self, value: object) -> str | None:
        """Why a value cannot be this limit, as the rest of a sentence that starts with its name; or None."""
        wrong = f"must be {self.wanted}, not {kind_of(value)}."
        match self.kind:
            case "whole":
                ok = isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high
                return None if ok else wrong
            case "number":
                ok = isinstance(value, (int, float)) and not isinstance(value, bool)
                return None if ok and math.isfinite(value) and self.low <= value <= self.high else wrong  # type: ignore[arg-type, operator]
            case "flag":
                return None if isinstance(value, bool) else wrong
            case "word" | "command":
                return self._word_problem(value, wrong)
            case "expression":
                return _expression_problem(value) if isinstance(value, str) else wrong
            case "path":
                empty = value == "" and not self.required  # counts as missing
                return None if empty or (isinstance(value, str) and _inside(value)) else wrong
            case "paths":
                return _list_problem(value, wrong, lambda item: None if _inside(item) else wrong)
            case "pattern":
                return _pattern_problem(value) if isinstance(value, str) else wrong
            case "patterns":
                return _list_problem(value, wrong, _pattern_problem)
            case "value":
                number = isinstance(value, (int, float)) and math.isfinite(value)
                return None if number or isinstance(value, str) else wrong

    def _word_problem(self, value: object, wrong: str) -> str | None:
        if not isinstance(value, str) or not value or len(value) > MAX_TEXT:
            return wrong
        if self.choices and value not in self.choices:
            return wrong[:-1] + (nearest(value, self.choices) or ".")
        return None


def _inside(path: str) -> bool:
    parts = path.split("/")
    plain = all(part not in ("", ".", "..") for part in parts) and "\\" not in path and path.isprintable()
    return plain and len(path) <= MAX_TEXT


def _pattern_problem(pattern: str) -> str | None:
    try:
        check_pattern(pattern)
    except BadPattern as error:
        return f'holds "{pattern[:60]}", which cannot be used: {error}.'
    return None


def _expression_problem(expression: str) -> str | None:
    try:
        check_expression(expression)
    except BadExpression as error:
        return f'is "{expression[:60]}", which cannot be used: {error}.'
    return None


def _list_problem(value: object, wrong: str, of_item: Any) -> str | None:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return wrong
    if not value:
        return "is empty, which would switch the check off."
    if len(value) > MAX_ENTRIES:
        return f"has {len(value)} entries, the limit is {MAX_ENTRIES}."
    if len(set(value)) < len(value):
        return "lists an entry twice."
    return next((problem for item in value if (problem := of_item(item))), None)


def whole(name: str, low: int, high: int, tighter: Tighter, unit: str = "") -> Limit:
    return Limit(name, "whole", tighter, low, high, unit)


def flag(name: str, tighter: Literal["true", "false"]) -> Limit:
    return Limit(name, "flag", tighter)


def word(name: str, choices: Sequence[str] = (), required: bool = True) -> Limit:
    """Says what is judged: a tool, a service."""
    return Limit(name, "word", choices=tuple(choices), required=required)
