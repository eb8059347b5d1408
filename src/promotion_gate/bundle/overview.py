"""The runs of an evidence root at a glance: what each decided, why, how long its gates took, and how the smoke did.

Seal, record and index of a run are compared by digest; the evidence is not judged again, so a thousand runs take a
second. A run whose digests do not match has no decision here either.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from promotion_gate.base.errors import BundleError, InputError
from promotion_gate.base.files import MAX_JSON_BYTES, read_file, sha256
from promotion_gate.base.model import beside_gates
from promotion_gate.base.names import DECISION_JSON, INDEX_FILE, SUMS_FILE
from promotion_gate.bundle.baseline import timed_runs
from promotion_gate.bundle.fleet import check_of_one_host
from promotion_gate.bundle.history import Link, chain_breaks, check_no_link, run_folders, stray_problems


@dataclass(frozen=True, slots=True)
class Row:
    """One run. `decision` is null if it has none that counts, and `note` says why.

    `causes` are the checks to unblock first, with their status; `gates` the seconds that each gate took; `smoke_ns`
    the wall times of the sqlite smoke, if it ran.
    """

    run_id: str
    opened_at: str = ""
    decided_at: str | None = None
    decision: Literal["PROMOTE", "HOLD"] | None = None
    note: str = ""
    attempt: int = 1
    operator: str = ""
    commit: str | None = None
    vm: str | None = None
    causes: tuple[str, ...] = ()
    objections: int = 0
    gates: Mapping[str, float | None] | None = None
    smoke_ns: tuple[int, ...] = ()

    @property
    def seconds(self) -> float | None:
        """How long the gates took together; None if none ran."""
        ran = [seconds for seconds in (self.gates or {}).values() if seconds is not None]
        return sum(ran) if ran else None


@dataclass(frozen=True, slots=True)
class History:
    """The runs of a root, oldest first, and what is wrong with their chain."""

    root: str
    runs: tuple[Row, ...]
    problems: tuple[str, ...]


def overview(root: Path) -> History:
    """Raises InputError if it is not an evidence root, BundleError if it has the folders of several hosts."""
    if not root.is_dir():
        raise InputError(f"{root} is not a folder. Name the evidence root: the folder that holds the runs.")
    check_of_one_host(root)
    folders = run_folders(root)
    if not folders:
        raise InputError(f"{root} has no run. Name the evidence root: the folder that holds the runs.")
    rows: list[tuple[str, Row]] = []
    links: list[Link] = []
    problems: list[str] = []
    for folder in folders:
        row, link = _row(folder)
        rows.append((row.opened_at, row))
        if link is None:
            problems.append(f"{folder.name}: {row.note}.")
        else:
            links.append(link)
            if row.decision is None and link.seals and row.note != _UNSEALED:
                problems.append(f"{folder.name}: {row.note}.")
    links.sort(key=lambda link: (link.opened_at, link.name))
    problems += chain_breaks(links, {folder.name for folder in folders})
    problems += stray_problems(root)
    ordered = tuple(row for _, row in sorted(rows, key=lambda item: (item[0], item[1].run_id)))
    return History(str(root), ordered, tuple(problems))


_UNSEALED = "not sealed: it is open or was cut off"


def _row(folder: Path) -> tuple[Row, Link | None]:
    try:
        check_no_link(folder)
        sums = read_file(folder / SUMS_FILE)
        index = _mapping(folder, INDEX_FILE)
        link = Link.of(folder, index)
    except (BundleError, KeyError, TypeError, AttributeError) as error:
        why = str(error) if isinstance(error, BundleError) else f"{INDEX_FILE} is not one of a run"
        return Row(folder.name, note=why.rstrip(".")), None
    row = Row(folder.name, link.opened_at)
    if link.run_id != folder.name:
        return _noted(row, f"its index is of run {link.run_id}"), link
    if sums.problem:
        return _noted(row, _UNSEALED if sums.problem == "is missing" else f"{SUMS_FILE} {sums.problem}"), link
    try:
        named = {name: digest for digest, name in (line.split("  ", 1) for line in sums.data.decode().splitlines())}
        for name in (INDEX_FILE, DECISION_JSON):
            if sha256(read_file(folder / name, MAX_JSON_BYTES).data) != named.get(name):
                return _noted(row, f"{name} has changed since it was sealed"), link
        return _decided(row, _mapping(folder, DECISION_JSON), index), link
    except BundleError as error:
        return _noted(row, str(error).rstrip(".")), link
    except (KeyError, TypeError, AttributeError, ValueError):
        return _noted(row, f"{DECISION_JSON} or {SUMS_FILE} is not one of a run"), link


def _noted(row: Row, note: str) -> Row:
    return Row(row.run_id, row.opened_at, note=note)


def _mapping(folder: Path, name: str) -> Mapping[str, Any]:
    """A JSON file, without the hooks of read_json, which take most of its time; its digest is compared instead."""
    content = read_file(folder / name, MAX_JSON_BYTES)
    if content.problem:
        raise BundleError(f"{name} {content.problem}")
    try:
        data = json.loads(content.data)
    except (ValueError, RecursionError):
        raise BundleError(f"{name} is not JSON") from None
    if not isinstance(data, Mapping):
        raise BundleError(f"{name} is not a mapping")
    return data


def _decided(row: Row, record: Mapping[str, Any], index: Mapping[str, Any]) -> Row:
    gates = record["gates"]
    causes = [
        f"{check['id']} {check['status']}"
        for gate in gates
        for check in gate["checks"]
        if check["status"] != "PASS" and not check["waived"] and not check.get("cause")
    ]
    times: list[int] = next(iter(timed_runs(index["commands"]).values()), [])
    decision = record["decision"]
    if decision not in ("PROMOTE", "HOLD"):
        raise ValueError(decision)
    return Row(
        run_id=row.run_id,
        opened_at=row.opened_at,
        decided_at=str(record["decided_at"]),
        decision=decision,
        attempt=int(record["attempt"]),
        operator=str(record["operator"]),
        commit=record["commit"],
        vm=record["vm"]["name"],
        causes=tuple(causes),
        objections=len(beside_gates(record["objections"])),
        gates={str(gate["name"]): gate["duration_seconds"] for gate in gates},
        smoke_ns=tuple(time for time in times if isinstance(time, int) and time > 0),
    )
