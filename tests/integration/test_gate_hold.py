"""What is wrong in the world ends in HOLD with a sentence that names it; a resume re-runs only that."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from ground import SCHEMA_TS, Ground, Run, copy_of, free_port, git

VM_GATES = {"vm_bootstrap", "slurm_smoke"}


def gates_of(run: Run) -> set[str]:
    return {check_id.split(".")[0] for check_id in run.failing()}


def assert_hold(run: Run) -> None:
    assert run.status != 0, run.output
    assert run.decision is not None, run.output
    assert run.decision["decision"] == "HOLD"
    assert "HOLD" in run.output
    assert "Traceback" not in run.output
    assert run.bundle is not None
    assert (run.bundle / "SHA256SUMS").is_file()
    assert (run.bundle / "follow-up-issue.md").is_file()


@pytest.fixture(scope="module")
def four_faults(template: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """One run in which a gate each has one fault: the gates do not stop each other."""
    ground = copy_of(template, tmp_path_factory.mktemp("four") / "g")
    ground.sqlite(0.05, fails_at=2)
    ground.say("verdi_status", "verdi_status/2.9-daemon-stopped")
    ground.say("daemon_status", "daemon_status/2.9-daemon-stopped", status=3)
    ground.say("sinfo", "sinfo/drained")
    ground.say("scontrol_nodes", "scontrol_nodes/drained")
    ground.say_text("schema.ts", SCHEMA_TS + "export interface Drifted { id: string }\n")
    yield ground.gate()
    ground.close()


def test_all_gates_run_although_four_fail(four_faults: Run) -> None:
    assert_hold(four_faults)
    assert set(four_faults.failing()) == {
        "sqlite_smoke.runs",
        "vm_bootstrap.daemon",
        "vm_bootstrap.workers",
        "slurm_smoke.node",
        "contracts.client_drift",
    }
    assert four_faults.decision is not None
    statuses = {gate["name"]: gate["status"] for gate in four_faults.decision["gates"]}
    assert statuses.pop("preflight") == "PASS"
    assert set(statuses.values()) == {"FAIL"}


@pytest.mark.parametrize(
    ("check_id", "observed", "unblock"),
    [
        ("sqlite_smoke.runs", "2 of 3 runs succeeded: run 2 exited 1", "three times in a row"),
        ("vm_bootstrap.daemon", "The daemon is not running.", "daemon start 1"),
        ("vm_bootstrap.workers", "the daemon is not running (exited 3", "daemon start 1"),
        ("slurm_smoke.node", "drained", "sudo scontrol update nodename=aiida-vm state=resume"),
        ("contracts.client_drift", "1 changed lines", "pnpm -C packages/api-client run generate"),
    ],
    ids=["sqlite-run-fails", "daemon-stopped", "no-workers", "node-drained", "client-drift"],
)
def test_the_cause_is_named(four_faults: Run, check_id: str, observed: str, unblock: str) -> None:
    check = four_faults.check(check_id)
    assert check["status"] == "FAIL"
    assert observed in check["observed"]
    assert unblock in four_faults.check(check["cause"] or check_id)["unblock"]
    assert check_id in four_faults.output
    assert four_faults.bundle is not None
    for name in ("promotion-decision.md", "follow-up-issue.md"):
        assert check_id in (four_faults.bundle / name).read_text(encoding="utf-8")


def test_a_vm_that_is_not_reachable_holds_and_a_resume_runs_only_its_gates(ground: Ground) -> None:
    ground.ssh(port=free_port())
    held = ground.gate()
    assert_hold(held)
    assert gates_of(held) == VM_GATES
    for gate in VM_GATES:
        assert held.gate(gate)["status"] in ("BLOCKED", "MISSING")
    checkout = held.check("vm_bootstrap.checkout")
    assert checkout["status"] == "BLOCKED"
    assert "vm could not be reached" in checkout["observed"]
    assert checkout["cause"] == "vm_bootstrap.host"
    assert "ansible.builtin.ping" in held.check("vm_bootstrap.host")["unblock"]

    ground.ssh()
    resumed = ground.gate(promotion_resume="latest")
    assert resumed.status == 0, resumed.output
    assert resumed.bundle == held.bundle
    assert resumed.decision is not None
    assert resumed.decision["decision"] == "PROMOTE"
    attempts = {"preflight": 1, "sqlite_smoke": 1, "vm_bootstrap": 2, "slurm_smoke": 2, "contracts": 1}
    assert resumed.attempts() == attempts
    assert resumed.bundle is not None
    assert (resumed.bundle / "attempts" / "01" / "promotion-decision.json").is_file()


def test_an_evidence_file_removed_before_sealing_holds(decided: Ground) -> None:
    decided.hook("generate", f"rm {decided.evidence}/*/02-sqlite-smoke-run2.log\n")
    run = decided.again("5")
    assert_hold(run)
    assert gates_of(run) == {"sqlite_smoke"}
    check = run.check("sqlite_smoke.evidence")
    assert check["status"] == "MISSING"
    assert "02-sqlite-smoke-run2.log is missing" in check["observed"]


@pytest.mark.nightly
def test_a_slow_smoke_holds(decided: Ground) -> None:
    decided.sqlite(3.0)  # the baseline's runs took 2 s, those of the promoted run less
    run = decided.again("2")
    assert_hold(run)
    assert run.failing() == ["sqlite_smoke.p95"]
    check = run.check("sqlite_smoke.p95")
    assert check["status"] == "FAIL"
    assert "against the known-good median" in check["observed"]


@pytest.mark.stranger("13.8", "a VM that cannot be used was found out gate by gate, after those of the workspace")
def test_a_vm_that_cannot_be_used_is_known_before_gate_1(ground: Ground) -> None:
    groups = ground.groups()
    groups["aiida_vm"]["hosts"]["vm"]["ansible_python_interpreter"] = "/nonexistent/python3"
    ground.inventory(groups)
    run = ground.gate()
    assert run.status != 0 and run.word == "HOLD", run.output
    assert run.bundle is not None
    index = json.loads((run.bundle / "index.json").read_text(encoding="utf-8"))
    assert index["probes"]["vm"]["kind"] == "no_python" and index["probes"]["here"]["problem"] == ""
    assert set(index["gates"]) == {"preflight", "sqlite_smoke", "contracts"}, "the other host's gates were run"
    for gate in ("vm_bootstrap", "slurm_smoke"):
        check = run.check(f"{gate}.host")
        assert check["status"] == "BLOCKED" and "/nonexistent/python3" in check["observed"], check
    assert run.output.count("/nonexistent/python3") < 8


@pytest.mark.stranger("13.8", "an unknown host key and a wrong user, port or name were one sentence")
@pytest.mark.parametrize(
    ("right", "wrong", "variable"),
    [
        ("/known_hosts", "/unknown_hosts", "known_hosts"),
        ("  User ", "  User nobody-", "ansible_user"),
        ("  Port ", "  Port 1\n  Port ", "ansible_port"),
        ("HostName 127.0.0.1", "HostName vm.invalid", "ansible_host"),
    ],
    ids=["host-key", "user", "port", "name"],
)
def test_why_a_vm_is_not_reached_has_its_own_remedy(ground: Ground, right: str, wrong: str, variable: str) -> None:
    config = ground.folder / "ssh_config"
    config.write_text(config.read_text(encoding="utf-8").replace(right, wrong), encoding="utf-8")
    run = ground.gate(promotion_gates="3")
    assert_hold(run)
    check = run.check("vm_bootstrap.host")
    assert check["status"] == run.gate("vm_bootstrap")["status"] == "BLOCKED"
    assert variable in check["unblock"], check


@pytest.mark.stranger("13.3", "uv rewrote its lock in gate 2, and the gates after it ran on something else")
def test_a_resume_in_a_temporary_worktree_keeps_gate_1(ground: Ground) -> None:
    """It makes the worktree again; how the kept one was made is evidence that stays."""
    ground.variables["workspace_checkout"] = "worktree"
    ground.say("scontrol_ping", "scontrol_ping/slurmctld-stopped", status=1)
    held = ground.gate()
    assert_hold(held)
    ground.say("scontrol_ping", "scontrol_ping/healthy")
    promoted = ground.gate(promotion_resume="latest")
    assert (promoted.status, promoted.word) == (0, "PROMOTE"), promoted.output
    assert {name for name, attempt in promoted.attempts().items() if attempt == 2} == {"slurm_smoke"}


@pytest.mark.parametrize("checkout", ["in_place", "worktree"])
def test_a_tracked_file_that_the_smoke_changes_is_named_once(ground: Ground, checkout: str) -> None:
    ground.hook("sqlite", "echo '# changed' >>scripts/aiida-vm-bootstrap.sh\n")
    run = ground.gate(promotion_gates="1,2", workspace_checkout=checkout)
    assert_hold(run)
    check = run.check("sqlite_smoke.tracked")
    assert run.check("sqlite_smoke.runs")["status"] == "PASS"
    if checkout == "worktree":
        assert check["status"] == "PASS" and "scripts/aiida-vm-bootstrap.sh" in check["warnings"][0], check
        assert git(ground.workspace, "status", "--porcelain", "--untracked-files=no") == ""
    else:
        assert check["status"] == "FAIL" and "scripts/aiida-vm-bootstrap.sh" in check["observed"], check
        assert "workspace_checkout=worktree" in check["unblock"]
        named = [c["id"] for c in run.gate("sqlite_smoke")["checks"] if "aiida-vm-bootstrap.sh" in c["observed"]]
        assert named == ["sqlite_smoke.tracked"]
