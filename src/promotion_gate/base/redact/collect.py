"""The secret values in an environment: by the variable's name, and from URLs, DSNs and JSON in any variable."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from urllib.parse import unquote

from .named import named_values
from .names import is_secret_name, stays
from .shapes import url_passwords


def secrets_of(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """(variable, secret value) for these variables; a variable may contain several."""
    found = ((name, secret) for name, value in environment.items() for secret in secrets_in(name, value))
    return list(dict.fromkeys(found))


def secrets_in(name: str, value: str) -> Iterator[str]:
    """The secret values in one value. If the name indicates a secret and no part is one, the whole value is."""
    text = value.strip()
    if stays(name, "=", text):
        return
    parts = list(_parts(name, text))
    yield from parts
    if not parts and is_secret_name(name):
        yield value
        if re.fullmatch(r"[^\s:/]{1,64}:[^\s/]+", text) and re.search(r"(?:auth|creds?|credentials?)$", name, re.I):
            yield text.partition(":")[2]  # user:password


def _parts(name: str, text: str) -> Iterator[str]:
    if text.startswith(("{", "[")):
        with suppress(ValueError, RecursionError):
            yield from _leaves(name, json.loads(text))
            return
    for start, end in (*url_passwords(text), *named_values(text)):
        part = text[start:end]
        yield from {part, unquote(part), re.sub(r"\\(.)", r"\1", part), part.partition(";")[0]}


def _leaves(name: str, data: object) -> Iterator[str]:
    """Values below secret names in JSON; the name of a list applies to its items."""
    if isinstance(data, str):
        yield from secrets_in(name, data)
    elif isinstance(data, (dict, list)):
        for key, item in data.items() if isinstance(data, dict) else ((name, item) for item in data):
            yield from _leaves(key, item)


def secrets_that_are_names(secrets: Iterable[tuple[str, str]], names: Mapping[str, str]) -> dict[str, str]:
    """For each secret variable whose masking would hide the evidence, the name that it equals.

    `names` maps a description ("AIIDA_PROFILE", "the user") to its value.
    """
    equal: dict[str, str] = {}
    for variable, value in secrets:
        what = next((what for what, name in names.items() if value == name and what != variable), None)
        if what:
            equal.setdefault(variable, what)
    return equal
