# ruff: noqa: E501 - a row of the table is one line
"""The kinds of check that need no Python: what passes, what holds and why, and what a checklist may not say."""

from __future__ import annotations

import copy
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import bundles
import pytest
import yaml
from test_policy import DATA, edited, refused

from promotion_gate.base.errors import InputError
from promotion_gate.base.model import CheckResult
from promotion_gate.base.policy import CheckPolicy
from promotion_gate.bundle.index import ArtifactSet
from promotion_gate.bundle.load import load_bundle
from promotion_gate.bundle.recorder import Recorder
from promotion_gate.judge.checks import generic, registry
from promotion_gate.judge.checks.case import CHECKS, Case, Unproven
from promotion_gate.judge.decide import decide
from promotion_gate.judge.shipped import differences, read_policy

FULL = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda1 100 97 3 97% /scratch\n"
NODES = (
    '{"nodes": [{"name": "n1", "state": "idle", "cpus": 4, "gpu": true}, {"name": "n2", "state": "down", "cpus": 8}]}'
)
HANGS = {"timed_out": True, "exit": None, "signal": 9}
CUT = {"truncated": True, "total_bytes": 10**9}
PERCENT = r"(\d+)% /scratch"
REGRESSION = {"baseline_seconds": 2, "max_regression_percent": 25}

