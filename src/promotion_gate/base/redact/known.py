"""Known values: found wherever they occur, however a tool encoded, quoted, split or wrapped them.

A text is searched as it is, without what splits words (escape sequences, line wraps, borders), and with percent-,
backslash-, HTML- and shell-quoting undone once and twice. In each of these views a value is searched for in any case,
and as base64 and hex. So the forms need not be listed, only how to undo them.
"""

from __future__ import annotations

import base64
import html
import re
from array import array
from collections.abc import Iterable, Iterator

Span = tuple[int, int]

MIN_LENGTH = 8  # shorter values ("guest", "aiida") are ordinary words of the evidence,
MIN_MIXED_LENGTH = 6  # except those of letters and other characters: hunter2
_LONGEST_WORD = 10  # a secret that may be part of other words is masked only as a whole word

# Escape sequences (ECMA-48), bounded. Real ones: CSI, strings such as OSC up to their end, nF (ESC ( B), two bytes.
_REAL = (
    r"(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,4}[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x90-\x9f\n]{0,512}(?:\x07|\x9c|\x1b\\)"
    r"|\x1b[ -/]{1,4}[0-~]|\x1b[0-OQ-WYZ\\`-~]"
)
# And as JSON, repr(), a shell, `cat -v` or HTML spell them. Two bytes are left out: \e7 may be part of a word.
_ESC = r"(?:\\u001[bB]|\\x1[bB]|\\0?33|\\[eE]|\^\[|&#(?:27|x1[bB]);)"
_SPELLED = (
    r"(?:" + _ESC + r"\[|\\u009[bB]|\\x9[bB])[0-?]{0,64}[ -/]{0,4}[@-~]"
    r"|" + _ESC + r"\][^\x07\x1b\x9c\\^&\n]{0,512}(?:\\a|\\u0007|\\x07|\\007|\^G|" + _ESC + r"\\{1,2})"
    r"|" + _ESC + r"[(-/][0-~]"
)
ANSI = "(?:" + _REAL + "|" + _SPELLED + ")"
_ESCAPES = re.compile(ANSI)
_UNSEEN = "\\x00\\u00ad\\u200b-\\u200d\\u2060\\ufeff"
# Where a line was wrapped: blanks and one border before the end of the line, borders and blanks after it. It matches
# only from the first blank, so that a run of blanks is scanned once. Also what moves the cursor back or is invisible.
_WRAP = re.compile(
    r"(?:(?<![ \t])[ \t]{1,400}(?:[|│┃║][ \t]{0,80})?|(?<![ \t])[│┃║])?"
    r"(?:\\?(?:\r{0,3}\n|\r)|(?:\\r)?\\n)[ \t|│┃║>]{0,80}"
    r"|([^\s\x08])\x08(?=\1)| ?\x08|[" + _UNSEEN + "]"
)
# One character as a URL, a string literal, HTML or a shell's quotes write it; bytes of one UTF-8 sequence together.
_CODED = re.compile(
    r"%[0-7][0-9a-f]|(?:%[89a-f][0-9a-f])+|\\x[0-7][0-9a-f]|(?:\\x[89a-f][0-9a-f])+|\\[01][0-7]{2}|(?:\\[23][0-7]{2})+"
    r"|\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|\\u[0-9a-f]{4}|&(?:amp|lt|gt|quot|apos|#\d{1,6}|#x[0-9a-f]{1,5});"
    r"|'\"'\"'|'\\''|\\[^\nux0-3]",
    re.I,
)
# A shell's quotes alone: between them a backslash is one.
_QUOTED = re.compile(r"'\"'\"'|'\\''")
_HEX_GAP = re.compile(r"(?<=[0-9a-f]{2})(?:[ :,-]|,? ?0x|\\x)(?=[0-9a-f]{2})", re.I)
_BLANKS = re.compile(r"(?:" + ANSI + r"|[\s|│┃║>\\\x08" + _UNSEEN + "])+")
_LETTERS = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v", "a": "\a", "e": "\x1b"}
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-"


