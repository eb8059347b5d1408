"""What an analysis of the contract documents found: fields, faults, and changes since the merge-base."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class FaultKind(StrEnum):
    """What can be wrong, in the order in which a reviewer should look at it."""

    DOCUMENT_MISSING = "document_missing"
    SECTION_MISSING = "section_missing"
    SECTION_EMPTY = "section_empty"
    NO_OWNER = "no_owner"
    TWO_OWNERS = "two_owners"
    FORBIDDEN_OWNER = "forbidden_owner"
    MIRRORS_AIIDA = "mirrors_aiida"
    MOVED = "moved"
    LISTED_TWICE = "listed_twice"
    GONE = "gone"
    ADR_CHANGED = "adr_changed"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a document. `owners` are those of the map, then any others that the document names."""

    surface: str
    path: str
    requirement: str
    type: str
    owners: tuple[str, ...]
    document: str
    line: int


@dataclass(frozen=True, slots=True)
class Fault:
    """`field` is empty for a fault of the whole document; `line` is None if there is no line to point at."""

    kind: FaultKind
    surface: str
    field: str
    document: str
    line: int | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Change:
    """A field that differs from the merge-base: added, moved, retyped or removed; `line` is the current one."""

    kind: str
    surface: str
    field: str
    document: str
    line: int | None
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result. `unreadable` makes the check INVALID; `base_unreadable` only says what was not compared."""

    fields: tuple[Field, ...]
    faults: tuple[Fault, ...]
    unreadable: tuple[str, ...]
    changes: tuple[Change, ...]
    compared: bool
    base_unreadable: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON and templates."""
        return {
            "fields": [{**asdict(field), "owners": list(field.owners)} for field in self.fields],
            "faults": [{**asdict(fault), "kind": str(fault.kind)} for fault in self.faults],
            "unreadable": list(self.unreadable),
            "changes": [asdict(change) for change in self.changes],
            "compared": self.compared,
            "base_unreadable": list(self.base_unreadable),
        }
