"""What the gate itself writes into a checkout and what does not belong to the application."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

# The evidence roots of this ticket and of others are in here.
LAYOUT = "investigations/artifacts"
LOCK, DRAFT = ".promotion-gate.lock", ".unfinished-"
FLEET = "fleet.json"  # of several hosts, in the root itself
RUN_MARKS = ("index.json", "policy.yml")
BASELINE = re.compile(r"[A-Za-z0-9_-]{1,100}-(promote|recorded)(-[0-9]+)?\.json")  # <run id>-<source>


class Evidence:
    """What the gate itself writes into a checkout: runs and the files beside them, baselines, the lock, fleet.json.

    `root` is this ticket's evidence root, relative to the top level; roots of other tickets are in LAYOUT. Nothing else
    in them, or beside the baselines, is left out: these directories may also have files of the application.
    """

    def __init__(self, top: str, root: str, baseline: str, tracked: Iterable[str]) -> None:
        self.top, self.root = top, root.strip("/")
        self.baseline = baseline.strip("/") or (self.root and self.root + "/baseline")
        marks: dict[str, set[str]] = {}
        for path in tracked:
            folder, _, name = path.rpartition("/")
            if name in RUN_MARKS:
                marks.setdefault(folder, set()).add(name)
        self.runs = {folder for folder, names in marks.items() if len(names) == len(RUN_MARKS)}

    def holds(self, path: str, committed: bool = False) -> bool:
        """Whether a file is evidence or a baseline of this ticket; with `committed`, going by the commit alone."""
        return self.is_baseline(path) or (below(path, self.root) and self.in_run(path, committed))

    def left_out(self, path: str) -> bool:
        """Whether an untracked file does not belong to the application."""
        of_other_ticket = below(path, LAYOUT) and path.count("/") > LAYOUT.count("/") + 1
        return self.holds(path) or (of_other_ticket and not below(path, self.root))

    def is_baseline(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        return folder == self.baseline and (name.startswith(DRAFT) or BASELINE.fullmatch(name) is not None)

    def in_run(self, path: str, committed: bool) -> bool:
        if path == f"{self.root}/{FLEET}":
            return True
        parts = path.rstrip("/").split("/")
        depth = len([part for part in self.root.split("/") if part])
        for end in range(depth + 1, len(parts) + 1):
            name, parent = parts[end - 1], "/".join(parts[: end - 1])
            if name == LOCK or name.startswith(DRAFT) or self.is_run("/".join(parts[:end]), committed):
                return True
            run, dot, _ = name.partition(".")  # a file beside a run, for example its sign-off
            if dot and end == len(parts) and self.is_run(os.path.join(parent, run), committed):
                return True
        return False

    def is_run(self, folder: str, committed: bool) -> bool:
        path = os.path.join(self.top, folder)
        return folder in self.runs or (
            not committed and all(os.path.isfile(os.path.join(path, mark)) for mark in RUN_MARKS)
        )


def below(path: str, folder: str) -> bool:
    return bool(folder) and (path == folder or path.startswith(folder + "/"))
