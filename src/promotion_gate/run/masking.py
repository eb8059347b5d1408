"""The settings as the index keeps them: without the secrets in them.

A bundle goes to people who must not know the secrets, and no decision needs them. The plays get the settings unmasked.
A resume takes settings that are not set again from the index, but it cannot take a masked value from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from promotion_gate.base.errors import InputError
from promotion_gate.base.redact import MASK, Redactor, is_no_secret, is_secret_name, secrets_in

KNOWN = "known_secrets"  # in memory only: what known_secrets() found
_PATHS = frozenset(["promotion_signing_key"])  # names a file, whatever it is called


def known_secrets(settings: Mapping[str, Any], marked: Iterable[str] = ()) -> list[str]:
    """The secret values that an operator has set: in promotion_secrets, in an environment or in any other setting.

    `marked` are the values of the inventory that a vault or the name of their variable marks as secret.
    """
    found = {*marked, *(settings.get("promotion_secrets") or ())}
    for name, value in settings.items():
        if name not in _PATHS:
            found |= set(_secrets(name, value))
    # As on the target: a secret that equals the name of something is an objection, not a mask over that name.
    names = {value for name, value in settings.items() if isinstance(value, str) and not is_secret_name(name, False)}
    return sorted(found - names)


def _secrets(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _secrets(str(key), item)
    elif isinstance(value, (list, tuple)):
        if all(isinstance(item, str) for item in value):
            for word, shown in zip(value, Redactor().argv(value), strict=True):  # --token S
                before, mask, after = shown.partition(MASK)
                if mask:
                    yield word[len(before) : len(word) - len(after)]
        for item in value:
            yield from _secrets(name, item)
    elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
        yield from secrets_in(name, str(value))
        yield from Redactor().seen(str(value))


def masked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with secrets replaced by `***`: by name or shape, and known values wherever they appear."""
    redactor = Redactor(settings.get(KNOWN) or known_secrets(settings))
    return {
        name: value if name in _PATHS else _masked(name, value, redactor)
        for name, value in settings.items()
        if name != KNOWN
    }


def _masked(name: str, value: Any, redactor: Redactor) -> Any:
    if isinstance(value, Mapping):
        return {key: _masked(str(key), item, redactor) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        if name == "promotion_secrets":
            return [MASK for _ in value]
        if all(isinstance(item, str) for item in value):
            return redactor.argv(value)
        return [_masked("", item, redactor) for item in value]
    if value and not isinstance(value, bool) and is_secret_name(name) and not is_no_secret(name, str(value)):
        return MASK
    return redactor.text(value) if isinstance(value, str) else value


def check_not_masked(name: str, value: object) -> None:
    """Refuses a setting that the index of an earlier run has only masked. Raises InputError naming it."""
    if not _has_mask(value):
        return
    parts = [str(key) for key, item in value.items() if _has_mask(item)] if isinstance(value, Mapping) else []
    which = f" ({', '.join(parts)})" if parts else ""
    raise InputError(
        f"{name} holds a secret{which}, which the index of the run does not keep. Set it again for the resume, in the "
        "inventory's group_vars or with -e."
    )


def _has_mask(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(_has_mask(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(_has_mask(item) for item in value)
    return isinstance(value, str) and MASK in value