# kind, its limits, what the command printed, what differs in its record, the status, a part of what is observed
ROWS: list[tuple[str, dict[str, Any], str, dict[str, Any], str, str]] = [
    ("command_succeeds", {}, "", {}, "PASS", "exited 0"),
    ("command_succeeds", {}, "error: no\n", {"exit": 1}, "FAIL", "exited 1: error: no"),
    ("command_succeeds", {}, "sh: 1: x: not found\n", {"exit": 127}, "BLOCKED", "exited 127"),
    ("command_succeeds", {}, "", HANGS, "BLOCKED", "timed out after"),
    ("command_succeeds", {}, "", {"exit": None, "not_run": "there is no such directory"}, "BLOCKED", "was not run"),
    ("command_succeeds", {}, "x\n", {"left_running": True}, "FAIL", "left processes running"),
    ("command_succeeds", {"status": 3}, "inactive\n", {"exit": 3}, "PASS", "exited 3"),
    ("command_succeeds", {"status": 3}, "active\n", {}, "FAIL", "exited 0"),
    ("command_succeeds", {"status": 3}, "x\n", {"exit": 3, **CUT}, "INVALID", "truncated"),
    ("output_matches", {"pattern": "^Leap status +: Normal$"}, "Leap status     : Normal\n", {}, "PASS", "Normal"),
    ("output_matches", {"pattern": "^Leap status +: Normal$"}, "Leap status     : Not synchronised\n", {}, "FAIL", "nothing"),
    ("output_matches", {"pattern": "Normal"}, "Normal\n", {"exit": 1}, "FAIL", "exited 1"),
    ("output_matches", {"pattern": "Normal"}, "Normal\n", CUT, "INVALID", "truncated"),
    ("output_matches", {"pattern": "Normal"}, "", {}, "FAIL", "nothing"),
    ("output_lacks", {"pattern": "failed"}, "", {}, "PASS", "nothing"),
    ("output_lacks", {"pattern": "failed"}, "munge.service loaded failed failed\n", {}, "FAIL", "munge.service"),
    ("output_lacks", {"pattern": "failed"}, "all is well\n", CUT, "INVALID", "truncated"),
    ("output_lacks", {"pattern": "failed"}, "", {"exit": 4}, "FAIL", "exited 4"),
    ("output_lacks", {"pattern": "failed"}, "user: *** \n", {}, "INVALID", "masked text"),
    ("number_within", {"pattern": PERCENT, "max": 90, "unit": "%"}, FULL, {}, "FAIL", "97 %"),
    ("number_within", {"pattern": PERCENT, "max": 97, "unit": "%"}, FULL, {}, "PASS", "97 %"),
    ("number_within", {"pattern": PERCENT, "max": 90}, "nothing here\n", {}, "MISSING", "no such number"),
    ("number_within", {"pattern": r"(\S+)% /scratch", "max": 90}, "n/a% /scratch\n", {}, "INVALID", '"n/a" is not a number'),
    ("number_within", {"pattern": r"(\S+)% /scratch", "max": 90}, "nan% /scratch\n", {}, "INVALID", '"nan" is not a number'),
    ("number_within", {"pattern": r"(\d+)%", "max": 90}, "5% /\n95% /var\n", {}, "FAIL", "95"),
    ("number_within", {"pattern": r"(\d+)%", "max": 90}, "5% /\n", CUT, "INVALID", "truncated"),
    ("number_within", {"pattern": r"offset ([-+.\de]+)", "min": -0.5, "max": 0.5}, "offset -0.25\n", {}, "PASS", "-0.25"),
    ("number_within", {"pattern": r"offset ([-+.\de]+)", "min": -0.5, "max": 0.5}, "offset -1e3\n", {}, "FAIL", "-1000"),
    ("number_within", {"json": "nodes[].cpus", "min": 4}, NODES, {}, "PASS", "4, 8"),
    ("number_within", {"json": "nodes[].cpus", "min": 5}, NODES, {}, "FAIL", "4"),
    ("number_within", {"json": "nodes[?state=='idle'] | length(@)", "min": 1}, NODES, {}, "PASS", "1"),
    ("number_within", {"json": "nodes[].name", "min": 1}, NODES, {}, "INVALID", '"n1" is not a number'),
    ("number_within", {"json": "nodes[].gpu", "min": 1}, NODES, {}, "INVALID", "true is not a number"),
    ("number_within", {"json": "nothing", "min": 1}, NODES, {}, "MISSING", "no such number"),
    ("number_within", {"json": "to_number(a)", "max": 1}, '{"a": "nan"}', {}, "INVALID", "is not a number"),
    ("number_within", {"json": "a", "max": 1}, '{"a": NaN}', {}, "INVALID", "did not print JSON"),
    ("number_within", {"json": "a", "max": 1}, "[" * 100_000, {}, "INVALID", "did not print JSON"),
    ("number_within", {"json": "sum(a)", "max": 1}, '{"a": ["x"]}', {}, "INVALID", "sum"),
    ("number_within", {"json": "sum(nodes[].errors)", "max": 0}, '{"nodes": [{"error_count": 7}]}', {}, "MISSING", "no such number"),
    ("number_within", {"json": "sum(nodes[].cpus)", "max": 12}, NODES, {}, "PASS", "12"),
    ("number_within", {"json": "a", "max": 1}, "WARNING: old\n{}", {}, "INVALID", 'it begins with "WARNING: old'),
    ("number_within", {"json": "a", "max": 1}, '{"a": "Z\\xfcrich"}', {}, "INVALID", "not UTF-8"),
    ("number_within", {"json": "a", "max": 1}, "", {}, "INVALID", "it is empty"),
    # A part of a number is not the number; what the pattern itself has around it is the author's.
    ("number_within", {"pattern": r"load average: (\d+)", "max": 4}, "load average: 4.97\n", {}, "INVALID", "only part"),
    ("number_within", {"pattern": r"(\d+) MB used", "max": 500}, "1,200 MB used\n", {}, "INVALID", "1,200"),
    ("number_within", {"pattern": r"latency ([\d.]+)", "max": 5}, "latency 1.5e+03 ms\n", {}, "INVALID", "1.5e+03"),
    ("number_within", {"pattern": r"used (\d+)", "max": 900, "unit": "GB"}, "used 2T\n", {}, "INVALID", "2T"),
    ("number_within", {"pattern": r"(\d+) free", "min": 0, "max": 9}, "x=-5 free\n", {}, "INVALID", "x=-5"),
    ("number_within", {"pattern": r"(\d\d)%", "max": 90}, "100%\n", {}, "INVALID", "100"),
    ("number_within", {"pattern": r"Python 3\.(\d+)\.", "min": 9}, "Python 3.13.5\n", {}, "PASS", "13"),
    ("number_within", {"pattern": r"^(\d+),", "max": 90}, "45,300\n", {}, "PASS", "45"),
    ("number_within", {"pattern": r"^(\d+)", "max": 90, "unit": "ms"}, "45ms\n", {}, "PASS", "45 ms"),
    ("number_within", {"pattern": r"^(\d+)", "max": 90}, "45,30\n", {}, "PASS", "45"),
    # What a terminal hides is still there, and what it adds is not.
    ("number_within", {"pattern": r"^(\d+)%$", "max": 90}, "10%\n99%\r\n", {}, "FAIL", "99"),
    ("number_within", {"pattern": r"^content-length: (\d+)$", "max": 90}, "content-length: 5\r\n", {}, "PASS", "5"),
    ("output_lacks", {"pattern": "^FAILED"}, "ok\n\x1b[31mFAILED\x1b[0m disk\n", {}, "FAIL", "FAILED disk"),
    ("output_lacks", {"pattern": "^degraded$"}, "md0\r\ndegraded\r\n", {}, "FAIL", "degraded"),
    ("output_lacks", {"pattern": "^ERROR"}, "checking...\rERROR bad\n", {}, "FAIL", "ERROR bad"),
    ("output_matches", {"pattern": "^state: ok$"}, "state: \x1b[32mok\x1b[0m\n", {}, "PASS", "state: ok"),
    # Nothing was masked there: asterisks that a tool prints.
    ("output_lacks", {"pattern": "degraded"}, "*** System restart required ***\n", {}, "PASS", "nothing"),
    ("number_within", {"pattern": r"^(\d+) users", "max": 9}, "**********\n4 users\n", {}, "PASS", "4"),
    # A part of a version may be meant; a unit after a blank is compared where both are sizes or times.
    ("number_within", {"pattern": r"v(\d+)", "min": 20}, "v22.3.0\n", {}, "PASS", "22"),
    ("number_within", {"pattern": r"OpenSSL (\d+\.\d+)", "min": 3}, "OpenSSL 3.0.13 30 Jan 2024\n", {}, "PASS", "3"),
    ("number_within", {"pattern": r"^(\d+)", "max": 900}, "1.234.567\n", {}, "INVALID", "only part"),
    ("number_within", {"pattern": r"used (\d+)", "max": 900, "unit": "GB"}, "used 2 TiB\n", {}, "INVALID", "2 TiB"),
    ("number_within", {"pattern": r"used (\d+)", "max": 900, "unit": "GB"}, "used 200G\n", {}, "PASS", "200 GB"),
    ("number_within", {"pattern": r"in (\d+)", "max": 60, "unit": "s"}, "in 45sec\n", {}, "PASS", "45 s"),
    ("number_within", {"pattern": r"in (\d+)", "max": 60, "unit": "s"}, "in 45 min\n", {}, "INVALID", "45 min"),
    ("number_within", {"pattern": r"(\d+)", "max": 9, "unit": "jobs"}, "5 running\n", {}, "PASS", "5 jobs"),
    ("number_within", {"pattern": r"(\d+) C$", "max": 90}, "temp........45 C\n", {}, "PASS", "45"),
    ("json_value", {"json": "nodes[0].state", "equals": "idle"}, NODES, {}, "PASS", '"idle"'),
    ("json_value", {"json": "nodes[1].state", "equals": "idle"}, NODES, {}, "FAIL", '"down"'),
    ("json_value", {"json": "nodes[0].gpu", "equals": True}, NODES, {}, "PASS", "true"),
    ("json_value", {"json": "nodes[0].gpu", "equals": 1}, NODES, {}, "FAIL", "true"),
    ("json_value", {"json": "nodes[0].cpus", "equals": "4"}, NODES, {}, "FAIL", "4"),
    ("json_value", {"json": "nodes[0].cpus", "equals": 4}, NODES, {}, "PASS", "4"),
    ("json_value", {"json": "nodes[].state", "equals": "idle"}, NODES, {}, "FAIL", "a list of 2"),
    ("json_value", {"json": "nodes[9].state", "equals": "idle"}, NODES, {}, "MISSING", "is not there"),
    ("json_value", {"json": "a", "equals": "b"}, '{"a": "b", "a": "c"}', {}, "INVALID", "did not print JSON"),
    ("json_value", {"json": "a", "equals": "b"}, '{"a": "b"}', {"exit": 2}, "FAIL", "exited 2"),
    ("duration_within", {"max_seconds": 2}, "x\n", {"duration_ns": 2_000_000_000}, "PASS", "2.000 s"),
    ("duration_within", {"max_seconds": 2}, "x\n", {"duration_ns": 2_000_000_001}, "FAIL", "2.000 s"),
    ("duration_within", {"max_seconds": 2}, "x\n", {"exit": 1}, "FAIL", "exited 1"),
    ("duration_within", {"max_seconds": 2}, "x\n", HANGS, "BLOCKED", "timed out after"),
    ("duration_within", {"max_seconds": 2}, "x\n", {"duration_ns": 0}, "INVALID", "has no wall time"),
    ("duration_within", REGRESSION, "x\n", {"duration_ns": 2_500_000_000}, "PASS", "2.500 s, +25.0 % against"),
    ("duration_within", REGRESSION, "x\n", {"duration_ns": 2_500_000_001}, "FAIL", "2.500 s, +25.0 % against"),
    ("duration_within", REGRESSION, "x\n", {"duration_ns": 1_000_000_000}, "PASS", "1.000 s, -50.0 % against"),
    ("duration_within", REGRESSION, "x\n", {"exit": 1}, "FAIL", "exited 1"),
    ("duration_within", REGRESSION, "x\n", CUT, "INVALID", "truncated"),
    ("artifact_present", {"artifact": "slurm-smoke/20261124T003036-vm-slurm/01-scontrol-ping.log"}, "", {}, "PASS", "bytes"),
    ("artifact_present", {"artifact": "slurm-smoke/20261124T003036-vm-slurm/summary.txt", "min_bytes": 10**6}, "", {}, "FAIL", "bytes"),
    ("artifact_present", {"artifact": "slurm-smoke/nothing.log"}, "", {}, "MISSING", "was not brought back"),
    ("artifact_present", {"artifact": "another/nothing.log"}, "", {}, "MISSING", "no record of another"),
]  # fmt: skip


