"""The runs of an evidence root, oldest first, and the chain between them.

Each index names the run before it and the digest of that run's newest seal. Only the newest run can be resumed, so
once the next one is open that seal stays the newest: it is the one link that counts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promotion_gate.base.errors import BundleError
from promotion_gate.base.files import digest_of, read_file, read_json
from promotion_gate.base.names import (
    ARCHIVED,
    ATTEMPTS,
    BASELINE_FILE,
    DECISION_JSON,
    DECISION_MD,
    INDEX_FILE,
    MAP_FILE,
    MAX_NAME_DEPTH,
    OWN_NAMES,
    POLICY_FILE,
    SHIPPED_POLICY_FILE,
    SUMS_FILE,
    UNFINISHED,
)
from promotion_gate.bundle.index import Index, Previous, read_index

# Whatever has one of these is a run, however little else is left of it.
_MARKS = (INDEX_FILE, SUMS_FILE, DECISION_JSON, DECISION_MD, ATTEMPTS)


# How transcripts and summaries are named: 01-preflight.log, 02-sqlite-smoke-summary.md.
_EVIDENCE = re.compile(r"[0-9]{2}-.+", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Run:
    """A run found in an evidence root."""

    folder: Path
    index: Index

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.index.settings)


@dataclass(frozen=True, slots=True)
class Link:
    """What the chain asks of a run. `seals` are the digests of its seals, the newest first; `signs`: it has a key."""

    name: str
    run_id: str
    opened_at: str
    evaluated_at: str | None
    root_id: str
    ticket: str
    previous: Previous | None
    seals: tuple[str, ...]
    signs: bool

    @classmethod
    def of(cls, folder: Path, index: Mapping[str, Any]) -> Link:
        """From the JSON of its index, of which only these fields are read: whoever asks has the digest of all of it.

        Raises KeyError, TypeError or AttributeError for what is no index.
        """
        previous = index["previous"]
        return cls(
            name=folder.name,
            run_id=str(index["run_id"]),
            opened_at=str(index["opened_at"]),
            evaluated_at=index["evaluated_at"] and str(index["evaluated_at"]),
            root_id=str(index["root_id"]),
            ticket=str(index["ticket"]),
            previous=Previous(str(previous["run_id"]), str(previous["sha256"])) if previous else None,
            seals=tuple(seals(folder)),
            signs=bool(index["settings"].get("promotion_signing_key")),
        )


def run_folders(root: Path) -> list[Path]:
    """Every run of an evidence root, readable or not: a folder or a link to one, with anything that only a run has."""
    found = sorted(root.iterdir()) if root.is_dir() else []
    return [path for path in found if not path.name.startswith(UNFINISHED) and _is_run(path)]


def _is_run(path: Path) -> bool:
    """A folder that we may not look into counts, and a link that leads nowhere: either may be the newest run."""
    if path.is_symlink() and not path.exists():
        return "." not in path.name  # no run has a dot in its name; sign-offs and an editor's locks have
    for mark in _MARKS:
        try:
            (path / mark).lstat()
        except PermissionError:
            return True
        except OSError:
            continue
        return True
    return False


def check_no_link(folder: Path) -> None:
    """Raises BundleError for a run that is a link: what it leads to lies elsewhere, and can be exchanged unseen."""
    if folder.is_symlink():
        raise BundleError(
            f"{folder} is a symbolic link; a run is a folder of its evidence root. Move it back, or remove the link."
        )


def is_sealed(folder: Path) -> bool:
    """Whether a bundle has its seal, which is written last and goes first: without it nothing is decided."""
    return not read_file(folder / SUMS_FILE).problem


def read_run(folder: Path) -> Run:
    """Raises BundleError for an index that cannot be read."""
    return Run(folder, read_index(folder))


def seals(folder: Path) -> list[str]:
    """The digests of a run's seals, the newest first: its SHA256SUMS, then those of its earlier attempts."""
    attempts = folder / ATTEMPTS
    found = attempts.glob(f"[0-9]*/{SUMS_FILE}") if attempts.is_dir() else []
    earlier = sorted(found, key=lambda path: (len(path.parent.name), path.parent.name), reverse=True)
    found_digests = (digest_of(path) for path in (folder / SUMS_FILE, *earlier))
    return [digest for digest, problem in found_digests if not problem]


def remove_unfinished(folder: Path, files: Collection[str]) -> None:
    """Removes what killed writes left in a bundle, but no evidence, however it is spelt.

    Evidence is what the index names (`files`) and what an earlier seal names, where it was or archived.
    """
    evidence = {*files, *_sealed_earlier(folder)}
    for path in folder.rglob(f"{UNFINISHED}*"):
        name = path.relative_to(folder).as_posix()
        archived = ARCHIVED.fullmatch(name)
        known = name in evidence or (archived and archived[2] in evidence)
        if not known and (path.is_symlink() or path.is_file()):
            path.unlink()


