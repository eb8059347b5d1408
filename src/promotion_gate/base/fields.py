"""Reads untrusted mappings (JSON, YAML, Ansible variables) field by field; a wrong field is named."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from promotion_gate.base.errors import GateError

T = TypeVar("T")
MAX_INTEGER = 2**63 - 1


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns `; did you mean "x"?` for the known name closest to `name`, or an empty text."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f'; did you mean "{match[0]}"?' if match else ""


class Fields:
    """One mapping, with the place it came from, read by type. Errors are of the class given."""

    def __init__(self, data: object, where: str, error: type[GateError]) -> None:
        if not isinstance(data, Mapping):
            raise error(f"{where} must be a mapping, not {kind_of(data)}.")
        self._data = data
        self.where = where
        self.error = error

    def only(self, known: Iterable[str]) -> None:
        """Refuses a key that is not in `known`, naming the nearest one that is."""
        names = list(known)
        for key in self._data:
            if key not in names:
                raise self.error(f'{self.where}: unknown key "{key}"{nearest(str(key), names)}')

    def has(self, key: str) -> bool:
        return self._data.get(key) is not None

    def raw(self, key: str, default: object = None) -> Any:
        value = self._data.get(key)
        return default if value is None else value

    def _typed(self, key: str, kinds: tuple[type, ...], name: str, default: T | None) -> Any:
        value = self._data.get(key)
        if value is None:
            if default is None:
                raise self.error(f"{self.where}: {key} is missing (expected {name}).")
            return default
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise self.error(f"{self.where}: {key} must be {name}, not {kind_of(value)}.")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        return str(self._typed(key, (str,), "a text", default))

    def optional_text(self, key: str) -> str | None:
        return self.text(key) if self.has(key) else None

    def integer(self, key: str, default: int | None = None) -> int:
        value = int(self._typed(key, (int,), "a whole number", default))
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise self.error(f"{self.where}: {key} is beyond 64 bits.")
        return value

    def boolean(self, key: str, default: bool | None = None) -> bool:
        return bool(self._typed(key, (bool,), "true or false", default))

    def sequence(self, key: str) -> list[Any]:
        return list(self._typed(key, (list, tuple), "a list", ()))

    def texts(self, key: str) -> tuple[str, ...]:
        items = self.sequence(key)
        for item in items:
            if not isinstance(item, str):
                raise self.error(f"{self.where}: {key} must hold texts only, not {kind_of(item)}.")
        return tuple(items)

    def mapping(self, key: str) -> dict[str, Any]:
        return dict(self._typed(key, (Mapping,), "a mapping", {}))

    def each(self, key: str, build: Callable[[Fields], T]) -> tuple[T, ...]:
        """Builds one value per entry of the list `key`; the entry's place is in its errors."""
        return tuple(
            build(Fields(item, f"{self.where}: {key}[{number}]", self.error))
            for number, item in enumerate(self.sequence(key))
        )


def kind_of(value: object) -> str:
    """The kind of a value in an operator's words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return f'the text "{value[:40]}"'
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, (list, tuple)) else type(value).__name__