def entry(number: int, kind: str, limits: Mapping[str, Any]) -> dict[str, Any]:
    """Each row judges a separate command."""
    command = {} if kind == "artifact_present" else {"command": f"extra_{number}"}
    fields = {"id": f"slurm_smoke.extra_{number}", "check": kind, "title": "extra", "unblock": "Look at it."}
    return {**fields, "limits": {**command, **limits}}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, CheckResult]:
    """One bundle with the command of every row, judged by a checklist with the check of every row."""
    root = tmp_path_factory.mktemp("generic")
    data = copy.deepcopy(DATA)
    trips = bundles.healthy_trips()
    for number, (kind, limits, output, fields, _, _) in enumerate(ROWS):
        data["gates"][3]["checks"].append(entry(number, kind, limits))
        record = bundles.command(f"extra_{number}", "04-extra.log", ["extra", str(number)], output, **fields)
        trips["slurm_smoke"]["commands"].insert(-1, record)
    (root / "policy.yml").write_text(yaml.safe_dump(data), encoding="utf-8")
    shutil.copytree(bundles.PROJECT / "roles", root / "roles")
    (root / "roles" / "gate_slurm_smoke" / "vars" / "extra.yml").write_text(
        'extra: [{id: "extra_{{ number }}", file: 04-extra.log, run: extra}]\n'
    )
    request = bundles.request(root, promotion_policy=str(root / "policy.yml"))
    bundle = Path(bundles.opened({**request, "directory": str(root)})["bundle"])
    bundles.record(bundle, trips)
    return {check.id: check for check in decide(load_bundle(bundle)).gate("slurm_smoke").checks}


