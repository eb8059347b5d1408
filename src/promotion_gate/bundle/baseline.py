"""Known-good timings of the sqlite smoke: what gate 2 compares with.

Each recording is one JSON file in promotion_baseline_dir, which is never changed. A bundle has a copy of all of them
(baseline.json); the newest for the same command and host is the reference, and the newest that was recorded with a
reason (or else the oldest) shows slow drift.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from promotion_gate.base.errors import BundleError, GateError
from promotion_gate.base.files import make_folder, read_file, read_json, sha256, to_json, write_atomically
from promotion_gate.base.names import ATTEMPTS, DECISION_JSON, INDEX_FILE, SUMS_FILE
from promotion_gate.base.times import MAX_CLOCK_SKEW, parse_stamp
from promotion_gate.base.typed import Length, Number, OptionalSha256, Sha256, Stamp, plain, read, recorded
from promotion_gate.bundle.fleet import host_roots, is_fleet

BASELINE_SCHEMA: Literal[1] = 1
TIMES = 3
MAX_TIME_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """One known-good set of wall times in integer nanoseconds, of one command on one host."""

    schema: Literal[1] = BASELINE_SCHEMA
    recorded_at: Stamp
    run_id: str
    source: Literal["promote", "recorded"]
    operator: str
    reason: str
    command_sha256: Sha256
    host_fingerprint: str
    commit: str
    times_ns: Annotated[tuple[Annotated[int, Number(1, MAX_TIME_NS)], ...], Length(TIMES)]
    load_average: Annotated[
        tuple[Annotated[float, Number(0)], ...], "before the first run: over 1, 5 and 15 minutes"
    ] = ()
    processors: Annotated[int, Number(1)] | None = None
    side_by_side: Annotated[bool | None, "whether gates of other hosts ran at the same time"] = None
    seal_sha256: Annotated[OptionalSha256, "of SHA256SUMS of the run, where source is promote"] = ""
    sha256: Annotated[Sha256 | None, "of the rest, so that a change by hand does not go unnoticed"] = field(
        default=None, compare=False
    )

    @property
    @recorded
    def spread_percent(self) -> int:
        """The difference between the slowest and the fastest, in percent of the median."""
        return (max(self.times_ns) - min(self.times_ns)) * 100 // self.median_ns

    @property
    def median_ns(self) -> int:
        """The median; for an even number the lower of the two middle values, so that it is a measured time."""
        ordered = sorted(self.times_ns)
        return ordered[(len(ordered) - 1) // 2]

    def as_dict(self) -> dict[str, Any]:
        """The content of its file."""
        data = plain(self)
        del data["sha256"]
        if self.side_by_side is None:  # before it was recorded, the digest was taken without it
            del data["side_by_side"]
        return {**data, "sha256": sha256(to_json(data).encode())}


@dataclass(frozen=True, slots=True)
class Baselines:
    """All of baseline.json, oldest first."""

    baselines: tuple[Baseline, ...]


def read_baseline(data: object, where: str) -> Baseline:
    """Reads one baseline. Raises BundleError naming the bad field."""
    return _checked(read(Baseline, data, where), where)


def read_baselines(data: object, where: str) -> tuple[Baseline, ...]:
    """Reads the bundle's baseline.json. Raises BundleError naming the bad field."""
    found = read(Baselines, data, where).baselines
    return tuple(_checked(baseline, f"{where}: baselines[{number}]") for number, baseline in enumerate(found))


def _checked(baseline: Baseline, where: str) -> Baseline:
    if parse_stamp(baseline.recorded_at) is None:
        raise BundleError(f"{where}: recorded_at must be a time in UTC, not {baseline.recorded_at}.")
    if not baseline.reason.strip():
        raise BundleError(f"{where}: reason is empty; nobody knows why these timings are good.")
    if baseline.sha256 not in (None, baseline.as_dict()["sha256"]):
        raise BundleError(f"{where} was changed after it was recorded. Remove it, and record a new baseline.")
    return baseline


