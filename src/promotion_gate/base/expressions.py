"""JMESPath expressions from a checklist: they pick one value, or a list of values, out of JSON that a host printed.

A checklist may come from a stranger. Whatever builds new values (multi-selects, all but a few functions) is refused: by
repeated doubling, a short expression could fill the memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions, signature

MAX_EXPRESSION = 1000
_FUNCTIONS = (
    "length",
    "max",
    "min",
    "sum",
    "avg",
    "keys",
    "values",
    "contains",
    "starts_with",
    "ends_with",
    "to_number",
)


class _Functions(Functions):
    """JMESPath's own, but the sum of nothing is nothing, as its maximum is: a misspelt key must not add up to 0."""

    @signature({"types": ["array-number"]})
    def _func_sum(self, numbers: list[float]) -> float | None:
        return sum(numbers) if numbers else None


_OPTIONS = jmespath.Options(custom_functions=_Functions())


class BadExpression(ValueError):
    """An expression that cannot be used; the message says why."""


class NoValue(ValueError):
    """The expression cannot be evaluated on this data; the message says why."""


def check_expression(expression: str) -> None:
    """Raises BadExpression for one that cannot be used."""
    _compiled(expression)


def search(expression: str, data: object) -> Any:
    """What the expression picks; None if it matches nothing. Raises NoValue."""
    try:
        return _compiled(expression).search(data, options=_OPTIONS)
    except (JMESPathError, RecursionError, TypeError, ValueError) as error:
        raise NoValue(" ".join(str(error).split())) from None


@lru_cache(maxsize=256)
def _compiled(expression: str) -> Any:
    if len(expression) > MAX_EXPRESSION:
        raise BadExpression(f"longer than {MAX_EXPRESSION} characters")
    try:
        compiled = jmespath.compile(expression)
    except (JMESPathError, RecursionError) as error:
        raise BadExpression(" ".join(str(error).partition("\n")[0].split()) or "it is empty") from None
    for node in _nodes(compiled.parsed):
        if node["type"] in ("multi_select_list", "multi_select_dict"):
            raise BadExpression("it builds a list or an object; pick what is there")
        if node["type"] == "function_expression" and node["value"] not in _FUNCTIONS:
            raise BadExpression(f"the function {node['value']} is not allowed (allowed: {', '.join(_FUNCTIONS)})")
    return compiled


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += [child for child in node.get("children", ()) if isinstance(child, Mapping)]  # a slice has numbers


def reads_nothing(expression: str) -> bool:
    """Whether an expression consists of literals only, so that its value does not depend on what was printed."""
    try:
        nodes = list(_nodes(_compiled(expression).parsed))
    except BadExpression:
        return False
    return not any(node["type"] in ("field", "current", "identity", "index", "slice") for node in nodes)
