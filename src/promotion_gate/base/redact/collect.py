"""The secret values in an environment: by the name of the variable, and out of URLs, DSNs and JSON in any of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote

from .names import is_no_secret, is_result, is_secret_name
from .shapes import url_passwords

_PAIR = re.compile(r"(?:^|[\s;&?,])([A-Za-z_][\w .-]{0,40}?)[ \t]*=[ \t]*('(?:[^'\\]|\\.)*'|\"[^\"]*\"|[^\s;&]+)")
_URL = re.compile(r"[a-z][a-z0-9+.-]{1,30}://", re.I)
_DEPTH = 8


def secrets_of(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """(variable, secret value) of these variables; a variable may hold several."""
    found: dict[tuple[str, str], None] = {}
    for name, value in environment.items():
        found.update(dict.fromkeys((name, secret) for secret in secrets_in(name, value)))
    return list(found)


def secrets_in(name: str, value: str, depth: int = 0) -> Iterator[str]:
    """The secret values in one value. A secret's name makes the whole a secret if nothing in it is one."""
    text = value.strip()
    if is_no_secret(name, text) or is_result(text) or depth > _DEPTH:
        return
    parts = list(_parts(name, text, depth))
    yield from parts
    if not parts and is_secret_name(name):
        yield value
        if re.fullmatch(r"[^\s:/]{1,64}:[^\s/]+", text) and re.search(r"(?:auth|creds?|credentials?)$", name, re.I):
            yield text.partition(":")[2]  # user:password


def _parts(name: str, text: str, depth: int) -> Iterator[str]:
    if text[:1] in ("{", "["):
        try:
            yield from _leaves(name, json.loads(text), depth + 1)
            return
        except (ValueError, RecursionError):
            pass
    for start, end in url_passwords(text):
        yield from {text[start:end], unquote(text[start:end])}
    if _URL.match(text) is None or "?" in text:
        for key, quoted in _PAIR.findall(text):
            if is_secret_name(key.replace(" ", "_"), in_environment=False):
                inner = quoted[1:-1] if quoted[0] in "'\"" and quoted[-1] == quoted[0] else quoted
                yield from {inner, unquote(inner), re.sub(r"\\(.)", r"\1", inner)}


def _leaves(name: str, data: object, depth: int) -> Iterator[str]:
    """Values below secret names in JSON; the name of a list is that of its items."""
    if isinstance(data, dict):
        for key, item in data.items():
            yield from _leaves(str(key), item, depth)
    elif isinstance(data, list):
        for item in data:
            yield from _leaves(name, item, depth)
    elif isinstance(data, str):
        yield from secrets_in(name, data, depth)


def secrets_that_are_names(secrets: Iterable[tuple[str, str]], names: Mapping[str, str]) -> dict[str, str]:
    """Secret variable -> what it equals, where masking it would hide the evidence.

    `names` maps what something is called for people ("AIIDA_PROFILE", "the user") to its value.
    """
    equal: dict[str, str] = {}
    for variable, value in secrets:
        for what, name in names.items():
            if value == name and what != variable:
                equal.setdefault(variable, what)
    return equal