def read_baseline_dir(folder: Path, root: Path, now: datetime) -> tuple[Baseline, ...]:
    """All baselines of a directory, oldest first, each backed by a reason or by a sealed run of `root`.

    Raises BundleError for a file that is not a baseline, is dated after `now`, or does not agree with its run.
    """
    if not folder.is_dir():
        return ()
    found = []
    for path in sorted(folder.glob("*.json")):
        baseline = read_baseline(read_json(path), str(path))
        recorded = parse_stamp(baseline.recorded_at)
        if recorded is None or recorded - now > MAX_CLOCK_SKEW:
            raise BundleError(
                f"{path} is dated {baseline.recorded_at}, which is in the future: it would stay the newest one. Remove "
                "it, and record a new baseline."
            )
        if baseline.source == "promote":
            _check_run(baseline, path, _roots_of(root, folder))
        found.append(baseline)
    return tuple(sorted(found, key=lambda item: (item.recorded_at, item.run_id)))


def _roots_of(root: Path, folder: Path) -> list[Path]:
    """Where the runs of the baselines in `folder` are: in an evidence root of several hosts, in the folder of one."""
    fleets = [place for place in dict.fromkeys((root.parent, folder.parent)) if is_fleet(place)]
    return [root, folder.parent, *(of_host for fleet in fleets for of_host in host_roots(fleet))]


def _check_run(baseline: Baseline, path: Path, roots: Iterable[Path]) -> None:
    """Checks that the run a baseline names was sealed as PROMOTE with these times. Raises BundleError if not."""
    for root in roots:
        for seal in _seals(root / baseline.run_id):
            content = read_file(seal)
            if not content.problem and sha256(content.data) == baseline.seal_sha256:
                problem = _run_problem(baseline, seal, content.data.decode("utf-8", "replace"))
                if not problem:
                    return
                raise BundleError(f"{path} does not agree with run {baseline.run_id}: {problem}. Remove it.")
    raise BundleError(
        f"{path} is the baseline of run {baseline.run_id}, and that run, sealed as it was then, no longer exists. "
        "Remove the file, and record a new baseline if no other is left."
    )


def _seals(run: Path) -> list[Path]:
    """The seal of a run and those of its earlier attempts."""
    return [run / SUMS_FILE, *sorted((run / ATTEMPTS).glob(f"*/{SUMS_FILE}"))]


def _run_problem(baseline: Baseline, seal: Path, sums: str) -> str:
    """Why a sealed run disagrees with the baseline, or an empty string."""
    digests = {name: digest for digest, _, name in (line.partition("  ") for line in sums.splitlines())}
    found = {}
    for name in (INDEX_FILE, DECISION_JSON):
        # A resume moves the seal away first; if killed right then, what the seal names is still in the run's folder.
        places = [seal.with_name(name)]
        if seal.parent.parent.name == ATTEMPTS:
            places.append(seal.parents[2] / name)
        path = next((path for path in places if sha256(read_file(path).data) == digests.get(name)), None)
        if path is None:
            return f"its {name} has changed since it was sealed"
        found[name] = read_json(path)
    if found[DECISION_JSON].get("decision") != "PROMOTE":
        return "it was not a PROMOTE"
    times = timed_runs(found[INDEX_FILE].get("commands", [])).values()
    return "" if list(baseline.times_ns) in times else "its three times differ"


def timed_runs(commands: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The wall times of the runs (`run_1`, ...) by gate, from the commands of an index as JSON."""
    found: dict[str, list[Any]] = {}
    for command in commands:
        if str(command.get("id")).startswith("run_"):
            found.setdefault(str(command.get("gate")), []).append(command.get("duration_ns"))
    return found


def baselines_to_json(baselines: tuple[Baseline, ...]) -> str:
    return to_json({"baselines": [baseline.as_dict() for baseline in baselines]})


def _measured(baseline: Baseline) -> Baseline:
    """A baseline without what its recorder adds: the second in which the result came in, and what is in its bundle."""
    return replace(baseline, seal_sha256="", recorded_at="", side_by_side=None)


def write_baseline(folder: Path, baseline: Baseline) -> Path:
    """Adds one baseline; an earlier one is never overwritten. Raises GateError if the directory cannot be written."""
    path = folder / f"{baseline.run_id}-{baseline.source}.json"
    try:
        make_folder(folder)
        for number in itertools.count(2):
            if not os.path.lexists(path):
                break
            with contextlib.suppress(GateError):
                there = read_baseline(read_json(path), str(path))
                # A resume that keeps gate 2 seals the same times again, and so do the runs of several hosts.
                if _measured(there) == _measured(baseline):
                    return path
            path = folder / f"{baseline.run_id}-{baseline.source}-{number}.json"
        write_atomically(path, to_json(baseline.as_dict()))
    except OSError as error:
        raise GateError(f"The baseline could not be written to {path} ({error.strerror}).") from None
    return path
