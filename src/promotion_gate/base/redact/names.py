"""Names that indicate that their value is a secret, and values that are not secrets although their name suggests it."""

from __future__ import annotations

import re
from functools import lru_cache

MASK = "***"

# A name indicates a secret if one of its words is or ends in one of these ...
_SECRET = re.compile(
    r"(?:passwords?|passwds?|passphrases?|passcodes?|secrets?|token|credentials?)(?=_|\d|$)"
    r"|_(?:pass|pwd|pw|creds?|jwt)(?=_|\d|$)|^(?:pass|pw|creds?|jwt)$"
    r"|(?:api|private|access|secret|encryption|signing|auth|account|master|ssh|munge|shared|session|admin|deploy|"
    r"licen[sc]e)_?keys?(?=_|\d|$)"
    r"|(?:^|_)(?:set_)?cookie$|(?:^|_)authorization$|^_auth$"
    r"|(?:^|_)(?:db|ssh|user|root|admin|my|mysql|pg|mail|smtp|ldap|bind|redis|mq|rabbit|rabbitmq|proxy|sudo|login|key|"
    r"store)(?:pass|pwd|pw)$"
)
# ... or, in an environment, if it ends in one of these.
_OF_ENVIRONMENT = re.compile(r"(?:^|_)(?:dsn|conn|conn(?:ection)?_?str(?:ing)?|auth|pat|pin|otp|sas)(?:_?\d+)?$")
# Anything else that ends in _key as well, because nobody can list the services that have one ...
_SOME_KEY = re.compile(r"[a-z0-9]_key(?:_?\d+|_b64|_base64|_hex)?$")
# ... except keys that are public, and those of tables, caches and messages.
_ORDINARY_KEY = re.compile(
    r"(?:^|_)(?:public|pub|publishable|host|authorized|gpg|pgp|primary|foreign|unique|sort|partition|cache|idempotency|"
    r"dedup|deduplication|routing|binding|row|column|lookup|object|natural|surrogate|composite|candidate|group|parent|"
    r"order|index|search|message|issue|dict|map|json|yaml|missing|unknown|duplicate|invalid|required)"
    r"_(?:(?:rsa|dsa|ecdsa|ed25519)_)?key(?:_?\d+)?$"
)
# PASSWORD_FILE, TOKEN_URL, --no-password: not the secret itself.
_NEUTRAL = re.compile(
    r"_(?:file|path|dir|name|url|uri|type|count|length|len|limit|ttl|policy|enabled|required|age|expiry|expires|"
    r"expires_in|timeout|prompt|stdin|fd|command|min|max|fingerprint|algorithms?)$|^_*no_"
)
# In a *_KEY, *_CREDENTIALS or *_COOKIE: where the secret is stored, and the public parts of a key.
_OF_A_KEY = re.compile(r"(?:key|credentials?|creds?|cookie)$")
_PUBLIC = re.compile(
    r"(?:~|\.{1,2}|\$\{?\w+\}?)(?:/[\w.@+-]{1,60})+/?"  # ~/.ssh/id_ed25519
    r"|(?:/[\w.@+-]{1,39}){2,}/?"  # /etc/ssl/key.pem; one segment alone may be base64
    r"|[\w.@+-]{1,39}(?:/[\w.@+-]{1,39})*\.(?:pem|key|pub|crt|json|p12|pfx|txt|ya?ml)"
    r"|(?:sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]{2,60}[ \t]AAAA[A-Za-z0-9+/]{16,4096}={0,2}(?:[ \t][\w.@-]{1,64})?"
    r"|SHA256:[A-Za-z0-9+/]{43}=?|(?:MD5:)?(?:[0-9a-f]{2}:){15}[0-9a-f]{2}"
)
_NO_VALUE = frozenset({"", MASK, "null", "none", "true", "false", "~", "{", "[", "{}", "[]"})
# test_password: PASSED [ 10%] - the result of a check with that name.
_RESULT = re.compile(
    r"[^\w\n]{0,3}(?:pass|passed|fail|failed|failure|ok|errors?|skip|skipped|x?passed|x?failed|xpass|xfail|success|"
    r"succeeded|up|down|warn|warning|done|missing|unset|valid|invalid|expired|unknown|yes|no|on|off|enabled|disabled|n/a)"
    r"[\]).!]?(?:[ \t]{0,80}(?:\[[ \d]{0,4}%\]|\(?(?:in )?\d{1,9}(?:\.\d{1,9})?[ ]?(?:ms|s)\)?))?",
    re.I,
)
# access_token: string, required - what a contract or a form says about a field, and who owns it.
_WORDS = re.compile(r"[A-Za-z'`.,;()/-]+(?:[ \t]+[A-Za-z'`.,;()/-]+)+")
_DESCRIBED = re.compile(
    r"(?:string|str|text|int(?:eger)?|number|float|bool(?:ean)?|uuid|object|array|bytes|timestamp)(?:\[\])?\??"
    r"(?:[ \t]?[,;(][ \t]?(?:required|optional|nullable)\b[^\n]*)?"
    r"|(?:required|optional|nullable|mandatory|needed|set|present|absent|empty|hidden|masked|redacted|rotated|changed|"
    r"unchanged|accepted|rejected|matches|expected|secret|sensitive|encrypted|generated|aiida|convex|fastapi|frontend|"
    r"backend|application|client|server|caller)[.,;]?"
    r"|\d{1,9}[ \t]+[a-z(][^\n]*"
    r"|(?:[^\n]{0,80}[ \t])?(?:is|are|was|were|has|have|must|may|should|will|can|cannot|not|be|the|of|in|to|for|from|"
    r"see|by|with|and|or|at|your|this|that|owned|expires)[ \t][^\n]*",
    re.I,
)


