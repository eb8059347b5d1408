"""Reads one contract document with a CommonMark parser: its sections, its fields, its words about owners.

Nothing in a section of fields or of owners is passed over: what is in none of the forms of
docs/contract-documents.md is a problem, and so is an owner word anywhere else that concerns a field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

from promotion_gate.judge.ownership.claims import Claims, claims_of
from promotion_gate.judge.ownership.map import Owner, Requirement
from promotion_gate.judge.ownership.text import (
    IDENTIFIER,
    LOOKS_LIKE_FIELD,
    OWNER_WORD,
    TYPE_WORD,
    Head,
    Name,
    Piece,
    flat,
    head,
    pieces,
    plain,
    remarks,
    requirement_cell,
)

# Longer than any contract document; keeps a hostile one from using minutes of the parser.
MAX_CHARACTERS = 100_000
MAX_LINE = 3_000
# The parser silently stops at its own limit of nesting, so ours is noticed before it is reached.
MAX_NESTING = 60
FIELD_SECTIONS = ("required_fields", "optional_fields", "fields")

_LINE_END = r"\r\n|\r|\n"
_FIELDISH = re.compile(r"\b(?:fields?|attributes?|propert(?:y|ies)|parameters?|payload|schema|columns)\b", re.I)
_NUMBERING = re.compile(r"^\W*(?:(?:\d+|[ivx]+|[a-z])(?:\.\d+)*[.):]\s*|\d+(?:\.\d+)*\s+)", re.I)
_PLACEHOLDER = re.compile(r"\W*(?:tbd|tbc|todo|fixme|to be (?:defined|decided|done|written)|\?+|)\W*", re.I)
_BROKEN_MARK = re.compile(r"\s*(?:[-*+•·‣◦▪–—]|\d+[.)])\s*\S|\s*\|")
# A line that begins with a name set apart inside the text of another field, e.g. `- a`, next line `-b`.
_SECOND_LINE = re.compile(
    r"\n\s*(?!\W*(?:type|owner|required|optional|description|example|default|notes?)\b)"
    r"(?:[-*+][^\S\n]*(?=[`A-Za-z_])\S+|[•·‣◦▪]\s*\S+|(?:`[\w.]+`|\*\*[\w.]+\*\*)\s*(?=\n|$|[:(–—]|-\s))",
    re.I,
)
# After the type of one field, the name of the next: "(string), `b`".
_SECOND_NAME = re.compile(r"\s*\([^()]*\)\s*(?:,|/|&|\+|and|or|;)\s*(?:`[\w.]+`|\*\*[\w.]+\*\*)")
# A plain word with a type and nothing else in parentheses: "with id (string)".
_SECOND_WORD = re.compile(rf"\b\w+\s*\({TYPE_WORD}\s*[),]", re.I)
_LISTED_CODE = re.compile(r"\s*(?:[-*+]|\d+[.)]|\|)\s*\S")
_COMMENT = re.compile(r"<!--.*?-->", re.S)
_MARKDOWN_LINE = re.compile(r"^ {0,3}(?:#{1,6}\s|[-*+]\s|\d+[.)]\s|\|)", re.M)
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff\ufffd]")
_ATTRIBUTE = re.compile(
    r"\W*(?P<key>type|required|optional|requirement"
    r"|values|allowed values|one of|description|example|default|format|notes?|constraints?)"
    r"\W*[:=]\s*(?P<value>.*)",
    re.I | re.S,
)
_OBJECT = re.compile(r"(?:object|dict|map|array|list|json)\b", re.I)
_SCALAR = re.compile(
    r"(?:string|str|text|int\w*|long|number|float|double|decimal|bool\w*|uuid|uri|url|timestamp|date\w*"
    r"|rfc ?3339|iso[ -]?8601|bytes)\b",
    re.I,
)
_ENUM = re.compile(r"\W*(?:enum|one of)\b", re.I)
_VALUES = re.compile(r"\b(?:enum|one of|allowed values)\b", re.I)
_COLUMNS = {
    "name": ("field", "field name", "name", "property", "attribute", "key", "parameter", "path", "member"),
    "type": ("type", "data type"),
    "required": ("required", "required?", "mandatory", "req", "req.", "presence", "requirement"),
    "optional": ("optional", "optional?"),
    "owner": ("owner", "owned by", "sor", "system of record", "source of truth"),
}
# Columns whose cells are prose.
_PROSE = re.compile(
    r"(?:meaning|descriptions?|purpose|details?|notes?|remarks?|comments?|examples?|default(?: value)?|format|units?"
    r"|(?:allowed |possible )?values|constraints?|validation|(?:max(?:imum)?|min(?:imum)?) ?\w*|length|since|version"
    r"|nullable|status)\.?"
)


@dataclass(frozen=True, slots=True)
class RawField:
    """A field as the document has it; `owners` are the map's names, or as written where the map has none."""

    path: str
    requirement: Requirement
    type: str
    owners: tuple[str, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Statement:
    """Who owns which fields, as the document says it outside their own entries."""

    names: tuple[str, ...]
    owners: tuple[str, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Problem:
    line: int
    sentence: str


@dataclass(slots=True)
class Section:
    """A section that is there; `fields` counts its yield, `prose` is false if it has more than words."""

    line: int
    filled: bool = False
    fields: int = 0
    prose: bool = True


@dataclass(slots=True)
class Document:
    """What was read. With `problems`, the rest is incomplete."""

    sections: dict[str, Section] = field(default_factory=dict)
    fields: list[RawField] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Heading:
    """An open heading: the section it belongs to, and the field that it is, if it is one."""

    level: int
    section: str | None
    fieldish: bool
    title: str
    parent: _Parent | None = None
    owners: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Parent:
    """What a nested entry hangs on."""

    path: str
    type: str
    requirement: Requirement | None
    indexes: tuple[int, ...] = ()


def read_document(
    text: str, titles: Mapping[str, tuple[str, ...]], owners: tuple[Owner, ...], fields: tuple[str, ...]
) -> Document:
    """Reads a document; `titles` maps a section to the headings that open it, `fields` are those of the map.

    Never raises.
    """
    document = Document()
    if len(text) > MAX_CHARACTERS:
        document.problems.append(Problem(1, f"it is longer than {MAX_CHARACTERS} characters; split it"))
        return document
    text = text.removeprefix("\ufeff")
    long = [number for number, line in enumerate(re.split(_LINE_END, text), 1) if len(line) > MAX_LINE]
    if long:
        document.problems.append(Problem(long[0], f"a line longer than {MAX_LINE} characters; break it"))
        return document
    control = _CONTROL.search(text)
    if control is not None:
        line = len(re.split(_LINE_END, text[: control.start()]))
        document.problems.append(Problem(line, "it holds bytes that are no UTF-8 text; save it as UTF-8"))
        return document
    try:
        tokens = _parser().parse(text)
        if any(token.level >= MAX_NESTING for token in _all(tokens)):
            document.problems.append(Problem(1, f"it is nested deeper than {MAX_NESTING} levels; flatten it"))
            return document
        _Reader(document, text, titles, claims_of(owners), frozenset(fields)).read(SyntaxTreeNode(tokens))
    except Exception as error:  # a parser's bug on somebody's document must hold the gate, not end it
        document.problems.append(Problem(1, f"the Markdown parser failed on it ({type(error).__name__}: {error})"))
    return document


def normal_title(title: str) -> str:
    """A heading without numbering, marks, a closing parenthesis and case."""
    title = re.sub(r"^[^\w(]+", "", _NUMBERING.sub("", plain(title), count=1))
    title = re.sub(r"\([^()]*\)\s*$", "", title.rstrip(" :.#"))
    return re.sub(r"\s+", " ", title).strip(" :.#_-–—").casefold()


def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"maxNesting": MAX_NESTING + 20}).enable(["table", "strikethrough"])