def _replaced(found: re.Match[str]) -> str:
    """What replaces a match in the next view: the character that is encoded there, or nothing."""
    token = found.group()
    if found.re is not _CODED and found.re is not _QUOTED:
        return ""
    if token[0] == "%" or token[:2] in ("\\x", "\\X"):
        return bytes.fromhex(re.sub(r"[%\\xX]", "", token)).decode("utf-8", "surrogateescape")
    if token[0] == "&":
        return html.unescape(token)
    if token[0] == "'":
        return "'"
    if token[1] in "uU":
        units = b"".join(int(unit, 16).to_bytes(2, "big") for unit in re.split(r"\\[uU]", token)[1:])
        return units.decode("utf-16-be", "surrogatepass")
    if len(token) > 3:
        return bytes(int(code, 8) for code in token.split("\\")[1:]).decode("utf-8", "surrogateescape")
    return _LETTERS.get(token[1], token[1])


class _View:
    """A text with each match of a pattern replaced, and where each of its characters started and ended originally."""

    def __init__(self, raw: str, before: _View | None = None, pattern: re.Pattern[str] = _ESCAPES) -> None:
        kept, starts, ends, done = [""], array("L"), array("L"), 0
        places = array("L", range(len(raw) + 1))
        for found in pattern.finditer(raw) if before else ():
            first, last = found.span()
            piece = _replaced(found)
            kept += (raw[done:first], piece)
            starts += places[done:first] + places[first : first + 1] * len(piece)
            ends += places[done + 1 : first + 1] + places[last : last + 1] * len(piece)
            done = last
        self.raw = "".join(kept) + raw[done:]
        self.text = _folded(self.raw)
        self._starts, self._ends = starts + places[done:-1], ends + places[done + 1 :]
        self._before, self._pattern = before, pattern

    def then(self, pattern: re.Pattern[str]) -> _View:
        """This view rewritten once more; itself if that changes nothing."""
        return _View(self.raw, self, pattern) if pattern.search(self.raw) else self

    def rewritten(self, value: str) -> str:
        """A value as it looks in this view."""
        return self._pattern.sub(_replaced, self._before.rewritten(value)) if self._before else value

    def spans(self, start: int, end: int) -> Iterator[Span]:
        """Where start:end is in the original text, in pieces, without what was replaced by nothing."""
        first, last = self._starts[start], self._ends[end - 1]
        one_piece = last - first == end - start
        for piece in ((first, last),) if one_piece else zip(self._starts[start:end], self._ends[start:end]):
            yield from self._before.spans(*piece) if self._before else (piece,)


def _views(text: str) -> Iterator[_View]:
    raw = _View(text)
    shown = raw.then(_ESCAPES)  # first: a terminal's border has its own colour
    whole = shown.then(_WRAP)
    yield from [raw] + ([shown] if shown is not raw else []) + ([whole] if whole is not shown else [])
    # What looks like the end of a line may be the value's own, and so may a backslash.
    for view, pattern in [(whole, _CODED), *([(shown, _CODED)] if whole is not shown else []), (shown, _QUOTED)]:
        for _ in ("once", "twice"):
            view, before = view.then(pattern), view
            if view is not before:
                yield view


def _folded(text: str) -> str:
    return text.replace("İ", "I").lower()  # the only letter whose lower case is longer


