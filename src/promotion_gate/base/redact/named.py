"""Values by their name: NAME=value, name: value, "name": "value", --name value, `name   value`, a row of a table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from .known import ANSI, Span
from .names import is_description, is_no_secret, is_result, is_secret_name, is_some_key
from .shapes import end_of, inside_quotes, stripped

_NAME_WORDS = ("pass", "pw", "secret", "token", "cred", "key", "cookie", "auth", "jwt", "dsn", "conn", "pat", "pin")
_NAME_BEFORE = re.compile(r"[A-Za-z0-9_.-]*\Z")
_NAME_AFTER = re.compile(r"[A-Za-z0-9_-]{0,40}")
_SEPARATOR = re.compile(
    r"(?P<close>\\?[\"'`]?)\]?(?:" + ANSI + r")*[ \t]{0,20}(?P<sign>:=|=>|==?|:(?!:))(?:[ \t]|" + ANSI + r"){0,40}"
)
_OPTION_GAP = re.compile(r"(?:[ \t]{1,20}|[\"'],[ \t]{0,4})(?!--?[A-Za-z])(?=[^\s])")
# name   value, or the next cell of a table: | name | value |
_COLUMN_GAP = re.compile(
    r"(?:[ \t]{2,40}|\t)(?=\S*[^\s:=][ \t]*\r?$)|[ \t]{1,80}[|│┃][ \t]{1,40}(?=[^\s|│┃]+[ \t]{0,200}[|│┃])", re.M
)
_LINE_LEAD = re.compile(r"(?:^|\n)[ \t>+*#|│┃-]*(?:(?:export|set|setenv|declare -x)[ \t]+)?[\"'`]?\Z")
_SCHEME = re.compile(r"(?:Bearer|Basic|Token|Digest|Negotiate|ApiKey)[ \t]+", re.I)
_SEGMENT = re.compile(r"(?![\"'](?:[\s,;:)}\]>]|$))(?:\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|[^\s\"'\\]+|\\.|[\"'\\])", re.M)
_BLOCK_SCALAR = re.compile(r"[|>][+-]?\d?[+-]?[ \t]*(?:#[^\n]*)?\r?$", re.M)
_QUOTED = re.compile(r"(\\?[\"'`])(?:(?!\1)[^\\\n]|\\(?!\1)[^\n]|(?!\1)\\.)*?\1")
_ITEM = r"(?:\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|\\\"[^\"\\\n]*\\\"|[^\s\"'\[\]{},\\]+)"
_LIST = re.compile(r"\[\s*(" + _ITEM + r"(?:\s*,\s*" + _ITEM + r")*)\s*(?:,\s*)?\]")
_COUNT = re.compile(r"\d{1,4}(?:[ \t/%,(].*)?")  # pass: 12, PASS=3/3, pass: 3 tests
_WORDS = re.compile(r"[A-Za-z'`.,;()/-]+(?:[ \t]+[A-Za-z'`.,;()/-]+)+")
_COLOUR = re.compile(ANSI)
_CLOSING_LINES = 8  # a quoted value goes on below for so many lines at most
_AFTER_NAME = frozenset("=: \t\"'`\\]\x1b\x9b^&")
_CLOSERS = ",;)}]>"
_OPENERS = frozenset("\"'`{[(,;?&|")


def named_values(text: str) -> Iterator[Span]:
    """What stands behind a name that says it is a secret."""
    lowered = text.replace("İ", "I").lower()  # the one letter whose lower case is longer
    done = line_end = -1
    for at in _positions(lowered, _NAME_WORDS):
        if at < done:
            continue
        end = done = end_of(_NAME_AFTER, text, at)
        if text[end : end + 1] not in _AFTER_NAME:
            continue
        found = _NAME_BEFORE.search(text[max(0, at - 64) : at])
        name = text[at - len(found.group() if found else "") : end]
        if not is_secret_name(name.lstrip("."), in_environment=name.isupper() and text[end : end + 1] == "="):
            continue
        if line_end < end:
            line_end = _line_end(text, end)
        span = _value_of(text, end - len(name), end, line_end)
        if span:
            yield span
            done = span[1]


def _positions(text: str, words: Iterable[str]) -> list[int]:
    there = [word for word in words if word in text]
    return sorted({found.start() for word in there for found in re.finditer(re.escape(word), text)})


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _value_of(text: str, start: int, end: int, line_end: int) -> Span | None:
    """The value that belongs to the name at start:end, if there is one."""
    name = text[start:end]
    leads = _LINE_LEAD.search(text[max(0, start - 64) : start] if start > 64 else "\n" + text[:start]) is not None
    before = text[start - 1 : start]
    sign = close = ""
    gap = _SEPARATOR.match(text, end)
    if gap:
        sign, close = gap.group("sign"), gap.group("close")
        if sign == ":" and before == "/":  # /etc/passwd: No such file
            return None
    elif name.startswith("-"):
        gap = _OPTION_GAP.match(text, end)
    elif leads:
        gap = _COLUMN_GAP.match(text, end)
    if not gap:
        return None
    at = end_of(_SCHEME, text, gap.end()) if "authorization" in name.lower() else gap.end()
    if sign == ":" and _BLOCK_SCALAR.match(text, at):
        return _block_below(text, start, line_end)
    opened = before if sign and before and before in "\"'`" and not close else ""
    first, last = _extent(text, at, line_end, opened, to_line_end=leads and sign == ":", query=before in ("?", "&"))
    bare = text[first - 1] not in "\"'`"
    if sign == ":" and bare and text[first : first + 1] in ("{", "["):
        # Its own names are judged; a list of words has none.
        items = None if is_some_key(name) else _LIST.match(text, first)
        first, last = items.span(1) if items else (first, first)
    value = _COLOUR.sub("", text[first:last]).strip("\"'` \t")
    stays = _stays(name, sign, value, bare, described=not sign or close == "`")
    return None if stays or _passed(text, start, name, sign, close, value) else (first, last)


def _stays(name: str, sign: str, value: str, bare: bool = True, described: bool = False) -> bool:
    """Say whether what stands after a secret's name is plainly no secret: nothing, a path, a result, a description."""
    if is_no_secret(name, value):
        return True
    if name.startswith("-"):
        return False
    if is_result(value):
        return True
    if sign not in ("", ":"):
        return False
    if is_description(value) and (bare or value.lower().startswith("str")):
        return True
    # The fields of a contract are called some_key as well, and what it says of them is judged.
    prose = bare and is_some_key(name)
    return prose and (_WORDS.fullmatch(value) is not None or (described and value.isalpha()))


