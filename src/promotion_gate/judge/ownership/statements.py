"""The section on ownership, and who owns what anywhere else in a contract document: no field may hide there."""

from __future__ import annotations

import re

from markdown_it.tree import SyntaxTreeNode

from promotion_gate.judge.ownership.nodes import (
    columns_of,
    heads_owners,
    html_text,
    inline,
    line_of,
    normal_title,
    rows,
    short,
)
from promotion_gate.judge.ownership.outline import FIELD_SECTIONS, Outline, Statement
from promotion_gate.judge.ownership.text import LOOKS_LIKE_FIELD, flat, head, plain


class OwnershipReader(Outline):
    """Reads blocks in which every line says who owns what, and those that are neither that nor fields."""

    def ownership_block(self, node: SyntaxTreeNode, owners: tuple[str, ...]) -> None:
        """Reads a block in which every line says who owns what; `owners` are named above it."""
        if node.type == "table":
            columns = self.columns(node, ("name", "owner"))
            for row in rows(node) if columns else ():
                if found := self.cell_names(row, columns["name"]):
                    of_row = self.claims.cell(flat(inline(row.children[columns["owner"]])))
                    self.state(tuple(name.path for name in found.names), of_row, row)
        elif node.type in ("bullet_list", "ordered_list", "blockquote"):
            for child in node.children:
                self.ownership_block(child, owners)
        elif node.type == "list_item":
            first, *others = node.children or [node]
            heads = self.claims.heads(flat(inline(first))) if others else ()
            for block in others if heads else node.children:
                self.ownership_block(block, heads or owners)
        elif node.type == "paragraph":
            parts = inline(node)
            names = head(parts) if owners else None
            if names is not None and re.fullmatch(r"\s*(?:\([^()`]*\))?\s*[.;,]?\s*", names.rest):
                self.state(tuple(name.path for name in names.names), owners, node)
            else:
                self.sentences(flat(parts), node)
        elif node.type != "hr" and not (node.type == "html_block" and not html_text(node.content)):
            self.problem(
                node, "the section on ownership contains more than bullets, sentences and a table of Field and Owner"
            )

    def sentences(self, text: str, node: SyntaxTreeNode) -> None:
        """Reads a text in which every sentence says who owns what."""
        for sentence in re.split(r"(?<=\.)\s+", text.strip()):  # at a full stop before a space: dotted names stay whole
            claim = self.claims.sentence(sentence)
            if claim is None:
                self.problem(node, f'"{short(sentence)}" says in no known form who owns what; write "`field`: OWNER"')
            else:
                self.state(claim.names, claim.owners, node)

    def state(self, names: tuple[str, ...], owners: tuple[str, ...], node: SyntaxTreeNode) -> None:
        if names and owners:
            self.document.statements.append(Statement(names, owners, line_of(node)))

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
            columns = columns_of(child.children[0]).keys() if child.type == "table" else set()
            if "owner" in columns or {"name", "type"} <= columns:
                self.problem(child, f"a table of fields {where}; move it to a section of fields or of ownership")
            elif child.type == "paragraph" and heads_owners(inline(child)):
                text = plain(flat(inline(child)))
                self.problem(child, f'"{short(text)}" reads like a heading of owners; make it one (## ...)')
            elif child.type in ("paragraph", "td"):
                for sentence in re.split(r"(?<=\.)\s+", flat(inline(child))):
                    if self.claims.concerns(sentence, self.known):
                        self.sentences(sentence, child)
            if child.type == "list_item" and child.children and child.children[0].type == "paragraph":
                text = flat(inline(child.children[0]))
                if LOOKS_LIKE_FIELD.match(text):
                    self.problem(child, f'"{short(text)}" {where} reads like a field; move it to its section')
        text = flat(inline(node)) if node.type == "paragraph" else ""
        if self.section_of.get(normal_title(text)) in FIELD_SECTIONS:
            self.problem(node, f'"{plain(text)}" reads like a heading; make it one (## ...)')
