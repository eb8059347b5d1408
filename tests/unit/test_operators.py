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
from promotion_gate.base.errors import GateError, InputError
from promotion_gate.base.files import read_json, to_json
from promotion_gate.base.model import Decision
from promotion_gate.base.times import utc_now
from promotion_gate.bundle.baseline import read_baseline_dir, write_baseline
from promotion_gate.bundle.history import is_sealed
from promotion_gate.bundle.index import Probe
from promotion_gate.bundle.load import load_bundle
from promotion_gate.bundle.recorder import Recorder
from promotion_gate.judge.decide import decide
from promotion_gate.prove.seal import seal
from promotion_gate.prove.signoff import make_signoff
from promotion_gate.prove.verify import verify_bundle
from promotion_gate.report.show import text_of
from promotion_gate.run.extra_vars import repeated_extra_vars
from promotion_gate.run.lock import LOCK_FILE, RunLock
from promotion_gate.run.opening import abandon
from promotion_gate.run.resume import rerun_reasons
from promotion_gate.run.settings import effective

HELD = bundles.trips_with("slurm_smoke", "ping", exit=1, output=bundles.PING_DOWN)
A, B = bundles.COMMIT, "b" * 40
OTHER = "0" * 64


def plan(root: Path, **variables: Any) -> dict[str, Any]:
    return bundles.opened(bundles.request(root, promotion_resume="latest", **variables))


def begin(prepared: dict[str, Any], workspace: str | None = None, vm: str | None = None) -> dict[str, Any]:
    """Begins a resume; a host answers as before unless given otherwise (an empty string: it does not answer)."""
    return bundles.begun(prepared, bundles.answers(workspace, vm))


def rerun(root: Path, run: dict[str, Any], trips: bundles.Trips | None = None) -> Decision:
    """Records what begin() chose, closes, and decides."""
    bundle = Path(run["bundle"])
    bundles.record(bundle, {gate: (trips or bundles.healthy_trips())[gate] for gate in run["gates"]})
    return decide(load_bundle(bundle))


def statuses(decision: Decision) -> dict[str, str]:
    return {gate.name: str(gate.status) for gate in decision.gates}


def edit_index(bundle: Path, **fields: Any) -> None:
    index = read_json(bundle / "index.json")
    (bundle / "index.json").write_text(to_json({**index, **fields}), encoding="utf-8")


# --- which gates, and why -----------------------------------------------------------------------------------------


def test_a_vm_that_was_rebooted_runs_all_its_gates_again(tmp_path: Path) -> None:
    """The daemon that gate 3 found does not come back by itself; what the workspace proved is about files and tools."""
    bundles.closed_bundle(tmp_path, HELD)
    workspace, vm = (
        probe.replace("boot_id: ", "boot_id: 7") for probe in (bundles.workspace_probe(), bundles.vm_probe())
    )
    assert "boot_id: 7" in workspace and "boot_id: 7" in vm
    run = begin(plan(tmp_path), workspace, vm)
    assert run["gates"] == ["vm_bootstrap", "slurm_smoke"]
    assert "the machine was rebooted" in run["message"]


CHANGED = f"the commit changed from {A} to {B}, so gates "
OF_WORKSPACE, OF_VM = f"ince gate 5 {CHANGED}1, 2, 5 are run again", f"ince gate 4 {CHANGED}3, 4 are run again"
OF_ALL = f"Since gate 5 {CHANGED}1, 2, 3, 4, 5 are run again."


@pytest.mark.parametrize(
    ("moved", "message"),
    [
        ("workspace", OF_ALL),
        ("both", f"S{OF_WORKSPACE}; s{OF_VM}."),
        ("aiida_vm", f"S{OF_VM}."),
    ],
)
def test_a_commit_that_moved_is_reported_with_the_gates_that_it_concerns(
    tmp_path: Path, moved: str, message: str
) -> None:
    bundle = bundles.hold_bundle(tmp_path)
    workspace = bundles.workspace_probe(B, OTHER) if moved != "aiida_vm" else bundles.workspace_probe()
    vm = bundles.vm_probe(B, OTHER) if moved != "workspace" else bundles.vm_probe()
    run = begin(plan(tmp_path), workspace, vm)
    assert run["message"] == message
    trips = {gate: bundles.healthy_trips()[gate] for gate in run["gates"]}
    for gate, trip in trips.items():
        probe = vm if gate in ("vm_bootstrap", "slurm_smoke") else workspace
        trips[gate] = bundles.elsewhere({gate: trip}, gate, output=probe)[gate]
    bundles.record(bundle, trips)
    decision = decide(load_bundle(bundle))
    assert not [gate.name for gate in decision.gates if gate.status == "STALE"], "the re-run left nothing behind"
    assert decision.decision == ("PROMOTE" if moved == "both" else "HOLD"), "a VM at another commit fails gate 3"


