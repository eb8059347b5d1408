"""Resume, waivers and the printed re-run command: what the terminal says, and what two operators cannot do."""

from __future__ import annotations

import importlib
import json
import shlex
from pathlib import Path
from typing import Any

import bundles
import pytest
import yaml

from promotion_gate.__main__ import main
from promotion_gate.baseline import write_baseline
from promotion_gate.bundle import load_bundle
from promotion_gate.decide import decide
from promotion_gate.errors import GateError, InputError
from promotion_gate.files import read_json, to_json
from promotion_gate.lock import RunLock
from promotion_gate.opening import open_run
from promotion_gate.policy import GATE_NAMES
from promotion_gate.resume import begin_resume, rerun_reasons
from promotion_gate.settings import effective, repeated_extra_vars
from promotion_gate.show import text_of
from promotion_gate.signoff import make_signoff

HELD = bundles.trips_with("slurm_smoke", "ping", exit=1, output=bundles.PING_DOWN)
A, B = bundles.COMMIT, "b" * 40
OTHER = "0" * 64


def plan(root: Path, **variables: Any) -> dict[str, Any]:
    return open_run(bundles.request(root, promotion_resume="latest", **variables))


def begin(prepared: dict[str, Any], workspace: str = "", vm: str = "") -> dict[str, Any]:
    probes = {"workspace": workspace or bundles.workspace_probe(), "aiida_vm": vm or bundles.vm_probe()}
    return begin_resume({"plan": prepared, "probes": probes})


# --- which gates, and why -----------------------------------------------------------------------------------------


MOVED = f"The commit changed from {A} to {B} since this evidence was collected, so gates "


@pytest.mark.parametrize(
    ("moved", "gates"),
    [("workspace", "1, 2, 3, 4, 5"), ("both", "1, 2, 3, 4, 5"), ("aiida_vm", "3, 4")],
)
def test_a_commit_that_moved_is_said_once_with_the_gates_that_it_concerns(
    tmp_path: Path, moved: str, gates: str
) -> None:
    bundle = bundles.hold_bundle(tmp_path)
    workspace = bundles.workspace_probe(B, OTHER) if moved != "aiida_vm" else bundles.workspace_probe()
    vm = bundles.vm_probe(B, OTHER) if moved != "workspace" else bundles.vm_probe()
    run = begin(plan(tmp_path), workspace, vm)
    assert run["said"] == f"{MOVED}{gates} are run again."
    trips = {gate: bundles.healthy_trips()[gate] for gate in run["gates"]}
    for gate, trip in trips.items():
        probe = vm if gate in ("vm_bootstrap", "slurm_smoke") else workspace
        trips[gate] = bundles.changed(trip, "identity", output=probe)
    bundles.record(bundle, trips)
    decision = decide(load_bundle(bundle))
    assert not [gate.name for gate in decision.gates if gate.status == "STALE"], "the re-run left nothing behind"
    assert decision.decision == ("PROMOTE" if moved == "both" else "HOLD"), "a VM at another commit fails gate 3"


def test_a_vm_that_stays_at_another_commit_does_not_run_the_workspace_again(tmp_path: Path) -> None:
    """Gate 3 failed on that; nothing has moved since, so the workspace's evidence is as good as it was."""
    trips, elsewhere = bundles.healthy_trips(), bundles.vm_probe(B, OTHER)
    for gate in ("vm_bootstrap", "slurm_smoke"):
        trips[gate] = bundles.changed(trips[gate], "identity", output=elsewhere)
    bundle = bundles.make_bundle(tmp_path, trips)
    run = begin(plan(tmp_path), vm=elsewhere)
    assert (run["gates"], run["said"]) == (["vm_bootstrap"], "It was FAIL, so gate 3 is run again.")
    bundles.record(bundle, {"vm_bootstrap": trips["vm_bootstrap"]})
    statuses = {gate.name: str(gate.status) for gate in decide(load_bundle(bundle)).gates}
    assert statuses.pop("vm_bootstrap") == "FAIL" and set(statuses.values()) == {"PASS"}