def _all(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from token.children or ()


class _Reader:
    def __init__(
        self,
        document: Document,
        text: str,
        titles: Mapping[str, tuple[str, ...]],
        claims: Claims,
        known: frozenset[str],
    ) -> None:
        self.document = document
        self.lines = re.split(_LINE_END, text)
        self.claims = claims
        self.known = known
        self.section_of = {normal_title(title): section for section, names in titles.items() for title in names}
        self.headings: list[_Heading] = []
        self.valued: set[int] = set()  # the fields whose nested bullets are values

    # -- the document, block by block

    def read(self, root: SyntaxTreeNode) -> None:
        for node in root.walk():
            self.swallowed(node)
        for block in root.children:
            if block.type == "heading":
                self.open(block)
            else:
                self.block(block)
        if self.document.problems:
            return
        for name, section in self.document.sections.items():
            words_only = name == "optional_fields" and section.prose
            if name in FIELD_SECTIONS and section.filled and not section.fields and not words_only:
                self.problem(section.line, "this section yields no field; list them as bullets or in a table")

    def problem(self, node: SyntaxTreeNode | int, sentence: str) -> None:
        line = node if isinstance(node, int) else _line(node)
        self.document.problems.append(Problem(line, sentence))

    @property
    def heading(self) -> _Heading | None:
        return self.headings[-1] if self.headings else None

    @property
    def section(self) -> str | None:
        return self.headings[-1].section if self.headings else None

    def open(self, node: SyntaxTreeNode) -> None:
        level = int(node.tag[1:])
        while self.headings and self.headings[-1].level >= level:
            self.headings.pop()
        outer = self.heading
        parts = _inline(node)
        title = flat(parts)
        known = self.section_of.get(normal_title(title))
        if outer is not None and outer.section == "other":
            known = None
        if known is None and level > 1 and OWNER_WORD.search(title) and (outer is None or outer.section is None):
            known = "ownership"  # a heading of its own for who owns what
        section = known or (outer.section if outer else None)
        owners = self.claims.heads(title) if section == "ownership" else ()
        if known is None and section == "ownership" and not owners:
            self.problem(node, f'the heading "{_short(title)}" names no owner of the map')
        if known is not None:
            self.document.sections.setdefault(known, Section(_line(node)))
        fieldish = bool(known is None and _FIELDISH.search(title))
        if known is None and outer is not None and outer.level > 1:
            fieldish = fieldish or outer.fieldish
        parent = outer.parent if outer and known is None else None
        if known is None and section in FIELD_SECTIONS and _names_a_field(parts):
            parent = self.entry(head(parts), parent, node)
            self.mark_filled()
        self.headings.append(_Heading(level, section, fieldish, plain(title), parent, owners))

    def block(self, node: SyntaxTreeNode) -> None:
        if _says_something(node):
            self.mark_filled()
        if node.type == "blockquote":
            for child in node.children:
                self.block(child)
        elif self.section in FIELD_SECTIONS:
            if node.type != "paragraph":
                self.document.sections[self.section].prose = False
            self.field_block(node, self.current(self.heading.parent if self.heading else None))
        elif self.section == "ownership":
            self.ownership_block(node, self.heading.owners if self.heading else ())
        elif self.section != "other" or any(heading.section in FIELD_SECTIONS for heading in self.headings):
            self.other_block(node)

    def mark_filled(self) -> None:
        for heading in self.headings:
            if heading.section in self.document.sections:
                self.document.sections[heading.section].filled = True

    def swallowed(self, node: SyntaxTreeNode) -> None:
        """Finds what hides the text after it: a fence or a comment without an end, Markdown inside HTML."""
        if node.type == "fence" and node.map:
            last = self.lines[min(node.map[1], len(self.lines)) - 1].lstrip("> \t").rstrip()
            closed = set(last) == {node.markup[0]} and len(last) >= len(node.markup)
            if not closed or node.map[1] - node.map[0] < 2:
                self.problem(node, "a code fence is not closed; close it")
        elif node.type == "html_block" and "<!--" in _COMMENT.sub("", node.content):
            self.problem(node, "an HTML comment is not closed; close it")
        elif node.type == "html_block" and _MARKDOWN_LINE.search(_COMMENT.sub("", node.content)):
            self.problem(node, "Markdown inside HTML is not read as such; put an empty line between them")
        nested = node.type == "heading" and node.parent is not None and not node.parent.is_root
        if nested and self.section_of.get(normal_title(flat(_inline(node)))) in FIELD_SECTIONS:
            self.problem(node, "a heading of a section inside a bullet or a quotation; take it out")

    # -- sections of fields

    def field_block(self, node: SyntaxTreeNode, parent: _Parent | None) -> None:
        if node.type in ("bullet_list", "ordered_list"):
            # What says more about the parent (its type, above all) is read before its nested fields.
            for item in sorted(node.children, key=lambda item: not _is_attribute(item)):
                self.item(item, self.current(parent))
        elif node.type == "blockquote":
            for child in node.children:
                self.field_block(child, parent)
        elif node.type == "table":
            self.table(node, parent)
        elif node.type == "paragraph":
            self.field_paragraph(node, parent)
        elif node.type == "html_block":
            if _html_text(node.content) and not _MARKDOWN_LINE.search(_COMMENT.sub("", node.content)):
                self.problem(node, "HTML in a section of fields; write bullets or a Markdown table")
        elif node.type == "code_block":
            if any(_LISTED_CODE.match(line) for line in node.content.split("\n")):
                self.problem(node, "indented so far that Markdown takes it for code; indent it less")
        elif node.type == "heading":
            self.problem(node, "a heading inside a bullet; take it out of the list")

    def field_paragraph(self, node: SyntaxTreeNode, parent: _Parent | None) -> None:
        parts = _inline(node)
        text = flat(parts)
        if self.section_of.get(normal_title(text)):
            self.problem(node, f'"{plain(text)}" reads like a heading; make it one (## ...)')
        elif parent is not None and not _second_field(f"\n{text}"):
            self.remark(parent, text, node)
        elif (
            _second_field(text)
            or re.fullmatch(IDENTIFIER, text.strip())
            or any(_BROKEN_MARK.match(line) or _is_plain_entry(line) for line in text.split("\n"))
        ):
            self.problem(node, f'"{_short(text)}" reads like a field; write it as a bullet or a row of a table')
        elif parts and parts[0].kind in ("code", "strong") and _names_a_field(parts, r"\s*(?:$|[(:–—-])"):
            self.problem(node, f'"{_short(text)}" reads like a field; write it as a bullet or a row')
        elif OWNER_WORD.search(text):
            self.sentences(text, node)

    def item(self, item: SyntaxTreeNode, parent: _Parent | None) -> None:
        if not item.children or item.children[0].type != "paragraph":
            self.problem(item, "a bullet without a field name; begin it with the back-quoted name, or remove it")
            return
        first, *others = item.children
        parts = _inline(first)
        text = flat(parts)
        if parent is not None and self.nested_text(parts, text, parent, first):
            for other in others:
                self.field_block(other, self.current(parent))
            return
        found = head(parts)
        if found is None:
            what = (
                "is struck out; remove it, or keep it"
                if parts and parts[0].kind == "struck"
                else ("has no field name; begin it with the back-quoted name, or move it out of the section")
            )
            self.problem(first, f'the bullet "{_short(text)}" {what}')
            return
        entry = self.entry(found, parent, first)
        for other in others:
            self.field_block(other, self.current(entry))

    def nested_text(self, parts: list[Piece], text: str, parent: _Parent, node: SyntaxTreeNode) -> bool:
        """Takes a nested bullet that is no field: an enum's value, `Type: ...`, a remark on a plain value."""
        if not parts or parts[0].kind != "code":
            owners = self.owners(text, node)
            if owners or self.attribute(parts, text, parent, node):
                self.add_owners(parent, owners)
                return True
        if self.valued.intersection(parent.indexes) and not _OBJECT.match(parent.type):
            if LOOKS_LIKE_FIELD.match(text):
                self.problem(node, f'"{_short(text)}" reads like a field, but stands among values')
            self.add_owners(parent, self.owners(text, node))
            return True
        plain_words = bool(parts) and parts[0].kind == "text" and head(parts) is None
        return plain_words and bool(_SCALAR.match(parent.type)) and not LOOKS_LIKE_FIELD.search(text)

    def attribute(self, parts: list[Piece], text: str, parent: _Parent, node: SyntaxTreeNode) -> bool:
        match = _ATTRIBUTE.match(text)
        if match is None:
            return False
        key, value = match["key"].casefold(), plain(match["value"])
        if LOOKS_LIKE_FIELD.search(match["value"]):
            self.problem(node, f'"{_short(text)}" names a field in passing; give it a bullet of its own')
        if key[0] == plain(text)[:1] and _OBJECT.match(parent.type):
            # `type: string` under an object may as well be the nested field `type`.
            return False
        if key == "type":
            for index in parent.indexes:
                known = self.document.fields[index]
                if known.type and known.type != value:
                    self.problem(node, f'"{_short(text)}": the type of {known.path} was {known.type}; keep one')
                self.document.fields[index] = replace(known, type=value)
                if _ENUM.match(value):
                    self.valued.add(index)
        elif key in ("required", "optional", "requirement"):
            self.set_requirement(parent, key, value, text, node)
        elif key in ("values", "allowed values", "one of"):
            self.valued.update(parent.indexes)
        return True

    def set_requirement(self, parent: _Parent, key: str, value: str, text: str, node: SyntaxTreeNode) -> None:
        stated = requirement_cell(value) if value else None
        if stated is None:
            self.problem(node, f'"{_short(text)}" says neither yes nor no')
            return
        if key == "optional" and value.casefold() != "optional":
            stated = "optional" if stated == "required" else "required"
        for index in parent.indexes:
            self.document.fields[index] = replace(self.document.fields[index], requirement=stated)

    def owners(self, text: str, node: SyntaxTreeNode) -> tuple[str, ...]:
        """The owners that a text beside or below a field names."""
        said = self.claims.of_field(text)
        if said.unclear:
            self.problem(node, f'"{_short(said.unclear)}" speaks of an owner in no known form; write "owner: NAME"')
        return said.owners

    def add_owners(self, parent: _Parent, owners: tuple[str, ...]) -> None:
        for index in parent.indexes:
            known = self.document.fields[index]
            self.document.fields[index] = replace(known, owners=(*known.owners, *owners))

    def remark(self, parent: _Parent, text: str, node: SyntaxTreeNode) -> None:
        """A paragraph under a field: prose, but for what it states about owner, type and requirement."""
        said = re.findall(r"(?im)^\W*(type|required|optional|requirement)\W*:\s*([^.;\n]+)", text)
        for key, value in said:
            self.attribute([Piece("text", key)], f"{key.capitalize()}: {value}", parent, node)
        self.add_owners(parent, self.owners(text, node))

    def current(self, entry: _Parent | None) -> _Parent | None:
        """The entry with what was read about it since."""
        if entry is None or not entry.indexes:
            return entry
        known = self.document.fields[entry.indexes[0]]
        return replace(entry, type=known.type, requirement=known.requirement)

    def entry(self, found: Head | None, parent: _Parent | None, node: SyntaxTreeNode) -> _Parent | None:
        """Records the field (or the fields) that a bullet or a heading begins with."""
        if found is None:
            return None
        extra = _second_field(found.rest)
        if extra:
            self.problem(node, f'"{extra}" reads like a second field; give it a bullet of its own')
        return self.record(found.names, found.rest, parent, node)

    def record(
        self,
        names: tuple[Name, ...],
        rest: str,
        parent: _Parent | None,
        node: SyntaxTreeNode,
        type_: str = "",
        requirement: Requirement | None = None,
        owners: tuple[str, ...] = (),
    ) -> _Parent | None:
        said = remarks(rest)
        owners = (*owners, *self.owners(rest, node))
        if said.contradicts:
            self.problem(node, f'"{_short(rest)}" says both required and optional; keep one')
        if parent is not None and len(parent.indexes) > 1:
            self.problem(node, "nested under several fields at once; give each of them a bullet of its own")
        indexes: list[int] = []
        for name in names:
            path = _join(parent, name.path)
            stated = requirement or said.requirement or ("optional" if name.optional else None)
            effective = self.requirement(stated, parent)
            if effective is None:
                self.problem(node, f"nothing says whether {path} is required or optional; say it")
                continue
            indexes.append(len(self.document.fields))
            field_type = type_ or name.type or said.type
            self.document.fields.append(RawField(path, effective, field_type, owners, _line(node)))
            # `## Fields` may hold `### Required` and `### Optional`.
            for section in {str(self.section), "fields"} & {heading.section for heading in self.headings}:
                self.document.sections[str(section)].fields += 1
            if _ENUM.match(field_type) or (_SCALAR.match(field_type) and _VALUES.search(rest)):
                self.valued.add(indexes[-1])
        if not indexes:
            return None
        last = self.document.fields[indexes[-1]]
        return _Parent(last.path, last.type, last.requirement, tuple(indexes))

    def requirement(self, stated: Requirement | None, parent: _Parent | None) -> Requirement | None:
        if parent is not None and parent.requirement == "optional":
            return "optional"  # required inside something optional is optional for the message
        if stated is not None:
            return stated
        if self.section == "required_fields":
            return "required"
        if self.section == "optional_fields":
            return "optional"
        return parent.requirement if parent else None

    def table(self, table: SyntaxTreeNode, parent: _Parent | None) -> None:
        columns = self.columns(table, ("name",))
        for row in _rows(table) if columns else ():
            self.row(row, columns, parent)

    def columns(self, table: SyntaxTreeNode, wanted: tuple[str, ...]) -> dict[str, int]:
        """Which column of a table holds what; empty, with the problem said, if one is missing, double or not known."""
        found = _columns(table.children[0])
        missing = [name for name in wanted if name not in found]
        if missing:
            said = {"name": "Field; title the column of the names so", "owner": "Owner"}[missing[0]]
            self.problem(table, f"the table has no column {said}")
            return {}
        for index, cell in enumerate(table.children[0].children[0].children):
            title = plain(flat(_inline(cell))).casefold()
            if index not in found.values() and not _PROSE.fullmatch(title):
                kind = next((name for name, titles in _COLUMNS.items() if title in titles), None)
                what = (
                    f"a second column of the kind {kind}" if kind else "none that is read (Field, Type, Owner, Meaning)"
                )
                self.problem(table, f'the column "{_short(title)}" is {what}; retitle it or remove it')
                return {}
        return found

    def cell_names(self, row: SyntaxTreeNode, index: int) -> Head | None:
        """The field names of a cell, which holds nothing else but a remark in parentheses."""
        found = head(_inline(row.children[index]))
        text = flat(_inline(row.children[index]))
        if found is None:
            self.problem(row, f'the row "{_short(text)}" has no field name in its name column')
        elif not re.fullmatch(r"\s*(?:\([^()`]*\))?\s*", found.rest) or re.search(r"\w_\w", found.rest):
            self.problem(
                row, f'the cell "{_short(text)}" holds more than a field name; give each name a row of its own'
            )
            return None
        return found

    def row(self, row: SyntaxTreeNode, columns: Mapping[str, int], parent: _Parent | None) -> None:
        found = self.cell_names(row, columns["name"])
        if found is None:
            return
        requirement: Requirement | None = None
        owners: tuple[str, ...] = ()
        for index, cell in enumerate(row.children):
            text = flat(_inline(cell))
            column = next((name for name, place in columns.items() if place == index), "prose")
            if column in ("required", "optional"):
                requirement = requirement_cell(text)
                if requirement is None:
                    self.problem(row, f'"{_short(text)}" in the column {column} says neither yes nor no')
                    return
                if column == "optional" and plain(text).casefold() not in ("optional", "required"):
                    requirement = "optional" if requirement == "required" else "required"
            elif column == "owner":
                owners += self.claims.cell(text)
            elif column != "name":
                owners += self.owners(text, row)
                if extra := _second_field(text):
                    self.problem(row, f'"{extra}" reads like a second field; give it a row of its own')
        type_ = plain(flat(_inline(row.children[columns["type"]]))) if "type" in columns else ""
        self.record(found.names, found.rest, parent, row, type_, requirement, owners)

    # -- the section on ownership

    def ownership_block(self, node: SyntaxTreeNode, owners: tuple[str, ...]) -> None:
        """Reads a block in which every line says who owns what; `owners` stand above it."""
        if node.type == "table":
            columns = self.columns(node, ("name", "owner"))
            for row in _rows(node) if columns else ():
                if found := self.cell_names(row, columns["name"]):
                    of_row = self.claims.cell(flat(_inline(row.children[columns["owner"]])))
                    self.state(tuple(name.path for name in found.names), of_row, row)
        elif node.type in ("bullet_list", "ordered_list", "blockquote"):
            for child in node.children:
                self.ownership_block(child, owners)
        elif node.type == "list_item":
            first, *others = node.children or [node]
            heads = self.claims.heads(flat(_inline(first))) if others else ()
            for block in others if heads else node.children:
                self.ownership_block(block, heads or owners)
        elif node.type == "paragraph":
            parts = _inline(node)
            names = head(parts) if owners else None
            if names is not None and re.fullmatch(r"\s*(?:\([^()`]*\))?\s*[.;,]?\s*", names.rest):
                self.state(tuple(name.path for name in names.names), owners, node)
            else:
                self.sentences(flat(parts), node)
        elif node.type != "hr" and not (node.type == "html_block" and not _html_text(node.content)):
            self.problem(
                node, "the section on ownership holds more than bullets, sentences and a table of Field and Owner"
            )

    def sentences(self, text: str, node: SyntaxTreeNode) -> None:
        """Reads a text of which every sentence says who owns what."""
        for sentence in re.split(r"(?<=\.)\s+", text.strip()):  # at a full stop before a space: dotted names stay whole
            claim = self.claims.sentence(sentence)
            if claim is None:
                self.problem(node, f'"{_short(sentence)}" says in no known form who owns what; write "`field`: OWNER"')
            else:
                self.state(claim.names, claim.owners, node)

    def state(self, names: tuple[str, ...], owners: tuple[str, ...], node: SyntaxTreeNode) -> None:
        if names and owners:
            self.document.statements.append(Statement(names, owners, _line(node)))

    # -- everything else: no field may hide there

    def other_block(self, node: SyntaxTreeNode) -> None:
        title = self.heading.title if self.heading else ""
        where = f'under "{title}"' if title else "before the first heading"
        listed = node.type in ("bullet_list", "ordered_list", "table")
        if listed and self.section is None and self.heading is not None and self.heading.fieldish:
            self.problem(
                node,
                f"the list {where} reads like fields, and the map has no such heading; add it to the map's "
                "sections (to other, if these are no fields)",
            )
            return
        for child in node.walk():
            columns = _columns(child.children[0]).keys() if child.type == "table" else set()
            if "owner" in columns or {"name", "type"} <= columns:
                self.problem(child, f"a table of fields {where}; move it to a section of fields or of ownership")
            elif child.type == "paragraph" and _heads_owners(_inline(child)):
                text = plain(flat(_inline(child)))
                self.problem(child, f'"{_short(text)}" reads like a heading of owners; make it one (## ...)')
            elif child.type in ("paragraph", "td"):
                for sentence in re.split(r"(?<=\.)\s+", flat(_inline(child))):
                    if self.claims.concerns(sentence, self.known):
                        self.sentences(sentence, child)
            if child.type == "list_item" and child.children and child.children[0].type == "paragraph":
                text = flat(_inline(child.children[0]))
                if LOOKS_LIKE_FIELD.match(text):
                    self.problem(child, f'"{_short(text)}" {where} reads like a field; move it to its section')
        text = flat(_inline(node)) if node.type == "paragraph" else ""
        if self.section_of.get(normal_title(text)) in FIELD_SECTIONS:
            self.problem(node, f'"{plain(text)}" reads like a heading; make it one (## ...)')


def _heads_owners(parts: list[Piece]) -> bool:
    """Whether a paragraph speaks of owners and introduces what comes below it: `**Ownership**`, `Owners:`."""
    text = flat(parts).strip()
    alone = all(part.kind == "strong" or not part.text.strip(" :") for part in parts)
    return bool(OWNER_WORD.search(text)) and (alone or text.endswith(":")) and len(text.split()) <= 8


def _inline(node: SyntaxTreeNode) -> list[Piece]:
    """The pieces of a block's own text."""
    result: list[Piece] = []
    for child in node.children:
        if child.type == "inline" and child.token is not None:
            result.extend(pieces(child.token.children or ()))
    return result


def _line(node: SyntaxTreeNode) -> int:
    current: SyntaxTreeNode | None = node
    while current is not None and not current.is_root:
        if current.map:
            return current.map[0] + 1
        current = current.parent
    return 1


def _is_attribute(item: SyntaxTreeNode) -> bool:
    """`Type: string` and the like, nested under a field."""
    if not item.children or item.children[0].type != "paragraph":
        return False
    parts = _inline(item.children[0])
    return bool(parts) and parts[0].kind != "code" and bool(_ATTRIBUTE.match(flat(parts)))


def _second_field(text: str) -> str:
    """A field that stands inside the text of another one, or an empty text."""
    found = (
        LOOKS_LIKE_FIELD.search(text)
        or _SECOND_LINE.search(text)
        or _SECOND_NAME.match(text)
        or _SECOND_WORD.search(text)
    )
    return _short(found[0]) if found else ""


def _columns(header: SyntaxTreeNode) -> dict[str, int]:
    """Which column holds what, by the table's header."""
    result: dict[str, int] = {}
    for index, cell in enumerate(header.children[0].children):
        title = plain(flat(_inline(cell))).casefold()
        for name, titles in _COLUMNS.items():
            if title in titles:
                result.setdefault(name, index)
    return result


def _join(parent: _Parent | None, path: str) -> str:
    """A nested name is written in full or as its last part."""
    if parent is None or path.startswith(f"{parent.path}."):
        return path
    return f"{parent.path}.{path}"


def _names_a_field(parts: list[Piece], rest: str = "") -> bool:
    """Does this text begin with a field (`tenant_id` in code, or a name with an underscore), before `rest`?"""
    found = head(parts)
    if found is None or not re.match(rest, found.rest):
        return False
    return bool(rest) or parts[0].kind == "code" or "_" in found.names[0].path


def _rows(table: SyntaxTreeNode) -> list[SyntaxTreeNode]:
    return [row for body in table.children[1:] for row in body.children]


def _is_plain_entry(line: str) -> bool:
    """`tenant_id: ...`, `tenant_id (...)`, or the second line of a definition, as a line of prose."""
    return bool(re.match(rf"\s*(?:\**\w+[_.]\w[\w.]*\**\s*[:(]|\w+\s*[:(]\s*{TYPE_WORD}\b|:\s)", line, re.I))


def _html_text(content: str) -> str:
    """The text of an HTML block that a reader sees, without comments, tags and summaries."""
    content = _COMMENT.sub("", content)
    content = re.sub(r"<summary>.*?</summary>", "", content, flags=re.S | re.I)
    return re.sub(r"<[^>]*>", "", content).strip()


def _says_something(node: SyntaxTreeNode) -> bool:
    """Does a reader see more than a comment or a placeholder here?"""
    if node.type in ("hr", "heading"):
        return False
    if node.type == "html_block":
        return _PLACEHOLDER.fullmatch(_html_text(node.content)) is None
    if node.type in ("fence", "code_block"):
        return bool(node.content.strip())
    texts = [flat(_inline(child)) for child in node.walk() if child.type in ("paragraph", "td", "heading")]
    texts += [_html_text(child.content) for child in node.walk() if child.type == "html_block"]
    texts += [child.content for child in node.walk() if child.type in ("fence", "code_block")]
    return any(_PLACEHOLDER.fullmatch(plain(text)) is None for text in texts)


def _short(text: str) -> str:
    text = re.sub(r"\s+", " ", plain(text)).strip()
    return text if len(text) <= 60 else f"{text[:57]}..."
