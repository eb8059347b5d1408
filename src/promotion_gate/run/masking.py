"""The settings as the index keeps them: without the secrets that an operator put into them.

A bundle goes to people who must not know them, and no decision needs them. The plays get the settings as they are; a
resume takes what is not set again from the index, where such a value cannot be taken from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promotion_gate.base.errors import InputError
from promotion_gate.base.policy import ENVIRONMENTS
from promotion_gate.base.redact import MASK, Redactor, is_no_secret, is_secret_name, secrets_of

_PATHS = frozenset(["promotion_signing_key"])  # names a file, whatever it is called


def masked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in which secrets stand as `***`: by name or shape, and those of the environments anywhere."""
    secrets = []
    for name in ENVIRONMENTS:
        environment = settings.get(name) or {}
        secrets += secrets_of({str(key): str(value) for key, value in environment.items()})
    # As on the target: a secret that equals the name of something is an objection, not a mask over that name.
    names = {value for value in settings.values() if isinstance(value, str)}
    redactor = Redactor([value for _, value in secrets if value not in names])
    return {name: value if name in _PATHS else _masked(name, value, redactor) for name, value in settings.items()}


def _masked(name: str, value: Any, redactor: Redactor) -> Any:
    if isinstance(value, Mapping):
        return {key: _masked(str(key), item, redactor) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        if all(isinstance(item, str) for item in value):
            return redactor.argv(value)
        return [_masked("", item, redactor) for item in value]
    if value and not isinstance(value, bool) and is_secret_name(name) and not is_no_secret(name, str(value)):
        return MASK
    return redactor.text(value) if isinstance(value, str) else value


def check_not_masked(name: str, value: object) -> None:
    """Refuses a setting of an earlier run that the index keeps without its secret. Raises InputError naming it."""
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