def _sealed_earlier(folder: Path) -> Iterator[str]:
    for path in (folder / ATTEMPTS).glob(f"*/{SUMS_FILE}"):
        lines = read_file(path).data.decode("utf-8", "replace").split("\n")
        yield from (name for _, _, name in (line.partition("  ") for line in lines) if name)


def links_of(root: Path) -> tuple[list[Link], list[str]]:
    """The runs of an evidence root that can be read, oldest first, and a sentence on each that is not as it must be."""
    links: list[Link] = []
    problems = []
    for folder in run_folders(root):
        problem = ""
        try:
            links.append(_read_link(folder))
            if links[-1].run_id != folder.name:
                problem = f"{folder.name}: its index is of run {links[-1].run_id}."
        except BundleError as error:
            problem = str(error)
        try:
            check_no_link(folder)
        except BundleError as error:
            problem = str(error)
        if problem:
            problems.append(problem)
    return sorted(links, key=lambda link: (link.opened_at, link.name)), problems


def broken_links(root: Path, found: tuple[list[Link], list[str]] | None = None) -> Iterator[str]:
    """What speaks against the chain of an evidence root, one sentence each; `found` is what links_of() gives.

    Finds a run that was removed, reordered, or resealed after the next one was opened. The newest run has no
    successor that names it: that it was removed cannot be seen from the others.
    """
    links, problems = found or links_of(root)
    yield from problems
    yield from chain_breaks(links, {folder.name for folder in run_folders(root)})
    yield from stray_problems(root)


def _read_link(folder: Path) -> Link:
    """Raises BundleError for an index that cannot be read; one that has a seal was read strictly when it was sealed."""
    if not os.path.lexists(folder / SUMS_FILE):
        read_run(folder)
    try:
        return Link.of(folder, read_json(folder / INDEX_FILE))
    except (KeyError, TypeError, AttributeError):
        raise BundleError(f"{folder / INDEX_FILE} is not one of a run.") from None


def chain_breaks(links: list[Link], names: Collection[str]) -> Iterator[str]:
    """What speaks against a chain of runs, oldest first; `names` are those of all runs that are there."""
    before: Link | None = None
    for link in links:
        yield from _link(link, before, names)
        before = link if link.seals else before
    for link in links[1:]:
        first = links[0]
        if link.root_id != first.root_id:
            yield f"{link.run_id} was opened in another evidence root than {first.run_id}: it was copied here."
        elif link.ticket != first.ticket:
            yield f"{link.run_id} is about {link.ticket}, {first.run_id} about {first.ticket}: a root has one ticket."


def stray_problems(root: Path) -> list[str]:
    """Folders with evidence in them that are not runs: what is left of a run, or one that was put out of sight.

    A folder that a killed opening left (UNFINISHED) has the first files of a run and nothing else.
    """
    known = set(run_folders(root))
    found: list[str] = []
    waiting = [(root, 1)]
    while waiting:
        folder, depth = waiting.pop()
        inside = sorted(folder.iterdir())
        if folder != root and any(map(_is_evidence, {path.name for path in inside} - _first_files(folder))):
            found.append(f"{folder} has evidence in it and is not a run: restore or move it away.")
            continue  # what is below it is of it
        if depth > MAX_NAME_DEPTH:
            raise BundleError(f"{root} has folders more than {MAX_NAME_DEPTH} deep; that is not an evidence root.")
        below = [path for path in inside if path not in known and path.is_dir() and not path.is_symlink()]
        waiting += [(path, depth + 1) for path in reversed(below)]
    return found


def _first_files(folder: Path) -> frozenset[str]:
    draft = folder.name.startswith(UNFINISHED)
    return frozenset((INDEX_FILE, POLICY_FILE, SHIPPED_POLICY_FILE, BASELINE_FILE, MAP_FILE)) if draft else frozenset()


def _is_evidence(name: str) -> bool:
    return name in OWN_NAMES or _EVIDENCE.fullmatch(name) is not None


def _link(link: Link, before: Link | None, names: Collection[str]) -> Iterator[str]:
    """The link from a run to the run before it that was sealed."""
    name, previous = link.name, link.previous
    if previous is None:
        if before is not None:
            yield f"{name} names no earlier run, but {before.name} is there: it was added or dated back."
        return
    wanted = previous.run_id
    if wanted not in names:
        yield f"{name} follows run {wanted}, which no longer exists: it was removed or renamed."
    elif before is None or wanted != before.name:
        there = before.name if before else "no sealed run"
        yield f"{name} follows run {wanted}, but {there} comes before it: runs were reordered, added or unsealed."
    elif previous.sha256 != before.seals[0]:
        # An earlier seal in attempts/ is no excuse: a resealed run could carry the old one along.
        yield f"{name} follows run {wanted} with another SHA256SUMS: {wanted} was rewritten after {name} was opened."
    elif (before.evaluated_at or "") > link.opened_at:
        yield f"{wanted} was decided again after {name} was opened; only the newest run can be resumed."
