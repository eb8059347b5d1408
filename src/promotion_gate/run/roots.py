"""An evidence root inside a checkout must not contain files of the application."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path, PurePosixPath

from promotion_gate.base.errors import InputError
from promotion_gate.base.names import FLEET_FILE, INDEX_FILE, POLICY_FILE
from promotion_gate.run.lock import LOCK_FILE

GIT_SECONDS = 60


def check_holds_no_tracked_file(root: str, checkout: str) -> None:
    """Raises InputError for an evidence root with tracked files in it that are not evidence.

    Files there would count as evidence of the gate instead of as part of the application that is judged. Committed
    runs and baselines are evidence.
    """
    if not Path(root).is_relative_to(checkout):
        return
    named = _tracked(checkout, Path(root).relative_to(checkout).as_posix())
    marked = [str(path.parent) for path in map(PurePosixPath, named) if path.name in (INDEX_FILE, POLICY_FILE)]
    runs = {folder for folder in marked if folder != "." and marked.count(folder) == 2}
    strange = [name for name in named if not _is_evidence(PurePosixPath(name), runs)]
    if strange:
        shown = ", ".join(strange[:3]) + (f" and {len(strange) - 3} more" if len(strange) > 3 else "")
        raise InputError(
            f"promotion_evidence_root {root} holds files of the application ({shown}). Set it to a folder in which Git "
            "tracks nothing."
        )


def _is_evidence(path: PurePosixPath, runs: set[str]) -> bool:
    of_the_root = path.parts[0] == "baseline" or path.name in (LOCK_FILE, FLEET_FILE)
    return of_the_root or any(str(folder) in runs for folder in path.parents)


def _tracked(checkout: str, folder: str) -> list[str]:
    """The names that Git tracks below a folder, relative to it; none if Git fails, which gate 1 finds."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    pathspec = "." if folder == "." else f":(top,literal){folder}"
    try:
        done = subprocess.run(
            ["git", "ls-files", "-z", "--", pathspec],
            cwd=checkout,
            env={**environment, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    names = [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]
    return [name if folder == "." else name.removeprefix(f"{folder}/") for name in names]
