"""Compares the contract documents with the ownership map, and with the documents of the merge-base."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache

from promotion_gate.judge.ownership.document import read_document
from promotion_gate.judge.ownership.map import MapField, Owner, OwnershipMap, Surface
from promotion_gate.judge.ownership.outcome import Change, Fault, FaultKind, Field, Outcome
from promotion_gate.judge.ownership.outline import Document, RawField

_ORDER = ("added", "moved", "retyped", "removed")


def analyse(
    ownership: OwnershipMap,
    documents: Mapping[str, str | None],
    base_documents: Mapping[str, str | None] | None = None,
    adr_digests: Mapping[str, str] | None = None,
) -> Outcome:
    """Reports fields, faults and changes of the contract documents.

    `documents` and `base_documents` map a path of the repository to its text, None if there is no such file;
    `adr_digests` maps the path of an ADR to the SHA-256 of its bytes. Never raises, whatever their content.
    """
    fields, faults, changes = list[Field](), list[Fault](), list[Change]()
    unreadable, base_unreadable = list[str](), list[str]()
    for surface in ownership.surfaces:
        document = _read(ownership, surface, documents.get(surface.document))
        if document is None:
            faults.append(_missing(surface, documents.get(surface.document)))
        else:
            unreadable += _problems(surface, document)
            found = _Surface(ownership, surface, document)
            fields += found.fields
            # If nothing could be read, faults about what is missing would only repeat that.
            if document.fields or not document.problems:
                faults += found.faults()
        if base_documents is None or (document and document.problems and not document.fields):
            continue
        base = _read(ownership, surface, base_documents.get(surface.document))
        base_problems = _problems(surface, base) if base else []
        base_unreadable += base_problems
        if not base_problems:
            changes += _changes(surface, base.fields if base else [], document.fields if document else [])
    adr_faults, adr_unreadable = _adrs(ownership, adr_digests)
    return Outcome(
        tuple(fields),
        tuple(faults + adr_faults),
        tuple(unreadable + adr_unreadable),
        tuple(sorted(changes, key=lambda change: _ORDER.index(change.kind))),
        base_documents is not None,
        tuple(base_unreadable),
    )


def _read(ownership: OwnershipMap, surface: Surface, text: str | None) -> Document | None:
    if text is None or not text.strip("\ufeff \t\r\n"):
        return None
    return _document(text, tuple(ownership.sections.items()), tuple(ownership.owners.values()), tuple(surface.fields))


@lru_cache(maxsize=16)  # by content: most documents are equal to those of the merge-base
def _document(
    text: str, sections: tuple[tuple[str, tuple[str, ...]], ...], owners: tuple[Owner, ...], fields: tuple[str, ...]
) -> Document:
    return read_document(text, dict(sections), owners, fields)


def _problems(surface: Surface, document: Document) -> list[str]:
    problems = sorted(set(document.problems), key=lambda problem: (problem.line, problem.sentence))
    return [f"{surface.document}, line {problem.line}: {problem.sentence}." for problem in problems]


def _missing(surface: Surface, text: str | None) -> Fault:
    what = "is not there" if text is None else "is empty"
    sentence = f"The document of {surface.name}, {surface.document}, {what}; write it, or correct the map."
    return Fault(FaultKind.DOCUMENT_MISSING, surface.name, "", surface.document, None, sentence)


class _Surface:
    """Compares one surface's document with its part of the map."""

    def __init__(self, ownership: OwnershipMap, surface: Surface, document: Document) -> None:
        self.ownership = ownership
        self.surface = surface
        self.document = document
        self.stated = {raw.path: self.stated_owners(raw) for raw in document.fields}
        self.fields = [self.field(raw) for raw in document.fields]

    def fault(self, kind: FaultKind, field: str, line: int | None, sentence: str) -> Fault:
        return Fault(kind, self.surface.name, field, self.surface.document, line, sentence)

    def field(self, raw: RawField) -> Field:
        known = self.surface.fields.get(raw.path)
        owners = dict.fromkeys((*(known.owners if known else ()), *self.stated[raw.path]))
        return Field(
            self.surface.name,
            raw.path,
            raw.requirement,
            raw.type,
            tuple(owners),
            self.surface.document,
            raw.line,
        )

    def stated_owners(self, raw: RawField) -> dict[str, int]:
        """The owners that the document itself gives for a field, with the line; an unknown one as written."""
        result: dict[str, int] = {}
        for other in self.document.fields:
            if other.path == raw.path:
                for owner in other.owners:
                    result.setdefault(owner, other.line)
        for statement in self.document.statements:
            if raw.path in statement.names:
                for owner in statement.owners:
                    result.setdefault(owner, statement.line)
        return result

    def faults(self) -> Iterator[Fault]:
        yield from self.section_faults()
        seen: dict[str, RawField] = {}
        for raw in self.document.fields:
            first = seen.setdefault(raw.path, raw)
            if first is not raw:
                sentence = f"`{raw.path}` is a duplicate in {self.surface.name}, first in line {first.line}; keep one."
                yield self.fault(FaultKind.LISTED_TWICE, raw.path, raw.line, sentence)
                continue
            yield from self.owner_faults(raw)
            yield from self.mirror_faults(raw)
            yield from self.moved_faults(raw)
        yield from self.adapter_statements(seen)
        yield from self.gone_faults(seen)

    def section_faults(self) -> Iterator[Fault]:
        for name in self.surface.sections:
            titles = self.ownership.sections[name]
            section = self.document.sections.get(name)
            if section is None and name == "required_fields":
                section = self.document.sections.get("fields")
            if section is None:
                sentence = f'{self.surface.name} has no section "{titles[0]}" in {self.surface.document}; write it.'
                yield self.fault(FaultKind.SECTION_MISSING, "", None, sentence)
            elif not section.filled:
                sentence = f'The section "{titles[0]}" of {self.surface.name} is empty; write it.'
                yield self.fault(FaultKind.SECTION_EMPTY, "", section.line, sentence)

    def owner_faults(self, raw: RawField) -> Iterator[Fault]:
        known = self.surface.fields.get(raw.path)
        owners = known.owners if known else ()
        stated = self.stated[raw.path]
        where = f"`{raw.path}` of {self.surface.name}"
        if not owners:
            in_document = f" (the document says {_and(stated)})" if stated else ""
            lacks = "is in the map without an owner" if known else "is not in the map, so it has no owner"
            sentence = f"{where} {lacks}{in_document}; give it one owner in the map, or remove the field."
            yield self.fault(FaultKind.NO_OWNER, raw.path, raw.line, sentence)
        elif len(owners) > 1:
            sentence = f"{where} has {len(owners)} owners in the map: {_and(owners)}; keep one."
            yield self.fault(FaultKind.TWO_OWNERS, raw.path, raw.line, sentence)
        for owner in owners:
            if self.owns_nothing(owner):
                yield self.forbidden(raw.path, owner, raw.line, "the map")
        for owner, line in stated.items():
            if owner in owners:
                continue
            if self.owns_nothing(owner):
                yield self.forbidden(raw.path, owner, line, "the document")
            elif owners:
                sentence = f"{where} is owned by {_and(owners)} in the map and by {owner} in the document; keep one."
                yield self.fault(FaultKind.TWO_OWNERS, raw.path, line, sentence)
        if not owners and len(stated) > 1:
            sentence = f"{where} has {len(stated)} owners in the document: {_and(stated)}; keep one."
            yield self.fault(FaultKind.TWO_OWNERS, raw.path, raw.line, sentence)

    def owns_nothing(self, owner: str) -> bool:
        known = self.ownership.owners.get(owner)
        return known is not None and known.owns == "nothing"

    def forbidden(self, path: str, owner: str, line: int, place: str) -> Fault:
        sentence = (
            f"`{path}` of {self.surface.name} is owned by {owner} in {place}, which may own nothing durable; "
            "give it to the system that keeps it."
        )
        return self.fault(FaultKind.FORBIDDEN_OWNER, path, line, sentence)

    def adapter_statements(self, seen: Mapping[str, RawField]) -> Iterator[Fault]:
        """Statements that the adapter owns a name that is not a field of the surface."""
        for statement in self.document.statements:
            for owner in statement.owners:
                for name in statement.names:
                    if self.owns_nothing(owner) and name not in seen and re.search(r"[_.]", name):
                        yield self.forbidden(name, owner, statement.line, "the document")

    def mirror_faults(self, raw: RawField) -> Iterator[Fault]:
        if self.surface.name not in self.ownership.internal_surfaces:
            return
        for part in raw.path.split("."):
            pattern = next((p for p in self.ownership.internal_patterns if fnmatchcase(_snake(part), p)), None)
            if pattern is not None:
                sentence = (
                    f"`{raw.path}` of {self.surface.name} mirrors an AiiDA internal (pattern {pattern}); "
                    "refer to the execution by its own identifier instead."
                )
                yield self.fault(FaultKind.MIRRORS_AIIDA, raw.path, raw.line, sentence)
                return

    def moved_faults(self, raw: RawField) -> Iterator[Fault]:
        known = self.surface.fields.get(raw.path)
        if known is not None and known.requirement != raw.requirement:
            sentence = (
                f"`{raw.path}` of {self.surface.name} is {raw.requirement} in the document and "
                f"{known.requirement} in the map; review it, then make them agree."
            )
            yield self.fault(FaultKind.MOVED, raw.path, raw.line, sentence)

    def gone_faults(self, seen: Mapping[str, RawField]) -> Iterator[Fault]:
        for known in self.surface.fields.values():
            if not self.present(known, seen):
                sentence = (
                    f"`{known.path}` of {self.surface.name} is in the map (line {known.line}), but not in "
                    f"{self.surface.document}; review it, then remove it from the map or put it back."
                )
                yield self.fault(FaultKind.GONE, known.path, None, sentence)

    def present(self, known: MapField, seen: Mapping[str, RawField]) -> bool:
        """A dotted name stands for its parents too."""
        return known.path in seen or any(path.startswith(f"{known.path}.") for path in seen)