def _passed(text: str, start: int, name: str, sign: str, close: str, value: str) -> bool:
    """Say whether a bare `pass` counts or names what passed: PASS: broker, pass: 12, First pass: parse."""
    if name.lower() != "pass":
        return False
    if not sign or _COUNT.fullmatch(value):
        return True
    line = text[text.rfind("\n", 0, start) + 1 : start]
    apart = not line.strip(" \t>+*#|│┃-\"'`") or line.rstrip()[-1:] in _OPENERS
    return sign == ":" and not close and (name == "PASS" or (not apart and value.isalpha()))


def _extent(text: str, at: int, line_end: int, opened: str, to_line_end: bool, query: bool) -> Span:
    """Where the value that begins at `at` ends: at its quote, at white space, or at the end of the line."""
    if text[line_end - 1 : line_end] == "\r" and line_end > at:
        line_end -= 1
    if opened:  # 'NAME=va lue': the quote was opened before the name
        end = text.find(opened, at, line_end)
        if end < 0:
            return at, _closed_below(text, opened, line_end) or line_end
        after = _segments(text, end + 1, line_end)
        if after == end + 1 or text[end + 1] in _CLOSERS + ":":
            return at, end
        return at, after - 1 if text[after - 1] == opened else after
    quoted = _QUOTED.match(text, at, line_end)
    if quoted:
        after = _segments(text, quoted.end(), line_end)
        if after == quoted.end() or text[quoted.end()] in _CLOSERS + ":&":
            return at + len(quoted.group(1)), quoted.end() - len(quoted.group(1))
        return at, after
    if text[at : at + 1] in ("'", '"', "`") or text[at : at + 2] == '\\"':  # a quote that nothing closes on its line
        closed = _closed_below(text, text[at], line_end)
        return (at + 1, closed) if closed else (at, line_end)
    if to_line_end:
        return at, at + len(text[at:line_end].rstrip())
    end = _segments(text, at, line_end)
    if query and "&" in text[at:end]:
        end = text.index("&", at, end)
    return at, max(at, at + len(text[at:end].rstrip(_CLOSERS)))


