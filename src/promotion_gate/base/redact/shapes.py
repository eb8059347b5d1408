"""What is a secret by its shape: key blocks, passwords in URLs, words of well-known commands, tokens.

Each rule is a function from a text to the spans that must not be seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .known import Span

# --- private keys ---------------------------------------------------------------------------------------------------

_KEY_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_LEAD = r"[ \t>|+-]{0,40}"  # of a quoted text, a table or a diff
_KEY_LINE = re.compile(_LEAD + r"(?:[A-Za-z0-9+/=]{4,}|[A-Z][A-Za-z-]{1,40}: [^\n]*)?[ \t]*\r?(?:\n|\Z)")
_KEY_LINE_BEFORE = re.compile(_LEAD + r"[A-Za-z0-9+/=]{4,}\s*")
_LINE_END = re.compile(r"[ \t]*\r?\n")
_KEY_LINES_BEFORE_END = 200
# Part of a key without its BEGIN and END: full lines of base64, as ssh-keygen, openssl and gpg break them.
_BODY = re.compile(
    r"(?:^" + _LEAD + r"[A-Za-z0-9+/]{60,76}[ \t]*\r?\n){2,}(?:" + _LEAD + r"[A-Za-z0-9+/]{4,76}={0,2}$)?", re.M
)


def private_keys(text: str) -> Iterator[Span]:
    """Bodies between BEGIN and END; of a block that was cut, the lines that are left."""
    for body in _BODY.finditer(text) if re.search(r"[A-Za-z0-9+/]{60}", text) else ():
        if re.search(r"[a-z]", body.group()) and re.search(r"[A-Z]", body.group()) and re.search(r"\d", body.group()):
            yield stripped(text, *body.span())
    if "PRIVATE KEY" not in text:
        return
    covered = 0
    for begin in _KEY_BEGIN.finditer(text):
        dashes = text.find("-----", begin.end())
        end = _KEY_END.match(text, dashes) if dashes >= 0 else None
        if end:
            covered = end.end()
            yield stripped(text, begin.end(), end.start())
            continue
        start = cut = end_of(_LINE_END, text, begin.end())
        while cut < len(text) and (after := end_of(_KEY_LINE, text, cut)) > cut:
            cut = after
        yield stripped(text, start, cut)
    for end in _KEY_END.finditer(text, covered):
        yield from _key_lines_before(text, end.start())


def _key_lines_before(text: str, end: int) -> Iterator[Span]:
    """The base64 lines right above an END line whose BEGIN was cut off."""
    line = text.rfind("\n", max(0, end - 60), end) + 1
    start = end = line if line and not text[line:end].strip(" \t>|+-") else end
    for above in reversed(text[max(0, start - 80 * _KEY_LINES_BEFORE_END) : start].splitlines(keepends=True)):
        if not _KEY_LINE_BEFORE.fullmatch(above):
            break
        start -= len(above)
    if start < end:
        yield stripped(text, start, end)


def stripped(text: str, start: int, end: int) -> Span:
    """The span without the white space around it."""
    body = text[start:end]
    return start + len(body) - len(body.lstrip()), end - (len(body) - len(body.rstrip()))


def end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Where a match at that place ends, or the place itself."""
    found = pattern.match(text, at)
    return found.end() if found else at


# --- URLs -----------------------------------------------------------------------------------------------------------

# Up to the last @ before a host, whatever is in the password; but the first of what only looks like a port with a path.
_URL = re.compile(
    r":\\?/\\?/[^\s/?#@:\"'`<>\[]{0,256}:(?!\d{1,5}(?:[/?#,;)\]\"'`<>\s]|$))"
    r"((?:(?!:\\?/\\?/)[^\s\"'`<>]){1,1024})(?<!/)@(?=[\w.\[-])"
)
# A token in the place of the user: long and with a digit, or of https and no plain name (https://git@host).
_URL_TOKEN = re.compile(
    r":\\?/\\?/((?=[A-Za-z_-]{0,256}\d)[A-Za-z0-9_-]{20,256})@"
    r"|(?<=http)s?:\\?/\\?/((?=[a-z._~%-]{0,256}[A-Z0-9])[A-Za-z0-9._~%-]{6,256})@"
)
_URL_ENCODED = re.compile(r"%3a%2f%2f[^\s%\"'&]{0,256}%3a([^\s\"'&]{1,1024}?)%40", re.I)


def url_passwords(text: str) -> Iterator[Span]:
    """amqp://guest:HERE@host, https://HERE@host where it looks like a token, and the same percent-encoded."""
    if ":/" in text or ":\\/" in text:
        for pattern in (_URL, _URL_TOKEN):
            for found in pattern.finditer(text):
                yield found.span(found.lastindex or 0)
    if "%40" in text:
        for found in _URL_ENCODED.finditer(text):
            yield found.span(1)