def test_a_vm_that_stays_at_another_commit_does_not_run_the_workspace_again(tmp_path: Path) -> None:
    """Gate 3 failed on that; nothing has moved since, so the workspace's evidence is as good as it was."""
    elsewhere = bundles.vm_probe(B, OTHER)
    trips = bundles.trips_with("vm_bootstrap", "identity", output=elsewhere)
    bundle = bundles.make_bundle(tmp_path, trips)
    run = begin(plan(tmp_path), vm=elsewhere)
    assert (run["gates"], run["message"]) == (["vm_bootstrap"], "It was FAIL, so gate 3 is run again.")
    bundles.record(bundle, {"vm_bootstrap": trips["vm_bootstrap"]})
    statuses = {gate.name: str(gate.status) for gate in decide(load_bundle(bundle)).gates}
    assert statuses.pop("vm_bootstrap") == "FAIL" and set(statuses.values()) == {"PASS"}


@pytest.mark.parametrize("gate", bundles.GATES)
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


def test_a_resume_revokes_before_it_asks_a_host(tmp_path: Path) -> None:
    bundle = bundles.make_bundle(tmp_path)
    plan(tmp_path)  # and killed in the probe
    assert main(["check", "latest", "--root", str(tmp_path)]) == 3
    assert not [path.name for path in bundle.iterdir() if path.name.startswith(("promotion-decision", "SHA256SUMS"))]
    run = begin(plan(tmp_path))
    assert run["gates"] == [] and "cut off" in run["message"], "nothing failed: the next resume decides again"
    rerun(tmp_path, run)
    seal(bundle)
    assert main(["check", "latest", "--root", str(tmp_path)]) == 0 and verify_bundle(bundle).holds


@pytest.mark.parametrize("gates", ["7", None])
def test_a_resume_that_is_refused_leaves_the_decision_as_it_was(tmp_path: Path, gates: str | None) -> None:
    """The choice of a gate that is not there before it revoked, a resume with nothing to re-run once it knows."""
    bundle = bundles.make_bundle(tmp_path)
    before = {path.name: path.read_bytes() if path.is_file() else None for path in bundle.iterdir()}
    with pytest.raises(InputError, match="there is no gate" if gates else "Nothing of run"):
        begin(plan(tmp_path, promotion_gates=gates))
    assert {path.name: path.read_bytes() if path.is_file() else None for path in bundle.iterdir()} == before
    assert verify_bundle(bundle).holds


def test_what_was_sealed_again_during_the_probe_is_revoked_as_well(tmp_path: Path) -> None:
    bundle = bundles.make_bundle(tmp_path, HELD)
    prepared = plan(tmp_path)
    seal(bundle)
    begin(prepared)
    assert main(["check", "latest", "--root", str(tmp_path)]) == 3


@pytest.mark.parametrize(
    ("gate", "command", "again"),
    [("contracts", "relay", ["preflight", "contracts"]), ("slurm_smoke", "ping", ["slurm_smoke"])],
)
def test_a_new_worktree_is_prepared_before_a_gate_is_re_run_in_it(
    tmp_path: Path, gate: str, command: str, again: list[str]
) -> None:
    settings: dict[str, Any] = {"workspace_checkout": "worktree", "workspace_prepare_commands": [["true"]]}
    trips = bundles.trips_with(gate, command, exit=1, output="no\n")
    trips["preflight"]["commands"].insert(-1, bundles.command("prepare_1", "01-prepare.log", ["true"]))
    for name in ("preflight", "sqlite_smoke", "contracts"):
        for record in trips[name]["commands"]:
            record["chdir"] = f"/srv/app/.git/promotion-gate-{bundles.RUN_ID}"
    bundles.make_bundle(tmp_path, trips, **settings)
    assert begin(plan(tmp_path, **settings))["gates"] == again


