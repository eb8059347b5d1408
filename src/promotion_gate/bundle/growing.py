"""An index that is written again and again while it grows: what has not changed is not searched or encoded again.

The parts of an index are never changed, only replaced, so one that is the same object is the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from promotion_gate.base.files import to_json, write_atomically
from promotion_gate.base.names import INDEX_FILE
from promotion_gate.base.typed import plain
from promotion_gate.bundle.index import Index

WITHHELD = "[withheld]"


class Search:
    """Looks for text that must not be shown; records that had none are not searched twice."""

    def __init__(self, shows: Callable[[str], bool]) -> None:
        self._shows = shows
        self._clean: dict[int, object] = {}  # by id, with the object itself, which keeps the id its own

    def cleaned(self, value: Any, shown: list[str]) -> Any:
        """The value itself, or with [withheld] for each text that shows something, which is added to `shown`."""
        if isinstance(value, str):
            if not self._shows(value):
                return value
            shown.append(value)
            return WITHHELD
        if self._clean.get(id(value)) is value:
            return value
        result = self._members(value, shown)
        if is_dataclass(result) and not isinstance(result, Index):
            self._clean[id(result)] = result
        return result

    def _members(self, value: Any, shown: list[str]) -> Any:
        """What has members is made again only if one of them is another."""
        if is_dataclass(value) and not isinstance(value, type):
            members = {field.name: getattr(value, field.name) for field in fields(value)}
            found = self._members(members, shown)
            return value if found is members else replace(value, **found)
        if isinstance(value, Mapping):
            mapping = {key: self.cleaned(item, shown) for key, item in value.items()}
            return value if all(mapping[key] is item for key, item in value.items()) else mapping
        if isinstance(value, (list, tuple)):
            items = [self.cleaned(item, shown) for item in value]
            return value if all(map(_same, items, value)) else type(value)(items)
        return value


def _same(one: object, other: object) -> bool:
    return one is other


class IndexFile:
    """index.json of a bundle, as write_index() writes it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / INDEX_FILE
        self._texts: dict[tuple[int, int], tuple[object, str]] = {}  # by id and depth, with the object

    def write(self, index: Index) -> None:
        write_atomically(self._path, self.text(index))

    def text(self, index: Index) -> str:
        """The same as to_json(plain(index))."""
        before, self._texts = self._texts, {}
        names = sorted(field.name for field in fields(index))
        members = [f"  {json.dumps(name)}: {self._field(getattr(index, name), before)}" for name in names]
        return "{\n" + ",\n".join(members) + "\n}\n"

    def _field(self, value: Any, before: Mapping[tuple[int, int], tuple[object, str]]) -> str:
        if not isinstance(value, tuple) or not value:
            return self._text(value, 2, before)
        return "[\n" + ",\n".join("    " + self._text(item, 4, before) for item in value) + "\n  ]"

    def _text(self, value: Any, depth: int, before: Mapping[tuple[int, int], tuple[object, str]]) -> str:
        key = id(value), depth
        known = before.get(key)
        if known is None or known[0] is not value:
            known = value, to_json(plain(value)).rstrip("\n").replace("\n", "\n" + " " * depth)
        self._texts[key] = known
        return known[1]
