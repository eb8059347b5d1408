"""The one YAML loader for files that people write: plain data, and the line and column of each value.

Refused, with the place: a duplicate key, anchors and aliases (they can make a small file enormous), tags, more than
MAX_CHARACTERS, more than MAX_BRACKETS nested in each other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from promotion_gate.base.errors import InputError

# The shipped checklist has 25 kB.
MAX_CHARACTERS = 256 * 1024
# Of [ and {; the shipped checklist nests 2. PyYAML's time grows with the square of the depth.
MAX_BRACKETS = 64

# YAML 1.1 reads 010 as 8 and 1:30 as 90.
_OTHER_BASE = re.compile(r"[-+]?0[0-9xXbB_]|.*:")

# Where a value is: the keys and list positions that lead to it.
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Marks:
    """Line and column, from 1, of everything in a file; for a mapping's entry those of its key."""

    name: str
    places: Mapping[Path, tuple[int, int]]

    def line(self, path: Path) -> int:
        """The line of a value, or of the nearest enclosing one if the file does not contain it."""
        return self.place(path)[0]

    def at(self, path: Path = ()) -> str:
        """`mine.yml, line 12, column 9` for what is at `path`, or for the nearest enclosing value."""
        line, column = self.place(path)
        return f"{self.name}, line {line}, column {column}"

    def place(self, path: Path) -> tuple[int, int]:
        """Line and column of a value, or of the nearest enclosing one."""
        while path not in self.places and path:
            path = path[:-1]
        return self.places.get(path, (1, 1))


def read_yaml(text: str, name: str, twice: list[Path] | None = None) -> tuple[Any, Marks]:
    """The content of a YAML file as plain data, with its marks; `name` is the file, for the errors.

    Raises InputError with file, line and column. With `twice` duplicate keys are added there; the first value counts.
    """
    if len(text) > MAX_CHARACTERS:
        raise InputError(f"{name}: too large ({len(text)} characters, the limit is {MAX_CHARACTERS}).")
    places: dict[Path, tuple[int, int]] = {}
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        loader.name, loader.twice = name, twice
        node = loader.get_single_node()
        data = loader.plain(node, (), places) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}, line {mark.line + 1}, column {mark.column + 1}" if mark else name
        raise InputError(f"{where}: not valid YAML ({error.problem}).") from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        where = f"{name}, line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"
        raise InputError(f"{where}: not valid YAML (a control character).") from None
    except RecursionError:
        raise InputError(f"{name}: not valid YAML (nested too deeply).") from None
    finally:
        if loader is not None:
            loader.dispose()
    return data, Marks(name, places)


class _Loader(yaml.SafeLoader):
    """PyYAML's own loader, in Python: a checklist must mean the same on every machine, with or without libyaml."""

    twice: list[Path] | None = None

    def fetch_alias(self) -> None:
        raise self.error(self.get_mark(), "anchors and aliases are not allowed; write the value out.")

    fetch_anchor = fetch_alias

    def fetch_tag(self) -> None:
        raise self.error(self.get_mark(), "tags are not allowed; write the plain value.")

    def fetch_flow_collection_start(self, token_class: Any) -> None:
        if self.flow_level >= MAX_BRACKETS:
            raise self.error(self.get_mark(), "nested too deeply.")
        super().fetch_flow_collection_start(token_class)

    def error(self, mark: Any, sentence: str) -> InputError:
        return InputError(f"{self.name}, line {mark.line + 1}, column {mark.column + 1}: {sentence}")

    def plain(self, node: yaml.Node, path: Path, places: dict[Path, tuple[int, int]]) -> Any:
        places.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(item, (*path, number), places) for number, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path, places)
        if node.tag.endswith((":int", ":float")) and _OTHER_BASE.match(node.value):
            raise self.error(
                node.start_mark, f'"{node.value[:40]}" is not decimal; write the number itself, or quote it.'
            )
        try:
            value = self.construct_object(node)
            if isinstance(value, str):
                value.encode("utf-8")
            return value
        except ValueError:  # 2026-13-01, an integer of thousands of digits, an escaped surrogate
            raise self.error(node.start_mark, f'"{str(node.value)[:40]}" cannot be read as a value.') from None

    def mapping(self, node: yaml.MappingNode, path: Path, places: dict[Path, tuple[int, int]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            mark = key_node.start_mark
            if not isinstance(key_node, yaml.ScalarNode):
                raise self.error(mark, "a key must be a string.")
            key = str(key_node.value)
            if key in result:
                if self.twice is None:
                    raise self.error(mark, f'duplicate key "{key}".')
                self.twice.append((*path, key, len(self.twice)))  # a place of its own
                places[self.twice[-1]] = (mark.line + 1, mark.column + 1)
                continue
            places[(*path, key)] = (mark.line + 1, mark.column + 1)
            result[key] = self.plain(value_node, (*path, key), places)
        return result
