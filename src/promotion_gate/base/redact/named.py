"""Values by their name: NAME=value, name: value, "name": "value", --name value, `name   value`, a row of a table.

After each name that indicates a secret one value is read: up to its closing quote, to white space, or, after `name:` at
the beginning of a line, to the end of the line. Then names.py and the context decide whether it is a secret at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .known import ANSI, Span
from .names import is_secret_name, is_some_key, stays
from .shapes import inside_quotes, stripped

_NAME = re.compile(
    r"(?<![A-Za-z0-9_.-])[A-Za-z0-9_.-]*"
    r"(?:pass|pw|secret|token|cred|key|cookie|auth|jwt|dsn|conn|pat|pin|otp|sas)[A-Za-z0-9_-]*",
    re.I | re.A,
)
# What separates a name and its value: a sign; the blank after an option; the next column of a list or a table;
# in {"name": "DB_PASSWORD", "value": HERE}, as Kubernetes and Compose list variables, the name of the other field.
_SIGN = re.compile(
    r"(?P<close>\\?[\"'`]?)\]?(?:" + ANSI + r")*[ \t]{0,20}(?P<sign>:=|=>|==?|:(?!:))(?:[ \t]|" + ANSI + r"){0,40}"
)
_OPTION_GAP = re.compile(r"(?:[ \t]{1,20}|[\"'],[ \t]{0,4})(?!--?[A-Za-z])(?=[^\s])")
_COLUMN_GAP = re.compile(
    r"(?:[ \t]{2,40}|\t)(?=\S*[^\s:=][ \t]*\r?$)|[ \t]{1,80}[|│┃][ \t]{1,40}(?=[^\s|│┃]+[ \t]{0,200}[|│┃])", re.M
)
_BETWEEN = r"\\?[\"']?(?:\s{0,80},\s{0,80}|\s{1,80})\\?[\"']?"
_NAME_FIELD = r"(?<![A-Za-z0-9_])(?:[Nn]ame|[Kk]ey)\\?[\"']?[ \t]{0,8}:[ \t]{0,8}\\?[\"']?"
_VALUE_FIELD = r"[Vv]alue\\?[\"']?[ \t]{0,8}:[ \t]{0,8}"
_IS_NAMED, _FIELD_GAP = re.compile(_NAME_FIELD + r"\Z"), re.compile(_BETWEEN + _VALUE_FIELD)
_VALUE_FIRST = re.compile(
    _VALUE_FIELD + r"(\"(?:[^\"\\\n]|\\.){1,512}\"|'[^'\n]{1,512}'|[^\s\"',]{1,512})"
    r"" + _BETWEEN + _NAME_FIELD + "([A-Za-z0-9_.-]{1,64})"
)
_LINE_LEAD = re.compile(r"\n[ \t>+*#|│┃-]*(?:(?:export|set|setenv|declare -x)[ \t]+)?[\"'`]?\Z")
_SCHEME = re.compile(r"(?:(?:Bearer|Basic|Token|Digest|Negotiate|ApiKey)[ \t]+)?", re.I)

# A value in quotes on one line, or on several lines if its closing quote ends the last of them.
_QUOTED = re.compile(
    r"(\\?[\"'`])(?:(?!\1)[^\\\n]|\\(?!\1)[^\n]|(?!\1)\\.)*?\1"
    r"|([\"'])(?:(?!\2)[^\n])*(?:\n(?:(?!\2)[^\n])*){1,8}\2(?=[ \t]*[,;)}\]]{0,3}[ \t]*\r?$)",
    re.M,
)
# The rest of a shell-like word: quoted and bare pieces side by side, up to a quote that closes what is around it.
_PIECES = re.compile(
    r"(?:(?!\\?[\"'](?:[\s,;:)}\]>]|$))"
    r"(?:\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|[^\s\"'\\]+|\\[^\r\n]|[\"'\\])){0,1000}",
    re.M,
)
_CLOSERS = ",;)}]>"
_OPENERS = tuple("\"'`{[(,;?&|")
_LIST = re.compile(r"\[\s*((?:\\.|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|[^\[\]{}\"'\\])*)\]")
_BLOCK_SCALAR = re.compile(r"[|>][+-]?\d?[+-]?[ \t]*(?:#[^\n]*)?\r?$", re.M)
_BLOCK = re.compile(r"( *)[^\n]*\n((?:\1 [^\n]*\n?|[ \t\r]*\n)*)")
_COLOUR = re.compile(ANSI)
_COUNT = re.compile(r"\d{1,4}(?:[ \t/%,(].*)?")  # pass: 12, PASS=3/3, pass: 3 tests


def named_values(text: str) -> Iterator[Span]:
    """The values after names that indicate a secret."""
    done = 0
    for found in _NAME.finditer(text):
        start, end = found.span()
        name = found.group()[-80:].lstrip(".")
        if start >= done and is_secret_name(name, in_environment=name.isupper() and text.startswith("=", end)):
            span = _value_of(text, name, start, end)
            if span:
                yield span
                done = span[1]
    for found in _VALUE_FIRST.finditer(text):
        if is_secret_name(found.group(2)) and not stays(found.group(2), "=", found.group(1).strip("\"'")):
            yield inside_quotes(text, *found.span(1))


def _value_of(text: str, name: str, start: int, end: int) -> Span | None:
    """The secret that belongs to the name at start:end, if there is one."""
    lead = "\n" * (start <= 64) + text[max(0, start - 64) : start]
    leads, before = _LINE_LEAD.search(lead) is not None, lead[-1]
    gap = _SIGN.match(text, end)
    sign, close = gap.group("sign", "close") if gap else ("", "")
    if not gap and name.startswith("-"):
        gap = _OPTION_GAP.match(text, end)
    elif not gap and leads:
        gap = _COLUMN_GAP.match(text, end)
    elif not gap and _IS_NAMED.search(lead):
        gap, sign, close = _FIELD_GAP.match(text, end), "=", before
    if not gap or (sign == ":" and before == "/"):  # /etc/passwd: No such file
        return None
    at = gap.end()
    if "authorization" in name.lower() and (scheme := _SCHEME.match(text, at)):
        at = scheme.end()
    if sign == ":" and _BLOCK_SCALAR.match(text, at):
        block = _BLOCK.match(text, text.rfind("\n", 0, start) + 1)
        return stripped(text, *block.span(2)) if block else None
    if sign and before in "\"'`" and not close:  # 'NAME=va lue': one word, whose quote opens before the name
        first, last = at, max(at, _value_at(text, start - 1, False)[1])
        last -= text[last - 1] == before and last > at
    else:
        first, last = _value_at(text, at, "\n" in gap.group() or (leads and sign == ":"))
    if before in "?&":
        last = first + len(text[first:last].partition("&")[0])
    bare = text[first - 1] not in "\"'`"
    if sign == ":" and bare and text[first : first + 1] in ("{", "["):  # its own names are judged; a list has none
        items = None if is_some_key(name) else _LIST.match(text, first)
        return stripped(text, *items.span(1)) if items else None
    value = _COLOUR.sub("", text[first:last]).strip("\"'` \t")
    if stays(name, sign, value, bare, described=not sign or close == "`"):
        return None
    if name.lower() == "pass":  # PASS: broker, pass: 12, First pass: parse
        apart = leads or lead.rstrip().endswith(_OPENERS)
        prose = sign == ":" and not close and (name == "PASS" or (not apart and value.isalpha()))
        if not sign or prose or _COUNT.fullmatch(value):
            return None
    return first, last


def _value_at(text: str, at: int, to_line_end: bool) -> Span:
    """The value that begins there, without the quotes around it and closing brackets after it."""
    quoted = _QUOTED.match(text, at)
    pieces = _PIECES.match(text, quoted.end() if quoted else at)
    end = pieces.end() if pieces else at
    if quoted and (end == quoted.end() or text[quoted.end()] in _CLOSERS + ":&"):
        quote = len(quoted.group(1) or quoted.group(2))
        return at + quote, quoted.end() - quote
    if not quoted and (to_line_end or text.startswith(('"', "'", "`", '\\"'), at)):
        end = text.find("\n", at)
        return at, at + len(text[at : end if end >= 0 else len(text)].rstrip())
    return at, at + len(text[at:end].rstrip(_CLOSERS))
