"""A block of a Markdown document: its pieces, its line, and whether it looks like a field or a heading."""

from __future__ import annotations

import re

from markdown_it.tree import SyntaxTreeNode

from promotion_gate.judge.ownership.text import (
    LOOKS_LIKE_FIELD,
    OWNER_WORD,
    TYPE_WORD,
    Piece,
    flat,
    head,
    pieces,
    plain,
)

_NUMBERING = re.compile(r"^\W*(?:(?:\d+|[ivx]+|[a-z])(?:\.\d+)*[.):]\s*|\d+(?:\.\d+)*\s+)", re.I)
_PLACEHOLDER = re.compile(r"\W*(?:tbd|tbc|todo|fixme|to be (?:defined|decided|done|written)|\?+|)\W*", re.I)
# A line inside the text of another field that begins with a marked name, e.g. `- a`, next line `-b`.
_SECOND_LINE = re.compile(
    r"\n\s*(?!\W*(?:type|owner|required|optional|description|example|default|notes?)\b)"
    r"(?:[-*+][^\S\n]*(?=[`A-Za-z_])\S+|[•·‣◦▪]\s*\S+|(?:`[\w.]+`|\*\*[\w.]+\*\*)\s*(?=\n|$|[:(–—]|-\s))",
    re.I,
)
# The name of the next field after the type of one: "(string), `b`".
_SECOND_NAME = re.compile(r"\s*\([^()]*\)\s*(?:,|/|&|\+|and|or|;)\s*(?:`[\w.]+`|\*\*[\w.]+\*\*)")
# A plain word with a type and nothing else in parentheses: "with id (string)".
_SECOND_WORD = re.compile(rf"\b\w+\s*\({TYPE_WORD}\s*[),]", re.I)
COMMENT = re.compile(r"<!--.*?-->", re.S)
MARKDOWN_LINE = re.compile(r"^ {0,3}(?:#{1,6}\s|[-*+]\s|\d+[.)]\s|\|)", re.M)
ATTRIBUTE = re.compile(
    r"\W*(?P<key>type|required|optional|requirement"
    r"|values|allowed values|one of|description|example|default|format|notes?|constraints?)"
    r"\W*[:=]\s*(?P<value>.*)",
    re.I | re.S,
)
COLUMNS = {
    "name": ("field", "field name", "name", "property", "attribute", "key", "parameter", "path", "member"),
    "type": ("type", "data type"),
    "required": ("required", "required?", "mandatory", "req", "req.", "presence", "requirement"),
    "optional": ("optional", "optional?"),
    "owner": ("owner", "owned by", "sor", "system of record", "source of truth"),
}


def normal_title(title: str) -> str:
    """A heading in lower case without numbering, marks and a closing parenthesis."""
    title = re.sub(r"^[^\w(]+", "", _NUMBERING.sub("", plain(title), count=1))
    title = re.sub(r"\([^()]*\)\s*$", "", title.rstrip(" :.#"))
    return re.sub(r"\s+", " ", title).strip(" :.#_-–—").casefold()


def inline(node: SyntaxTreeNode) -> list[Piece]:
    """The pieces of a block's own text."""
    result: list[Piece] = []
    for child in node.children:
        if child.type == "inline" and child.token is not None:
            result.extend(pieces(child.token.children or ()))
    return result


def line_of(node: SyntaxTreeNode) -> int:
    current: SyntaxTreeNode | None = node
    while current is not None and not current.is_root:
        if current.map:
            return current.map[0] + 1
        current = current.parent
    return 1


def short(text: str) -> str:
    text = re.sub(r"\s+", " ", plain(text)).strip()
    return text if len(text) <= 60 else f"{text[:57]}..."


def rows(table: SyntaxTreeNode) -> list[SyntaxTreeNode]:
    return [row for body in table.children[1:] for row in body.children]


def columns_of(header: SyntaxTreeNode) -> dict[str, int]:
    """What each column contains, by the table's header."""
    result: dict[str, int] = {}
    for index, cell in enumerate(header.children[0].children):
        title = plain(flat(inline(cell))).casefold()
        for name, titles in COLUMNS.items():
            if title in titles:
                result.setdefault(name, index)
    return result


def html_text(content: str) -> str:
    """The visible text of an HTML block, without comments, tags and summaries."""
    content = COMMENT.sub("", content)
    content = re.sub(r"<summary>.*?</summary>", "", content, flags=re.S | re.I)
    return re.sub(r"<[^>]*>", "", content).strip()


def says_something(node: SyntaxTreeNode) -> bool:
    """Whether there is more to see than a comment or a placeholder."""
    if node.type in ("hr", "heading"):
        return False
    if node.type == "html_block":
        return _PLACEHOLDER.fullmatch(html_text(node.content)) is None
    if node.type in ("fence", "code_block"):
        return bool(node.content.strip())
    texts = [flat(inline(child)) for child in node.walk() if child.type in ("paragraph", "td", "heading")]
    texts += [html_text(child.content) for child in node.walk() if child.type == "html_block"]
    texts += [child.content for child in node.walk() if child.type in ("fence", "code_block")]
    return any(_PLACEHOLDER.fullmatch(plain(text)) is None for text in texts)


def is_attribute(item: SyntaxTreeNode) -> bool:
    """`Type: string` and the like, nested under a field."""
    if not item.children or item.children[0].type != "paragraph":
        return False
    parts = inline(item.children[0])
    return bool(parts) and parts[0].kind != "code" and bool(ATTRIBUTE.match(flat(parts)))


def second_field(text: str) -> str:
    """A field inside the text of another one, or an empty string."""
    found = (
        LOOKS_LIKE_FIELD.search(text)
        or _SECOND_LINE.search(text)
        or _SECOND_NAME.match(text)
        or _SECOND_WORD.search(text)
    )
    return short(found[0]) if found else ""


def names_a_field(parts: list[Piece], rest: str = "") -> bool:
    """Whether this text begins with a field (`tenant_id` in code, or a name with an underscore) before `rest`."""
    found = head(parts)
    if found is None or not re.match(rest, found.rest):
        return False
    return bool(rest) or parts[0].kind == "code" or "_" in found.names[0].path


def is_plain_entry(line: str) -> bool:
    """`tenant_id: ...`, `tenant_id (...)`, or the second line of a definition, as a line of prose."""
    return bool(re.match(rf"\s*(?:\**\w+[_.]\w[\w.]*\**\s*[:(]|\w+\s*[:(]\s*{TYPE_WORD}\b|:\s)", line, re.I))


def heads_owners(parts: list[Piece]) -> bool:
    """Whether a paragraph is about owners and introduces what follows it: `**Ownership**`, `Owners:`."""
    text = flat(parts).strip()
    alone = all(part.kind == "strong" or not part.text.strip(" :") for part in parts)
    return bool(OWNER_WORD.search(text)) and (alone or text.endswith(":")) and len(text.split()) <= 8