@pytest.mark.parametrize(
    "number", range(len(ROWS)), ids=[f"{n}-{row[0]}-{row[4]}" for n, row in enumerate(ROWS)]
)  # fmt: skip
def test_a_row(judged: Mapping[str, CheckResult], number: int) -> None:
    *_, status, observed = ROWS[number]
    check = judged[f"slurm_smoke.extra_{number}"]
    assert str(check.status) == status and observed in check.observed, check
    assert "{" not in check.expected, "every word of the sentence is filled in"


@pytest.mark.parametrize(
    ("kind", "limits", "output"),
    [
        ("output_lacks", {"pattern": "degraded"}, "array md0 state degraded now\n"),
        ("number_within", {"pattern": r"used (\d+) MB", "max": 90}, "used 10 MB\nused degraded MB\n"),
        ("number_within", {"json": "length(a[?s=='degraded'])", "max": 0}, '{"a": [{"s": "degraded"}]}'),
        ("json_value", {"json": "length(a[?s=='degraded'])", "equals": 0}, '{"a": [{"s": "degraded"}]}'),
    ],
)
def test_a_word_that_only_the_checklist_knows_may_be_behind_a_mask(
    tmp_path: Path, kind: str, limits: dict[str, Any], output: str
) -> None:
    data = copy.deepcopy(DATA)
    data["gates"][3]["checks"].append(
        {
            "id": "slurm_smoke.extra",
            "check": kind,
            "title": "t",
            "unblock": "u",
            "limits": {"command": "ping", **limits},
        }
    )
    policy = tmp_path / "mine.yml"
    policy.write_text(yaml.safe_dump(data), encoding="utf-8")
    trips = bundles.trips_with("slurm_smoke", "ping", output=output)
    bundle = bundles.open_bundle(tmp_path / "root", promotion_policy=str(policy))
    recorder = Recorder(bundle, {"recorder": "evidence", "check": False, "selection": ""}, known=["degraded"])
    for gate, trip in trips.items():
        recorder.trip(trip, bundles.host_of(gate))
    recorder.close()
    [found] = [c for c in decide(load_bundle(bundle)).gate("slurm_smoke").checks if c.id == "slurm_smoke.extra"]
    assert str(found.status) == "INVALID" and "masked text" in found.observed, found


