"""One line of a contract document: its pieces, the field names at its start, and what the rest says about them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from markdown_it.token import Token

from promotion_gate.judge.ownership.map import Requirement

_SEGMENT = r"[$@]?[^\W\d][\w-]*(?:\[[\d*]*\])*"
IDENTIFIER = rf"{_SEGMENT}(?:\.{_SEGMENT})*"
TYPE_WORD = (
    r"(?:string|str|text|integer|int|int32|int64|long|number|float|double|decimal|boolean|bool|object|dict|map"
    r"|array|list|enum|uuid|uri|url|timestamp|datetime|date|rfc ?3339|iso[ -]?8601|json|bytes)"
)
# A name that is marked, or has an underscore or a dot, followed by a type: a field, wherever it is.
LOOKS_LIKE_FIELD = re.compile(
    rf"(?:`(?P<code>{IDENTIFIER})\??`|\*\*(?P<strong>{IDENTIFIER}):?\*\*|(?<![\w.`])(?P<plain>\w+[_.]\w[\w.]*))"
    rf"\s*(?:\(\s*{TYPE_WORD}\b|(?::|[-–—])\s*{TYPE_WORD}\s*(?:$|[,;(.\n]))",
    re.IGNORECASE,
)
_TYPED_CODE = re.compile(
    rf"\s*(?P<name>{IDENTIFIER})(?P<maybe>\?)?\s*(?::\s*(?P<type>{TYPE_WORD}\b.*?|[A-Z]\w*(?:\[\])?))?\s*;?\s*",
    re.I,
)
_STRONG = re.compile(rf"\s*(?P<name>{IDENTIFIER})(?P<maybe>\?)?(?=\s*(?:$|[:(–—=]|-\s))")
_PLAIN = re.compile(
    r"\s*(?P<name>[$@]?[a-z_][\w-]*(?:\[[\d*]*\])*(?:\.[a-z_][\w-]*(?:\[[\d*]*\])*)*)(?P<maybe>\?)?"
    r"(?=\s*(?:$|[:(–—=]|-+>?\s))"
)
_JOINED = re.compile(r"\s*(?:,|/|&|and|or|,\s*and)\s*")
_CHECKBOX = re.compile(r"\s*\[[ xX]\]\s+")
SYSTEM = r"(?:SoRs?|systems?[ -]of[ -]record|sources?[ -]of[ -]truth)"
# Words that indicate a statement about an owner.
OWNER_WORD = re.compile(
    rf"\b(?:(?:co-?)?owners?|owned|owns|owning|ownership|{SYSTEM}|authoritative"
    r"|(?:to|not|must|may|can|should|shall|will|do|does|did|both|also|and|they|we) own)\b",
    re.IGNORECASE,
)
_STATED: dict[str, Requirement] = {
    "required": "required",
    "mandatory": "required",
    "optional": "optional",
    "not required": "optional",
}

_YES = frozenset(("yes", "y", "true", "x", "1", "✓", "✔", "✔️", "✅", "required", "mandatory", "always", "must"))
_NO = frozenset(("no", "n", "false", "", "0", "-", "–", "—", "✗", "✘", "❌", "optional", "not required", "may"))


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of inline text; `kind` is text, code, strong, struck or image."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Name:
    path: str
    type: str = ""
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """The names that a bullet or a cell begins with, and the text that follows them."""

    names: tuple[Name, ...]
    rest: str


@dataclass(frozen=True, slots=True)
class Remarks:
    """What a text says about a field; `contradicts` if it calls it both required and optional."""

    type: str
    requirement: Requirement | None
    contradicts: bool = False


def pieces(tokens: Iterable[Token]) -> list[Piece]:
    """The runs of an inline token's children. HTML comments and tags are dropped, since a reader does not see them."""
    result: list[Piece] = []
    depth = {"strong": 0, "struck": 0}
    for token in tokens:
        kind = {"strong": "strong", "em": "strong", "s": "struck"}.get(token.type.rsplit("_", 1)[0])
        if kind is not None:
            depth[kind] += token.nesting
            continue
        if token.type == "code_inline":
            kind = "code"
        elif token.type == "image":
            kind = "image"
        elif token.type in ("softbreak", "hardbreak"):
            kind = "text"
        elif token.type == "text" or token.type == "text_special":
            kind = "strong" if depth["strong"] else "text"
        else:
            continue
        if depth["struck"]:
            kind = "struck"
        text = "\n" if token.type in ("softbreak", "hardbreak") else token.content
        if result and result[-1].kind == kind and kind not in ("code", "image"):
            result[-1] = Piece(kind, result[-1].text + text)
        elif text:
            result.append(Piece(kind, text))
    return result