def test_another_machine_runs_its_own_gates_again(tmp_path: Path) -> None:
    bundles.hold_bundle(tmp_path)
    run = begin(plan(tmp_path), vm=bundles.vm_probe(machine_id="f" * 32))
    assert run["gates"] == ["vm_bootstrap", "slurm_smoke"]


# Gates that were kept, by what the host that they ran on says when the resume begins: none of it may promote.
NOT_THE_SAME = {
    "the VM does not answer": ({"vm": ""}, "Aiida-vm did not report its identity, so gates 3, 4 are run again."),
    "the workspace does not answer": (
        {"workspace": ""},
        "Workspace-local did not report its identity, so gates 1, 2, 5 are run again; it was FAIL, so gate 4 is",
    ),
    "the VM is another machine": (
        {"vm": bundles.vm_probe(machine_id="e" * 32)},
        "Since gate 4 it is a different machine (neither its machine id nor a host key is the same), so ",
    ),
    "nothing tells which machine the VM is": (
        {"vm": bundles.vm_probe().replace("machine_id: ", "other: ").replace("host_keys: ", "others: ")},
        "Since gate 4 it is a different machine (neither its machine id nor a host key is the same), so ",
    ),
    "the environment file was changed": (
        {"vm": bundles.vm_probe().replace("b2b2", "b3b3")},
        "Since gate 4 the content of the environment file /srv/app/ops/aiida-vm/aiida-vm.env changed, so ",
    ),
    "the profile was changed": (
        {"vm": bundles.vm_probe().replace("a1a1", "a3a3")},
        "Since gate 4 what verdi's configuration says of the profile vm-psql changed, so gates 3, 4 are",
    ),
    "a tracked file of the VM was changed": (
        {"vm": bundles.vm_probe().replace("changes: none", f"changes: {OTHER}")},
        "Since gate 4 tracked files changed: ",
    ),
    "a tracked file of the workspace was changed": (
        {
            "workspace": bundles.workspace_probe().replace(
                "changes: none\nmodified: []", f'changes: {OTHER}\nmodified: ["a"]'
            )
        },
        "Since gate 5 tracked files changed: a, so gates 1, 2, 5 are",
    ),
    "a file was added to the workspace": (
        {
            "workspace": bundles.workspace_probe().replace(
                "none\nuntracked_names: []", f'{OTHER}\nuntracked_names: ["a"]'
            )
        },
        "Since gate 5 files that are not tracked changed: a, so gates 1, 2, 5 are",
    ),
}


@pytest.mark.parametrize(("now", "message"), NOT_THE_SAME.values(), ids=NOT_THE_SAME)
def test_a_host_that_is_not_what_it_was_is_not_taken_at_its_old_word(
    tmp_path: Path, now: dict[str, str], message: str
) -> None:
    bundles.hold_bundle(tmp_path)
    assert begin(plan(tmp_path), **now)["message"].startswith(message)


@pytest.mark.parametrize("now", [now for now, _ in NOT_THE_SAME.values()], ids=NOT_THE_SAME)
def test_a_choice_of_gates_does_not_keep_what_no_longer_counts(tmp_path: Path, now: dict[str, str]) -> None:
    bundles.hold_bundle(tmp_path)
    run = begin(plan(tmp_path, promotion_gates="4"), **now)
    assert run["gates"] == ["slurm_smoke"]
    left = "3" if "vm" in now else "1, 2, 5"
    assert run["message"].endswith(f" Not chosen, though the decision cannot be PROMOTE without them: {left}.")
    decision = rerun(tmp_path, run)
    assert decision.decision == "HOLD"
    assert [name for name, status in statuses(decision).items() if status == "STALE"] == (
        ["vm_bootstrap"] if "vm" in now else ["preflight", "sqlite_smoke", "contracts"]
    )


def test_what_the_vm_has_besides_the_commit_is_its_own(tmp_path: Path) -> None:
    bundles.hold_bundle(tmp_path)
    run = begin(plan(tmp_path), vm=bundles.vm_probe().replace("untracked: none", f"untracked: {OTHER}"))
    assert run["gates"] == ["slurm_smoke"]
    assert rerun(tmp_path, run).decision == "PROMOTE"


@pytest.mark.parametrize("gate", ["sqlite_smoke", "slurm_smoke", "contracts"])
def test_evidence_that_does_not_say_what_it_is_of_is_not_kept(tmp_path: Path, gate: str) -> None:
    """Where Git could not be asked, nobody sees that the commit moved."""
    trips = bundles.healthy_trips()
    trips["vm_bootstrap"] = bundles.changed(trips["vm_bootstrap"], "status", exit=1)
    trips[gate] = bundles.changed(trips[gate], "identity", exit=128, output="fatal: not a git repository\n")
    bundles.make_bundle(tmp_path, trips)
    run = begin(plan(tmp_path))
    assert {gate, "vm_bootstrap"} == set(run["gates"])


