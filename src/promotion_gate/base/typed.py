"""One type says what a JSON file holds: reading it, writing it, and its JSON Schema follow from that type.

Such a type is a frozen dataclass whose fields are str, int, float, bool, Any, a Literal, `X | None`, tuple[X, ...],
Mapping[str, X], a TypedDict, or such a dataclass. Annotated adds what a value must be beside that (Text, Number,
Length) and a plain string, which the schema has as the description. A field with a default may be absent; a Literal
of one value, the number of a schema, may not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

from promotion_gate.base.errors import BundleError
from promotion_gate.base.fields import MAX_INTEGER, kind_of, nearest

T = TypeVar("T")
# Metadata of a field that is for rendering alone and in no file.
UNRECORDED = {"recorded": False}
MAX_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Text:
    """A string of one form; `what` names it in a sentence. A `|` in the pattern stands in brackets."""

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
Stamp = Annotated[
    str, Text("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", "a time in UTC such as 2026-11-23T23:35:14Z")
]
Sha256 = Annotated[str, Text("[0-9a-f]{64}", "a SHA-256 in lower-case hex digits")]
OptionalSha256 = Annotated[str, Text("([0-9a-f]{64})?", "a SHA-256 in lower-case hex digits, or empty")]
Name = Annotated[
    str, Text(r"(?!/)(?!(.*/)?\.\.(/|$))[^\u0000-\u001f]+", "a relative path"), "relative to the bundle, normalised"
]


@dataclass(frozen=True, slots=True)
class Or:
    """What a file that people write may have instead; the type is what is made of it."""

    kind: Any

    def problem(self, _: Any) -> str:
        return ""


def recorded(method: Callable[[Any], T]) -> Callable[[Any], T]:
    """Marks a method, below @property: what it returns stands in the file beside the fields."""
    method.__dict__["recorded"] = True
    return method


# --- reading ------------------------------------------------------------------------------------------------------


class _UnfitError(Exception):
    """What is wrong with a value, as the end of a sentence, and the way to it."""

    def __init__(self, sentence: str, *path: str) -> None:
        self.sentence, self.path = sentence, path


def read(kind: type[T], data: object, where: str) -> T:
    """A value of `kind` from JSON as it was parsed. Raises BundleError with the first place that does not fit."""
    try:
        found: T = _read(kind, data)
    except _UnfitError as unfit:
        place = "".join(unfit.path).removeprefix(".")
        raise BundleError(f"{where}: {place} {unfit.sentence}" if place else f"{where} {unfit.sentence}") from None
    return found


def _at(place: str, hint: Any, data: Any) -> Any:
    try:
        return _read(hint, data)
    except _UnfitError as unfit:
        unfit.path = (place, *unfit.path)
        raise


def _read(hint: Any, data: Any) -> Any:
    kind, parts = _shape(hint)
    if kind is Annotated:
        value = _read(parts[0], data)
        problems = (rule.problem(value) for rule in parts[1:] if not isinstance(rule, str))
        if problem := next(filter(None, problems), ""):
            raise _UnfitError(problem)
        return value
    if kind in (Union, UnionType):
        [other] = [part for part in parts if part is not NoneType]
        return None if data is None else _read(other, data)
    if kind is Literal:
        if isinstance(data, bool) or not any(data == value and isinstance(data, type(value)) for value in parts):
            raise _UnfitError(f"must be {' or '.join(map(str, parts))}, not {kind_of(data)}.")
        return data
    if kind is tuple:
        _expect(data, (list, tuple), "a list")
        return tuple([_at(f"[{number}]", parts[0], item) for number, item in enumerate(data)])
    if kind is Mapping:
        _expect(data, (Mapping,), "a mapping")
        places = ((f".{str(name)[:MAX_SHOWN]}", name, item) for name, item in data.items())
        return {_at(place, parts[0], name): _at(place, parts[1], item) for place, name, item in places}
    return _object(kind, data) if is_dataclass(kind) or is_typeddict(kind) else _single(kind, data)


@cache
def _shape(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    return get_origin(hint) or hint, get_args(hint)


def _expect(data: Any, kinds: tuple[type, ...], what: str) -> None:
    if not isinstance(data, kinds):
        raise _UnfitError(f"must be {what}, not {kind_of(data)}.")


_SINGLE: dict[Any, tuple[tuple[type, ...], str]] = {
    str: ((str,), "a string"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    bool: ((bool,), "true or false"),
}


def _single(kind: Any, data: Any) -> Any:
    if kind is Any:
        return data
    kinds, what = _SINGLE[kind]
    _expect(data, () if isinstance(data, bool) and kind is not bool else kinds, what)
    if isinstance(data, int) and abs(data) > MAX_INTEGER:
        raise _UnfitError("is beyond 64 bits.")
    return data


def _object(kind: Any, data: Any) -> Any:
    _expect(data, (Mapping,), "a mapping")
    members, computed = _members(kind), _properties(kind)
    for name in _needed(kind):
        if name not in data:
            raise _UnfitError("is missing.", f".{name}")
    for name in data:
        if name not in members and name not in computed:
            shown = str(name)[:MAX_SHOWN]
            raise _UnfitError(f'has the unknown key "{shown}"{nearest(shown, members) or "."}')
    for name, hint in computed.items():
        _at(f".{name}", hint, data[name])
    return kind(**{name: _at(f".{name}", hint, data[name]) for name, hint in members.items() if name in data})


@cache
def _members(kind: Any) -> dict[str, Any]:
    """The fields that a file has of a dataclass or TypedDict, each with its type."""
    hints = get_type_hints(kind, include_extras=True)
    if is_typeddict(kind):
        return hints
    return {field.name: hints[field.name] for field in fields(kind) if field.metadata != UNRECORDED}


def keys(kind: Any) -> list[str]:
    """The names of the fields that a file may have."""
    return [*_members(kind)]


@cache
def _needed(kind: Any) -> list[str]:
    """The names that must be there."""
    if is_typeddict(kind):
        return sorted(kind.__required_keys__)
    bare = {field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING}
    return [name for name, hint in _members(kind).items() if name in bare or _is_constant(hint)] + [*_properties(kind)]


def _is_constant(hint: Any) -> bool:
    return get_origin(hint) is Literal and len(get_args(hint)) == 1


@cache
def _properties(kind: Any) -> dict[str, Any]:
    """The types of what @recorded marks."""
    getters = {name: getattr(member, "fget", None) for name, member in vars(kind).items()}
    marked = {name: getter for name, getter in getters.items() if getattr(getter, "recorded", False)}
    return {name: get_type_hints(getter, include_extras=True)["return"] for name, getter in marked.items()}


# --- writing ------------------------------------------------------------------------------------------------------


@cache
def _written(kind: Any) -> tuple[str, ...]:
    return (*_members(kind), *_properties(kind))


def plain(value: Any) -> Any:
    """The data that a file has of a value: mappings, lists, strings, numbers."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if is_dataclass(value):
        kind: Any = type(value)
        return {name: plain(getattr(value, name)) for name in _written(kind)}
    return str(value) if isinstance(value, Enum) else value