def _closed_below(text: str, quote_mark: str, line_end: int) -> int | None:
    """Where a quoted value of several lines ends: at the first such quote below, if that ends its line."""
    at = text.find(quote_mark, line_end, line_end + 4096) if quote_mark in "\"'" else -1
    if at < 0 or text.count("\n", line_end, at) > _CLOSING_LINES:
        return None
    return at if re.compile(r"[ \t]*[,;)}\]]{0,3}[ \t]*\r?(?:\n|\Z)").match(text, at + 1) else None


def _segments(text: str, at: int, end: int) -> int:
    """The end of a shell-like word: quoted and bare pieces side by side."""
    while at < end and (found := _SEGMENT.match(text, at, end)):
        at = found.end()
    return at


def _block_below(text: str, start: int, line_end: int) -> Span | None:
    """The lines of a YAML block scalar: those below the key that are indented further."""
    line_start = text.rfind("\n", 0, start) + 1
    indent = start - line_start - len(text[line_start:start].lstrip(" "))
    end = line_end
    while end < len(text):
        stop = _line_end(text, end + 1)
        line = text[end + 1 : stop]
        if line.strip() and len(line) - len(line.lstrip(" ")) <= indent:
            break
        end = stop
    first, last = stripped(text, line_end, end)
    return (first, last) if first < last else None


# --- a name and its value as two fields -----------------------------------------------------------------------------

_FIELD_NAME = (
    r"(?<![A-Za-z0-9_])(?:name|key|Name|Key)\\?[\"']?[ \t]{0,8}:[ \t]{0,8}\\?[\"']?([A-Za-z0-9_.-]{1,64})\\?[\"']?"
)
_FIELD_VALUE = r"\\?[\"']?[Vv]alue\\?[\"']?[ \t]{0,8}:[ \t]{0,8}"
_FIELD_GAP = r"(?:\s{0,80},\s{0,80}|\s{1,80})"
_NAME_FIRST = re.compile(_FIELD_NAME + "(" + _FIELD_GAP + ")" + _FIELD_VALUE)
_VALUE_FIRST = re.compile(
    r"(?<![A-Za-z0-9_])" + _FIELD_VALUE + r"(?P<value>\"(?:[^\"\\\n]|\\.){1,512}\"|'[^'\n]{1,512}'|[^\s\"',]{1,512})"
    r"" + _FIELD_GAP + r"\\?[\"']?" + _FIELD_NAME
)


def two_fields(text: str) -> Iterator[Span]:
    """{"name": "DB_PASSWORD", "value": HERE} as Kubernetes and Compose list variables, in either order."""
    if "alue" not in text:
        return
    for found in _NAME_FIRST.finditer(text):
        at = found.end()
        span = _extent(text, at, _line_end(text, at), "", to_line_end="\n" in found.group(2), query=False)
        if is_secret_name(found.group(1)) and not _stays(found.group(1), "=", text[slice(*span)].strip("\"' ")):
            yield span
    for found in _VALUE_FIRST.finditer(text):
        if is_secret_name(found.group(2)) and not _stays(found.group(2), "=", found.group("value").strip("\"'")):
            yield inside_quotes(text, *found.span("value"))
