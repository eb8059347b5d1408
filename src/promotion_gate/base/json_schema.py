"""The JSON Schema of a file, from the type that it is read with. docs/schema has them; nothing else needs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, is_typeddict

from promotion_gate.base.typed import Or, members, needed, properties


def schema(kind: Any, title: str) -> dict[str, Any]:
    """The JSON Schema of a file that holds one value of `kind`."""
    shared: dict[str, Any] = {}
    whole = _object_schema(kind, shared)
    named = {"$defs": dict(sorted(shared.items()))} if shared else {}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **whole, **named}


_NAMES = {NoneType: "null", str: "string", int: "integer", float: "number", bool: "boolean"}


def _schema(hint: Any, shared: dict[str, Any]) -> dict[str, Any]:
    kind, parts = get_origin(hint), get_args(hint)
    if kind is Annotated:
        found = _schema(parts[0], shared)
        for rule in parts[1:]:
            if isinstance(rule, Or):
                found = {"anyOf": [_schema(rule.kind, shared), found]}
            else:
                found |= {"description": rule} if isinstance(rule, str) else rule.keywords()
    elif kind in (Union, UnionType):
        found = {"anyOf": [_schema(part, shared) for part in parts]}
    elif kind is Literal:
        found = {"const": parts[0]} if len(parts) == 1 else {"enum": list(parts)}
    elif kind is tuple:
        found = {"type": "array", "items": _schema(parts[0], shared)}
    elif kind is Mapping:
        found = {"type": "object", "additionalProperties": _schema(parts[1], shared)}
        if parts[0] is not str:
            found["propertyNames"] = _schema(parts[0], shared)
    elif is_dataclass(hint) or is_typeddict(hint):
        name = hint.__name__
        if name not in shared:
            shared[name] = _object_schema(hint, shared)
        found = {"$ref": f"#/$defs/{name}"}
    elif isinstance(hint, type) and issubclass(hint, Enum):
        found = {"enum": [item.value for item in hint]}
    else:
        found = {} if hint is Any else {"type": _NAMES[hint]}
    return found


def _object_schema(kind: Any, shared: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: _schema(hint, shared) for name, hint in {**members(kind), **properties(kind)}.items()},
        "required": sorted(needed(kind)),
        "additionalProperties": False,
    }