@pytest.mark.parametrize(
    ("name", "value", "gates"),
    [
        ("aiida_vm_profile", "another", {"vm_bootstrap", "slurm_smoke"}),
        ("aiida_vm_env_file", "ops/other.env", {"vm_bootstrap", "slurm_smoke"}),
        ("workspace_sqlite_smoke_command", "true", {"sqlite_smoke", "slurm_smoke"}),
        ("aiida_vm_environment", {"AIIDA_PATH": "/other"}, {"vm_bootstrap", "slurm_smoke"}),
        ("workspace_environment", {"PATH": "/opt/bin"}, {"slurm_smoke"}),
        ("gate_slurm_smoke_job_limit_seconds", "90", {"slurm_smoke"}),
    ],
)
def test_evidence_of_other_settings_is_not_kept(tmp_path: Path, name: str, value: Any, gates: set[str]) -> None:
    bundles.hold_bundle(tmp_path)
    run = begin(plan(tmp_path, **{name: value}))
    assert set(run["gates"]) == gates
    if len(gates) > 1:
        assert f"{name} has changed since this evidence was collected" in run["message"].lower()


@pytest.mark.parametrize("gates", [None, "4", "3,4"], ids=["what-failed", "4", "3-and-4"])
def test_a_first_run_on_the_vm_stays_one_while_its_evidence_is_kept(tmp_path: Path, gates: str | None) -> None:
    """aiida_vm_first_run is for one run only; a resume does not have it, and its gate 3 was not re-run."""
    trips = dict(HELD)
    env_file = ["--env-file", "ops/aiida-vm/aiida-vm.env"]
    bootstrap = {"argv": ["scripts/aiida-vm-bootstrap.sh", "--apply", *env_file, "--init-profile", "--sanity-check"]}
    trips["vm_bootstrap"] = bundles.changed(trips["vm_bootstrap"], "bootstrap", **bootstrap)
    before = bundles.command("profile_list_before", "03-vm-bootstrap.log", [*bundles.VERDI, "profile", "list"], "")
    there = bundles.command("config_dir_before", "03-vm-bootstrap.log", ["identity.py"], bundles.CONFIG_DIR)
    trips["vm_bootstrap"]["commands"] += [there, before]
    bundles.make_bundle(tmp_path, trips, aiida_vm_first_run=True)
    run = begin(plan(tmp_path, promotion_gates=gates))
    assert run["gates"] == (["vm_bootstrap", "slurm_smoke"] if gates == "3,4" else ["slurm_smoke"])
    assert rerun(tmp_path, run).decision == "PROMOTE"


def test_evidence_from_the_future_is_not_fresh_for_ever(tmp_path: Path) -> None:
    bundle = bundles.hold_bundle(tmp_path)
    index = read_json(bundle / "index.json")
    index["gates"]["contracts"]["ended"] = "2099-01-01T00:00:00Z"
    edit_index(bundle, gates=index["gates"])
    assert begin(plan(tmp_path))["message"].startswith(
        "It was FAIL, so gate 4 is run again; it was collected at 2099-01-01T00:00:00Z, which is after the decision; "
    )


LOST = {
    "collector_errors": ["OSError: No space left on device"],
    "events": [
        {
            "kind": "failed",
            "gate": None,
            "host": "workspace-local",
            "task": "Create the temporary worktree",
            "message": "x",
        }
    ],
}


@pytest.mark.parametrize("field", LOST)
def test_events_of_no_gate_are_kept_when_a_gate_is_re_run(tmp_path: Path, field: str) -> None:
    bundle = bundles.closed_bundle(tmp_path, HELD)
    edit_index(bundle, **{field: LOST[field]})
    seal(bundle)
    run = begin(plan(tmp_path, promotion_gates="4"))
    decision = rerun(tmp_path, run)
    assert decision.decision == "HOLD" and len(decision.objections) == 1
    seal(bundle)
    run = begin(plan(tmp_path))
    assert run["gates"] == list(bundles.GATES)
    assert run["message"].startswith("Something went wrong that belongs to no gate (")
    assert rerun(tmp_path, run).decision == "PROMOTE"