def _adrs(ownership: OwnershipMap, digests: Mapping[str, str] | None) -> tuple[list[Fault], list[str]]:
    if not ownership.adr_digests:
        return [], []
    if digests is None:
        return [], [f"The ADRs that {ownership.name} was reviewed against were not collected; run the gate again."]
    faults = []
    for path, reviewed in ownership.adr_digests.items():
        now = digests.get(path)
        if now != reviewed:
            what = "no longer exists" if now is None else "changed"
            sentence = (
                f"{path} {what} since {ownership.name} was reviewed; review the map against it, "
                f"then write its new SHA-256 under adr_digests{f' ({now})' if now else ''}."
            )
            faults.append(Fault(FaultKind.ADR_CHANGED, "", "", path, None, sentence))
    return faults, []


def _changes(surface: Surface, before: list[RawField], after: list[RawField]) -> Iterator[Change]:
    old = {raw.path: raw for raw in before}
    new = {raw.path: raw for raw in after}

    def change(kind: str, path: str, was: str, now: str) -> Change:
        line = new[path].line if path in new else None
        return Change(kind, surface.name, path, surface.document, line, was, now)

    for path, raw in new.items():
        if path not in old:
            yield change("added", path, "", raw.requirement)
            continue
        if old[path].requirement != raw.requirement:
            yield change("moved", path, old[path].requirement, raw.requirement)
        if old[path].type != raw.type:
            yield change("retyped", path, old[path].type, raw.type)
    for path, raw in old.items():
        if path not in new:
            yield change("removed", path, raw.requirement, "")


def _snake(name: str) -> str:
    """nodePk and node-pk as node_pk."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return name.replace("-", "_").casefold()


def _and(names: Mapping[str, int] | tuple[str, ...]) -> str:
    return " and ".join(names)
