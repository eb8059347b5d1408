"""Known-good timings of the sqlite smoke: what gate 2 compares with.

One JSON file per act of recording in promotion_baseline_dir, none is ever changed. A bundle has a copy of all of
them (baseline.json); the newest of the same command and host is the reference, the oldest shows slow drift.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from promotion_gate.base.errors import BundleError, GateError
from promotion_gate.base.fields import Fields
from promotion_gate.base.files import make_folder, read_json, to_json, write_atomically

BASELINE_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Baseline:
    """One known-good set of wall times in integer nanoseconds, of one command on one host."""

    recorded_at: str
    run_id: str
    source: str  # promote | recorded
    operator: str
    reason: str
    command_sha256: str
    host_fingerprint: str
    commit: str
    times_ns: tuple[int, ...]

    @property
    def median_ns(self) -> int:
        """The median; of an even number the lower of the two in the middle, so that it is one measured time."""
        ordered = sorted(self.times_ns)
        return ordered[(len(ordered) - 1) // 2]

    def as_dict(self) -> dict[str, Any]:
        return {"schema": BASELINE_SCHEMA, **asdict(self), "times_ns": list(self.times_ns)}


def parse_baseline(fields: Fields) -> Baseline:
    """Reads one baseline. Raises BundleError naming the bad field."""
    if fields.integer("schema") != BASELINE_SCHEMA:
        raise BundleError(f"{fields.where}: schema must be {BASELINE_SCHEMA}.")
    if fields.text("source") not in ("promote", "recorded"):
        raise BundleError(f"{fields.where}: source must be promote or recorded.")
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", fields.text("recorded_at")):
        raise BundleError(f"{fields.where}: recorded_at must be a time in UTC such as 2026-11-23T23:35:14Z.")
    if not re.fullmatch(r"[0-9a-f]{64}", fields.text("command_sha256")):
        raise BundleError(f"{fields.where}: command_sha256 must be a SHA-256 in lower-case hex digits.")
    times = fields.sequence("times_ns")
    if not times or not all(isinstance(t, int) and not isinstance(t, bool) and t > 0 for t in times):
        raise BundleError(f"{fields.where}: times_ns must be whole numbers of nanoseconds above 0.")
    return Baseline(
        recorded_at=fields.text("recorded_at"),
        run_id=fields.text("run_id"),
        source=fields.text("source"),
        operator=fields.text("operator"),
        reason=fields.text("reason"),
        command_sha256=fields.text("command_sha256"),
        host_fingerprint=fields.text("host_fingerprint"),
        commit=fields.text("commit"),
        times_ns=tuple(times),
    )


def parse_baselines(data: object, where: str) -> tuple[Baseline, ...]:
    """Reads the bundle's baseline.json: a list of baselines, oldest first."""
    return Fields(data, where, BundleError).each("baselines", parse_baseline)


def read_baseline_dir(folder: Path) -> tuple[Baseline, ...]:
    """All baselines of a folder, oldest first. Raises BundleError for a file that is no baseline."""
    if not folder.is_dir():
        return ()
    found = [parse_baseline(Fields(read_json(path), str(path), BundleError)) for path in sorted(folder.glob("*.json"))]
    return tuple(sorted(found, key=lambda item: (item.recorded_at, item.run_id)))


def baselines_to_json(baselines: tuple[Baseline, ...]) -> str:
    return to_json({"baselines": [baseline.as_dict() for baseline in baselines]})


def write_baseline(folder: Path, baseline: Baseline) -> Path:
    """Adds one baseline; an earlier one is never overwritten. Raises GateError where the folder cannot be written."""
    path = folder / f"{baseline.run_id}-{baseline.source}.json"
    try:
        make_folder(folder)
        for number in itertools.count(2):
            if not os.path.lexists(path):
                break
            with contextlib.suppress(GateError):
                if parse_baseline(Fields(read_json(path), str(path), BundleError)) == baseline:
                    return path
            path = folder / f"{baseline.run_id}-{baseline.source}-{number}.json"
        write_atomically(path, to_json(baseline.as_dict()))
    except OSError as error:
        raise GateError(f"The baseline could not be written to {path} ({error.strerror}).") from None
    return path
