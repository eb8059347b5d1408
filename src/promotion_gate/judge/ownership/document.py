"""Reads one contract document with a CommonMark parser: its sections, its fields, what it says about owners.

Nothing in a section of fields or of owners is skipped: what is in none of the forms of docs/contract-documents.md is a
problem, and so is an owner word anywhere else that concerns a field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

from promotion_gate.judge.ownership.claims import claims_of
from promotion_gate.judge.ownership.fields import FieldReader
from promotion_gate.judge.ownership.map import Owner
from promotion_gate.judge.ownership.nodes import (
    COMMENT,
    MARKDOWN_LINE,
    inline,
    line_of,
    names_a_field,
    normal_title,
    says_something,
    short,
)
from promotion_gate.judge.ownership.outline import FIELD_SECTIONS, Document, Heading, Problem, Section
from promotion_gate.judge.ownership.text import OWNER_WORD, flat, head, plain

# Longer than any contract document; prevents a hostile one from keeping the parser busy for minutes.
MAX_CHARACTERS = 100_000
MAX_LINE = 3_000
# The parser silently stops at its own nesting limit, so this one is smaller.
MAX_NESTING = 60

_LINE_END = r"\r\n|\r|\n"
_FIELDISH = re.compile(r"\b(?:fields?|attributes?|propert(?:y|ies)|parameters?|payload|schema|columns)\b", re.I)
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff\ufffd]")


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
    lines = re.split(_LINE_END, text)
    long = [number for number, line in enumerate(lines, 1) if len(line) > MAX_LINE]
    if long:
        document.problems.append(Problem(long[0], f"a line longer than {MAX_LINE} characters; break it"))
        return document
    control = _CONTROL.search(text)
    if control is not None:
        line = len(re.split(_LINE_END, text[: control.start()]))
        document.problems.append(Problem(line, "it contains bytes that are not UTF-8; save it as UTF-8"))
        return document
    try:
        tokens = _parser().parse(text)
        if any(token.level >= MAX_NESTING for token in _all(tokens)):
            document.problems.append(Problem(1, f"it is nested deeper than {MAX_NESTING} levels; flatten it"))
            return document
        _Reader(document, lines, titles, claims_of(owners), frozenset(fields)).read(SyntaxTreeNode(tokens))
    except Exception as error:  # a bug in the parser must lead to a HOLD, not to a traceback
        document.problems.append(Problem(1, f"the Markdown parser failed on it ({type(error).__name__}: {error})"))
    return document


def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"maxNesting": MAX_NESTING + 20}).enable(["table", "strikethrough"])


def _all(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from token.children or ()


class _Reader(FieldReader):
    """Reads a document block by block, keeping track of its headings."""

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

    def open(self, node: SyntaxTreeNode) -> None:
        level = int(node.tag[1:])
        while self.headings and self.headings[-1].level >= level:
            self.headings.pop()
        outer = self.heading
        parts = inline(node)
        title = flat(parts)
        known = self.section_of.get(normal_title(title))
        if outer is not None and outer.section == "other":
            known = None
        if known is None and level > 1 and OWNER_WORD.search(title) and (outer is None or outer.section is None):
            known = "ownership"  # a separate heading for who owns what
        section = known or (outer.section if outer else None)
        owners = self.claims.heads(title) if section == "ownership" else ()
        if known is None and section == "ownership" and not owners:
            self.problem(node, f'the heading "{short(title)}" names no owner of the map')
        if known is not None:
            self.document.sections.setdefault(known, Section(line_of(node)))
        fieldish = bool(known is None and _FIELDISH.search(title))
        if known is None and outer is not None and outer.level > 1:
            fieldish = fieldish or outer.fieldish
        parent = outer.parent if outer and known is None else None
        if known is None and section in FIELD_SECTIONS and names_a_field(parts):
            parent = self.entry(head(parts), parent, node)
            self.mark_filled()
        self.headings.append(Heading(level, section, fieldish, plain(title), parent, owners))

    def block(self, node: SyntaxTreeNode) -> None:
        if says_something(node):
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
        """Reports what hides the text after it: a fence or a comment that is not closed, Markdown inside HTML."""
        if node.type == "fence" and node.map:
            last = self.lines[min(node.map[1], len(self.lines)) - 1].lstrip("> \t").rstrip()
            closed = set(last) == {node.markup[0]} and len(last) >= len(node.markup)
            if not closed or node.map[1] - node.map[0] < 2:
                self.problem(node, "a code fence is not closed; close it")
        elif node.type == "html_block" and "<!--" in COMMENT.sub("", node.content):
            self.problem(node, "an HTML comment is not closed; close it")
        elif node.type == "html_block" and MARKDOWN_LINE.search(COMMENT.sub("", node.content)):
            self.problem(node, "Markdown inside HTML is not read as such; put an empty line between them")
        nested = node.type == "heading" and node.parent is not None and not node.parent.is_root
        if nested and self.section_of.get(normal_title(flat(inline(node)))) in FIELD_SECTIONS:
            self.problem(node, "a section heading inside a bullet or a quotation; move it out")
