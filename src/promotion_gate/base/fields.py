"""Reads untrusted mappings (JSON, YAML, Ansible variables) field by field; errors name the field."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from promotion_gate.base.errors import GateError
from promotion_gate.base.mistakes import FileMistakes, Mistake
from promotion_gate.base.yaml_lines import Marks, Path

T = TypeVar("T")
MAX_INTEGER = 2**63 - 1


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to `name`, if one is close."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)), None)


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns `; did you mean "x"?` for the known name closest to `name`, or an empty string."""
    match = closest(name, known)
    return f'; did you mean "{match}"?' if match else ""


class Fields:
    """One mapping, with the place it came from, read by type. Errors are of the class given.

    With `marks` the place is file, line and column; without, it is `where`. With `mistakes` a wrong field is added to
    them, an empty value takes its place, and reading continues; without, it raises.
    """

    def __init__(
        self,
        data: object,
        where: str,
        error: type[GateError],
        marks: Marks | None = None,
        path: Path = (),
        mistakes: FileMistakes | None = None,
    ) -> None:
        self.where = where
        self.error = error
        self.marks = marks
        self.path = path
        self.mistakes = mistakes
        self._spelt: dict[str | int, str] = {}
        self._data: Mapping[str, Any] = {}
        if isinstance(data, Mapping):
            self._data = data
        elif mistakes is None:
            raise error(f"{marks.at(path) if marks else where} must be a mapping, not {kind_of(data)}.")
        else:
            mistakes.add(Mistake(path, f"must be a mapping, not {kind_of(data)}."), unread=True)

    def at(self, *keys: str | int) -> Path:
        """The place in the file of what is at `keys` below this mapping."""
        return (*self.path, *(self._spelt.get(key, key) for key in keys[:1]), *keys[1:])

    def fail(self, sentence: str, *keys: str | int) -> GateError:
        """The error for what is at `keys` below this mapping."""
        where = self.marks.at(self.at(*keys)) if self.marks else self.where
        return self.error(f"{where}: {sentence}")

    def refuse(self, sentence: str, *keys: str | int, unread: bool = False) -> None:
        """Raises that error, or adds it to the mistakes; `unread`: an empty value takes the place of the wrong one."""
        if self.mistakes is None:
            raise self.fail(sentence, *keys)
        self.mistakes.add(Mistake(self.at(*keys), sentence), unread)

    def only(self, known: Iterable[str]) -> None:
        """Refuses a key that is not in `known`, naming the nearest known one, and reads it as that."""
        names = list(known)
        for key in [key for key in self._data if key not in names]:
            self.refuse(f'unknown key "{key}"{nearest(str(key), names)}', key)
            meant = closest(str(key), names)
            if meant and meant not in self._data:
                self._data = {**self._data, meant: self._data[key]}
                self._spelt[meant] = key

    def names(self) -> list[str]:
        """The keys that are there."""
        return list(self._data)

    def line(self, key: str) -> int:
        """The line of a key, 0 without marks."""
        return self.marks.line(self.at(key)) if self.marks else 0

    def has(self, key: str) -> bool:
        return self._data.get(key) is not None

    def raw(self, key: str, default: object = None) -> Any:
        value = self._data.get(key)
        return default if value is None else value

    def _typed(self, key: str, kinds: tuple[type, ...], name: str, default: T | None) -> Any:
        value = self._data.get(key)
        if value is None and default is not None:
            return default
        if isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds):
            return value
        wrong = f"must be {name}, not {kind_of(value)}" if value is not None else f"is missing (expected {name})"
        self.refuse(f"{key} {wrong}.", key, unread=True)
        return kinds[0]() if kinds[0] is not Mapping else {}

    def text(self, key: str, default: str | None = None) -> str:
        return str(self._typed(key, (str,), "a string", default))

    def optional_text(self, key: str) -> str | None:
        return self.text(key) if self.has(key) else None

    def integer(self, key: str, default: int | None = None) -> int:
        value = int(self._typed(key, (int,), "a whole number", default))
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            self.refuse(f"{key} does not fit in 64 bits.", key, unread=True)
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value: float = self._typed(key, (int, float), "a number", default)
        return value

    def numbers(self, key: str) -> tuple[float, ...]:
        items = self.sequence(key)
        for number, item in enumerate(items):
            if not isinstance(item, (int, float)) or isinstance(item, bool):
                self.refuse(f"{key} must hold numbers only, not {kind_of(item)}.", key, number)
        return tuple(items)

    def boolean(self, key: str, default: bool | None = None) -> bool:
        return bool(self._typed(key, (bool,), "true or false", default))

    def sequence(self, key: str) -> list[Any]:
        return list(self._typed(key, (list, tuple), "a list", ()))

    def texts(self, key: str) -> tuple[str, ...]:
        items = self.sequence(key)
        for number, item in enumerate(items):
            if not isinstance(item, str):
                self.refuse(f"{key} must hold strings only, not {kind_of(item)}.", key, number, unread=True)
        return tuple(item for item in items if isinstance(item, str))

    def mapping(self, key: str) -> dict[str, Any]:
        return dict(self._typed(key, (Mapping,), "a mapping", {}))

    def below(self, key: str) -> Fields:
        """The mapping `key` as Fields; empty if it is missing."""
        where = f"{self.where}: {key}"
        return Fields(self.mapping(key), where, self.error, self.marks, self.at(key), self.mistakes)

    def each(self, key: str, build: Callable[[Fields], T]) -> tuple[T, ...]:
        """Builds one value per entry of the list `key`; the entry's place is in its errors."""
        built = []
        for number, item in enumerate(self.sequence(key)):
            where, path = f"{self.where}: {key}[{number}]", self.at(key, number)
            fields = Fields(item, where, self.error, self.marks, path, self.mistakes)
            if isinstance(item, Mapping):
                built.append(build(fields))
        return tuple(built)


def kind_of(value: object) -> str:
    """The kind of a value, in words for an operator."""
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
