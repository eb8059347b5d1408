"""The ownership map: who owns which field, as data. A mistake in it is named with file, line and field."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Literal, NoReturn

from promotion_gate.base.errors import InputError
from promotion_gate.base.fields import kind_of, nearest
from promotion_gate.base.yaml_lines import Path, read_yaml

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
    """Somebody who may stand as a field's owner; `owns` is durable, transient or nothing."""

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
def load_map(text: str, name: str) -> OwnershipMap:
    """Turns the text of an ownership map into an OwnershipMap; `name` is the file, for the errors.

    What it leaves out of owners, internals and sections is taken from the shipped map.
    Raises InputError with file, line and field.
    """
    return _Reader(name, text).map(shipped_map() if name != SHIPPED else None)


@cache
def shipped_map() -> OwnershipMap:
    """The default map that comes with this package."""
    return load_map(shipped_text(), SHIPPED)


def shipped_text() -> str:
    """The default map as it is on disk, for the bundle."""
    return resources.files("promotion_gate.judge.ownership").joinpath("data", SHIPPED).read_text(encoding="utf-8")


class _Reader:
    """One map's YAML as plain data, with the place of every key."""

    def __init__(self, name: str, text: str) -> None:
        data, self.marks = read_yaml(text, name)
        if not isinstance(data, dict):
            raise InputError(f"{self.marks.at()}: must be a mapping of settings and surfaces, not {kind_of(data)}.")
        self.name = name
        self.data: dict[str, Any] = data

    def fail(self, path: Path, sentence: str) -> NoReturn:
        raise InputError(f"{self.marks.at(path)}: {sentence}")

    def mapping(self, path: Path, value: object, known: Iterable[str] | None = None) -> dict[str, Any]:
        if not isinstance(value, dict):
            self.fail(path, f"{_dotted(path)} must be a mapping, not {kind_of(value)}.")
        if known is not None:
            names = list(known)
            for key in value:
                if key not in names:
                    self.fail((*path, key), f'{_dotted(path)} has no key "{key}"{nearest(key, names) or "."}')
        return value

    def text(self, path: Path, value: object) -> str:
        if not isinstance(value, str) or not value.strip():
            self.fail(path, f"{_dotted(path)} must be a text, not {kind_of(value)}.")
        return value

    def texts(self, path: Path, value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not value:
            self.fail(path, f"{_dotted(path)} must be a list of texts, not {kind_of(value)}.")
        return tuple(self.text((*path, number), item) for number, item in enumerate(value))

    def map(self, defaults: OwnershipMap | None) -> OwnershipMap:
        data = self.data
        schema = data.get("schema", MAP_SCHEMA)
        if schema != MAP_SCHEMA or isinstance(schema, bool):
            self.fail(("schema",), f"schema must be {MAP_SCHEMA}; this gate reads no other.")
        names = [key for key in data if key not in SETTINGS]
        for name in names:
            if not name[:1].isupper():
                hint = nearest(name, SETTINGS)
                self.fail((name,), f'"{name}" is no setting, and no surface (Capital letter first){hint or "."}')
        if not names:
            self.fail((), "there is no surface; a map without one could never hold.")
        owners = self.owners(data["owners"]) if defaults is None or "owners" in data else defaults.owners
        surfaces = tuple(self.surface(name, data[name], owners) for name in names)
        self.unique_documents(surfaces)
        internal_surfaces, patterns = self.internals(names, defaults)
        return OwnershipMap(
            self.name, owners, surfaces, internal_surfaces, patterns, self.sections(defaults), self.digests()
        )

    def owners(self, value: object) -> dict[str, Owner]:
        result: dict[str, Owner] = {}
        taken: dict[str, str] = {}
        for name, entry in self.mapping(("owners",), value).items():
            path: Path = ("owners", name)
            entry = self.mapping(path, entry, ("owns", "names"))
            owns = self.text((*path, "owns"), entry.get("owns"))
            if owns not in OWNS:
                self.fail((*path, "owns"), f"owns must be one of {', '.join(OWNS)}{nearest(owns, OWNS) or '.'}")
            names = self.texts((*path, "names"), entry["names"]) if "names" in entry else ()
            names = tuple(dict.fromkeys((name, *names)))
            for alias in names:
                other = taken.setdefault(alias.casefold(), name)
                if other != name:
                    self.fail((*path, "names"), f'"{alias}" names both {other} and {name}; keep one.')
            result[name] = Owner(name, owns, names)
        if not result:
            self.fail(("owners",), "owners is empty; no field could have an owner.")
        return result

    def surface(self, name: str, value: object, owners: Mapping[str, Owner]) -> Surface:
        entry = self.mapping((name,), value, SURFACE_KEYS)
        document = self.text((name, "document"), entry.get("document"))
        parts = document.split("/")
        if document.startswith("/") or ".." in parts or "\\" in document or "\0" in document:
            self.fail((name, "document"), "document must be a path inside the repository, without ..")
        sections: tuple[str, ...] = REQUIRED_SECTIONS
        if "sections" in entry:
            sections = self.texts((name, "sections"), entry["sections"])
        for section in sections:
            if section not in SECTIONS:
                self.fail((name, "sections"), f'there is no section "{section}"{nearest(section, SECTIONS) or "."}')
        fields: dict[str, MapField] = {}
        for requirement in REQUIREMENTS:
            if entry.get(requirement) is None:
                continue
            path: Path = (name, requirement)
            for field, owner in self.mapping(path, entry[requirement]).items():
                if field in fields:
                    self.fail((*path, field), f'"{field}" is both required and optional; keep one.')
                found = self.field_owners((*path, field), owner, owners)
                fields[field] = MapField(field, requirement, found, self.marks.line((*path, field)))
        if not fields:
            self.fail((name,), f'the surface "{name}" has no fields; it could never hold.')
        return Surface(name, document, sections, fields)

    def field_owners(self, path: Path, value: object, owners: Mapping[str, Owner]) -> tuple[str, ...]:
        """A field's owners. None and two are faults that the analysis reports; an unknown one is an error."""
        if value is None:
            return ()
        names = value if isinstance(value, list) else [value]
        for name in names:
            if not isinstance(name, str) or name not in owners:
                hint = nearest(name, owners) if isinstance(name, str) else ""
                known = ", ".join(owners)
                self.fail(path, f"{_dotted(path)}: there is no owner {kind_of(name)} (known: {known}){hint or '.'}")
        return tuple(dict.fromkeys(names))

    def unique_documents(self, surfaces: tuple[Surface, ...]) -> None:
        seen: dict[str, str] = {}
        for surface in surfaces:
            other = seen.setdefault(surface.document, surface.name)
            if other != surface.name:
                self.fail(
                    (surface.name, "document"),
                    f"{other} and {surface.name} have the same document; each surface has a file of its own.",
                )

    def internals(self, surfaces: list[str], defaults: OwnershipMap | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        if defaults is not None and "internals" not in self.data:
            for name in defaults.internal_surfaces:
                if name not in surfaces:
                    self.fail(
                        (),
                        f'there is no surface "{name}"; say under internals which ones are projections.',
                    )
            return defaults.internal_surfaces, defaults.internal_patterns
        entry = self.mapping(("internals",), self.data.get("internals"), ("surfaces", "patterns"))
        names = self.texts(("internals", "surfaces"), entry.get("surfaces"))
        for name in names:
            if name not in surfaces:
                hint = nearest(name, surfaces)
                self.fail(("internals", "surfaces"), f'there is no surface "{name}"{hint or "."}')
        return names, self.texts(("internals", "patterns"), entry.get("patterns"))

    def sections(self, defaults: OwnershipMap | None) -> dict[str, tuple[str, ...]]:
        result: dict[str, tuple[str, ...]] = dict(defaults.sections) if defaults else {}
        entry = self.mapping(("sections",), self.data.get("sections", {}), SECTIONS)
        for name, titles in entry.items():
            result[name] = self.texts(("sections", name), titles)
        seen: dict[str, str] = {}
        for name, titles in result.items():
            for title in titles:
                other = seen.setdefault(title.casefold(), name)
                if other != name:
                    self.fail(("sections", name), f'the heading "{title}" opens both {other} and {name}.')
        return result

    def digests(self) -> dict[str, str]:
        entry = self.mapping(("adr_digests",), self.data.get("adr_digests", {}))
        for path, digest in entry.items():
            if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
                self.fail(
                    ("adr_digests", path),
                    f"the digest of {path} must be its SHA-256 as 64 lower-case hexadecimal digits.",
                )
        return entry


def _dotted(path: Path) -> str:
    return " > ".join(str(part) for part in path) or "the map"