def test_a_baseline_that_cannot_be_read_does_not_touch_a_decision(tmp_path: Path) -> None:
    bundle = bundles.make_bundle(tmp_path)
    prepared = plan(tmp_path, promotion_gates="4")
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    (tmp_path / "baseline" / "notes.json").write_text("{", encoding="utf-8")
    with pytest.raises(GateError, match=r"notes\.json is not JSON"):
        begin(prepared)
    with pytest.raises(GateError, match=r"notes\.json is not JSON"):
        plan(tmp_path, promotion_gates="4")
    assert {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()} == before


def test_a_resume_for_another_ticket_is_recorded_as_that(tmp_path: Path) -> None:
    bundles.hold_bundle(tmp_path)
    assert rerun(tmp_path, begin(plan(tmp_path, promotion_ticket="gra-200"))).ticket == "gra-200"


@pytest.mark.parametrize("choice", ["²", "6", "0", "-1"])
def test_a_gate_that_there_is_not_is_named(tmp_path: Path, choice: str) -> None:
    bundles.hold_bundle(tmp_path)
    with pytest.raises(InputError, match=f'there is no gate "{choice}"'):
        plan(tmp_path, promotion_gates=choice)


@pytest.mark.parametrize("name", ["promotion_evidence_root", "workspace_dir", "promotion_ticket"])
def test_what_says_where_the_run_is_must_be_a_string(tmp_path: Path, name: str) -> None:
    bundles.hold_bundle(tmp_path)
    with pytest.raises(InputError, match=f"{name} must be a string, not a list"):
        plan(tmp_path, **{name: [5]})


@pytest.mark.stranger("15.11", "promotion_ticket: 125 was taken by a first run and refused by its resume")
def test_a_number_is_a_ticket_in_a_resume_as_well(tmp_path: Path) -> None:
    bundles.hold_bundle(tmp_path, promotion_ticket=125)
    assert plan(tmp_path, promotion_ticket=125)["settings"]["promotion_ticket"] == "125"


def test_evidence_that_is_too_old_or_of_another_policy_is_run_again(tmp_path: Path) -> None:
    bundle = bundles.hold_bundle(tmp_path / "root")
    index = read_json(bundle / "index.json")
    index["gates"]["preflight"]["ended"] = "2020-01-01T00:00:00Z"
    (bundle / "index.json").write_text(to_json(index), encoding="utf-8")
    assert begin(plan(tmp_path / "root"))["message"] == (
        "It was collected at 2020-01-01T00:00:00Z, longer ago than promotion_evidence_max_age allows, so gate 1 is run "
        "again; it was FAIL, so gate 4 is run again."
    )
    bundles.hold_bundle(tmp_path / "other")
    policy = tmp_path / "mine.yml"
    text = (bundles.PROJECT / "policies" / "aiida.yml").read_text(encoding="utf-8")
    policy.write_text(f"{text}# another limit, say\n", encoding="utf-8")
    run = begin(plan(tmp_path / "other", promotion_policy=str(policy)))
    assert run["message"].startswith(
        "The policy has changed since this evidence was collected, so gates 1, 2, 3, 4, 5 "
    )


@pytest.mark.parametrize(
    ("wanted", "why"),
    [("20261101T000000Z", "is not the newest run of"), ("20200101T000000Z", "is not a run of")],
    ids=["older", "unknown"],
)
def test_only_the_newest_run_is_resumed_and_another_names_it(tmp_path: Path, wanted: str, why: str) -> None:
    for day in (1, 2):
        bundles.hold_bundle(tmp_path, f"2026110{day}T000000Z")
    with pytest.raises(InputError, match=f"{wanted}, which {why} .* can be resumed: 20261102T000000Z"):
        bundles.opened(bundles.request(tmp_path, promotion_resume=wanted))


