"""Masks secrets in text: on the target before anything is returned, and again where it is recorded.

One source, used on both sides: it runs on the target's Python 3.9 with the standard library alone (the module
in library/ finds it as ansible.module_utils.promotion.redact).

What is masked, always: the password of a URL, the value of an argument or a `key: value` pair whose name says
that it is a secret, words that well-known commands take as a password, private key blocks, bearer tokens.
And the known values (of the env file's secrets) wherever they stand as whole tokens of 8 characters or more, also
quoted, URL-encoded, or split by a line wrap or by escape sequences, real ones or spelled out (\\u001b[31m).

What stays although its name says secret: results (`test_password: PASSED`), types of a contract, paths of keys,
public keys and fingerprints. They are no secrets, and decisions rest on them.

Each rule is a function from a text to the spans that must not be seen; Redactor.text() masks their union.
Masking is idempotent: a masked text stays as it is.
"""

import base64
import html
import json
import re
import shlex
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Optional, Union
from urllib.parse import quote, quote_plus, unquote

MASK = "***"
MIN_KNOWN_LENGTH = 8  # shorter values ("guest", "aiida") are ordinary words of the evidence

Span = tuple[int, int]

# A name says that its value is a secret when it ends in one of these words, or goes on after it with "_".
_SECRET_NAME = re.compile(
    r"(?:passwords?|passwds?|passphrases?|passcodes?|secrets?|token|credentials?|"
    r"(?:api|private|access|secret|encryption|signing|auth|account|master|ssh|munge|shared|session|admin|deploy|"
    r"licen[sc]e)_?keys?)"
    r"(?=_|\d|$)"
    r"|_(?:pass|pwd|pw)(?=_|\d|$)|(?:^|_)(?:set_)?cookie$|(?:^|_)authorization$|^_auth$|^sshpass$|^pass$"
    r"|^(?:db|user|root|admin|my|mysql|pg|mail|smtp|ldap|redis|mq|rabbit|rabbitmq|proxy|sudo|login|key|store)pass$"
)
# Whatever else ends in _key, too: nobody can list the services that have one ...
_SOME_KEY = re.compile(r"[a-z0-9]_key(?:_?\d+|_b64|_base64|_hex)?$")
# ... but for keys that are public, and for those of tables, caches and messages.
_ORDINARY_KEY = re.compile(
    r"(?:^|_)(?:public|pub|publishable|host|authorized|gpg|pgp|primary|foreign|unique|sort|partition|cache|idempotency|"
    r"dedup|deduplication|routing|binding|row|column|lookup|object|natural|surrogate|composite|candidate|group|parent|"
    r"order|index|search|message|issue|dict|map|json|yaml|missing|unknown|duplicate|invalid|required)"
    r"_(?:(?:rsa|dsa|ecdsa|ed25519)_)?key(?:_?\d+)?$"
)
# PASSWORD_FILE, TOKEN_URL, --no-password: not the secret itself.
_NEUTRAL_NAME = re.compile(
    r"_(?:file|path|dir|name|url|uri|type|count|length|len|limit|ttl|policy|enabled|required|age|expiry|expires|"
    r"expires_in|timeout|prompt|stdin|fd|command|min|max|fingerprint|algorithms?)$|^_*no_"
)
# Names whose value may well be where the secret lies; such a path is no secret.
_PATH_ALLOWED = re.compile(r"(?:key|credentials?|cookie)$")
_PATH = re.compile(
    r"(?:~|\.{1,2}|\$\{?\w+\}?)(?:/[\w.@+-]{1,60})+/?"  # ~/.ssh/id_ed25519
    r"|(?:/[\w.@+-]{1,39}){2,}/?"  # /etc/ssl/key.pem; one segment alone may be base64
    r"|[\w.@+-]{1,39}(?:/[\w.@+-]{1,39})*\.(?:pem|key|pub|crt|json|p12|pfx|txt|ya?ml)"
)
# access_token: string, required - a contract document names the type of a field, which is no secret either.
_TYPE = re.compile(
    r"(?:string|str|text|int(?:eger)?|number|float|bool(?:ean)?|uuid|object|array|bytes|timestamp)(?:\[\])?\??"
    r"(?:[ \t]?[,;(][ \t]?(?:required|optional|nullable)\b[^\n]*)?",
    re.I,
)
# deploy_key: ssh-ed25519 AAAA... me@host, or SHA256:...: what the world may know of a key.
_PUBLIC = re.compile(
    r"(?:sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]{2,60}[ \t]AAAA[A-Za-z0-9+/]{16,4096}={0,2}(?:[ \t][\w.@-]{1,64})?"
    r"|SHA256:[A-Za-z0-9+/]{43}=?|(?:MD5:)?(?:[0-9a-f]{2}:){15}[0-9a-f]{2}"
)
# test_password: PASSED [ 10%] - how a check of that name went.
_RESULT = re.compile(
    r"[^\w\n]{0,3}(?:pass|passed|fail|failed|failure|ok|errors?|skip|skipped|x?passed|x?failed|xpass|xfail|success|"
    r"succeeded|up|down|warn|warning|done|missing|unset|valid|invalid|expired|unknown|yes|no|on|off|enabled|disabled|n/a)"
    r"[\]).!]?(?:[ \t]{0,80}(?:\[[ \d]{0,4}%\]|\(?(?:in )?\d{1,9}(?:\.\d{1,9})?[ ]?(?:ms|s)\)?))?",
    re.I,
)
_COUNT = re.compile(r"\d{1,4}(?:[ \t/%,(].*)?")  # pass: 12, PASS=3/3, pass: 3 tests
_WORDS = re.compile(r"[A-Za-z'`.,;()/-]+(?:[ \t]+[A-Za-z'`.,;()/-]+)+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NO_VALUE = frozenset({"", MASK, "null", "none", "true", "false", "~", "{", "[", "{}", "[]"})

# Escape sequences (ECMA-48), bounded. Real ones: CSI, strings such as OSC up to their end, nF (ESC ( B), two bytes.
_REAL = (
    r"(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,4}[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x90-\x9f\n]{0,512}(?:\x07|\x9c|\x1b\\)"
    r"|\x1b[ -/]{1,4}[0-~]|\x1b[0-OQ-WYZ\\`-~]"
)
# And as JSON, repr(), a shell, `cat -v` or HTML spell them. Two bytes are left out: \e7 is as well a part of a word.
_ESC = r"(?:\\u001[bB]|\\x1[bB]|\\0?33|\\[eE]|\^\[|&#(?:27|x1[bB]);)"
_SPELLED = (
    r"(?:" + _ESC + r"\[|\\u009[bB]|\\x9[bB])[0-?]{0,64}[ -/]{0,4}[@-~]"
    r"|" + _ESC + r"\][^\x07\x1b\x9c\\^&\n]{0,512}(?:\\a|\\u0007|\\x07|\\007|\^G|" + _ESC + r"\\{1,2})"
    r"|" + _ESC + r"[(-/][0-~]"
)
_ANSI = "(?:" + _REAL + "|" + _SPELLED + ")"
_ESCAPES = re.compile(_ANSI)
# Where a line was wrapped: blanks and one border before the end of the line, borders and blanks behind it. It begins at
# the first blank alone, so that a text of blanks is walked through once. And what moves the cursor back.
_WRAP = re.compile(
    r"(?:(?<![ \t])[ \t]{1,400}(?:[|│┃║][ \t]{0,80})?|(?<![ \t])[│┃║])?"
    r"(?:\\?(?:\r{0,3}\n|\r)|(?:\\r)?\\n)[ \t|│┃║>]{0,80}"
    r"|([^\s\x08])\x08(?=\1)| ?\x08"
)


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Say whether a variable, option or key of this name holds a secret: DB_PASSWORD, apiKey, --auth-token."""
    snake = _snake(name)
    if _NEUTRAL_NAME.search(snake):
        return False
    return _SECRET_NAME.search(snake) is not None or _is_some_key(name)


def is_no_secret(name: str, value: str) -> bool:
    """Say whether the value is a path in a *_KEY or *_CREDENTIALS variable, a public key or a fingerprint."""
    if _PATH_ALLOWED.search(_CAMEL.sub("_", name).lower()) is None:
        return False
    return _PATH.fullmatch(value) is not None or _PUBLIC.fullmatch(value) is not None


def _snake(name: str) -> str:
    return re.sub(r"[-.]", "_", _CAMEL.sub("_", name)).lower()


@lru_cache(maxsize=4096)
def _is_some_key(name: str) -> bool:
    """Say whether nothing but a final _key makes the name a secret's: what follows it may be prose as well."""
    snake = _snake(name)
    if _SECRET_NAME.search(snake):
        return False
    return _SOME_KEY.search(snake) is not None and _ORDINARY_KEY.search(snake) is None


def secrets_of(environment: Mapping[str, str]) -> dict[str, str]:
    """The secret values among these variables, by variable name; a URL's password counts too."""
    secrets = {}
    for name, value in environment.items():
        if value.strip().lower() in _NO_VALUE or _RESULT.fullmatch(value.strip()):
            continue
        if is_secret_name(name):
            if not is_no_secret(name, value):
                secrets[name] = value
            continue
        for start, end in _url_passwords(value):
            secrets[name] = value[start:end]
    return secrets


def secrets_that_are_names(secrets: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    """Secret variable -> what it equals, where masking it would hide the evidence.

    `names` maps what something is called for people ("AIIDA_PROFILE", "the user") to its value.
    """
    equal: dict[str, str] = {}
    for variable, value in secrets.items():
        for what, name in names.items():
            if value == name and what != variable:
                equal.setdefault(variable, what)
    return equal


class Redactor:
    """Masks secrets in texts and counts the masks it made."""

    def __init__(self, secrets: Union[Mapping[str, str], Iterable[str]] = ()) -> None:
        """Take the known secret values, by variable name or just the values."""
        values = secrets.values() if isinstance(secrets, Mapping) else secrets
        forms = {form for value in values for form in _forms(value)}
        self._forms = sorted(forms, key=lambda form: (-len(form), form))
        self._count = 0

    @property
    def count(self) -> int:
        """How many values were masked so far."""
        return self._count

    def text(self, text: str) -> str:
        """Return the text with every secret masked; text(text(x)) == text(x)."""
        for _ in range(8):  # a mask can complete another rule's pattern; two passes are the rule
            masked = self._mask(text)
            if masked == text:
                break
            text = masked
        return text

    def argv(self, argv: Iterable[str]) -> list[str]:
        """Return the words of a command with every secret masked, also where a word follows its option."""
        words = list(argv)
        try:
            masked = shlex.split(self.text(shlex.join(words)))
        except ValueError:  # a mask took a quote with it
            masked = []
        if len(masked) != len(words):
            masked = words
        return [self.text(word) for word in masked]

    def _mask(self, text: str) -> str:
        spans = [span for rule in _RULES for span in rule(text)]
        spans += _known_values(text, self._forms)
        pieces = []
        done = 0
        for start, end in _merged(spans):
            if text[start:end] == MASK:
                continue
            pieces += [text[done:start], MASK]
            done = end
            self._count += 1
        return "".join(pieces) + text[done:]


def _merged(spans: Iterable[Span]) -> Iterator[Span]:
    """Yield the union of the spans, in order, touching ones as one."""
    last: Optional[Span] = None
    for start, end in sorted(spans):
        if start >= end:
            continue
        if last is None or start > last[1]:
            if last is not None:
                yield last
            last = (start, end)
        else:
            last = (last[0], max(last[1], end))
    if last is not None:
        yield last


# --- private key blocks -------------------------------------------------------------------------------------------

_KEY_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_LINE = re.compile(r"[ \t>|]{0,40}(?:[A-Za-z0-9+/=]{4,}|[A-Z][A-Za-z-]{1,40}: [^\n]*)\r?(?:\n|\Z)|[ \t]*\r?\n")
_LINE_END = re.compile(r"[ \t]*\r?\n")
_KEY_LINES_BEFORE_END = 200


def _private_keys(text: str) -> Iterator[Span]:
    """Bodies between BEGIN and END; of a block that was cut, the lines on the side that is left."""
    if "PRIVATE KEY" not in text:
        return
    covered = 0
    for begin in _KEY_BEGIN.finditer(text):
        dashes = text.find("-----", begin.end())
        end = _KEY_END.match(text, dashes) if dashes >= 0 else None
        if end:
            covered = end.end()
            yield _stripped(text, begin.end(), end.start())
            continue
        start = cut = _end_of(_LINE_END, text, begin.end())
        while cut < len(text) and _end_of(_KEY_LINE, text, cut) > cut:
            cut = _end_of(_KEY_LINE, text, cut)
        yield _stripped(text, start, cut)
    for end in _KEY_END.finditer(text, covered):
        yield from _key_lines_before(text, end.start())


def _key_lines_before(text: str, end: int) -> Iterator[Span]:
    """The base64 lines right above an END line whose BEGIN was cut off."""
    start = end
    window = text[max(0, end - 80 * _KEY_LINES_BEFORE_END) : end]
    offset = end - len(window)
    for line in reversed(window.splitlines(keepends=True)):
        if not re.fullmatch(r"[ \t>|]*[A-Za-z0-9+/=]{4,}\s*", line):
            break
        start -= len(line)
    start = max(start, offset)
    if start < end:
        yield _stripped(text, start, end)


def _stripped(text: str, start: int, end: int) -> Span:
    """The span without the white space around it."""
    body = text[start:end]
    return start + len(body) - len(body.lstrip()), end - (len(body) - len(body.rstrip()))


# --- URLs ---------------------------------------------------------------------------------------------------------

_URL = re.compile(
    r":\\?/\\?/[^\s/?#@:\"'`<>\[]{0,256}:"
    r"(?:([^\s/?#\"'`<>]{1,1024})@"  # up to the last @ of the authority
    # a password with / ? # in it, which is no port with a path behind it
    r"|(?!\d{1,5}(?:[/?#,;)\]\"'`<>\s]|$))((?:(?!://)[^\s\"'`<>@]){1,1024})@)"
)
# A token in the place of the user: long and with a digit, or of https and no plain name (https://git@host).
_URL_TOKEN = re.compile(
    r":\\?/\\?/((?=[A-Za-z_-]{0,256}\d)[A-Za-z0-9_-]{20,256})@"
    r"|(?<=http)s?:\\?/\\?/((?=[a-z._~%-]{0,256}[A-Z0-9])[A-Za-z0-9._~%-]{6,256})@"
)
_URL_ENCODED = re.compile(r"%3a%2f%2f[^\s%\"'&]{0,256}%3a([^\s\"'&]{1,1024}?)%40", re.I)


def _url_passwords(text: str) -> Iterator[Span]:
    """amqp://guest:HERE@host, https://HERE@host where it looks like a token, and the same percent-encoded."""
    if ":/" in text or ":\\/" in text:
        for found in _URL.finditer(text):
            yield found.span(1) if found.group(1) is not None else found.span(2)
        for found in _URL_TOKEN.finditer(text):
            yield found.span(found.lastindex or 0)
    if "%40" in text:
        for found in _URL_ENCODED.finditer(text):
            yield found.span(1)


# --- values by their name -----------------------------------------------------------------------------------------

_NAME_WORDS = ("pass", "pw", "secret", "token", "credential", "key", "cookie", "auth")
_NAME_BEFORE = re.compile(r"[A-Za-z0-9_.-]*\Z")
_NAME_AFTER = re.compile(r"[A-Za-z0-9_-]{0,40}")
_SEPARATOR = re.compile(
    r"(?P<close>\\?[\"'`]?)\]?(?:" + _ANSI + r")*[ \t]{0,20}(?P<sign>:=|=>|==?|:(?!:))(?:[ \t]|" + _ANSI + r"){0,40}"
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
_CLOSING_LINES = 8  # a quoted value goes on below for so many lines at most
_AFTER_NAME = frozenset("=: \t\"'`\\]\x1b\x9b^&")
_CLOSERS = ",;)}]>"
_OPENERS = frozenset("\"'`{[(,;?&|")


def _named_values(text: str) -> Iterator[Span]:
    """NAME=value, name: value, "name": "value", --name value, `name   value` where the name says so."""
    lowered = text.replace("İ", "I").lower()  # the one letter whose lower case is longer
    done = line_end = -1
    for at in _positions(lowered, _NAME_WORDS):
        if at < done:
            continue
        end = done = _end_of(_NAME_AFTER, text, at)
        if text[end : end + 1] not in _AFTER_NAME:
            continue
        before = text[max(0, at - 64) : at]
        start = at - (len(before) - _start_of(_NAME_BEFORE, before))
        if not is_secret_name(text[start:end].lstrip(".")):
            continue
        if line_end < end:
            line_end = text.find("\n", end)
            line_end = len(text) if line_end < 0 else line_end
        span = _value_of(text, start, end, line_end)
        if span:
            yield span
            done = span[1]


def _positions(text: str, words: Iterable[str]) -> list[int]:
    found = set()
    for word in words:
        at = text.find(word)
        while at >= 0:
            found.add(at)
            at = text.find(word, at + 1)
    return sorted(found)


def _end_of(pattern: "re.Pattern[str]", text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def _start_of(pattern: "re.Pattern[str]", text: str) -> int:
    found = pattern.search(text)
    return found.start() if found else len(text)


def _value_of(text: str, start: int, end: int, line_end: int) -> Optional[Span]:
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
    at = gap.end()
    if "authorization" in name.lower():
        at = _end_of(_SCHEME, text, at)
    if sign == ":" and _BLOCK_SCALAR.match(text, at):
        return _block_below(text, start, line_end)
    opened = before if sign and before and before in "\"'`" and not close else ""
    first, last = _extent(text, at, line_end, opened, to_line_end=leads and sign == ":", query=before in ("?", "&"))
    bare = text[first - 1] not in "\"'`"
    if (
        sign == ":" and bare and text[first : first + 1] in ("{", "[")
    ):  # its own names are judged; a list of words has none
        items = None if _is_some_key(name) else _LIST.match(text, first)
        first, last = items.span(1) if items else (first, first)
    shown = _ESCAPES.sub("", text[first:last])
    if _stays(name, sign, shown.strip("\"'` \t"), bare and _is_some_key(name), described=not sign or close == "`"):
        return None
    if name.lower() == "pass":
        apart = leads or text[max(0, start - 8) : start].rstrip()[-1:] in _OPENERS
        if _is_result(name, sign, close, apart, shown):
            return None
    return first, last


def _stays(name: str, sign: str, value: str, prose: bool = False, described: bool = False) -> bool:
    """Say whether what stands after a secret's name is plainly no secret: nothing, a path, a type, a result, prose.

    `prose` says that words may follow such a name, `described` that one word may, too.
    """
    if value.lower() in _NO_VALUE or is_no_secret(name, value):
        return True
    if name.startswith("-"):
        return False
    if _RESULT.fullmatch(value):
        return True
    if sign not in ("", ":"):
        return False
    if _TYPE.fullmatch(value):
        return True
    # The fields of a contract are called some_key as well, and what it says of them is judged.
    return prose and (_WORDS.fullmatch(value) is not None or (described and value.isalpha()))


def _is_result(name: str, sign: str, close: str, apart: bool, value: str) -> bool:
    """Say whether a bare `pass` counts or names what passed: PASS: broker, pass: 12, First pass: parse."""
    if not sign or _COUNT.fullmatch(value.strip("\"'` \t")):
        return True
    if sign == ":" and not close:
        return name == "PASS" or (not apart and value.isalpha())
    return False


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


def _closed_below(text: str, quote_mark: str, line_end: int) -> Optional[int]:
    """Where a quoted value of several lines ends: at the first such quote below, if that ends its line."""
    if quote_mark not in "\"'":
        return None
    at = text.find(quote_mark, line_end, line_end + 4096)
    if at < 0 or text.count("\n", line_end, at) > _CLOSING_LINES:
        return None
    return at if re.compile(r"[ \t]*[,;)}\]]{0,3}[ \t]*\r?(?:\n|\Z)").match(text, at + 1) else None


def _segments(text: str, at: int, end: int) -> int:
    """The end of a shell-like word: quoted and bare pieces side by side."""
    while at < end:
        found = _SEGMENT.match(text, at, end)
        if not found:
            break
        at = found.end()
    return at


def _block_below(text: str, start: int, line_end: int) -> Optional[Span]:
    """The lines of a YAML block scalar: those below the key that are indented further."""
    line_start = text.rfind("\n", 0, start) + 1
    indent = _indent(text[line_start:start])
    end = line_end
    while end < len(text):
        stop = text.find("\n", end + 1)
        stop = len(text) if stop < 0 else stop
        line = text[end + 1 : stop]
        if line.strip() and _indent(line) <= indent:
            break
        end = stop
    first, last = _stripped(text, line_end, end)
    return (first, last) if first < last else None


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


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


def _two_fields(text: str) -> Iterator[Span]:
    """{"name": "DB_PASSWORD", "value": HERE} as Kubernetes and Compose list variables, in either order."""
    if "alue" not in text:
        return
    for found in _NAME_FIRST.finditer(text):
        if is_secret_name(found.group(1)):
            at = found.end()
            line_end = text.find("\n", at)
            line_end = len(text) if line_end < 0 else line_end
            span = _extent(text, at, line_end, "", to_line_end="\n" in found.group(2), query=False)
            if not _stays(found.group(1), "=", text[slice(*span)].strip("\"' ")):
                yield span
    for found in _VALUE_FIRST.finditer(text):
        if is_secret_name(found.group(2)) and not _stays(found.group(2), "=", found.group("value").strip("\"'")):
            yield _inside_quotes(text, *found.span("value"))


# --- words of well-known commands, and tokens known by their shape ------------------------------------------------

_WORD = r"(?:\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|[^\s\"']+)"
_GAP = r"[\"']?,?[ \t]+"
# (what the text must hold for the pattern to be tried, the pattern; group 1 is the secret)
_COMMAND_WORDS = tuple(
    (literals, re.compile(pattern, re.I))
    for literals, pattern in (
        (
            ("add_user", "change_password", "authenticate_user"),
            r"\b(?:add_user|change_password|authenticate_user)"
            + _GAP
            + _WORD
            + r",?[ \t]+(?![&|;<>#(])("
            + _WORD
            + ")",
        ),
        (("password", "PASSWORD", "Password"), r"\bpassword[ \t]+e?('\"'\"'|\\?['\"])(?P<value>[^\n]{1,512}?)\1"),
        (("identified", "IDENTIFIED"), r"\bidentified[ \t]+by[ \t]+('\"'\"'|\\?['\"])(?P<value>[^\n]{1,512}?)\1"),
        (("login",), r"\blogin[ \t]+\S{1,256}[ \t]+password[ \t]+(\S{1,512})"),
        (("sshpass",), r"\bsshpass" + _GAP + r"['\"]?-p" + r"['\"]?,?[ \t]*(" + _WORD + ")"),
        (
            ("curl",),
            r"\bcurl\b[^\n]{0,512}?[ \t\"'](?:-u|--user)[\"']?[ \t=,]{0,4}[\"']?[^\s:\"']{1,256}:([^\s\"']{1,512})",
        ),
        (("redis-cli",), r"\bredis-cli\b[^\n]{0,256}?[ \t\"']-a[\"']?,?[ \t]+(" + _WORD + ")"),
        (("mysql", "mariadb"), r"\b(?:mysql|mariadb)\w*\b[^\n]{0,256}?[ \t\"']-p([^\s\"',]{1,256})"),
        (("pass:",), r"-pass(?:in|out)?[ \t]+pass:(\S{1,512})"),
        ((":54",), r"^[^\s:]{1,256}:54\d\d:[^\s:]{1,256}:[^\s:]{1,256}:(\S{1,512})$"),
        (("earer", "BEARER"), r"\bbearer[ \t]+((?=[^\s\"']*[0-9._=/+-])[A-Za-z0-9._~+/=-]{6,}|[A-Za-z]{20,})"),
        (("asic ", "BASIC "), r"\bbasic[ \t]+((?=[^\s\"']*[0-9=+/])[A-Za-z0-9+/]{8,}={0,2})"),
    )
)
_TOKEN_SHAPES = tuple(
    (literal, re.compile(pattern))
    for literal, pattern in (
        ("gh", r"(?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9]{20,255}"),
        ("github_pat_", r"(?<![A-Za-z0-9])github_pat_[A-Za-z0-9_]{20,255}"),
        ("glpat-", r"(?<![A-Za-z0-9])glpat-[A-Za-z0-9_-]{16,255}"),
        ("npm_", r"(?<![A-Za-z0-9])npm_[A-Za-z0-9]{30,255}"),
        ("pypi-AgE", r"(?<![A-Za-z0-9])pypi-AgE[A-Za-z0-9_-]{30,1024}"),
        ("xox", r"(?<![A-Za-z0-9])xox[abprs]-[A-Za-z0-9-]{10,255}"),
        ("eyJ", r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{8,8192}\.[A-Za-z0-9_-]{8,4096}"),
    )
)


def _command_words(text: str) -> Iterator[Span]:
    """rabbitmqctl add_user NAME HERE, PASSWORD 'HERE', curl -u user:HERE, Bearer HERE, ..."""
    for literals, pattern in _COMMAND_WORDS:
        if any(literal in text for literal in literals):
            for found in pattern.finditer(text):
                group = "value" if "value" in pattern.groupindex else 1
                yield _inside_quotes(text, *found.span(group))


def _inside_quotes(text: str, start: int, end: int) -> Span:
    if end - start >= 2 and text[start] in "\"'" and text[end - 1] == text[start]:
        return start + 1, end - 1
    return start, end


def _token_shapes(text: str) -> Iterator[Span]:
    for literal, pattern in _TOKEN_SHAPES:
        if literal in text:
            for found in pattern.finditer(text):
                yield found.span()


_RULES: tuple[Callable[[str], Iterator[Span]], ...] = (
    _private_keys,
    _url_passwords,
    _named_values,
    _two_fields,
    _command_words,
    _token_shapes,
)


# --- known values -------------------------------------------------------------------------------------------------

_ESCAPE_BEFORE = re.compile(
    "(?:" + _ANSI + r"|\\[nrtbfvae0]|\\x[0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[0-7]{3}|%[0-9A-Fa-f]{2}"
    r"|(?:^|[^\w])-[A-Za-z])\Z"
)
_LONGEST_ESCAPE = 72


def _forms(value: str) -> Iterator[str]:
    """The value as tools print it: as it is, quoted, percent-encoded, in JSON, HTML and base64; its lines."""
    for line in {value, value.strip(), unquote(value), *(line.strip() for line in value.splitlines())}:
        if len(line) < MIN_KNOWN_LENGTH or not line.strip("*"):
            continue
        raw = line.encode("utf-8", "surrogatepass")
        percent = quote(raw, safe="")
        yield from {
            line,
            percent,
            re.sub("%..", lambda code: code.group().lower(), percent),
            quote(raw),
            quote_plus(raw),
            json.dumps(line)[1:-1],
            json.dumps(line)[1:-1].replace("/", "\\/"),
            json.dumps(line, ensure_ascii=False)[1:-1],
            repr(line)[1:-1],
            line.replace("\\", "\\\\"),
            line.replace("'", "'\"'\"'"),
            line.replace("'", "''"),
            re.sub(r"([^\w@%+=:,./-])", r"\\\1", line),
            html.escape(line),
            base64.b64encode(raw).decode().rstrip("="),
            _escaped(line),
        }


def _escaped(value: str) -> str:
    """The value as a transcript shows it when the output is no UTF-8: \\xNN for such bytes, backslashes doubled."""
    try:
        raw = value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # no bytes of a real variable
        return value
    return raw.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def _known_values(text: str, forms: Iterable[str]) -> Iterator[Span]:
    squeezed: Optional[_Squeezed] = None
    for form in forms:
        for start, end in _places(text, form):
            if _whole_token(text, start, end):
                yield start, end
        squeezed = squeezed or _Squeezed(text)
        if squeezed.is_shorter:
            yield from squeezed.spans(form)


def _places(text: str, word: str) -> Iterator[Span]:
    at = text.find(word)
    while at >= 0:
        yield at, at + len(word)
        at = text.find(word, at + 1)


class _Squeezed:
    """A text without what splits words, in which every place knows where it stood: the search itself needs no pattern.

    Escape sequences go first: a terminal's border has its own colour.
    """

    def __init__(self, text: str) -> None:
        self._whole = text
        self._plain = _Without(text, _ESCAPES)
        self._joined = _Without(self._plain.text, _WRAP)
        self.is_shorter = len(self._joined.text) < len(text)

    def spans(self, form: str) -> Iterator[Span]:
        """The pieces of a value that something splits; what splits it stays."""
        bare = _WRAP.sub("", _ESCAPES.sub("", form))  # a value may itself look as if it had an escape in it
        for word in {form, bare}:
            if len(word) < MIN_KNOWN_LENGTH:
                continue
            for place in _places(self._joined.text, word):
                pieces = [piece for run in self._joined.pieces(*place) for piece in self._plain.pieces(*run)]
                if _whole_token(self._whole, pieces[0][0], pieces[-1][1]):
                    yield from pieces


class _Without:
    """A text without the matches of a pattern."""

    def __init__(self, text: str, pattern: "re.Pattern[str]") -> None:
        self._starts = [0]  # of each run that is left: where it stands here, and where it stood
        self._stood = [0]
        kept = []
        done = length = 0
        for found in pattern.finditer(text):
            kept.append(text[done : found.start()])
            length += found.start() - done
            done = found.end()
            if self._starts[-1] == length:  # nothing stood in between
                self._stood[-1] = done
            else:
                self._starts.append(length)
                self._stood.append(done)
        self.text = "".join(kept) + text[done:]

    def pieces(self, start: int, end: int) -> Iterator[Span]:
        """Where start:end stood before, in pieces."""
        run = bisect_right(self._starts, start) - 1
        while start < end:
            after = self._starts[run + 1] if run + 1 < len(self._starts) else end
            moved = self._stood[run] - self._starts[run]
            yield start + moved, min(after, end) + moved
            start, run = after, run + 1


def _whole_token(text: str, start: int, end: int) -> bool:
    """Say whether start:end is no part of a longer word; an escape or an option letter before it is none."""
    before, after = text[max(0, start - _LONGEST_ESCAPE) : start], text[end : end + 1]
    if _word_char(text[end - 1]) and after and _word_char(after):
        return False
    if not before or not _word_char(text[start]) or not _word_char(before[-1]):
        return True
    return _ESCAPE_BEFORE.search(before) is not None


def _word_char(char: str) -> bool:
    return char.isalnum() or char == "_"