@pytest.mark.parametrize(
    ("kind", "limits", "message"),
    [
        ("command_succeeds", {}, "the limit command is missing (the id of a command of its gate)"),
        ("command_succeeds", {"command": "ping", "status": 256}, "status must be a whole number from 0 to 255"),
        ("command_succeeds", {"command": "ping", "statu": 1}, 'no limit "statu"; did you mean "status"?'),
        ("command_succeeds", {"command": "pingg"}, 'has no command "pingg"; did you mean "ping"?'),
        ("output_matches", {"command": "ping"}, "the limit pattern is missing"),
        ("output_matches", {"command": "ping", "pattern": "x*"}, "it matches the empty string"),
        ("output_lacks", {"command": "ping", "pattern": "("}, "cannot be used"),
        ("number_within", {"command": "ping", "max": 1}, "give either pattern or json"),
        ("number_within", {"command": "ping", "max": 1, "json": "a", "pattern": "(1)"}, "give either pattern or json"),
        ("number_within", {"command": "ping", "pattern": "([0-9]+)"}, "give min, max or both"),
        ("number_within", {"command": "ping", "pattern": "[0-9]+", "max": 1}, "exactly one group"),
        ("number_within", {"command": "ping", "pattern": "(a)(b)", "max": 1}, "exactly one group"),
        ("number_within", {"command": "ping", "pattern": "([0-9]+)", "max": float("inf")}, "max must be a number"),
        ("number_within", {"command": "ping", "pattern": "([0-9]+)", "min": 2, "max": 1}, "nothing could pass"),
        ("json_value", {"command": "ping", "json": "a[", "equals": 1}, "cannot be used"),
        ("json_value", {"command": "ping", "json": "[@,@]", "equals": 1}, "it builds a list"),
        (
            "json_value",
            {"command": "ping", "json": "to_string(@)", "equals": "1"},
            "the function to_string is not allowed",
        ),
        ("json_value", {"command": "ping", "json": "a"}, "the limit equals is missing"),
        ("artifact_present", {"artifact": "../x"}, "a relative path"),
        ("artifact_present", {"artifact": "x", "min_bytes": 0}, "min_bytes must be a whole number from 1"),
        ("duration_within", {"command": "ping", "max_seconds": 0}, "max_seconds must be a number from"),
        ("duration_within", {"command": "ping"}, "give either max_seconds, or baseline_seconds"),
        ("duration_within", {"command": "ping", "max_seconds": 2, **REGRESSION}, "give either max_seconds"),
        ("duration_within", {"command": "ping", "baseline_seconds": 2}, "give either max_seconds"),
        ("duration_within", {"command": "ping", "max_regression_percent": 25}, "give either max_seconds"),
        ("duration_within", {"command": "ping", **REGRESSION, "max_regression_percent": 501}, "from 0 to 500 percent"),
    ],
)
def test_what_a_checklist_may_not_say(tmp_path: Path, kind: str, limits: dict[str, Any], message: str) -> None:
    def change(data: dict[str, Any]) -> None:
        data["gates"][3]["checks"].append({**entry(0, kind, {}), "limits": limits})

    text = edited(change)
    if "has no command" in message:  # the roles are asked for that where a run opens
        (tmp_path / "policy.yml").write_text(text, encoding="utf-8")
        with pytest.raises(InputError) as caught:
            bundles.open_bundle(tmp_path, promotion_policy=str(tmp_path / "policy.yml"))
        assert message in str(caught.value)
    else:
        assert message in refused(text)


