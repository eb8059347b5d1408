"""What tools and people write in odd, real states: a folder per case, the input beside what is right.

Written after public bug reports and mailing lists. `input.<gate>.<command id>.txt` is what that command printed, with
`exit: N` as its first line; `input.md` a contract document; `junit.xml` and `terminal.txt` what pytest left.
`expected.txt` has a status per check, or a list of those that are right, and below why; all other checks pass. For a
document it is the ownership check's alone.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import bundles
import pytest
import yaml

from promotion_gate.base.model import Status
from promotion_gate.bundle.load import load_bundle
from promotion_gate.judge.decide import decide
from promotion_gate.judge.ownership import OwnershipMap, analyse, load_map

CASES = Path(__file__).parent / "cases"
MAP = Path(__file__).parents[1] / "ownership" / "cases" / "map.yml"
# The point under which each kind was filed, by the first letters of the case's name.
POINTS = {"v": "15.1", "i": "15.3", "o": "15.4", "y": "15.6", "g": "15.7", "s": "15.7", "t": "15.7", "c": "15.12"}


def cases(kind: str) -> list[Any]:
    """The cases with a file of that pattern, each marked as found by strangers."""
    found = [folder for folder in sorted(CASES.iterdir()) if any(folder.glob(kind))]
    return [
        pytest.param(folder, id=folder.name, marks=pytest.mark.stranger(POINTS[folder.name[0]], fault_of(folder)))
        for folder in found
    ]


def fault_of(folder: Path) -> str:
    """What was judged wrongly: the case's name and the last line of what is right."""
    name = folder.name.partition("-")[2].rstrip("-0123456789").replace("-", " ")
    why = (folder / "expected.txt").read_text(encoding="utf-8").strip().splitlines()[-1]
    return name if why.startswith("FAIL") else f"{name}: {why}"


def recorded(file: Path) -> tuple[str, str, dict[str, Any]]:
    """Gate, command id and what differs, of an input.<gate>.<command id>.txt."""
    _, gate, command_id, _ = file.name.split(".")
    first, _, output = file.read_text(encoding="utf-8").partition("\n")
    return gate, command_id, {"exit": int(first.removeprefix("exit: ")), "output": output}


def statuses(root: Path, trips: bundles.Trips) -> dict[str, Status]:
    """The status of every check of a run with these trips."""
    decision = decide(load_bundle(bundles.closed_bundle(root, trips)))
    return {check.id: check.status for gate in decision.gates for check in gate.checks}


def as_expected(found: dict[str, Status], expected: dict[str, Any]) -> None:
    wrong = {
        check: str(status)
        for check, status in found.items()
        if str(status)
        not in ([expected[check]] if isinstance(expected.get(check), str) else expected.get(check, ["PASS"]))
    }
    assert not wrong
    assert expected.keys() <= found.keys()


@pytest.mark.parametrize("folder", cases("input.*.*.txt"))
def test_output_of_tools(folder: Path, tmp_path: Path) -> None:
    trips = bundles.healthy_trips()
    for file in folder.glob("input.*.txt"):
        gate, command_id, fields = recorded(file)
        trips[gate] = bundles.changed(trips[gate], command_id, **fields)
    expected, _ = json.JSONDecoder().raw_decode((folder / "expected.txt").read_text(encoding="utf-8"))
    as_expected(statuses(tmp_path, trips), expected)


@pytest.mark.parametrize("folder", cases("junit.xml"))
def test_reports_of_pytest(folder: Path, tmp_path: Path) -> None:
    terminal = (folder / "terminal.txt").read_text(encoding="utf-8")
    status = int(terminal.splitlines()[0].rpartition(" ")[2])
    junit = {"": (folder / "junit.xml").read_text(encoding="utf-8")}
    trip = bundles.changed(bundles.contracts(), "relay", exit=status, output=terminal)
    [position] = [n for n, item in enumerate(trip["artifacts"]) if item["to"] == "05-relay-junit.xml"]
    trip["artifacts"][position] = bundles.artifact("05-relay-junit.xml", junit)
    check, _, right = (folder / "expected.txt").read_text(encoding="utf-8").splitlines()[0].partition(": ")
    expected = {check: list(ast.literal_eval(right))}
    as_expected(statuses(tmp_path, {**bundles.healthy_trips(), "contracts": trip}), expected)


@pytest.fixture(scope="module")
def ownership() -> OwnershipMap:
    return load_map(MAP.read_text(encoding="utf-8"), "map.yml")


@pytest.mark.parametrize("folder", cases("input.md"))
def test_contract_documents(folder: Path, ownership: OwnershipMap) -> None:
    outcome = analyse(ownership, {"docs/update.md": (folder / "input.md").read_text(encoding="utf-8")})
    status = "INVALID" if outcome.unreadable else "FAIL" if outcome.faults else "PASS"
    right = (folder / "expected.txt").read_text(encoding="utf-8").splitlines()[0].split("/")
    assert status in right, (outcome.unreadable, outcome.faults)


@pytest.mark.stranger("15.7", "hidden partition: sinfo without -a lists none, and scontrol hides its nodes")
def test_hidden_partitions_are_asked_for() -> None:
    variables = bundles.PROJECT / "roles" / "gate_slurm_smoke" / "vars" / "main.yml"
    commands = yaml.safe_load(variables.read_text(encoding="utf-8"))["__gate_slurm_smoke_state"]
    asked = {item["id"]: item["run"] for item in commands}
    for command_id in ("sinfo", "show_nodes", "reservations"):
        assert {"-a", "--all"} & set(asked[command_id]), command_id


def test_every_case_is_read() -> None:
    read = {case.id for kind in ("input.*.*.txt", "junit.xml", "input.md") for case in cases(kind)}
    assert {folder.name for folder in CASES.iterdir()} - read == {"i12-hidden-partition"}
