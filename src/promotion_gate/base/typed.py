"""One type says what a JSON file holds: reading it, writing it, and its JSON Schema follow from that type.

Such a type is a frozen dataclass whose fields are str, int, float, bool, Any, a Literal, `X | None`, tuple[X, ...],
Mapping[str, X], a TypedDict, or such a dataclass. Annotated adds further conditions (Text, Number,
Length) and a plain string, which becomes the description in the schema. A field with a default may be absent; a Literal
of one value, the number of a schema, may not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from functools import cache, partial
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

from promotion_gate.base.errors import BundleError
from promotion_gate.base.fields import MAX_INTEGER, kind_of, nearest

T = TypeVar("T")
# Metadata of a field that is only for rendering and not in any file.
UNRECORDED = {"recorded": False}
MAX_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Text:
    """A string of a given form; `what` names it in a sentence. A `|` in the pattern is in parentheses."""

    pattern: str
    what: str

    def problem(self, value: str) -> str:
        return "" if re.fullmatch(self.pattern, value) else f"must be {self.what}, not {kind_of(value)}."

    def keywords(self) -> dict[str, Any]:
        return {"pattern": f"^{self.pattern}$"}


@dataclass(frozen=True, slots=True)
class Number:
    """A number of at least `low` and at most `high`."""

    low: int
    high: int = MAX_INTEGER

    def problem(self, value: float) -> str:
        bounds = f"at least {self.low}" if self.high == MAX_INTEGER else f"from {self.low} to {self.high}"
        return "" if self.low <= value <= self.high else f"must be {bounds}, not {str(value)[:40]}."

    def keywords(self) -> dict[str, Any]:
        return {"minimum": self.low, **({} if self.high == MAX_INTEGER else {"maximum": self.high})}


@dataclass(frozen=True, slots=True)
class Length:
    """A list of exactly `count` entries."""

    count: int

    def problem(self, value: tuple[Any, ...]) -> str:
        return "" if len(value) == self.count else f"must have {self.count} entries, not {len(value)}."

    def keywords(self) -> dict[str, Any]:
        return {"minItems": self.count, "maxItems": self.count}


Whole = Annotated[int, Number(0)]
STAMP = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"
Stamp = Annotated[str, Text(STAMP, "a time in UTC such as 2026-11-23T23:35:14Z")]
Sha256 = Annotated[str, Text("[0-9a-f]{64}", "a SHA-256 in lower-case hex digits")]
OptionalSha256 = Annotated[str, Text("([0-9a-f]{64})?", "a SHA-256 in lower-case hex digits, or empty")]
Name = Annotated[
    str, Text(r"(?!/)(?!(.*/)?\.\.(/|$))[^\u0000-\u001f]+", "a relative path"), "relative to the bundle, normalised"
]


@dataclass(frozen=True, slots=True)
class Or:
    """Another type that a file written by people may have; it is converted to the declared type."""

    kind: Any

    def problem(self, _: Any) -> str:
        return ""


def recorded(method: Callable[[Any], T]) -> Callable[[Any], T]:
    """Marks a method, below @property, whose return value is written to the file beside the fields."""
    method.__dict__["recorded"] = True
    return method


# --- reading ------------------------------------------------------------------------------------------------------


class _UnfitError(Exception):
    """What is wrong with a value, as the rest of a sentence, and the path to it."""

    def __init__(self, sentence: str, *path: str) -> None:
        self.sentence, self.path = sentence, path

    def at(self, place: str) -> _UnfitError:
        """The same, one step further from the value."""
        return _UnfitError(self.sentence, place, *self.path)


def read(kind: type[T], data: object, where: str) -> T:
    """A value of `kind` from parsed JSON. Raises BundleError naming the first place that does not fit."""
    hint: Any = kind
    try:
        found: T = _reader(hint)(data)
    except _UnfitError as unfit:
        place = "".join(unfit.path).removeprefix(".")
        raise BundleError(f"{where}: {place} {unfit.sentence}" if place else f"{where} {unfit.sentence}") from None
    return found


Reader = Callable[[Any], Any]


@cache
def _reader(hint: Any) -> Reader:
    """What reads a value of a type: a type is looked at once, not for each of a thousand commands."""
    kind, parts = get_origin(hint) or hint, get_args(hint)
    if kind is Annotated:
        return partial(_ruled, _reader(parts[0]), [rule.problem for rule in parts[1:] if not isinstance(rule, str)])
    if kind in (Union, UnionType):
        [other] = [part for part in parts if part is not NoneType]
        return partial(_optional, _reader(other))
    if kind is Literal:
        return partial(_literal, parts)
    if kind is tuple:
        return partial(_list, _reader(parts[0]))
    if kind is Mapping:
        return partial(_mapping, _reader(parts[0]), _reader(parts[1]))
    if is_dataclass(kind) or is_typeddict(kind):
        return partial(_object, kind)
    return _any if kind is Any else partial(_single, kind, *_SINGLE[kind])


def _ruled(reader: Reader, problems: list[Callable[[Any], str]], data: Any) -> Any:
    value = reader(data)
    for problem in problems:
        if found := problem(value):
            raise _UnfitError(found)
    return value


def _optional(reader: Reader, data: Any) -> Any:
    return None if data is None else reader(data)


def _literal(parts: tuple[Any, ...], data: Any) -> Any:
    if isinstance(data, bool) or not any(data == value and isinstance(data, type(value)) for value in parts):
        raise _UnfitError(f"must be {' or '.join(map(str, parts))}, not {kind_of(data)}.")
    return data


def _list(reader: Reader, data: Any) -> Any:
    _expect(data, (list, tuple), "a list")
    found: list[Any] = []
    try:
        for item in data:
            found.append(reader(item))
    except _UnfitError as unfit:
        raise unfit.at(f"[{len(found)}]") from None
    return tuple(found)


def _mapping(names: Reader, items: Reader, data: Any) -> Any:
    _expect(data, (Mapping,), "a mapping")
    found, name = {}, None
    try:
        for name, item in data.items():
            key = names(name)
            found[key] = items(item)
    except _UnfitError as unfit:
        raise unfit.at(f".{str(name)[:MAX_SHOWN]}") from None
    return found


def _object(kind: Any, data: Any) -> Any:
    _expect(data, (Mapping,), "a mapping")
    if missing := next((name for name in needed(kind) if name not in data), None):
        raise _UnfitError("is missing.", f".{missing}")
    computed = properties(kind)
    if not data.keys() <= _all_names(kind):
        shown = str(next(name for name in data if name not in _all_names(kind)))[:MAX_SHOWN]
        raise _UnfitError(f'has the unknown key "{shown}"{nearest(shown, members(kind)) or "."}')
    found, name = {}, ""
    try:
        for name, hint in computed.items():
            _reader(hint)(data[name])
        for name, reader in _readers(kind):
            if name in data:
                found[name] = reader(data[name])
    except _UnfitError as unfit:
        raise unfit.at(f".{name}") from None
    return kind(**found)


@cache
def _readers(kind: Any) -> tuple[tuple[str, Reader], ...]:
    return tuple((name, _reader(hint)) for name, hint in members(kind).items())


@cache
def _all_names(kind: Any) -> frozenset[str]:
    return frozenset((*members(kind), *properties(kind)))


def _expect(data: Any, kinds: tuple[type, ...], what: str) -> None:
    if not isinstance(data, kinds):
        raise _UnfitError(f"must be {what}, not {kind_of(data)}.")


_SINGLE: dict[Any, tuple[tuple[type, ...], str]] = {
    str: ((str,), "a string"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    bool: ((bool,), "true or false"),
}


def _any(data: Any) -> Any:
    return data


def _single(kind: Any, kinds: tuple[type, ...], what: str, data: Any) -> Any:
    if kind is str and type(data) is str:  # most of what a file has
        return data
    _expect(data, () if isinstance(data, bool) and kind is not bool else kinds, what)
    if isinstance(data, int) and abs(data) > MAX_INTEGER:
        raise _UnfitError("does not fit in 64 bits.")
    return data


@cache
def members(kind: Any) -> dict[str, Any]:
    """The fields of a dataclass or TypedDict that a file contains, each with its type."""
    hints = get_type_hints(kind, include_extras=True)
    if is_typeddict(kind):
        return hints
    return {field.name: hints[field.name] for field in fields(kind) if field.metadata != UNRECORDED}


def keys(kind: Any) -> list[str]:
    """The names of the fields that a file may have."""
    return [*members(kind)]


@cache
def needed(kind: Any) -> list[str]:
    """The names of the required fields."""
    if is_typeddict(kind):
        return sorted(kind.__required_keys__)
    bare = {field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING}
    return [name for name, hint in members(kind).items() if name in bare or _is_constant(hint)] + [*properties(kind)]


def _is_constant(hint: Any) -> bool:
    return get_origin(hint) is Literal and len(get_args(hint)) == 1


@cache
def properties(kind: Any) -> dict[str, Any]:
    """The types of the methods that @recorded marks."""
    getters = {name: getattr(member, "fget", None) for name, member in vars(kind).items()}
    marked = {name: getter for name, getter in getters.items() if getattr(getter, "recorded", False)}
    return {name: get_type_hints(getter, include_extras=True)["return"] for name, getter in marked.items()}


# --- writing ------------------------------------------------------------------------------------------------------


@cache
def _written(kind: Any) -> tuple[str, ...]:
    return (*members(kind), *properties(kind))


def plain(value: Any) -> Any:
    """A value as the data of a file: mappings, lists, strings, numbers."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if is_dataclass(value):
        kind: Any = type(value)
        return {name: plain(getattr(value, name)) for name in _written(kind)}
    return str(value) if isinstance(value, Enum) else value
