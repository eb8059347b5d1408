"""Compares a record with what the evidence gives, field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def known_to(record: Any, computed: Any) -> Any:
    """The computed decision without the fields that a record of another version lacks."""
    if isinstance(record, Mapping) and isinstance(computed, Mapping):
        return {key: known_to(record[key], value) for key, value in computed.items() if key in record}
    if isinstance(record, list) and isinstance(computed, list) and len(record) == len(computed):
        return [known_to(*pair) for pair in zip(record, computed, strict=True)]
    return computed


def differences(recorded: Any, computed: Any, where: str = "") -> Iterator[str]:
    """Where a record differs from what the evidence gives, one string per field."""
    if isinstance(recorded, Mapping) and isinstance(computed, Mapping):
        for key in sorted({*map(str, recorded), *computed}):
            place = f"{where}.{key}" if where else key
            if key not in recorded or key not in computed:
                yield f"{place} is only in the {'record' if key in recorded else 'recomputed decision'}"
            else:
                yield from differences(recorded[key], computed[key], place)
    elif isinstance(recorded, list) and isinstance(computed, list) and len(recorded) == len(computed):
        for number, pair in enumerate(zip(recorded, computed, strict=True)):
            yield from differences(*pair, f"{where}[{number}]")
    elif type(recorded) is not type(computed) or recorded != computed:
        yield f"{where or 'the record'} is {_short(recorded)}, the evidence gives {_short(computed)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