KINDS: dict[str, dict[str, Any]] = {
    "command_succeeds": {},
    "output_matches": {"pattern": "x"},
    "output_lacks": {"pattern": "y"},
    "number_within": {"pattern": "([0-9]+)", "max": 90},
    "json_value": {"json": "a", "equals": "b"},
    "duration_within": {"max_seconds": 2},
    "artifact_present": {"artifact": "made/summary.txt", "min_bytes": 100},
}


def test_every_kind_is_held_to_the_laws() -> None:
    assert set(KINDS) == {name for name, kind in CHECKS.items() if kind.function.__module__ == generic.__name__}


@pytest.mark.parametrize("kind", KINDS)
def test_what_left_no_record_is_missing(tmp_path: Path, kind: str) -> None:
    check = judged_alone(tmp_path, kind, [])
    assert (str(check.status), check.observed.startswith("there is no record of ")) == ("MISSING", True), check


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_concluded_from_what_was_cut(tmp_path: Path, kind: str) -> None:
    """What is looked for may be in what is not there, and so may what must not be there."""
    output = '{"a": "b", "n": 5} x\n' if kind != "json_value" else '{"a": "b"}'
    record = bundles.command("extra_0", "04-extra.log", ["extra"], output, **CUT)
    check = judged_alone(tmp_path, kind, [record], cut=True)
    assert str(check.status) == "INVALID" and ("truncated" in check.observed or "not everything" in check.observed), (
        check
    )


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_output_is_not_a_match(tmp_path: Path, kind: str) -> None:
    """Only what asks for no text passes without one."""
    record = bundles.command("extra_0", "04-extra.log", ["extra"], "", duration_ns=1)
    passes = {"command_succeeds", "output_lacks", "duration_within"}
    assert (str(judged_alone(tmp_path, kind, [record]).status) == "PASS") == (kind in passes)


def judged_alone(root: Path, kind: str, commands: list[dict[str, Any]], cut: bool = False) -> CheckResult:
    """A check of that kind, in a bundle whose gate 4 has these commands beside its own; `cut`: and an artifact."""
    data = copy.deepcopy(DATA)
    data["gates"][3]["checks"].append(entry(0, kind, KINDS[kind]))
    trips = bundles.healthy_trips()
    for record in commands:
        trips["slurm_smoke"]["commands"].insert(-1, record)
    (root / "policy.yml").write_text(yaml.safe_dump(data), encoding="utf-8")
    shutil.copytree(bundles.PROJECT / "roles", root / "roles")
    (root / "roles" / "gate_slurm_smoke" / "vars" / "extra.yml").write_text(
        "extra: [{id: extra_0, file: 04-extra.log, run: extra}]\n"
    )
    request = bundles.request(root, promotion_policy=str(root / "policy.yml"))
    bundle = Path(bundles.opened({**request, "directory": str(root)})["bundle"])
    bundles.record(bundle, trips)
    loaded = load_bundle(bundle)
    if cut:
        made = ArtifactSet(
            gate="slurm_smoke", source="made", to="made", found=True, error=None, truncated=True, refused=()
        )
        index = replace(loaded.index, artifact_sets=(*loaded.index.artifact_sets, made))
        loaded = replace(loaded, index=index)
    return next(check for check in decide(loaded).gate("slurm_smoke").checks if check.id == "slurm_smoke.extra_0")