@pytest.mark.parametrize("gate", GATE_NAMES)
def test_one_gate_at_another_commit_never_promotes(tmp_path: Path, gate: str) -> None:
    """Chosen with promotion_gates, so nobody else is run again."""
    bundle = bundles.make_bundle(tmp_path)
    probe = bundles.vm_probe if gate in ("vm_bootstrap", "slurm_smoke") else bundles.workspace_probe
    begin(plan(tmp_path, promotion_gates=gate))
    bundles.record(bundle, {gate: bundles.changed(bundles.healthy_trips()[gate], "identity", output=probe(B, OTHER))})
    decision = decide(load_bundle(bundle))
    assert decision.decision == "HOLD"
    assert {str(found.status) for found in decision.gates} & {"STALE", "FAIL"}


def test_commits_that_differ_only_in_evidence_are_equal(tmp_path: Path) -> None:
    bundles.hold_bundle(tmp_path)
    assert begin(plan(tmp_path), bundles.workspace_probe(B), bundles.vm_probe(B))["gates"] == ["slurm_smoke"]


def test_another_machine_runs_its_own_gates_again(tmp_path: Path) -> None:
    bundles.hold_bundle(tmp_path)
    run = begin(plan(tmp_path), vm=bundles.vm_probe(machine_id="f" * 32))
    assert run["gates"] == ["vm_bootstrap", "slurm_smoke"]


def test_evidence_that_is_too_old_or_of_another_policy_is_run_again(tmp_path: Path) -> None:
    bundle = bundles.hold_bundle(tmp_path / "root")
    index = read_json(bundle / "index.json")
    index["gates"]["preflight"]["ended"] = "2020-01-01T00:00:00Z"
    (bundle / "index.json").write_text(to_json(index), encoding="utf-8")
    assert begin(plan(tmp_path / "root"))["said"] == (
        "It was collected at 2020-01-01T00:00:00Z, longer ago than promotion_evidence_max_age allows, so gate 1 is run "
        "again; it was FAIL, so gate 4 is run again."
    )
    bundles.hold_bundle(tmp_path / "other")
    policy = tmp_path / "mine.yml"
    text = (bundles.PROJECT / "policies" / "aiida.yml").read_text(encoding="utf-8")
    policy.write_text(f"{text}# another limit, say\n", encoding="utf-8")
    run = begin(plan(tmp_path / "other", promotion_policy=str(policy)))
    assert run["said"].startswith("The policy has changed since this evidence was collected, so gates 1, 2, 3, 4, 5 ")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [("20261101T000000Z", "is not the newest run of"), ("20200101T000000Z", "is no run of")],
    ids=["older", "unknown"],
)
def test_only_the_newest_run_is_resumed_and_another_names_it(tmp_path: Path, wanted: str, said: str) -> None:
    for day in (1, 2):
        bundles.hold_bundle(tmp_path, f"2026110{day}T000000Z")
    with pytest.raises(InputError, match=f"{wanted}, which {said} .* can be resumed: 20261102T000000Z"):
        open_run(bundles.request(tmp_path, promotion_resume=wanted))


def test_nothing_left_points_to_check(tmp_path: Path) -> None:
    bundle = bundles.make_bundle(tmp_path)
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=f"Ask `promotion-gate check {bundle}`"):
        begin(plan(tmp_path))
    assert {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()} == before


def test_objections_alone_leave_something_to_re_run(tmp_path: Path) -> None:
    """All gates passed and it held: the printed command must do something."""
    bundle = bundles.closed_bundle(tmp_path)
    index = read_json(bundle / "index.json")
    (bundle / "index.json").write_text(to_json({**index, "collector_errors": ["disk full"]}), encoding="utf-8")
    decision = decide(load_bundle(bundle))
    assert decision.decision == "HOLD" and all(gate.status == "PASS" for gate in decision.gates)
    reasons = rerun_reasons(bundle, index["settings"], index["policy"]["sha256"], {})
    assert list(reasons) == list(GATE_NAMES)
    assert set(reasons.values()) == {f"there are objections, the first: {decision.objections[0].rstrip('.')}"}


def test_a_sign_off_is_said_to_be_void_from_the_resume_on(tmp_path: Path) -> None:
    make_signoff(bundles.hold_bundle(tmp_path), "bob")
    assert begin(plan(tmp_path))["said"].endswith("The sign-off of this run is void from now on.")


@pytest.mark.parametrize("name", ["promotion_resume", "promotion_gates", "promotion_run_id"])
@pytest.mark.parametrize("value", ["", " "], ids=["empty", "blank"])
def test_an_empty_name_of_a_run_or_a_gate_is_a_mistake(name: str, value: str) -> None:
    with pytest.raises(InputError, match=f"^{name} "):
        effective({name: value})


