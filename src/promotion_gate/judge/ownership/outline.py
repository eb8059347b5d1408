"""What has been read of a contract document, and the headings that are open at the current block."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from markdown_it.tree import SyntaxTreeNode

from promotion_gate.judge.ownership.claims import Claims
from promotion_gate.judge.ownership.map import Requirement
from promotion_gate.judge.ownership.nodes import COLUMNS, columns_of, inline, line_of, normal_title, short
from promotion_gate.judge.ownership.text import Head, flat, head, plain

FIELD_SECTIONS = ("required_fields", "optional_fields", "fields")
# Columns with prose in their cells.
_PROSE = re.compile(
    r"(?:meaning|descriptions?|purpose|details?|notes?|remarks?|comments?|examples?|default(?: value)?|format|units?"
    r"|(?:allowed |possible )?values|constraints?|validation|(?:max(?:imum)?|min(?:imum)?) ?\w*|length|since|version"
    r"|nullable|status)\.?"
)


@dataclass(frozen=True, slots=True)
class RawField:
    """A field as in the document; `owners` are the map's names, or as written if the map does not have them."""

    path: str
    requirement: Requirement
    type: str
    owners: tuple[str, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Statement:
    """Who owns which fields, as stated outside their own entries."""

    names: tuple[str, ...]
    owners: tuple[str, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Problem:
    line: int
    sentence: str


@dataclass(slots=True)
class Section:
    """A section that exists; `fields` counts the fields in it, `prose` is false if it has more than prose."""

    line: int
    filled: bool = False
    fields: int = 0
    prose: bool = True


@dataclass(slots=True)
class Document:
    """What was read. If there are `problems`, the rest is incomplete."""

    sections: dict[str, Section] = field(default_factory=dict)
    fields: list[RawField] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Heading:
    """An open heading: the section it belongs to, and the field that it is, if it is one."""

    level: int
    section: str | None
    fieldish: bool
    title: str
    parent: Parent | None = None
    owners: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parent:
    """What a nested entry belongs to."""

    path: str
    type: str
    requirement: Requirement | None
    indexes: tuple[int, ...] = ()


class Outline:
    """The open headings, and the document as far as it has been read."""

    def __init__(
        self,
        document: Document,
        lines: list[str],
        titles: Mapping[str, tuple[str, ...]],
        claims: Claims,
        known: frozenset[str],
    ) -> None:
        self.document = document
        self.lines = lines
        self.claims = claims
        self.known = known
        self.section_of = {normal_title(title): section for section, names in titles.items() for title in names}
        self.headings: list[Heading] = []
        self.valued: set[int] = set()  # the fields whose nested bullets are values

    def problem(self, node: SyntaxTreeNode | int, sentence: str) -> None:
        line = node if isinstance(node, int) else line_of(node)
        self.document.problems.append(Problem(line, sentence))

    @property
    def heading(self) -> Heading | None:
        return self.headings[-1] if self.headings else None

    @property
    def section(self) -> str | None:
        return self.headings[-1].section if self.headings else None

    def columns(self, table: SyntaxTreeNode, wanted: tuple[str, ...]) -> dict[str, int]:
        """Which column is which; empty, with the problem reported, if one is missing, listed twice or unknown."""
        found = columns_of(table.children[0])
        missing = [name for name in wanted if name not in found]
        if missing:
            wanted_title = {"name": "Field; title the column of the names so", "owner": "Owner"}[missing[0]]
            self.problem(table, f"the table has no column {wanted_title}")
            return {}
        for index, cell in enumerate(table.children[0].children[0].children):
            title = plain(flat(inline(cell))).casefold()
            if index not in found.values() and not _PROSE.fullmatch(title):
                kind = next((name for name, titles in COLUMNS.items() if title in titles), None)
                what = (
                    f"a second column of the kind {kind}" if kind else "none that is read (Field, Type, Owner, Meaning)"
                )
                self.problem(table, f'the column "{short(title)}" is {what}; retitle it or remove it')
                return {}
        return found

    def cell_names(self, row: SyntaxTreeNode, index: int) -> Head | None:
        """The field names of a cell, which may contain nothing else except a remark in parentheses."""
        found = head(inline(row.children[index]))
        text = flat(inline(row.children[index]))
        if found is None:
            self.problem(row, f'the row "{short(text)}" has no field name in its name column')
        elif not re.fullmatch(r"\s*(?:\([^()`]*\))?\s*", found.rest) or re.search(r"\w_\w", found.rest):
            self.problem(row, f'the cell "{short(text)}" has more than a field name; give each name a row of its own')
            return None
        return found
