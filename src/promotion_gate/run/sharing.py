"""promotion_evidence_group: lets a reviewer with another account read the evidence. By default nobody else can.

Everything is written for its owner alone; what a seal or a sign-off completes is opened to the group in one place.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from promotion_gate.base.errors import GateError, InputError
from promotion_gate.bundle.fleet import fleet_root_of

FILE_MODE, FOLDER_MODE = 0o640, 0o750


def _group_id(name: str) -> int:
    try:
        import grp  # only needed if a group is set: a machine without it can still verify and check
    except ImportError:
        raise GateError(f"this machine has no groups, so nothing can be given to the group {name}.") from None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise InputError(
            f'promotion_evidence_group is "{name}", and this machine has no such group. Name one of `getent group`.'
        ) from None


def check_group(name: str | None) -> None:
    """Gives a trial file to the group. Raises InputError if the group is unknown or chgrp to it is not permitted."""
    if name is None:
        return
    group = _group_id(name)
    with tempfile.NamedTemporaryFile(prefix="promotion-gate-") as trial:
        try:
            os.chown(trial.name, -1, group)
        except OSError as error:
            raise InputError(
                f"promotion_evidence_group is {name}, and files cannot be given to it ({error.strerror}). Name a "
                "group that you are a member of (see `id`)."
            ) from None


def share(name: str | None, *paths: Path) -> None:
    """Lets the group read these files and enter these folders. Links, and what is already right, are left alone.

    Raises GateError naming the first path that cannot be changed.
    """
    if name is None:
        return
    group = _group_id(name)
    for path in paths:
        try:
            if path.is_symlink():
                continue
            mode = FOLDER_MODE if path.is_dir() else FILE_MODE
            found = path.stat()
            if found.st_gid != group:
                os.chown(path, -1, group, follow_symlinks=False)
            if found.st_mode & 0o777 != mode:
                path.chmod(mode)
        except OSError as error:
            raise GateError(f"{path} cannot be given to the group {name} ({error.strerror}).") from None


def grant_group(name: str, root: Path) -> None:
    """Lets the group into an evidence root that already exists. All other permissions stay as they are.

    A root that belongs to somebody else is left alone: its owner decided who may look into it.
    """
    group, found = _group_id(name), root.stat()
    everybody = found.st_mode & 0o005 == 0o005
    if found.st_uid != os.geteuid() or everybody or (found.st_gid == group and found.st_mode & 0o050 == 0o050):
        return
    os.chown(root, -1, group)
    root.chmod(stat.S_IMODE(found.st_mode) | 0o050)


def share_run(bundle: Path, settings: Mapping[str, Any]) -> None:
    """Lets the group of a run's settings read its bundle, the files beside it, and the baselines in its root."""
    name = settings.get("promotion_evidence_group")
    if not name:
        return
    folder = bundle.resolve()
    baselines = Path(str(settings.get("promotion_baseline_dir")))
    root = fleet_root_of(folder) or folder.parent
    share(str(name), *_below(folder), *sorted(folder.parent.glob(f"{folder.name}.*")))
    if baselines.is_relative_to(root):
        share(str(name), *_below(baselines))


def _below(folder: Path) -> Iterator[Path]:
    """A folder and everything below it."""
    if folder.is_dir():
        yield folder
    for root, folders, files in os.walk(folder):
        yield from (Path(root) / name for name in [*folders, *files])