def test_a_newest_run_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    bundles.hold_bundle(tmp_path, "20261101T000000Z")
    newest = bundles.open_bundle(tmp_path, "20261102T000000Z")
    (newest / "index.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=f"The newest run cannot be resumed: .*{newest.name}.* is not JSON"):
        plan(tmp_path)


# --- two operators ------------------------------------------------------------------------------------------------


def test_two_that_prepare_the_same_resume_do_not_both_reopen_it(tmp_path: Path) -> None:
    bundle = bundles.hold_bundle(tmp_path)
    first, second = plan(tmp_path), plan(tmp_path)
    begin(first)
    there = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    with pytest.raises(GateError, match="was resumed by somebody else a moment ago: attempt 2 is under way"):
        begin(second)
    assert {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()} == there


def test_a_run_that_began_while_both_hosts_were_asked_is_named(tmp_path: Path) -> None:
    bundles.hold_bundle(tmp_path)
    prepared = plan(tmp_path)
    lock = RunLock(tmp_path, "20261124T002930Z")
    with pytest.raises(GateError, match=r"Another run is under way in .*: run 20261124T002930Z on \S+, pid \d+, start"):
        begin(prepared)
    lock.release()
    assert begin(prepared)["gates"] == ["slurm_smoke"]


# --- the printed command ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "repeated"),
    [
        (["demo_vm=10.0.0.7 promotion_ticket=gra-126"], ["demo_vm=10.0.0.7", "promotion_ticket=gra-126"]),
        (["@vars.yml"], ["@vars.yml"]),
        (['{"demo_vm": 7, "promotion_resume": "latest", "promotion_gates": "3"}'], ['{"demo_vm": 7}']),
        (["promotion_run_id=a promotion_evidence_root=/e aiida_vm_first_run=true promotion_reason=x"], []),
        (['{"workspace_environment": {"API_TOKEN": "hunter2-hunter2"}}'], []),
        (['{"workspace_environment": {"PATH": "/opt/bin"}}'], ['{"workspace_environment": {"PATH": "/opt/bin"}}']),
        (["aiida_vm_verdi='uv run verdi'"], ['{"aiida_vm_verdi": "uv run verdi"}']),
        (["{demo_vm: 7, until: 2026-12-31}"], ['{"demo_vm": "7", "until": "2026-12-31"}']),
        (["{not: [closed", "'unclosed", "[a, list]", "no-pair"], []),
    ],
    ids=["pairs", "file", "json", "of-one-run", "secret", "mapping", "spaces", "yaml", "unreadable"],
)
def test_what_stood_in_extra_vars_is_repeated(entries: list[str], repeated: list[str]) -> None:
    assert repeated_extra_vars(entries) == repeated


@pytest.mark.parametrize("value", ["plain", "uv run x", "it's", 'a "b" c', "{file}", "", "a=b", "ä", "a\\b"])
def test_ansible_reads_a_repeated_pair_as_what_it_was(value: str) -> None:
    parse_kv = importlib.import_module("ansible.parsing.splitter").parse_kv
    [entry] = repeated_extra_vars([f"demo={shlex.quote(value)}"])
    read = yaml.safe_load(entry) if entry.startswith("{") else parse_kv(entry)
    assert read == {"demo": value}


# --- waivers ------------------------------------------------------------------------------------------------------

WAIVER = {"check": "preflight.branch", "reason": "a fix", "owner": "ada", "ticket": "gra-130", "expires": "2099-12-31"}


def waived(root: Path, on_branch: str, *entries: dict[str, str]) -> Path:
    """A sealed run on a branch, judged by a policy that lets the branch be waived."""
    text = (bundles.PROJECT / "policies" / "aiida.yml").read_text(encoding="utf-8")
    head, tail = text.split("- id: preflight.branch\n", 1)
    policy = root / "mine.yml"
    policy.write_text(f"{head}- id: preflight.branch\n        waivable: true\n{tail}", encoding="utf-8")
    probe = bundles.workspace_probe().replace("branch: main", f"branch: {on_branch}")
    return bundles.make_bundle(
        root / "evidence",
        bundles.trips_with("preflight", "identity", output=probe),
        promotion_policy=str(policy),
        promotion_waivers=list(entries),
    )


OVER = {**WAIVER, "expires": "2020-01-01"}


