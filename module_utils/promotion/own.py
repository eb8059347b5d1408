"""What the gate itself writes into a checkout, which is none of the application's."""

from __future__ import annotations

import os
from collections.abc import Iterable

# The folder of one ticket's evidence lies in here, and so do those of other tickets.
LAYOUT = "investigations/artifacts"
LOCK, DRAFT = ".promotion-gate.lock", ".unfinished-"
FLEET = "fleet.json"  # of several hosts, in the root itself
RUN_MARKS = ("index.json", "policy.yml")


class Evidence:
    """What the gate itself writes into a checkout: runs, what stands beside them, the baselines, the lock, fleet.json.

    `root` is this ticket's folder, relative to the top level; roots of other tickets lie in LAYOUT. Nothing else in
    them is left out: a root may be set to a folder that holds something of the application.
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
        """Whether a file is evidence of this ticket, or its baseline; `committed`: by what the commit alone says."""
        return below(path, self.baseline) or (below(path, self.root) and self.in_run(path, committed))

    def left_out(self, path: str) -> bool:
        """Whether a file that is not tracked is none of the application's."""
        of_other_ticket = below(path, LAYOUT) and path.count("/") > LAYOUT.count("/") + 1
        return self.holds(path) or (of_other_ticket and not below(path, self.root))

    def in_run(self, path: str, committed: bool) -> bool:
        if path == f"{self.root}/{FLEET}":
            return True
        parts = path.rstrip("/").split("/")
        depth = len([part for part in self.root.split("/") if part])
        for end in range(depth + 1, len(parts) + 1):
            name, parent = parts[end - 1], "/".join(parts[: end - 1])
            if name == LOCK or name.startswith(DRAFT) or self.is_run("/".join(parts[:end]), committed):
                return True
            run, dot, _ = name.partition(".")  # what stands beside a run: its sign-off, say
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