# --- words of well-known commands and files, and tokens known by their shape ------------------------------------------

_WORD = r"(?:\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|[^\s\"']+)"
_GAP = r"[\"']?,?[ \t]+"
_QUOTED = r"('\"'\"'|\\?['\"])(?P<value>[^\n]{1,512}?)\1"
# (what the text must hold for the pattern to be tried, the pattern; the group `value`, or else 1, is the secret)
_COMMAND_WORDS = tuple(
    (tuple(literals.split()), re.compile(pattern, re.I | re.M))
    for literals, pattern in (
        (
            "add_user change_password authenticate_user",
            r"\b(?:add_user|change_password|authenticate_user)"
            + _GAP
            + _WORD
            + r",?[ \t]+(?![&|;<>#(])("
            + _WORD
            + ")",
        ),
        ("password PASSWORD Password", r"\bpassword[ \t]+e?" + _QUOTED),
        ("identified IDENTIFIED", r"\bidentified[ \t]+by[ \t]+" + _QUOTED),
        ("login", r"\blogin\s+\S{1,256}\s+password\s+(\S{1,512})"),
        ("sshpass", r"\bsshpass" + _GAP + r"['\"]?-p['\"]?,?[ \t]*(" + _WORD + ")"),
        (
            "curl",
            r"\bcurl\b[^\n]{0,512}?[ \t\"'](?:-u|--user)[\"']?[ \t=,]{0,4}[\"']?[^\s:\"']{1,256}:([^\s\"']{1,512})",
        ),
        ("redis-cli", r"\bredis-cli\b[^\n]{0,256}?[ \t\"']-a[\"']?,?[ \t]+(" + _WORD + ")"),
        ("mysql mariadb", r"\b(?:mysql|mariadb)\w*\b[^\n]{0,256}?[ \t\"']-p([^\s\"',]{1,256})"),
        ("pass:", r"-pass(?:in|out)?[ \t]+pass:(\S{1,512})"),
        (":54", r"^[^\s:]{1,256}:54\d\d:[^\s:]{1,256}:[^\s:]{1,256}:((?:[^\s\\]|\\.){1,512})$"),  # .pgpass
        ("_pass", r"\{[ \t]*'?[a-z]\w{0,40}_pass'?[ \t]*,[ \t]*(?:<<)?\"(?P<value>[^\"\n]{1,512})\""),  # Erlang
        ("earer BEARER", r"\bbearer[ \t]+((?=[^\s\"']*[0-9._=/+-])[A-Za-z0-9._~+/=-]{6,}|[A-Za-z]{20,})"),
        ("asic BASIC", r"\bbasic[ \t]+((?=[^\s\"']*[0-9=+/])[A-Za-z0-9+/]{8,}={0,2})"),
    )
)
_TOKEN_SHAPES = tuple(
    (literal, re.compile(r"(?<![A-Za-z0-9])" + pattern))
    for literal, pattern in (
        ("gh", r"gh[pousr]_[A-Za-z0-9]{20,255}"),
        ("github_pat_", r"github_pat_[A-Za-z0-9_]{20,255}"),
        ("glpat-", r"glpat-[A-Za-z0-9_-]{16,255}"),
        ("npm_", r"npm_[A-Za-z0-9]{30,255}"),
        ("pypi-AgE", r"pypi-AgE[A-Za-z0-9_-]{30,1024}"),
        ("xox", r"xox[abprs]-[A-Za-z0-9-]{10,255}"),
        ("AKIA", r"AKIA[A-Z0-9]{16}(?![A-Z0-9])"),
        ("eyJ", r"eyJ[A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{8,8192}\.[A-Za-z0-9_-]{8,4096}"),
    )
)


def command_words(text: str) -> Iterator[Span]:
    """rabbitmqctl add_user NAME HERE, PASSWORD 'HERE', curl -u user:HERE, Bearer HERE, ..."""
    for literals, pattern in _COMMAND_WORDS:
        if any(literal in text for literal in literals):
            for found in pattern.finditer(text):
                yield inside_quotes(text, *found.span("value" if "value" in pattern.groupindex else 1))


def token_shapes(text: str) -> Iterator[Span]:
    """Tokens that their makers have made to be recognised."""
    for literal, pattern in _TOKEN_SHAPES:
        if literal in text:
            for found in pattern.finditer(text):
                yield found.span()


def inside_quotes(text: str, start: int, end: int) -> Span:
    """The span without one pair of quotes."""
    if end - start >= 2 and text[start] in "\"'" and text[end - 1] == text[start]:
        return start + 1, end - 1
    return start, end
