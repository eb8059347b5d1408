"""Names of people: operator, reviewer, and the owner of a waiver. They must be different people."""

from __future__ import annotations

import unicodedata

from promotion_gate.base.errors import InputError
from promotion_gate.base.fields import kind_of

# Letters and marks that Unicode calls printable but that are invisible.
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0") | frozenset(
    chr(code) for first, last in ((0xFE00, 0xFE0F), (0xE0100, 0xE01EF)) for code in range(first, last + 1)
)


def person(value: object, where: str) -> str:
    """A name that people can read. Raises InputError for anything else."""
    if not isinstance(value, str):
        raise InputError(f"{where} must be the name of a person, as a string, not {kind_of(value)}.")
    name = value.strip()
    for letter in name:
        if not letter.isprintable() or letter in _UNSEEN:
            raise InputError(f"{where} has a character that cannot be seen (U+{ord(letter):04X}); type the name again.")
    if not _key(name):
        raise InputError(f"{where} must be the name of a person; it is empty.")
    return name


def is_person(value: object) -> bool:
    try:
        return bool(person(value, ""))
    except InputError:
        return False


def same_person(one: str, other: str) -> bool:
    """Whether two names look the same to a reader: case, width and invisible characters make no difference."""
    return _key(one) == _key(other)


def _key(name: str) -> str:
    seen = "".join(
        c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) != "Cf" and c not in _UNSEEN
    )
    return " ".join(unicodedata.normalize("NFKC", seen.casefold()).split())