class Known:
    """Secret values, and where they are in a text."""

    def __init__(self, values: Iterable[str]) -> None:
        lines = {line.strip() for value in values for line in (value, *value.splitlines())}
        self._values = sorted((line for line in lines if _is_long_enough(line)), key=lambda line: (-len(line), line))
        self._base64 = sorted({_folded(form) for value in self._values for form in _base64(value)})
        self._hex = sorted({_bytes(value).hex() for value in self._values})
        self._have_blanks = any(_BLANKS.search(value) for value in self._values)
        self._cores = {core for value in self._values if (core := _core(value))}

    def spans(self, text: str) -> Iterator[Span]:
        """What is to be masked: each occurrence of a value, in any form."""
        views = list(_views(text)) if self._values else []
        if self._have_blanks:  # a wrap may have taken blanks, borders and continuations from the value itself
            views.append(views[0].then(_BLANKS))
        for view in views:
            for value in self._values:
                for form in _forms(value, view):
                    for start, end in _places(view.text, form):
                        if not _is_word(value) or _is_apart(view.text, start, end):
                            yield from view.spans(start, end)
            for forms, seen in ((self._base64, view), (self._hex, view.then(_HEX_GAP))):
                for form in forms:
                    for start, end in _places(seen.text, form):
                        yield _widened(text, list(seen.spans(start, end)))

    def remains(self, text: str) -> bool:
        """Whether a value is still readable in a masked text if only letters and digits are compared."""
        seen = [_letters(view.text) for view in _views(text)] if self._cores else []
        return any(core in letters or core[::-1] in letters for core in self._cores for letters in seen)


def _is_long_enough(value: str) -> bool:
    mixed = any(letter.isalpha() for letter in value) and not value.isalpha()
    return len(value) >= (MIN_MIXED_LENGTH if mixed else MIN_LENGTH) and bool(value.strip("*"))


def _is_word(value: str) -> bool:
    """Whether the value may be part of other words or numbers."""
    return value.isdigit() or (value.isalpha() and len(value) <= _LONGEST_WORD and value[1:] == value[1:].lower())


def _core(value: str) -> str:
    """The letters and digits of a value; empty if they are too few."""
    core = _letters(_folded(value))
    telling = len(core) >= MIN_LENGTH and not core.isdigit() and (not core.isalpha() or len(core) > _LONGEST_WORD)
    return core if telling and not _is_word(value) else ""


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text)


def _forms(value: str, view: _View) -> set[str]:
    """The value as it is, with blanks as in a query, with quotes doubled as in SQL and YAML; rewritten as the view was.

    A backslash at its end may have been read together with what follows the value, so it is optional.
    """
    forms = {value, value.replace(" ", "+"), value.replace("'", "''"), view.rewritten(value)}
    forms |= {form.rstrip("\\") for form in forms}
    return {_folded(form) for form in forms if len(form) >= MIN_MIXED_LENGTH}


def _bytes(value: str) -> bytes:
    try:
        return value.encode("utf-8", "surrogateescape")  # a variable that is not UTF-8
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")


def _base64(value: str) -> Iterator[str]:
    """The base64 letters that depend on the value alone, for each offset at which it may start."""
    raw = _bytes(value)
    for shift, skipped in ((0, 0), (1, 2), (2, 3)):
        form = base64.b64encode(b"\0" * shift + raw).decode()
        form = form[skipped : len(form) - (0, 3, 2)[(shift + len(raw)) % 3]]
        yield from (form, form.replace("+", "-").replace("/", "_"))


def _widened(text: str, spans: list[Span]) -> Span:
    """The whole base64 word: its first and last letters also contain bits of the value."""
    start, end = spans[0][0], spans[-1][1]
    before, after = text[max(0, start - 200) : start], text[end : end + 200]
    return start - len(before) + len(before.rstrip(_BASE64)), end + len(after) - len(after.lstrip(_BASE64))


def _places(text: str, word: str) -> Iterator[Span]:
    at = text.find(word)
    while at >= 0:
        yield at, at + len(word)
        at = text.find(word, at + 1)


def _is_apart(text: str, start: int, end: int) -> bool:
    """Whether start:end is not part of a longer word; an option's letter (-p) before it or a repeat is not one."""
    word = text[start:end]
    end += len(word) if text.startswith(word, end) else 0
    start -= len(word) if text.endswith(word, 0, start) else 0
    if re.match(r"\w", text[end : end + 1]):
        return False
    return start == 0 or re.search(r"(?:\W|(?:^|\W)-[a-z])\Z", text[max(0, start - 3) : start]) is not None
