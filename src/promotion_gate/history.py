"""The runs of an evidence root, oldest first, and the chain between them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promotion_gate.errors import BundleError, InputError
from promotion_gate.files import read_file, read_json, sha256
from promotion_gate.index import INDEX_FILE, Index, parse_index

SUMS_FILE = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class Run:
    """A run found in an evidence root."""

    folder: Path
    index: Index

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.index.settings)


def runs(root: Path) -> list[Run]:
    """All runs whose index can be read, oldest first by the time they were opened."""
    found = []
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        if folder.is_dir() and not folder.is_symlink() and (folder / INDEX_FILE).exists():
            with contextlib.suppress(BundleError):
                found.append(Run(folder, parse_index(read_json(folder / INDEX_FILE), str(folder / INDEX_FILE))))
    return sorted(found, key=lambda run: (run.index.opened_at, run.folder.name))


def newest_run(root: Path, wanted: str) -> Run:
    """The run to resume: only the newest of an evidence root can be. Raises InputError naming it."""
    found = runs(root)
    if not found:
        raise InputError(f"promotion_resume is {wanted}, but {root} has no run. Run the gate without promotion_resume.")
    newest = found[-1]
    if wanted not in ("latest", newest.folder.name):
        known = any(run.folder.name == wanted for run in found)
        what = "is not the newest run" if known else "does not exist"
        raise InputError(
            f"promotion_resume is {wanted}, which {what} of {root}. Only the newest can be resumed: "
            f"{newest.folder.name} (or write latest)."
        )
    return newest


def previous_seal(root: Path, run_id: str) -> dict[str, str] | None:
    """The newest sealed run before `run_id`: its id and the digest of its SHA256SUMS."""
    for run in reversed(runs(root)):
        sums = read_file(run.folder / SUMS_FILE)
        if run.folder.name != run_id and not sums.problem:
            return {"run_id": run.folder.name, "sha256": sha256(sums.data)}
    return None