@pytest.mark.parametrize(
    ("on_branch", "entries", "decision", "said"),
    [
        ("fix", [WAIVER], "PROMOTE", ["waiver: applied: preflight.branch, by ada until 2099-12-31 (gra-130): a fix"]),
        ("fix", [OVER], "HOLD", ["waiver: expired, it counts for nothing; mend the check, or renew it: preflight"]),
        ("main", [WAIVER], "PROMOTE", ["waiver: unneeded, the check passes or was not judged; remove it: preflight"]),
        ("fix", [OVER, WAIVER], "PROMOTE", ["waiver: expired,", "waiver: applied:"]),
    ],
    ids=["applied", "expired", "unneeded", "one-of-each"],
)
def test_the_terminal_shows_what_became_of_each_waiver(
    tmp_path: Path, on_branch: str, entries: list[dict[str, str]], decision: str, said: list[str]
) -> None:
    record = read_json(waived(tmp_path, on_branch, *entries) / "promotion-decision.json")
    assert record["decision"] == decision
    lines = [line for line in text_of(record).splitlines() if line.startswith("waiver: ")]
    assert len(lines) == len(said)
    for line, start in zip(lines, said, strict=True):
        assert line.startswith(start)


def test_every_record_shows_a_waived_check_with_its_real_status(tmp_path: Path) -> None:
    bundle = waived(tmp_path, "fix", WAIVER)
    record = read_json(bundle / "promotion-decision.json")
    assert "gate 1: FAIL, waived " in text_of(record)
    for name in ("promotion-decision.md", "01-preflight-summary.md"):
        assert "FAIL" in (bundle / name).read_text(encoding="utf-8"), name
    resumed = bundles.resume_bundle(bundle.parent, HELD, promotion_gates="4")
    text = (resumed / "follow-up-issue.md").read_text(encoding="utf-8")
    assert "- preflight.branch is **FAIL** and waived: HEAD is the branch fix" in text


# --- baseline -----------------------------------------------------------------------------------------------------


def test_24_percent_slower_every_week_does_not_pass_unseen(tmp_path: Path) -> None:
    baselines = tmp_path / "baseline"
    write_baseline(baselines, bundles.known_good([bundles.SECOND] * 3))
    warned = []
    for week, percent in enumerate((100, 124, 153, 191), start=1):
        trips = bundles.healthy_trips()
        trips["sqlite_smoke"] = bundles.sqlite_smoke([bundles.SECOND * percent // 100] * 3)
        bundle = bundles.closed_bundle(tmp_path, trips, f"2026110{week}T000000Z")
        assert main(["seal", str(bundle)]) == 0, "each is within 25 % of the one before"
        summary = (bundle / "02-sqlite-smoke-summary.md").read_text(encoding="utf-8")
        assert f"| drift of the median against the first baseline | {percent - 100:+.1f} %" in summary
        warned.append("has drifted by" in text_of(read_json(bundle / "promotion-decision.json")))
    assert warned == [False, False, True, True]
    held = bundles.closed_bundle(tmp_path, HELD, "20261105T000000Z")
    before = sorted(path.name for path in baselines.iterdir())
    assert len(before) == 5
    assert main(["seal", str(held)]) == 1
    assert sorted(path.name for path in baselines.iterdir()) == before, "a HOLD records nothing, and earlier ones stay"


# --- the follow-up issue ------------------------------------------------------------------------------------------


def test_the_follow_up_names_evidence_by_digest_and_each_gate_once(tmp_path: Path) -> None:
    bundle = bundles.hold_bundle(tmp_path)
    text = (bundle / "follow-up-issue.md").read_text(encoding="utf-8")
    files = json.loads((bundle / "index.json").read_text(encoding="utf-8"))["files"]
    for name, digest in files.items():
        listed = f"| {bundle.name}/{name} | {digest} |" in text
        assert listed == name.startswith(("04-", "slurm-smoke/")), name
    assert "### Objections" not in text, "that gate 4 did not pass stands with its checks"


def test_a_slow_smoke_names_the_baseline_it_was_held_to(tmp_path: Path) -> None:
    slow = tuple(2 * time for time in bundles.SMOKE_TIMES)
    trips = {**bundles.healthy_trips(), "sqlite_smoke": bundles.sqlite_smoke(slow)}
    bundle = bundles.make_bundle(tmp_path, trips)
    digest = read_json(bundle / "index.json")["baseline_sha256"]
    text = (bundle / "follow-up-issue.md").read_text(encoding="utf-8")
    assert f"| {bundle.name}/baseline.json | {digest} |" in text
