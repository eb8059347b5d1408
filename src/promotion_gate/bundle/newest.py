"""Which run of an evidence root is the newest, and what the next one takes over from those that are there.

Of each run four fields of its index are read, so ten thousand runs take seconds. A run whose index cannot be read
counts, too, by the time of its folder: a broken one must not let an older decision speak for it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from promotion_gate.base.errors import BundleError, InputError
from promotion_gate.base.files import read_json
from promotion_gate.base.names import INDEX_FILE
from promotion_gate.base.times import stamp
from promotion_gate.base.typed import STAMP
from promotion_gate.bundle.history import Run, check_no_link, read_run, run_folders, seals
from promotion_gate.bundle.index import Previous

_STAMP = re.compile(STAMP)


@dataclass(frozen=True, slots=True)
class Look:
    """A run at a glance. `root_id` is empty where its index cannot be read; then `opened_at` is of its folder."""

    folder: Path
    opened_at: str
    evaluated_at: str
    root_id: str


def looks(root: Path) -> list[Look]:
    """All runs of an evidence root, oldest first."""
    return sorted(map(_look, run_folders(root)), key=lambda look: (look.opened_at, look.folder.name))


def _look(folder: Path) -> Look:
    try:
        index = read_json(folder / INDEX_FILE)
        opened_at, evaluated_at, root_id = index["opened_at"], index["evaluated_at"] or "", index["root_id"]
        if _STAMP.fullmatch(opened_at) and (not evaluated_at or _STAMP.fullmatch(evaluated_at)) and str(root_id):
            return Look(folder, opened_at, evaluated_at, str(root_id))
    except (BundleError, KeyError, TypeError):
        pass
    return Look(folder, stamp(datetime.fromtimestamp(folder.lstat().st_mtime, UTC)), "", "")


def newest_folder(root: Path) -> Path:
    """The newest run, readable or not. Raises InputError where there is none."""
    found = looks(root)
    if not found:
        raise InputError(f"{root} has no run. Name the evidence root of the runs with --root.")
    return found[-1].folder


def latest_moment(found: Sequence[Look]) -> tuple[str, str] | None:
    """The latest stamp at which one of the runs was opened or decided, and that run; None without a run."""
    return max(((max(look.opened_at, look.evaluated_at), look.folder.name) for look in found), default=None)


def newest_run(root: Path, wanted: str) -> Run:
    """The run to resume: only the newest of an evidence root can be. Raises InputError naming it."""
    found = looks(root)
    if not found:
        raise InputError(f"promotion_resume is {wanted}, but {root} has no run. Run the gate without promotion_resume.")
    names, newest = {look.folder.name for look in found}, found[-1].folder
    if wanted not in ("latest", newest.name):
        what = "is not the newest run of" if wanted in names else "is not a run of"
        raise InputError(
            f"promotion_resume is {wanted}, which {what} {root}. Only the newest can be resumed: "
            f"{newest.name} (or write latest)."
        )
    try:
        check_no_link(newest)
        return read_run(newest)
    except BundleError as error:
        raise InputError(f"The newest run cannot be resumed: {error} Run the gate without promotion_resume.") from None


def previous_seal(found: Sequence[Look], run_id: str) -> Previous | None:
    """The newest run other than `run_id` that was ever sealed: its id and the digest of its newest seal."""
    for look in reversed(found):
        if look.root_id and look.folder.name != run_id and (of_run := seals(look.folder)):
            return Previous(look.folder.name, of_run[0])
    return None


def root_id(found: Sequence[Look]) -> str:
    """What all runs of an evidence root have in common: the first one draws it, each later one takes it over."""
    return next((look.root_id for look in reversed(found) if look.root_id), "") or secrets.token_hex(16)