@pytest.mark.stranger("15.10", "promotion_gates was refused in a first run")
@pytest.mark.parametrize("choice", ["3,4", ["vm_bootstrap", 4], "slurm_smoke, 3"])
def test_a_first_run_of_chosen_gates_skips_the_rest(tmp_path: Path, choice: object) -> None:
    run = bundles.opened(bundles.request(tmp_path, promotion_run_id=bundles.RUN_ID, promotion_gates=choice))
    assert run["gates"] == ["vm_bootstrap", "slurm_smoke"]
    bundle = Path(run["bundle"])
    bundles.record(bundle, {gate: bundles.healthy_trips()[gate] for gate in run["gates"]})
    decision = seal(bundle)
    statuses = {gate.name: str(gate.status) for gate in decision.gates}
    assert {name: statuses[name] for name in ("preflight", "sqlite_smoke", "contracts", "slurm_smoke")} == {
        "preflight": "SKIPPED",
        "sqlite_smoke": "SKIPPED",
        "contracts": "SKIPPED",
        "slurm_smoke": "PASS",
    }
    assert decision.decision == "HOLD"
    observed = {check.observed for check in decision.gate("preflight").checks}
    assert "the gate was not chosen (promotion_gates)" in observed
    resumed = begin(plan(tmp_path))
    assert {"preflight", "sqlite_smoke", "contracts"} <= set(resumed["gates"])


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
    here, there = bundles.workspace_probe(), bundles.vm_probe()
    probes = {"workspace-local": Probe(here, "", ""), "aiida-vm": Probe(there, "", "")}
    policy = load_bundle(bundle).policy
    reasons = rerun_reasons(bundle, index["settings"], policy, index["policy"]["sha256"], probes)
    assert reasons == dict.fromkeys(bundles.GATES, "something went wrong that belongs to no gate (disk full)")


def test_a_resume_reports_that_the_sign_off_is_void(tmp_path: Path) -> None:
    make_signoff(bundles.hold_bundle(tmp_path), "bob")
    assert begin(plan(tmp_path))["message"].endswith("The sign-off of this run is void from now on.")


@pytest.mark.parametrize("name", ["promotion_resume", "promotion_gates", "promotion_run_id"])
@pytest.mark.parametrize("value", ["", " "], ids=["empty", "blank"])
def test_an_empty_name_of_a_run_or_a_gate_is_a_mistake(name: str, value: str) -> None:
    with pytest.raises(InputError, match=f"(?m)^{name} "):
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


def test_a_resume_ends_where_somebody_opened_the_next_run(tmp_path: Path) -> None:
    """The next run has noted that this one has no decision, so none may come back."""
    bundle = bundles.hold_bundle(tmp_path, "20261101T000000Z")
    prepared = plan(tmp_path)
    bundles.open_bundle(tmp_path, "20261102T000000Z")
    with pytest.raises(GateError, match="Run 20261102T000000Z was opened by somebody else a moment ago"):
        begin(prepared)
    assert not is_sealed(bundle)


def test_a_run_that_began_while_both_hosts_were_asked_is_named(tmp_path: Path) -> None:
    bundles.hold_bundle(tmp_path)
    prepared = plan(tmp_path)
    lock = RunLock(tmp_path, "20261124T002930Z")
    with pytest.raises(GateError, match=r"Another run is under way in .*: run 20261124T002930Z on \S+, pid \d+, start"):
        begin(prepared)
    lock.release()
    assert begin(prepared)["gates"] == ["slurm_smoke"]


def test_who_comes_second_leaves_nothing_behind(tmp_path: Path) -> None:
    """Both have opened a run before either has the lock; the second one's must not count as the newest."""
    first, second = (bundles.open_bundle(tmp_path, f"20261124T00000{n}Z") for n in (1, 2))
    bundles.record(first, bundles.healthy_trips(), close=False)
    abandon(second)
    assert not second.exists()
    abandon(first)
    assert first.exists(), "something was recorded in it"
    assert plan(tmp_path)["bundle"] == str(first)


@pytest.mark.parametrize("entry", ["", "[1]", "{", "7", '{"run": "a"}'])
def test_a_lock_with_an_entry_that_says_little_is_a_sentence(tmp_path: Path, entry: str) -> None:
    lock = RunLock(tmp_path, "a")
    (tmp_path / LOCK_FILE).write_text(entry, encoding="utf-8")
    with pytest.raises(GateError, match=r"Another run is under way in .*: run [a?] on \?, pid \?, started \?\."):
        RunLock(tmp_path, "b")
    lock.release()


def test_a_lock_that_cannot_be_opened_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).mkdir()
    with pytest.raises(GateError, match=r"cannot be opened \(Is a directory\)\. .* or remove the file"):
        RunLock(tmp_path, "a")


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