@lru_cache(maxsize=4096)
def snake(name: str) -> str:
    """dbPassword, DB-PASSWORD and db.password as db_password."""
    return re.sub(r"[-.]", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)).lower()


@lru_cache(maxsize=4096)
def is_secret_name(name: str, in_environment: bool = True) -> bool:
    """Return whether a variable, option or key of this name holds a secret: DB_PASSWORD, apiKey, --auth-token.

    Some words indicate one only in an environment variable: SENTRY_DSN, but not `pin: 5` in the output of a tool.
    """
    text = snake(name)
    known = _SECRET.search(text) or (in_environment and _OF_ENVIRONMENT.search(text)) or is_some_key(name)
    return bool(known) and _NEUTRAL.search(text) is None


def is_some_key(name: str) -> bool:
    """Return whether only a final _key makes the name a secret's: what follows it may also be prose."""
    text = snake(name)
    return bool(_SOME_KEY.search(text)) and not _SECRET.search(text) and not _ORDINARY_KEY.search(text)


def is_no_secret(name: str, value: str) -> bool:
    """Return whether the value is not a secret, whatever its name: empty, a path in a *_KEY, a public key."""
    of_a_key = _OF_A_KEY.search(snake(name)) is not None
    return value.lower() in _NO_VALUE or (of_a_key and _PUBLIC.fullmatch(value) is not None)


def stays(name: str, sign: str, value: str, bare: bool = True, described: bool = False) -> bool:
    """Return whether the text after a secret's name is clearly not one: empty, a path, a result, a description.

    `bare` has no quotes around it; `described` is a cell of a table, or follows a name in backquotes.
    """
    if is_no_secret(name, value) or name.startswith("-"):
        return is_no_secret(name, value)
    if _RESULT.fullmatch(value):
        return True
    prose = sign in ("", ":") and (bare or value.lower().startswith("str"))
    # Fields of a contract may also be called some_key, and what it says about them is judged.
    of_some_key = bare and is_some_key(name) and bool(_WORDS.fullmatch(value) or (described and value.isalpha()))
    return prose and (of_some_key or _DESCRIBED.fullmatch(value) is not None)