def flat(parts: Iterable[Piece]) -> str:
    """One string in which code and strong runs keep their marks."""
    marks = {"code": "`", "strong": "**", "struck": "~~"}
    return "".join(f"{marks.get(part.kind, '')}{part.text}{marks.get(part.kind, '')}" for part in parts)


def plain(text: str) -> str:
    """The text without the marks that `flat` keeps."""
    return re.sub(r"[`*~]", "", text).strip()


def head(parts: list[Piece]) -> Head | None:
    """The field names at the beginning and the rest, or None if it does not begin with one."""
    parts = [part for part in parts if part.text]
    if parts and parts[0].kind == "text":
        text = _CHECKBOX.sub("", parts[0].text, count=1).lstrip()
        parts = [Piece("text", text), *parts[1:]] if text else parts[1:]
    names: list[Name] = []
    while parts:
        found = _name(parts[0])
        if found is None:
            break
        name, left = found
        names.append(name)
        parts = [Piece("text", left), *parts[1:]] if left else parts[1:]
        if left or len(parts) < 2 or parts[0].kind != "text" or not _JOINED.fullmatch(parts[0].text):
            break
        if _name(parts[1]) is None:
            return None
        parts = parts[1:]
    return Head(tuple(names), flat(parts)) if names else None


def _name(part: Piece) -> tuple[Name, str] | None:
    if part.kind == "code":
        match = _TYPED_CODE.fullmatch(part.text)
        left = ""
    elif part.kind in ("strong", "text"):
        match = (_STRONG if part.kind == "strong" else _PLAIN).match(part.text)
        left = part.text[match.end() :] if match else ""
    else:
        return None
    if match is None:
        return None
    groups = match.groupdict()
    path = re.sub(r"\[[\d*]*\]", "", groups["name"])
    return Name(path, (groups.get("type") or "").strip(), bool(groups["maybe"])), left


def remarks(rest: str) -> Remarks:
    """What follows a name: the type in parentheses or after a colon or dash, required or not."""
    inside = _parenthesis(rest)
    if inside is not None:
        type_ = _first_type(inside, anything=True)
    else:
        after = re.match(r"\s*(?::|[-–—=]+>?)\s*(.*)", rest, re.DOTALL)
        type_ = _first_type(after[1], anything=False) if after else ""
    tokens = [plain(token).casefold() for token in re.split(r"[,;:()\n.|–—]|\s-\s", rest)]
    stated = {_STATED[token] for token in tokens if token in _STATED}
    return Remarks(type_, stated.pop() if len(stated) == 1 else None, len(stated) > 1)


def requirement_cell(text: str) -> Requirement | None:
    """A cell of a Required column; None if it says neither yes nor no."""
    word = plain(text).casefold().rstrip(".")
    if word in _YES:
        return "required"
    if word in _NO:
        return "optional"
    return None


def _parenthesis(text: str) -> str | None:
    """The content of the parenthesis that the text begins with, or None."""
    text = text.lstrip()
    if not text.startswith("("):
        return None
    depth = 0
    for index, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth == 0:
            return text[1:index]
    return text[1:]


def _first_type(text: str, anything: bool) -> str:
    """The first part that is a type; with `anything`, whatever is neither a requirement nor an owner counts as one."""
    for part in re.split(r"[,;]" if anything else r"[,;.(–—\n]|\s-\s", text):
        part = plain(part)
        if part and part.casefold() not in _STATED and not OWNER_WORD.search(part):
            return part if anything or re.match(rf"{TYPE_WORD}\b", part, re.IGNORECASE) else ""
    return ""