# --- the JSON Schema ----------------------------------------------------------------------------------------------


def schema(kind: Any, title: str) -> dict[str, Any]:
    """The JSON Schema of a file that holds one value of `kind`."""
    shared: dict[str, Any] = {}
    whole = _object_schema(kind, shared)
    named = {"$defs": dict(sorted(shared.items()))} if shared else {}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **whole, **named}


_NAMES = {NoneType: "null", str: "string", int: "integer", float: "number", bool: "boolean"}


def _schema(hint: Any, shared: dict[str, Any]) -> dict[str, Any]:
    kind, parts = get_origin(hint), get_args(hint)
    if kind is Annotated:
        found = _schema(parts[0], shared)
        for rule in parts[1:]:
            if isinstance(rule, Or):
                found = {"anyOf": [_schema(rule.kind, shared), found]}
            else:
                found |= {"description": rule} if isinstance(rule, str) else rule.keywords()
    elif kind in (Union, UnionType):
        found = {"anyOf": [_schema(part, shared) for part in parts]}
    elif kind is Literal:
        found = {"const": parts[0]} if len(parts) == 1 else {"enum": list(parts)}
    elif kind is tuple:
        found = {"type": "array", "items": _schema(parts[0], shared)}
    elif kind is Mapping:
        found = {"type": "object", "additionalProperties": _schema(parts[1], shared)}
        if parts[0] is not str:
            found["propertyNames"] = _schema(parts[0], shared)
    elif is_dataclass(hint) or is_typeddict(hint):
        name = hint.__name__
        if name not in shared:
            shared[name] = _object_schema(hint, shared)
        found = {"$ref": f"#/$defs/{name}"}
    elif isinstance(hint, type) and issubclass(hint, Enum):
        found = {"enum": [item.value for item in hint]}
    else:
        found = {} if hint is Any else {"type": _NAMES[hint]}
    return found


def _object_schema(kind: Any, shared: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: _schema(hint, shared) for name, hint in {**_members(kind), **_properties(kind)}.items()},
        "required": sorted(_needed(kind)),
        "additionalProperties": False,
    }
