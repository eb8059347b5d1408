"""An evidence root of several hosts: each has a folder of its own runs there, and fleet.json says what they decided.

fleet.json is a rendering for people and dashboards. No decision reads it; it tells where the runs of which host are.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from promotion_gate.base.errors import BundleError
from promotion_gate.base.files import read_json, to_json, write_atomically
from promotion_gate.base.names import FLEET_FILE
from promotion_gate.base.typed import Name, Stamp, plain, read
from promotion_gate.bundle.history import run_folders
from promotion_gate.bundle.index import Host

FLEET_SCHEMA: Literal[1] = 1


@dataclass(frozen=True, slots=True)
class FleetHost:
    """One host of the newest run: `decision` is null until its record is sealed, and where that does not verify."""

    host: Host
    run_id: str
    attempt: Annotated[int | None, "whose decision it is; null without one"]
    decision: Literal["PROMOTE", "HOLD"] | None
    decided_at: Stamp | None
    cause: Annotated[str, "the first check or objection to unblock, or why there is no decision"]
    bundle: Annotated[Name, "relative to the folder of this file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What the newest run decided about each host, in the order of the inventory."""

    schema: Literal[1] = FLEET_SCHEMA
    written_at: Stamp
    hosts: tuple[FleetHost, ...]


def is_fleet(root: Path) -> bool:
    return os.path.lexists(root / FLEET_FILE)


def read_fleet(root: Path) -> Fleet:
    """Raises BundleError naming what is wrong with the file."""
    path = root / FLEET_FILE
    return read(Fleet, read_json(path), str(path))


def write_fleet(root: Path, fleet: Fleet) -> None:
    write_atomically(root / FLEET_FILE, to_json(plain(fleet)))


def host_roots(root: Path) -> list[Path]:
    """The folders of an evidence root that have runs in them, whatever its fleet.json says: one for each host."""
    folders = [path for path in sorted(root.iterdir()) if path.is_dir()] if root.is_dir() else []
    return [path for path in folders if run_folders(path)]


def fleet_root_of(bundle: Path) -> Path | None:
    """The evidence root that a bundle is part of as the run of one of several hosts; None for any other bundle."""
    root = bundle.parent.parent
    try:
        hosts = read_fleet(root).hosts if is_fleet(root) else ()
    except BundleError:
        return None
    return root if any(item.bundle == f"{bundle.parent.name}/{bundle.name}" for item in hosts) else None


def check_of_one_host(root: Path) -> None:
    """Raises BundleError naming the folders of the hosts for a root of several: none of them speaks for the others."""
    if is_fleet(root):
        folders = ", ".join(map(str, host_roots(root))) or "none of them is left"
        raise BundleError(
            f"{root} is the evidence root of several hosts, and each has runs of its own. Ask the folder of a host: "
            f"{folders}."
        )
