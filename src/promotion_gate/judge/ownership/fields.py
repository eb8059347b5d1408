"""The sections of fields of a contract document: bullets, tables and headings that are fields.

Nothing in them is skipped: what is in none of the forms of docs/contract-documents.md is a problem.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from markdown_it.tree import SyntaxTreeNode

from promotion_gate.judge.ownership.map import Requirement
from promotion_gate.judge.ownership.nodes import (
    ATTRIBUTE,
    COMMENT,
    MARKDOWN_LINE,
    html_text,
    inline,
    is_attribute,
    is_plain_entry,
    line_of,
    names_a_field,
    normal_title,
    rows,
    second_field,
    short,
)
from promotion_gate.judge.ownership.outline import Parent, RawField
from promotion_gate.judge.ownership.statements import OwnershipReader
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
    plain,
    remarks,
    requirement_cell,
)

_BROKEN_MARK = re.compile(r"\s*(?:[-*+•·‣◦▪–—]|\d+[.)])\s*\S|\s*\|")
_LISTED_CODE = re.compile(r"\s*(?:[-*+]|\d+[.)]|\|)\s*\S")
_OBJECT = re.compile(r"(?:object|dict|map|array|list|json)\b", re.I)
_TYPED_WORD = re.compile(rf"\w+\s*[:(]\s*{TYPE_WORD}\b", re.I)
_SCALAR = re.compile(
    r"(?:string|str|text|int\w*|long|number|float|double|decimal|bool\w*|uuid|uri|url|timestamp|date\w*"
    r"|rfc ?3339|iso[ -]?8601|bytes)\b",
    re.I,
)
_ENUM = re.compile(r"\W*(?:enum|one of)\b", re.I)
_VALUES = re.compile(r"\b(?:enum|one of|allowed values)\b", re.I)


class FieldReader(OwnershipReader):
    """Reads the blocks of a section of fields."""

    def field_block(self, node: SyntaxTreeNode, parent: Parent | None) -> None:
        if node.type in ("bullet_list", "ordered_list"):
            # Whatever describes the parent (above all its type) is read before its nested fields.
            for item in sorted(node.children, key=lambda item: not is_attribute(item)):
                self.item(item, self.current(parent))
        elif node.type == "blockquote":
            for child in node.children:
                self.field_block(child, parent)
        elif node.type == "table":
            self.table(node, parent)
        elif node.type == "paragraph":
            self.field_paragraph(node, parent)
        elif node.type == "html_block":
            if html_text(node.content) and not MARKDOWN_LINE.search(COMMENT.sub("", node.content)):
                self.problem(node, "HTML in a section of fields; write bullets or a Markdown table")
        elif node.type == "code_block":
            if any(_LISTED_CODE.match(line) for line in node.content.split("\n")):
                self.problem(node, "indented so far that Markdown reads it as code; indent it less")
        elif node.type == "heading":
            self.problem(node, "a heading inside a bullet; move it out of the list")

    def field_paragraph(self, node: SyntaxTreeNode, parent: Parent | None) -> None:
        parts = inline(node)
        text = flat(parts)
        if self.section_of.get(normal_title(text)):
            self.problem(node, f'"{plain(text)}" reads like a heading; make it one (## ...)')
        elif parent is not None and not second_field(f"\n{text}"):
            self.remark(parent, text, node)
        elif (
            second_field(text)
            or re.fullmatch(IDENTIFIER, text.strip())
            or any(_BROKEN_MARK.match(line) or is_plain_entry(line) for line in text.split("\n"))
        ):
            self.problem(node, f'"{short(text)}" reads like a field; write it as a bullet or a row of a table')
        elif parts and parts[0].kind in ("code", "strong") and names_a_field(parts, r"\s*(?:$|[(:–—-])"):
            self.problem(node, f'"{short(text)}" reads like a field; write it as a bullet or a row')
        elif OWNER_WORD.search(text):
            self.sentences(text, node)

    def item(self, item: SyntaxTreeNode, parent: Parent | None) -> None:
        if not item.children or item.children[0].type != "paragraph":
            self.problem(item, "a bullet without a field name; begin it with the back-quoted name, or remove it")
            return
        first, *others = item.children
        parts = inline(first)
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
            self.problem(first, f'the bullet "{short(text)}" {what}')
            return
        entry = self.entry(found, parent, first)
        for other in others:
            self.field_block(other, self.current(entry))

    def nested_text(self, parts: list[Piece], text: str, parent: Parent, node: SyntaxTreeNode) -> bool:
        """Takes a nested bullet that is not a field: an enum's value, `Type: ...`, a remark on a plain value."""
        if not parts or parts[0].kind != "code":
            owners = self.owners(text, node)
            # `f00 (string, owner: product)` is a field with an owner, not a remark on the owner of the one above it.
            remark = owners and not _TYPED_WORD.match(text)
            if remark or self.attribute(parts, text, parent, node):
                self.add_owners(parent, owners)
                return True
        if self.valued.intersection(parent.indexes) and not _OBJECT.match(parent.type):
            if LOOKS_LIKE_FIELD.match(text):
                self.problem(node, f'"{short(text)}" reads like a field, but is among values')
            self.add_owners(parent, self.owners(text, node))
            return True
        plain_words = bool(parts) and parts[0].kind == "text" and head(parts) is None
        return plain_words and bool(_SCALAR.match(parent.type)) and not LOOKS_LIKE_FIELD.search(text)

    def attribute(self, parts: list[Piece], text: str, parent: Parent, node: SyntaxTreeNode) -> bool:
        match = ATTRIBUTE.match(text)
        if match is None:
            return False
        key, value = match["key"].casefold(), plain(match["value"])
        if LOOKS_LIKE_FIELD.search(match["value"]):
            self.problem(node, f'"{short(text)}" names a field in passing; give it a bullet of its own')
        if key[0] == plain(text)[:1] and _OBJECT.match(parent.type):
            # `type: string` under an object may also be the nested field `type`.
            return False
        if key == "type":
            for index in parent.indexes:
                known = self.document.fields[index]
                if known.type and known.type != value:
                    self.problem(node, f'"{short(text)}": the type of {known.path} was {known.type}; keep one')
                self.document.fields[index] = replace(known, type=value)
                if _ENUM.match(value):
                    self.valued.add(index)
        elif key in ("required", "optional", "requirement"):
            self.set_requirement(parent, key, value, text, node)
        elif key in ("values", "allowed values", "one of"):
            self.valued.update(parent.indexes)
        return True

    def set_requirement(self, parent: Parent, key: str, value: str, text: str, node: SyntaxTreeNode) -> None:
        stated = requirement_cell(value) if value else None
        if stated is None:
            self.problem(node, f'"{short(text)}" says neither yes nor no')
            return
        if key == "optional" and value.casefold() != "optional":
            stated = "optional" if stated == "required" else "required"
        for index in parent.indexes:
            self.document.fields[index] = replace(self.document.fields[index], requirement=stated)

    def owners(self, text: str, node: SyntaxTreeNode) -> tuple[str, ...]:
        """The owners named in a text beside or below a field."""
        claim = self.claims.of_field(text)
        if claim.unclear:
            self.problem(node, f'"{short(claim.unclear)}" speaks of an owner in no known form; write "owner: NAME"')
        return claim.owners

    def add_owners(self, parent: Parent, owners: tuple[str, ...]) -> None:
        for index in parent.indexes:
            known = self.document.fields[index]
            self.document.fields[index] = replace(known, owners=(*known.owners, *owners))

    def remark(self, parent: Parent, text: str, node: SyntaxTreeNode) -> None:
        """A paragraph under a field: prose, except for what it states about owner, type and requirement."""
        statements = re.findall(r"(?im)^\W*(type|required|optional|requirement)\W*:\s*([^.;\n]+)", text)
        for key, value in statements:
            self.attribute([Piece("text", key)], f"{key.capitalize()}: {value}", parent, node)
        self.add_owners(parent, self.owners(text, node))

    def current(self, entry: Parent | None) -> Parent | None:
        """The entry with what has been read about it since."""
        if entry is None or not entry.indexes:
            return entry
        known = self.document.fields[entry.indexes[0]]
        return replace(entry, type=known.type, requirement=known.requirement)

    def entry(self, found: Head | None, parent: Parent | None, node: SyntaxTreeNode) -> Parent | None:
        """Records the field (or the fields) that a bullet or a heading begins with."""
        if found is None:
            return None
        extra = second_field(found.rest)
        if extra:
            self.problem(node, f'"{extra}" reads like a second field; give it a bullet of its own')
        return self.record(found.names, found.rest, parent, node)

    def record(
        self,
        names: tuple[Name, ...],
        rest: str,
        parent: Parent | None,
        node: SyntaxTreeNode,
        type_: str = "",
        requirement: Requirement | None = None,
        owners: tuple[str, ...] = (),
    ) -> Parent | None:
        remark = remarks(rest)
        owners = (*owners, *self.owners(rest, node))
        if remark.contradicts:
            self.problem(node, f'"{short(rest)}" says both required and optional; keep one')
        if parent is not None and len(parent.indexes) > 1:
            self.problem(node, "nested under several fields at once; give each of them a bullet of its own")
        indexes: list[int] = []
        for name in names:
            path = _join(parent, name.path)
            stated = requirement or remark.requirement or ("optional" if name.optional else None)
            effective = self.requirement(stated, parent)
            if effective is None:
                self.problem(node, f"nothing says whether {path} is required or optional; say it")
                continue
            indexes.append(len(self.document.fields))
            field_type = type_ or name.type or remark.type
            self.document.fields.append(RawField(path, effective, field_type, owners, line_of(node)))
            # `## Fields` may contain `### Required` and `### Optional`.
            for section in {str(self.section), "fields"} & {heading.section for heading in self.headings}:
                self.document.sections[str(section)].fields += 1
            if _ENUM.match(field_type) or (_SCALAR.match(field_type) and _VALUES.search(rest)):
                self.valued.add(indexes[-1])
        if not indexes:
            return None
        last = self.document.fields[indexes[-1]]
        return Parent(last.path, last.type, last.requirement, tuple(indexes))

    def requirement(self, stated: Requirement | None, parent: Parent | None) -> Requirement | None:
        if parent is not None and parent.requirement == "optional":
            return "optional"  # required inside something optional is optional for the message
        if stated is not None:
            return stated
        if self.section == "required_fields":
            return "required"
        if self.section == "optional_fields":
            return "optional"
        return parent.requirement if parent else None

    def table(self, table: SyntaxTreeNode, parent: Parent | None) -> None:
        columns = self.columns(table, ("name",))
        for row in rows(table) if columns else ():
            self.row(row, columns, parent)

    def row(self, row: SyntaxTreeNode, columns: Mapping[str, int], parent: Parent | None) -> None:
        found = self.cell_names(row, columns["name"])
        if found is None:
            return
        requirement: Requirement | None = None
        owners: tuple[str, ...] = ()
        for index, cell in enumerate(row.children):
            text = flat(inline(cell))
            column = next((name for name, place in columns.items() if place == index), "prose")
            if column in ("required", "optional"):
                requirement = requirement_cell(text)
                if requirement is None:
                    self.problem(row, f'"{short(text)}" in the column {column} says neither yes nor no')
                    return
                if column == "optional" and plain(text).casefold() not in ("optional", "required"):
                    requirement = "optional" if requirement == "required" else "required"
            elif column == "owner":
                owners += self.claims.cell(text)
            elif column != "name":
                owners += self.owners(text, row)
                if extra := second_field(text):
                    self.problem(row, f'"{extra}" reads like a second field; give it a row of its own')
        type_ = plain(flat(inline(row.children[columns["type"]]))) if "type" in columns else ""
        self.record(found.names, found.rest, parent, row, type_, requirement, owners)


def _join(parent: Parent | None, path: str) -> str:
    """A nested name is written in full or as its last part."""
    if parent is None or path.startswith(f"{parent.path}."):
        return path
    return f"{parent.path}.{path}"