def test_the_printed_command_repeats_how_the_hosts_are_reached(tmp_path: Path) -> None:
    bundle = bundles.open_bundle(tmp_path)
    options = ["--ssh-common-args=-o ProxyJump=bastion", "--ask-become-pass", "--vault-password-file=/home/a/vault"]
    recorder = Recorder(bundle, {"recorder": "evidence", "options": options})
    recorder.close()
    command = decide(load_bundle(bundle)).rerun_command
    assert shlex.split(command)[-3:] == options


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
    ("on_branch", "entries", "decision", "starts"),
    [
        ("fix", [WAIVER], "PROMOTE", ["waiver: applied: preflight.branch, by ada until 2099-12-31 (gra-130): a fix"]),
        ("fix", [OVER], "HOLD", ["waiver: expired, it counts for nothing; fix the check, or renew it: preflight"]),
        ("main", [WAIVER], "PROMOTE", ["waiver: unneeded, the check passes or was not judged; remove it: preflight"]),
        ("fix", [OVER, WAIVER], "PROMOTE", ["waiver: expired,", "waiver: applied:"]),
    ],
    ids=["applied", "expired", "unneeded", "one-of-each"],
)
def test_the_terminal_shows_what_became_of_each_waiver(
    tmp_path: Path, on_branch: str, entries: list[dict[str, str]], decision: str, starts: list[str]
) -> None:
    record = read_json(waived(tmp_path, on_branch, *entries) / "promotion-decision.json")
    assert record["decision"] == decision
    lines = [line for line in text_of(record).splitlines() if line.startswith("waiver: ")]
    assert len(lines) == len(starts)
    for line, start in zip(lines, starts, strict=True):
        assert line.startswith(start)


def test_every_record_shows_a_waived_check_with_its_real_status(tmp_path: Path) -> None:
    bundle = waived(tmp_path, "fix", WAIVER)
    record = read_json(bundle / "promotion-decision.json")
    assert "gate 1: FAIL, waived " in text_of(record)
    for name in ("promotion-decision.md", "01-preflight-summary.md"):
        assert "FAIL" in (bundle / name).read_text(encoding="utf-8"), name
    here = bundles.workspace_probe().replace("branch: main", "branch: fix")
    resumed = bundles.resume_bundle(bundle.parent, HELD, workspace=here, promotion_gates="4")
    text = (resumed / "follow-up-issue.md").read_text(encoding="utf-8")
    assert "- `preflight.branch` is **FAIL** and waived: `HEAD is the branch fix`" in text


# --- baseline -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
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


def test_an_earlier_baseline_is_never_overwritten(tmp_path: Path) -> None:
    """Whatever else is in the directory."""
    times = [[bundles.SECOND * n] * 3 for n in range(1, 6)]
    (tmp_path / "README").touch()
    for number, taken in enumerate(times):
        write_baseline(tmp_path, bundles.known_good(taken))
        if number == 2:
            (tmp_path / "README").unlink()
    assert sorted(
        baseline.median_ns // bundles.SECOND for baseline in read_baseline_dir(tmp_path, tmp_path, utc_now())
    ) == [1, 2, 3, 4, 5]
    write_baseline(tmp_path, bundles.known_good(times[3]))
    assert len(read_baseline_dir(tmp_path, tmp_path, utc_now())) == 5, "the same again is the same"


# --- the follow-up issue ------------------------------------------------------------------------------------------


def test_the_follow_up_names_evidence_by_digest_and_each_gate_once(tmp_path: Path) -> None:
    bundle = bundles.hold_bundle(tmp_path)
    text = (bundle / "follow-up-issue.md").read_text(encoding="utf-8")
    files = json.loads((bundle / "index.json").read_text(encoding="utf-8"))["files"]
    for name, digest in files.items():
        listed = f"| `{bundle.name}/{name}` | {digest} |" in text
        assert listed == name.startswith(("04-", "slurm-smoke/")), name
    assert "### Objections" not in text, "that gate 4 did not pass stands with its checks"


def test_a_slow_smoke_names_the_baseline_it_was_held_to(tmp_path: Path) -> None:
    slow = tuple(2 * time for time in bundles.SMOKE_TIMES)
    trips = {**bundles.healthy_trips(), "sqlite_smoke": bundles.sqlite_smoke(slow)}
    bundle = bundles.make_bundle(tmp_path, trips)
    digest = read_json(bundle / "index.json")["baseline_sha256"]
    text = (bundle / "follow-up-issue.md").read_text(encoding="utf-8")
    assert f"| `{bundle.name}/baseline.json` | {digest} |" in text