def test_an_artifact_that_was_cut_is_not_too_small(tmp_path: Path) -> None:
    bundle = load_bundle(bundles.make_bundle(tmp_path))
    artifact = bundle.index.artifacts[0]
    check = CheckPolicy(id="slurm_smoke.x", check="artifact_present", title="t", unblock={"default": "u"}, path=(),
                        limits={"artifact": artifact.file, "min_bytes": 10**6})  # fmt: skip
    case = Case(bundle, bundle.policy.gate("slurm_smoke"), check)
    assert str(generic.artifact_present(case).status) == "FAIL"
    cut = tuple(replace(item, truncated=item is artifact) for item in bundle.index.artifacts)
    case = replace(case, bundle=replace(bundle, index=replace(bundle.index, artifacts=cut)))
    with pytest.raises(Unproven, match="was truncated to"):
        generic.artifact_present(case)


def test_a_bound_that_is_added_or_dropped_is_tighter_or_looser() -> None:
    def with_bounds(**bounds: int) -> str:
        def change(data: dict[str, Any]) -> None:
            limits = {"pattern": "([0-9]+)", **bounds}
            data["gates"][3]["checks"].append(entry(0, "number_within", limits))

        return edited(change)

    narrow, wide = (read_policy(with_bounds(**bounds), "mine.yml") for bounds in ({"min": 1, "max": 2}, {"max": 2}))
    assert [(d.kind, d.what) for d in differences(narrow, wide)] == [("tighter", "slurm_smoke.extra_0 min")]
    assert [(d.kind, d.what) for d in differences(wide, narrow)] == [("looser", "slurm_smoke.extra_0 min")]


# --- checks of another package ------------------------------------------------------------------------------------

ANOTHERS = """
from promotion_gate.base.model import Status
from promotion_gate.judge.checks.case import Case, Finding, check

@check({name!r}, "anything")
def judge(case: Case) -> Finding:
    return Finding(Status.PASS, "seen")
"""


@pytest.fixture
def another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Installs a package whose entry point registers checks: the text of its module is given."""
    known = dict(CHECKS)

    def install(text: str) -> None:
        (tmp_path / "another_package.py").write_text(text, encoding="utf-8")
        point = EntryPoint("another", "another_package", registry.GROUP)
        monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == registry.GROUP else [])
        registry.load_others.cache_clear()  # another test may have looked already

    monkeypatch.syspath_prepend(tmp_path)
    yield install
    registry.load_others.cache_clear()
    sys.modules.pop("another_package", None)
    CHECKS.clear()
    CHECKS.update(known)


def with_check(kind: str) -> str:
    return edited(lambda data: data["gates"][3]["checks"].append({**entry(0, kind, {}), "limits": {}}))


def test_a_check_of_another_package_is_found(another_package: Callable[[str], None]) -> None:
    another_package(ANOTHERS.format(name="another.kind"))
    policy = read_policy(with_check("another.kind"), "mine.yml")
    assert registry.registered()[policy.gate("slurm_smoke").checks[-1].check].expected == "anything"


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("", "another.kind", 'there is no check "another.kind"'),
        ("import nothing_like_that", "another.kind", "another_package cannot be loaded: No module named"),
        (ANOTHERS.format(name="computer_test"), "another.kind", 'there is a check "computer_test" already'),
    ],
)
def test_what_a_package_may_not_do(another_package: Callable[[str], None], text: str, kind: str, message: str) -> None:
    another_package(text)
    assert message in refused(with_check(kind))
