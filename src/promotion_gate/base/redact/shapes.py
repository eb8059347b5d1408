"""Secrets recognised by their shape: key blocks, passwords in URLs, arguments of well-known commands, tokens.

Each rule is a function from a text to the spans that must be masked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .known import Span

_BEGIN, _END = (rf"-----{edge} [A-Z0-9 ]{{0,40}}PRIVATE KEY(?: BLOCK)?-----" for edge in ("BEGIN", "END"))
_LEAD = r"[ \t>|+-]{0,40}"  # of a quoted text, a table or a diff
_LINE = r"^" + _LEAD + r"[A-Za-z0-9+/=]{4,}[ \t]*\r?(?:\n|\Z)"
_HEADER = r"^" + _LEAD + r"(?:[A-Z][A-Za-z-]{1,40}: [^\n]*)?[ \t]*\r?\n"
_WHOLE_KEY = re.compile(_BEGIN + r"((?:(?!-----)[\s\S])*)" + _END)
_CUT_BELOW = re.compile(_BEGIN + r"[ \t]*\r?\n((?:" + _LINE + "|" + _HEADER + ")*)", re.M)
_LINES, _END_BELOW = re.compile("(?:" + _LINE + ")+", re.M), re.compile(_LEAD + _END)
# Full lines of base64, as ssh-keygen, openssl and gpg wrap them, and the last line.
_BODY = re.compile(
    r"(?:^" + _LEAD + r"[A-Za-z0-9+/]{60,76}[ \t]*\r?\n){2,}(?:" + _LEAD + r"[A-Za-z0-9+/]{4,76}={0,2}$)?", re.M
)


def private_keys(text: str) -> Iterator[Span]:
    """Bodies between BEGIN and END; of a key that was cut off, the lines that are left, with or without either."""
    for body in _BODY.finditer(text):
        if all(re.search(kind, body.group()) for kind in ("[a-z]", "[A-Z]", r"\d")):
            yield stripped(text, *body.span())
    if "PRIVATE KEY" in text:
        for pattern in (_WHOLE_KEY, _CUT_BELOW):
            for key in pattern.finditer(text):
                yield stripped(text, *key.span(1))
        for lines in _LINES.finditer(text):
            if _END_BELOW.match(text, lines.end()):
                yield stripped(text, *lines.span())


def stripped(text: str, start: int, end: int) -> Span:
    """The span without surrounding white space."""
    body = text[start:end]
    return start + len(body) - len(body.lstrip()), end - (len(body) - len(body.rstrip()))


# Up to the last @ before a host, whatever is in the password; but up to the first if a port and a path seem to follow.
_URL = re.compile(
    r":\\?/\\?/[^\s/?#@:\"'`<>\[]{0,256}:(?!\d{1,5}(?:[/?#,;)\]\"'`<>\s]|$))"
    r"((?:(?!:\\?/\\?/)[^\s\"'`<>]){1,1024})(?<!/)@(?=[\w.\[-])"
)
# A token in place of the user: long and with a digit, or in https and not a plain name (https://git@host).
_URL_TOKEN = re.compile(
    r":\\?/\\?/((?=[A-Za-z_-]{0,256}\d)[A-Za-z0-9_-]{20,256})@"
    r"|(?<=http)s?:\\?/\\?/((?=[a-z._~%-]{0,256}[A-Z0-9])[A-Za-z0-9._~%-]{6,256})@"
)
_URL_ENCODED = re.compile(r"%3a%2f%2f[^\s%\"'&]{0,256}%3a([^\s\"'&]{1,1024}?)%40", re.I)


def url_passwords(text: str) -> Iterator[Span]:
    """amqp://guest:HERE@host, https://HERE@host where it looks like a token, and the same percent-encoded."""
    for pattern in (_URL, _URL_TOKEN, _URL_ENCODED):
        for found in pattern.finditer(text):
            yield found.span(found.lastindex or 0)


