"""Checks data against the JSON Schemas of docs/schema, with the standard library alone.

Only the keywords that those schemas use; a schema with another one is an error. A test compares this with the package
jsonschema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

Problems = Iterator[str]


@cache
def schema_of(name: str) -> dict[str, Any]:
    """One of the shipped schemas: index, policy, baseline, promotion-decision, sign-off, verify-report."""
    text = (files("promotion_gate") / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def problems(name: str, data: object) -> list[str]:
    """What of `data` does not fit the schema `name`, each with its place."""
    schema = schema_of(name)
    return list(_Checker(schema).check(schema, data, ""))


_TYPES: dict[str, Callable[[object], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, Mapping),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "integer": lambda value: not isinstance(value, bool) and (isinstance(value, int) or _whole(value)),
}
_NOTES = frozenset(["$schema", "$defs", "title", "description", "then", "else"])


def _whole(value: object) -> bool:
    return isinstance(value, float) and value.is_integer()


def _same(one: object, other: object) -> bool:
    """Equal as JSON: true is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


class _Checker:
    """One method per keyword, named after it; `at` is the place of `data`."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root

    def check(self, schema: Mapping[str, Any], data: Any, at: str) -> Problems:
        for keyword, value in schema.items():
            if keyword not in _NOTES:
                method = getattr(self, f"_{keyword.removeprefix('$')}")
                yield from method(value, data, at, schema)

    def _fits(self, schema: Mapping[str, Any], data: Any) -> bool:
        return next(self.check(schema, data, ""), None) is None

    def _ref(self, value: str, data: Any, at: str, _: Mapping[str, Any]) -> Problems:
        yield from self.check(self.root["$defs"][value.removeprefix("#/$defs/")], data, at)

    def _type(self, value: str | list[str], data: Any, at: str, _: Mapping[str, Any]) -> Problems:
        names = [value] if isinstance(value, str) else value
        if not any(_TYPES[name](data) for name in names):
            yield f"{_where(at)} must be {' or '.join(names)}"

    def _const(self, value: Any, data: Any, at: str, _: Mapping[str, Any]) -> Problems:
        yield from self._enum([value], data, at, _)

    def _enum(self, value: list[Any], data: Any, at: str, _: Mapping[str, Any]) -> Problems:
        if not any(_same(data, item) for item in value):
            yield f"{_where(at)} must be {' or '.join(json.dumps(item) for item in value)}"

    def _pattern(self, value: str, data: Any, at: str, _: Mapping[str, Any]) -> Problems:
        if isinstance(data, str) and not re.search(value, data):
            yield f"{_where(at)} has not the form {value}"

    def _minLength(self, value: int, data: Any, at: str, _: Mapping[str, Any]) -> Problems:
        if isinstance(data, str) and len(data) < value:
            yield f"{_where(at)} must not be empty"

    def _minimum(self, value: float, data: Any, at: str, _: Mapping[str, Any]) -> Problems:
        if _TYPES["number"](data) and data < value:
            yield f"{_where(at)} must be at least {value}"

    def _maximum(self, value: float, data: Any, at: str, _: Mapping[str, Any]) -> Problems:
        if _TYPES["number"](data) and data > value:
            yield f"{_where(at)} must be at most {value}"

    def _exclusiveMinimum(self, value: float, data: Any, at: str, _: Mapping[str, Any]) -> Problems:
        if _TYPES["number"](data) and data <= value:
            yield f"{_where(at)} must be above {value}"

    def _minItems(self, value: int, data: Any, at: str, _: Mapping[str, Any]) -> Problems:
        if isinstance(data, list) and len(data) < value:
            yield f"{_where(at)} must have at least {value} entries"

    def _maxItems(self, value: int, data: Any, at: str, _: Mapping[str, Any]) -> Problems:
        if isinstance(data, list) and len(data) > value:
            yield f"{_where(at)} must have at most {value} entries"

    def _items(self, value: Mapping[str, Any], data: Any, at: str, schema: Mapping[str, Any]) -> Problems:
        first = len(schema.get("prefixItems", ()))
        for number, item in enumerate(data if isinstance(data, list) else ()):
            if number >= first:
                yield from self.check(value, item, f"{at}[{number}]")

    def _prefixItems(self, value: list[Any], data: Any, at: str, _: Mapping[str, Any]) -> Problems:
        if isinstance(data, list):
            for number, (schema, item) in enumerate(zip(value, data, strict=False)):
                yield from self.check(schema, item, f"{at}[{number}]")

    def _required(self, value: list[str], data: Any, at: str, _: Mapping[str, Any]) -> Problems:
        if isinstance(data, Mapping):
            yield from (f"{_where(at)} has no {name}" for name in value if name not in data)

    def _properties(self, value: Mapping[str, Any], data: Any, at: str, _: Mapping[str, Any]) -> Problems:
        if isinstance(data, Mapping):
            for name, schema in value.items():
                if name in data:
                    yield from self.check(schema, data[name], _below(at, name))

    def _additionalProperties(self, value: Any, data: Any, at: str, schema: Mapping[str, Any]) -> Problems:
        more = [name for name in data if name not in schema.get("properties", ())] if isinstance(data, Mapping) else []
        for name in more:
            if value is False:
                yield f"{_where(at)} has a field {name!r} that is not known"
            else:
                yield from self.check(value, data[name], _below(at, name))

    def _propertyNames(self, value: Mapping[str, Any], data: Any, at: str, _: Mapping[str, Any]) -> Problems:
        for name in data if isinstance(data, Mapping) else ():
            if not self._fits(value, name):
                yield f"{_where(at)} has a field {name!r}, whose name is not allowed"

    def _anyOf(self, value: list[Any], data: Any, at: str, _: Mapping[str, Any]) -> Problems:
        if not any(self._fits(schema, data) for schema in value):
            yield f"{_where(at)} is of no allowed kind"

    def _allOf(self, value: list[Any], data: Any, at: str, _: Mapping[str, Any]) -> Problems:
        for schema in value:
            yield from self.check(schema, data, at)

    def _if(self, value: Mapping[str, Any], data: Any, at: str, schema: Mapping[str, Any]) -> Problems:
        then = schema.get("then" if self._fits(value, data) else "else")
        if then is not None:
            yield from self.check(then, data, at)


def _where(at: str) -> str:
    return at or "it"


def _below(at: str, name: object) -> str:
    return f"{at}.{name}" if at else str(name)
