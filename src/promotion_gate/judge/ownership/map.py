"""The ownership map: who owns which field, as data. A mistake in it is reported with file, line and field."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Literal

from promotion_gate.base.errors import InputError
from promotion_gate.base.fields import Fields, kind_of, nearest
from promotion_gate.base.yaml_lines import read_yaml

Requirement = Literal["required", "optional"]
REQUIREMENTS: tuple[Requirement, ...] = ("required", "optional")
OWNS = ("durable", "transient", "nothing")
# The sections that a surface must have (ADR-0004), and the others whose content is read.
REQUIRED_SECTIONS = ("required_fields", "idempotency_key", "retry_rule", "tenant_boundary", "error_semantics")
SECTIONS = (*REQUIRED_SECTIONS, "optional_fields", "fields", "ownership", "other")
SETTINGS = ("schema", "owners", "internals", "sections", "adr_digests")
SURFACE_KEYS = ("document", "required", "optional", "sections")
SHIPPED = "contract-fields.yml"
MAP_SCHEMA = 1
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Owner:
    """Somebody who may be named as a field's owner; `owns` is durable, transient or nothing."""

    name: str
    owns: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MapField:
    path: str
    requirement: Requirement
    owners: tuple[str, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Surface:
    name: str
    document: str
    sections: tuple[str, ...]
    fields: Mapping[str, MapField]


@dataclass(frozen=True, slots=True)
class OwnershipMap:
    """`name` is the file it was read from; `sections` maps a section to the headings that open it."""

    name: str
    owners: Mapping[str, Owner]
    surfaces: tuple[Surface, ...]
    internal_surfaces: tuple[str, ...]
    internal_patterns: tuple[str, ...]
    sections: Mapping[str, tuple[str, ...]]
    adr_digests: Mapping[str, str]


@lru_cache(maxsize=4)  # by content
def load_map(text: str, name: str, shipped: str = "") -> OwnershipMap:
    """Turns the text of an ownership map into an OwnershipMap; `name` is the file, for error messages.

    Owners, internals and sections that it leaves out are taken from the shipped map, whose text is `shipped` (by
    default that of this package). Raises InputError with file, line and field.
    """
    data, marks = read_yaml(text, name)
    defaults = None if name == SHIPPED else load_map(shipped or shipped_text(), SHIPPED)
    return _map(Fields(data, name, InputError, marks), defaults)


@cache
def shipped_map() -> OwnershipMap:
    """The default map that comes with this package."""
    return load_map(shipped_text(), SHIPPED)


def shipped_text() -> str:
    """The default map as it is on disk, for the bundle."""
    return resources.files("promotion_gate.judge.ownership").joinpath("data", SHIPPED).read_text(encoding="utf-8")


def _map(fields: Fields, defaults: OwnershipMap | None) -> OwnershipMap:
    if fields.integer("schema", MAP_SCHEMA) != MAP_SCHEMA:
        raise fields.fail(f"schema must be {MAP_SCHEMA}; this gate reads no other.", "schema")
    names = [key for key in fields.names() if key not in SETTINGS]
    for name in names:
        if not name[:1].isupper():
            hint = nearest(name, SETTINGS) or "."
            raise fields.fail(f'"{name}" is neither a setting nor a surface (Capital letter first){hint}', name)
    if not names:
        raise fields.fail("there is no surface; a map without one could never hold.")
    owners = _owners(fields.below("owners")) if defaults is None or "owners" in fields.names() else defaults.owners
    surfaces = tuple(_surface(fields.below(name), name, owners) for name in names)
    seen: dict[str, str] = {}
    for surface in surfaces:
        if (other := seen.setdefault(surface.document, surface.name)) != surface.name:
            sentence = f"{other} and {surface.name} have the same document; each surface has a file of its own."
            raise fields.fail(sentence, surface.name, "document")
    internal = _internals(fields, names, defaults)
    return OwnershipMap(fields.where, owners, surfaces, *internal, _sections(fields, defaults), _digests(fields))


def _texts(fields: Fields, key: str, known: Iterable[str] = (), what: str = "") -> tuple[str, ...]:
    """A list of at least one string, each one of `known` if that is given."""
    found = fields.texts(key)
    if not found or not all(item.strip() for item in found):
        raise fields.fail(f"{key} must be a list of strings that are not empty.", key)
    for item in found if what else ():
        if item not in known:
            raise fields.fail(f'there is no {what} "{item}"{nearest(item, known) or "."}', key)
    return found


def _owners(fields: Fields) -> dict[str, Owner]:
    result: dict[str, Owner] = {}
    taken: dict[str, str] = {}
    for name in fields.names():
        entry = fields.below(name)
        entry.only(("owns", "names"))
        owns = entry.text("owns")
        if owns not in OWNS:
            raise entry.fail(f"owns must be one of {', '.join(OWNS)}{nearest(owns, OWNS) or '.'}", "owns")
        names = tuple(dict.fromkeys((name, *(_texts(entry, "names") if "names" in entry.names() else ()))))
        for alias in names:
            if (other := taken.setdefault(alias.casefold(), name)) != name:
                raise entry.fail(f'"{alias}" names both {other} and {name}; keep one.', "names")
        result[name] = Owner(name, owns, names)
    if not result:
        raise fields.fail("owners is empty; no field could have an owner.")
    return result


def _surface(fields: Fields, name: str, owners: Mapping[str, Owner]) -> Surface:
    fields.only(SURFACE_KEYS)
    document = fields.text("document")
    parts = document.split("/")
    if not document.strip() or document.startswith("/") or ".." in parts or "\\" in document or "\0" in document:
        raise fields.fail("document must be a path inside the repository, without ..", "document")
    named = "sections" in fields.names()
    sections = _texts(fields, "sections", SECTIONS, "section") if named else REQUIRED_SECTIONS
    found: dict[str, MapField] = {}
    for requirement in REQUIREMENTS:
        listed = fields.below(requirement)
        for field in listed.names():
            if field in found:
                raise listed.fail(f'"{field}" is both required and optional; keep one.', field)
            found[field] = MapField(field, requirement, _field_owners(listed, field, owners), listed.line(field))
    if not found:
        raise fields.fail(f'the surface "{name}" has no fields; it could never hold.')
    return Surface(name, document, sections, found)


def _field_owners(fields: Fields, field: str, owners: Mapping[str, Owner]) -> tuple[str, ...]:
    """A field's owners. None and two are faults that the analysis reports; an unknown one is an error."""
    value = fields.raw(field, ())
    names = value if isinstance(value, (list, tuple)) else [value]
    for name in names:
        if not isinstance(name, str) or name not in owners:
            hint = nearest(name, owners) if isinstance(name, str) else ""
            known = f"(known: {', '.join(owners)}){hint or '.'}"
            raise fields.fail(f"{field}: there is no owner {kind_of(name)} {known}", field)
    return tuple(dict.fromkeys(names))


def _internals(
    fields: Fields, surfaces: list[str], defaults: OwnershipMap | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if defaults is None or "internals" in fields.names():
        entry = fields.below("internals")
        entry.only(("surfaces", "patterns"))
        return _texts(entry, "surfaces", surfaces, "surface"), _texts(entry, "patterns")
    for name in defaults.internal_surfaces:
        if name not in surfaces:
            raise fields.fail(f'there is no surface "{name}"; say under internals which ones are projections.')
    return defaults.internal_surfaces, defaults.internal_patterns


def _sections(fields: Fields, defaults: OwnershipMap | None) -> dict[str, tuple[str, ...]]:
    entry = fields.below("sections")
    entry.only(SECTIONS)
    result = dict(defaults.sections) if defaults else {}
    result.update((name, _texts(entry, name)) for name in entry.names())
    seen: dict[str, str] = {}
    for name, titles in result.items():
        for title in titles:
            if (other := seen.setdefault(title.casefold(), name)) != name:
                raise entry.fail(f'the heading "{title}" opens both {other} and {name}.', name)
    return result


def _digests(fields: Fields) -> dict[str, str]:
    digests = fields.mapping("adr_digests")
    for path, digest in digests.items():
        if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
            sentence = f"the digest of {path} must be its SHA-256 as 64 lower-case hexadecimal digits."
            raise fields.fail(sentence, "adr_digests", path)
    return digests
