"""Reads untrusted mappings (JSON, YAML, Ansible variables) field by field; a wrong field is named."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from promotion_gate.base.errors import GateError
from promotion_gate.base.yaml_lines import Marks, Path

T = TypeVar("T")
MAX_INTEGER = 2**63 - 1


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns `; did you mean "x"?` for the known name closest to `name`, or an empty string."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f'; did you mean "{match[0]}"?' if match else ""


class Fields:
    """One mapping, with the place it came from, read by type. Errors are of the class given.

    With `marks` the place is file, line and column; without, it is `where`.
    """

    def __init__(
        self, data: object, where: str, error: type[GateError], marks: Marks | None = None, path: Path = ()
    ) -> None:
        self.where = where
        self.error = error
        self.marks = marks
        self.path = path
        self._data: Mapping[str, Any] = {}
        if not isinstance(data, Mapping):
            raise error(f"{marks.at(path) if marks else where} must be a mapping, not {kind_of(data)}.")
        self._data = data

    def fail(self, sentence: str, *keys: str | int) -> GateError:
        """The error for what stands at `keys` below this mapping."""
        where = self.marks.at((*self.path, *keys)) if self.marks else self.where
        return self.error(f"{where}: {sentence}")

    def only(self, known: Iterable[str]) -> None:
        """Refuses a key that is not in `known`, naming the nearest one that is."""
        names = list(known)
        for key in self._data:
            if key not in names:
                raise self.fail(f'unknown key "{key}"{nearest(str(key), names)}', key)

    def names(self) -> list[str]:
        """The keys that are there."""
        return list(self._data)

    def line(self, key: str) -> int:
        """The line of a key, 0 without marks."""
        return self.marks.line((*self.path, key)) if self.marks else 0

    def has(self, key: str) -> bool:
        return self._data.get(key) is not None

    def raw(self, key: str, default: object = None) -> Any:
        value = self._data.get(key)
        return default if value is None else value

    def _typed(self, key: str, kinds: tuple[type, ...], name: str, default: T | None) -> Any:
        value = self._data.get(key)
        if value is None:
            if default is None:
                raise self.fail(f"{key} is missing (expected {name}).", key)
            return default
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise self.fail(f"{key} must be {name}, not {kind_of(value)}.", key)
        return value

    def text(self, key: str, default: str | None = None) -> str:
        return str(self._typed(key, (str,), "a string", default))

    def optional_text(self, key: str) -> str | None:
        return self.text(key) if self.has(key) else None

    def integer(self, key: str, default: int | None = None) -> int:
        value = int(self._typed(key, (int,), "a whole number", default))
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise self.error(f"{self.where}: {key} is beyond 64 bits.")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value: float = self._typed(key, (int, float), "a number", default)
        return value

    def numbers(self, key: str) -> tuple[float, ...]:
        items = self.sequence(key)
        for number, item in enumerate(items):
            if not isinstance(item, (int, float)) or isinstance(item, bool):
                raise self.fail(f"{key} must hold numbers only, not {kind_of(item)}.", key, number)
        return tuple(items)

    def boolean(self, key: str, default: bool | None = None) -> bool:
        return bool(self._typed(key, (bool,), "true or false", default))

    def sequence(self, key: str) -> list[Any]:
        return list(self._typed(key, (list, tuple), "a list", ()))

    def texts(self, key: str) -> tuple[str, ...]:
        items = self.sequence(key)
        for number, item in enumerate(items):
            if not isinstance(item, str):
                raise self.fail(f"{key} must hold strings only, not {kind_of(item)}.", key, number)
        return tuple(items)

    def mapping(self, key: str) -> dict[str, Any]:
        return dict(self._typed(key, (Mapping,), "a mapping", {}))

    def below(self, key: str) -> Fields:
        """The mapping `key` as Fields; an empty one where it is not there."""
        return Fields(self.mapping(key), f"{self.where}: {key}", self.error, self.marks, (*self.path, key))

    def each(self, key: str, build: Callable[[Fields], T], problems: list[GateError] | None = None) -> tuple[T, ...]:
        """Builds one value per entry of the list `key`; the entry's place is in its errors.

        With `problems` an entry that cannot be built is left out, and its error is added to them.
        """
        built = []
        for number, item in enumerate(self.sequence(key)):
            try:
                place = f"{self.where}: {key}[{number}]"
                built.append(build(Fields(item, place, self.error, self.marks, (*self.path, key, number))))
            except self.error as error:
                if problems is None:
                    raise
                problems.append(error)
        return tuple(built)


def kind_of(value: object) -> str:
    """The kind of a value in an operator's words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return f'the string "{value[:40]}"'
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, (list, tuple)) else type(value).__name__