_WORD = r"(?:\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|[^\s\"']+)"
_GAP = r"[\"']?,?[ \t]+"
_QUOTED = r"('\"'\"'|\\?['\"])(?P<value>[^\n]{1,512}?)\1"
# (what the text must contain for the pattern to be tried, the pattern; the group `value`, or else 1, is the secret)
_SHAPES = tuple(
    (tuple(literals.split()), re.compile(pattern, re.I | re.M))
    for literals, pattern in (
        (
            "add_user change_password authenticate_user",
            rf"\b(?:add_user|change_password|authenticate_user){_GAP}{_WORD},?[ \t]+(?![&|;<>#(])({_WORD})",
        ),
        ("password", rf"\bpassword[ \t]+e?{_QUOTED}"),
        ("identified", rf"\bidentified[ \t]+by[ \t]+{_QUOTED}"),
        ("login", r"\blogin\s+\S{1,256}\s+password\s+(\S{1,512})"),
        ("sshpass", rf"\bsshpass{_GAP}['\"]?-p['\"]?,?[ \t]*({_WORD})"),
        (
            "curl",
            r"\bcurl\b[^\n]{0,512}?[ \t\"'](?:-u|--user)[\"']?[ \t=,]{0,4}[\"']?[^\s:\"']{1,256}:([^\s\"']{1,512})",
        ),
        ("login", rf"\b(?:docker|podman|registry){_GAP}['\"]?login\b[^\n]{{0,256}}?[ \t\"']-p['\"]?,?[ \t]+({_WORD})"),
        ('auth"', r"\bauth\"[ \t]*:[ \t]*\"(?-i:(?=[^\"\n]*[A-Z0-9+/]))([a-z0-9+/]{8,}={0,2})\""),  # of docker
        ("redis-cli", rf"\bredis-cli\b[^\n]{{0,256}}?[ \t\"']-a[\"']?,?[ \t]+({_WORD})"),
        ("mysql mariadb", r"\b(?:mysql|mariadb)\w*\b[^\n]{0,256}?[ \t\"']-p([^\s\"',]{1,256})"),
        ("pass:", r"-pass(?:in|out)?[ \t]+pass:(\S{1,512})"),
        (":54", r"^[^\s:]{1,256}:54\d\d:[^\s:]{1,256}:[^\s:]{1,256}:((?:[^\s\\]|\\.){1,512})$"),  # .pgpass
        ("_pass", r"\{[ \t]*'?[a-z]\w{0,40}_pass'?[ \t]*,[ \t]*(?:<<)?\"(?P<value>[^\"\n]{1,512})\""),  # Erlang
        ("bearer", r"\bbearer[ \t]+((?=[^\s\"']*[0-9._=/+-])[A-Za-z0-9._~+/=-]{6,}|[A-Za-z]{20,})"),
        ("basic", r"\bbasic[ \t]+((?=[^\s\"']*[0-9=+/])[A-Za-z0-9+/]{8,}={0,2})"),
        # Tokens that are designed to be recognised.
        (
            "gh glpat- npm_ pypi-age xox",
            r"(?<![A-Z0-9])(gh[pousr]_[A-Z0-9]{20,255}|github_pat_\w{20,255}|glpat-[\w-]{16,255}|npm_[A-Z0-9]{30,255}"
            r"|pypi-AgE[\w-]{30,1024}|xox[abprs]-[A-Z0-9-]{10,255})",
        ),
        ("akia", r"(?<![A-Z0-9])(?-i:(AKIA[A-Z0-9]{16}))(?![A-Z0-9])"),
        ("eyj", r"(?<![A-Z0-9])(?-i:(eyJ[\w-]{8,4096}\.[\w-]{8,8192}\.[\w-]{8,4096}))"),
    )
)


def known_shapes(text: str) -> Iterator[Span]:
    """rabbitmqctl add_user NAME HERE, PASSWORD 'HERE', curl -u user:HERE, Bearer HERE, ghp_..., ..."""
    lowered = text.lower()
    for literals, pattern in _SHAPES:
        if any(literal in lowered for literal in literals):
            for found in pattern.finditer(text):
                yield inside_quotes(text, *found.span("value" if "value" in pattern.groupindex else 1))


def inside_quotes(text: str, start: int, end: int) -> Span:
    """The span without one pair of quotes."""
    if end - start >= 2 and text[start] in "\"'" and text[end - 1] == text[start]:
        return start + 1, end - 1
    return start, end
