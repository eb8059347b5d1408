# ruff: noqa: E501 - a row of the table is one line
"""Each check of the shipped policy holds on at least one real-looking fault, and the healthy run passes all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bundles
import pytest
import yaml

from promotion_gate.base.model import CheckResult, Decision, Status
from promotion_gate.bundle.load import load_bundle
from promotion_gate.judge.decide import decide
from promotion_gate.judge.ownership.map import shipped_text

NOT_RUN = {"not_run": "/srv/app/ops/aiida-vm/aiida-vm.env: there is no such file", "exit": None}
HANGS = {"timed_out": True, "exit": None, "signal": 9}
STATUS = bundles.STATUS
BROKER_DOWN = STATUS.replace(
    " ✔ broker:      RabbitMQ v4.0.5 @", " ✘ broker:      Unable to connect to broker: RabbitMQ v4.0.5 @"
)
DAEMON_DOWN = STATUS.replace(
    " ✔ daemon:      Daemon is running with PID 2483", " ⏺ daemon:      The daemon is not running."
)
STORAGE_DOWN = STATUS.replace(" ✔ storage:     Storage", " ✘ storage:     Unable to connect to database. Storage")
OLD_SCHEMA = STATUS.replace(
    " ✔ storage:     Storage",
    " ✘ storage:     Storage schema version is incompatible. Run `verdi storage migrate`. Storage",
)
DISABLED = (
    "Warning: Computer<vm-slurm> is disabled for user<op@example.org>\nDo you really want to test it? [y/N]: Aborted!\n"
)
INVALID_NODE = bundles.SHOW_NODES.replace("State=IDLE", "State=UNKNOWN+DRAIN+INVALID_REG")
NO_BROKER_LINE = "".join(line for line in STATUS.splitlines(keepends=True) if "broker:" not in line)
DRAINED = "debug*|up|aiida-vm|drained|maintenance work\n"
PENDING = "Submitted batch job 1\n" + bundles.JOB_LINE.format(state="PENDING").replace("Reason=None", "Reason={reason}")
FAILED_JOB = bundles.JOB.replace("COMPLETED", "FAILED")
JOB_RUNS = "Submitted batch job 1\n" + bundles.JOB_LINE.format(state="RUNNING")
FAILED_TEST = bundles.COMPUTER_TEST.replace("[OK]: 0 jobs found in the queue", "[Failed]: squeue: not found").replace(
    "Success: all 6 tests succeeded", "Warning: 1 out of 6 tests failed"
)
OTHER_COMMIT = bundles.vm_probe(commit="b" * 40, content="c" * 64)

# gate, command, what differs, the check that must hold, its status, a part of what it says
ROWS: list[tuple[str, str, dict[str, Any], str, str, str]] = [
    *(
        ("preflight", f"find_{tool}", {"exit": 127, "output": ""}, f"preflight.{tool}", "FAIL", f"missing: {tool}")
        for tool in ("node", "corepack", "pnpm", "uv")
    ),
    ("preflight", "version_pnpm", {"exit": 1, "output": "boom\n"}, "preflight.pnpm", "FAIL", "exited 1"),
    ("preflight", "version_uv", {"output": "hello\n"}, "preflight.uv", "FAIL", "printed no version"),
    ("preflight", "version_node", HANGS, "preflight.node", "BLOCKED", "timed out after"),
    ("preflight", "inputs", {"output": "found docs/process/aiida-vm-bootstrap.md\n"}, "preflight.inputs", "FAIL", "ADR-0001"),
    ("preflight", "identity", {"output": bundles.dirty(bundles.workspace_probe(), "apps/api/app/main.py (modified)")},
     "preflight.worktree", "FAIL", "dirty: apps/api/app/main.py (modified)"),
    ("preflight", "identity", {"output": bundles.dirty(bundles.workspace_probe(), untracked="new.txt")},
     "preflight.worktree", "FAIL", "dirty: new.txt"),
    ("preflight", "identity", {"exit": 1, "output": "checkout_error: `git rev-parse` exited 128: fatal: no\n"},
     "preflight.worktree", "FAIL", "fatal: no"),
    ("preflight", "identity", {"output": bundles.workspace_probe().replace("branch: main", "branch: topic")},
     "preflight.branch", "FAIL", "topic"),
    ("preflight", "identity", {"output": bundles.workspace_probe().replace("branch: main", "branch: ")},
     "preflight.branch", "FAIL", "detached"),
    *(
        ("sqlite_smoke", f"run_{n}", {"exit": 1, "output": "assertion\n"}, "sqlite_smoke.runs", "FAIL", f"run {n} exited 1")
        for n in (1, 2, 3)
    ),
    ("sqlite_smoke", "run_2", {"output": ""}, "sqlite_smoke.runs", "FAIL", "printed nothing"),
    ("sqlite_smoke", "run_2", {"output": "1 failed\nFAILED tests/a.py::test_b\n"}, "sqlite_smoke.runs", "FAIL", "FAILED"),
    *(
        ("sqlite_smoke", "run_2", {"output": f"{line}\n"}, "sqlite_smoke.runs", "FAIL", "exited 0 but printed")
        for line in (
            "\x1b[31mFAILED\x1b[0m tests/test_a.py::\x1b[1mtest_b\x1b[0m - assert False",
            "\x1b[31m==== \x1b[31m\x1b[1m1 failed\x1b[0m, \x1b[32m2 passed\x1b[0m\x1b[31m in 0.03s\x1b[0m\x1b[31m ====\x1b[0m",
            "ERROR test_err.py", "1 error in 0.09s", "2 passed, 1 failed, 3 warnings in 1.20s", "no tests ran in 0.00s",
            "\x1b[31mCritical: \x1b[0mboom", "==== 3 skipped in 0.12s ====", "2 skipped, 1 deselected in 0.33s",
            "Ran 0 tests in 0.000s", "OK (skipped=3)",
        )
    ),
    ("sqlite_smoke", "run_3", HANGS, "sqlite_smoke.runs", "BLOCKED", "timed out after"),
    ("sqlite_smoke", "run_1", {"left_running": True}, "sqlite_smoke.runs", "FAIL", "left processes running"),
    ("sqlite_smoke", "run_1", {"argv": ["other"]}, "sqlite_smoke.baseline", "MISSING", "another smoke command"),
    ("sqlite_smoke", "run_1", {"duration_ns": 9 * bundles.SECOND}, "sqlite_smoke.p95", "FAIL", "p95 9.000 s"),
    ("vm_bootstrap", "identity", {"output": OTHER_COMMIT}, "vm_bootstrap.checkout", "FAIL", "the VM is at b"),
    ("vm_bootstrap", "identity", {"exit": 1, "output": "fatal: not a git repository\n"}, "vm_bootstrap.checkout", "FAIL",
     "no Git checkout"),
    ("vm_bootstrap", "identity", {"output": bundles.dirty(bundles.vm_probe(), "scripts/x.sh (modified)")},
     "vm_bootstrap.checkout", "FAIL", "scripts/x.sh"),
    ("vm_bootstrap", "env_profile", {"output": "\n"}, "vm_bootstrap.env_file", "BLOCKED", "AIIDA_PROFILE"),
    ("vm_bootstrap", "env_profile", NOT_RUN, "vm_bootstrap.env_file", "BLOCKED", "no such file"),
    ("vm_bootstrap", "bootstrap", {"exit": 1, "output": "no\n"}, "vm_bootstrap.script", "FAIL", "exited 1"),
    ("vm_bootstrap", "bootstrap", {"exit": 126, "output": "Permission denied\n"}, "vm_bootstrap.script", "BLOCKED", "denied"),
    ("vm_bootstrap", "bootstrap", {"output": ""}, "vm_bootstrap.script", "MISSING", "printed nothing"),
    ("vm_bootstrap", "bootstrap", {"argv": ["scripts/aiida-vm-bootstrap.sh", "--apply"]}, "vm_bootstrap.first_run", "FAIL",
     "--apply"),
    ("vm_bootstrap", "profile_list", {"output": "* vm-psql-old\n"}, "vm_bootstrap.profile", "FAIL", "vm-psql-old"),
    ("vm_bootstrap", "profile_list", {"exit": 127, "output": "verdi: command not found\n"}, "vm_bootstrap.profile",
     "BLOCKED", "not found"),
    ("vm_bootstrap", "status", {"output": STATUS.replace("profile:     vm-psql", "profile:     other")},
     "vm_bootstrap.status_profile", "FAIL", "other"),
    ("vm_bootstrap", "status", {"output": STORAGE_DOWN, "exit": 3}, "vm_bootstrap.storage", "FAIL", "Unable to connect"),
    ("vm_bootstrap", "status", {"output": OLD_SCHEMA, "exit": 3}, "vm_bootstrap.storage", "FAIL", "version is incompatible"),
    ("vm_bootstrap", "status", HANGS, "vm_bootstrap.storage", "BLOCKED", "timed out after"),
    ("vm_bootstrap", "status", {"output": BROKER_DOWN, "exit": 1}, "vm_bootstrap.broker", "FAIL", "Unable to connect"),
    ("vm_bootstrap", "status", {"output": NO_BROKER_LINE}, "vm_bootstrap.broker", "FAIL", "no broker line"),
    ("vm_bootstrap", "status", {"output": STATUS, "exit": 1}, "vm_bootstrap.broker", "FAIL", "verdi status exited 1"),
    ("vm_bootstrap", "status", {"output": DAEMON_DOWN}, "vm_bootstrap.daemon", "FAIL", "not running"),
    ("vm_bootstrap", "status", {"truncated": True}, "vm_bootstrap.daemon", "INVALID", "too large"),
    ("vm_bootstrap", "daemon_status", {"output": bundles.DAEMON_STATUS.replace("[1]", "[0]")}, "vm_bootstrap.workers",
     "FAIL", "0 workers"),
    ("vm_bootstrap", "daemon_status", {"exit": 3, "output": "The daemon is not running.\n"}, "vm_bootstrap.workers",
     "FAIL", "not running"),
    ("slurm_smoke", "script", {"exit": 2, "output": "result: BLOCKED: no scontrol\nlogs: /tmp/x\n"}, "slurm_smoke.script",
     "BLOCKED", "exited 2 (blocked): result: BLOCKED: no scontrol"),
    ("slurm_smoke", "script", {"exit": 1, "output": "hard\n"}, "slurm_smoke.script", "FAIL", "exited 1"),
    ("slurm_smoke", "ping", {"exit": 1, "output": bundles.PING_DOWN}, "slurm_smoke.controller", "FAIL", "DOWN"),
    ("slurm_smoke", "ping", {"output": ""}, "slurm_smoke.controller", "FAIL", "exited 0"),
    ("slurm_smoke", "sinfo", {"output": DRAINED}, "slurm_smoke.node", "FAIL", "drained"),
    ("slurm_smoke", "sinfo", {"output": bundles.SINFO.replace("|up|", "|down|")}, "slurm_smoke.node", "FAIL", "partition debug"),
    ("slurm_smoke", "sinfo", {"output": bundles.SINFO.replace("|idle|", "|idle*|")}, "slurm_smoke.node", "FAIL", "aiida-vm"),
    ("slurm_smoke", "sinfo", {"exit": 1, "output": "slurm_load_partitions: no\n"}, "slurm_smoke.node", "FAIL", "exited 1"),
    ("slurm_smoke", "show_nodes", {"output": bundles.SHOW_NODES.replace("State=IDLE", "State=MIXED+RESERVED")},
     "slurm_smoke.node", "FAIL", "reserved"),
    ("slurm_smoke", "computer_test", {"output": FAILED_TEST}, "slurm_smoke.computer_test", "FAIL", "squeue"),
    ("slurm_smoke", "computer_show", {"output": bundles.COMPUTER_SHOW.replace("core.slurm", "core.direct")},
     "slurm_smoke.computer_test", "FAIL", "the scheduler of vm-slurm is core.direct, not core.slurm"),
    ("slurm_smoke", "computer_test", {"output": bundles.COMPUTER_TEST.replace("<vm-slurm>", "<localhost>")},
     "slurm_smoke.computer_test", "FAIL", "localhost was tested, but vm-slurm is the target"),
    ("slurm_smoke", "computer_show", {"exit": 1, "output": "no Computer found\n"}, "slurm_smoke.computer_test", "FAIL", "exited 1"),
    ("slurm_smoke", "computer_test", {"exit": 1, "output": DISABLED}, "slurm_smoke.computer_test", "FAIL",
     "disabled for op@example.org"),
    ("slurm_smoke", "job", {"output": PENDING.format(reason="PartitionDown")}, "slurm_smoke.job", "FAIL", "PartitionDown"),
    ("slurm_smoke", "job", {"output": PENDING.format(reason="Resources")}, "slurm_smoke.job", "BLOCKED",
     "the cluster is busy; re-run gate 4"),
    ("slurm_smoke", "job", {"exit": 1, "output": "sbatch: error: invalid partition\n"}, "slurm_smoke.job", "FAIL",
     "no job was accepted"),
    ("slurm_smoke", "job", {"output": FAILED_JOB}, "slurm_smoke.job", "FAIL", "ended PENDING > FAILED"),
    ("preflight", "tools", {"exit": 2, "output": "sh: 1: Syntax error: word unexpected\n"}, "preflight.uv", "FAIL", "exited 2"),
    ("contracts", "relay", {"output": "== 2 passed, 36 deselected in 0.12s ==\n"}, "contracts.relay", "FAIL", "36 deselected"),
    ("contracts", "relay", {"output": "collected 38 items\n"}, "contracts.relay", "FAIL", "38 tests were collected, 2 ran"),
    ("contracts", "relay", {"output": "..                    [100%]\n"}, "contracts.relay", "FAIL", "pytest printed no summary"),
    ("contracts", "relay", {"output": "= 1 failed, 1 passed in 0.9s =\n= 2 passed in 0.1s =\n"}, "contracts.relay", "FAIL", "2 summaries"),
    ("contracts", "relay", {"output": "=== 3 passed in 62.11s (0:01:02) ===\n"}, "contracts.relay", "FAIL", "summary says 3 passed"),
    ("contracts", "relay", {"output": "no tests ran in 0.01s\n2 passed in 0.01s\n"}, "contracts.relay", "FAIL", "2 summaries"),
    ("contracts", "relay", {"output": ".\n"}, "contracts.relay", "FAIL", "pytest printed no summary"),
    ("contracts", "relay", {"output": "R.   [100%]\n"}, "contracts.relay", "FAIL", "pytest printed no summary"),
    ("contracts", "relay", {"output": "..   [2/2]\n"}, "contracts.relay", "FAIL", "pytest printed no summary"),
    ("contracts", "relay", {"output": "= 1 failed, 1 passed in 0.9s =\n"}, "contracts.relay", "FAIL", "summary says 1 failed"),
    ("contracts", "openapi", {"exit": 1, "output": "drift\n"}, "contracts.openapi", "FAIL", "drift"),
    ("contracts", "openapi", {"exit": 127, "output": "uv: not found\n"}, "contracts.openapi", "BLOCKED", "uv"),
    ("contracts", "generate", {"exit": 1, "output": "error\n"}, "contracts.client_generate", "FAIL", "error"),
    ("contracts", "generate", {"exit": 1, "output": "error\n"}, "contracts.client_drift", "MISSING", "nothing was generated"),
    ("contracts", "diff", {"exit": 1, "output": "--- a\n+++ b\n-x\n+y\n"}, "contracts.client_drift", "FAIL", "2 changed"),
    ("contracts", "diff_head", {"exit": 1, "output": "+y\n"}, "contracts.client_drift", "FAIL", "staged"),
    ("contracts", "hash_file", {"output": "b" * 40 + "\n"}, "contracts.client_drift", "FAIL", "git diff ignores it"),
    ("contracts", "hash_file", {"exit": 128, "output": "fatal: could not open\n"}, "contracts.client_drift", "FAIL",
     "cannot be read"),
    ("contracts", "hash_head", {"exit": 128, "output": "fatal: path does not exist\n"}, "contracts.client_drift", "FAIL",
     "is not in the commit"),
    ("contracts", "relay", {"exit": 1}, "contracts.relay", "FAIL", "exited 1"),
    ("contracts", "relay", {"exit": 1, "output": "2 passed in 0.1s\nERROR: Coverage failure: 12 < 80\n"}, "contracts.relay",
     "FAIL", "2 passed, 0 failed, 0 in error, 0 skipped (exited 1: ERROR: Coverage failure"),
    ("contracts", "documents", {"exit": 1, "output": "no\n"}, "contracts.ownership", "FAIL", "exited 1"),
]  # fmt: skip


def decided(root: Path, trips: bundles.Trips, **variables: Any) -> Decision:
    return decide(load_bundle(bundles.closed_bundle(root, trips, **variables)))


def results(decision: Decision) -> dict[str, CheckResult]:
    return {check.id: check for gate in decision.gates for check in gate.checks}


def holds(decision: Decision, check_id: str, status: str, observed: str) -> None:
    check = results(decision)[check_id]
    assert (check.status, observed in check.observed) == (Status(status), True), check
    assert check.expected and (check.unblock or check.waived)
    assert decision.decision == "HOLD"


def test_the_healthy_run_passes_every_check(tmp_path: Path) -> None:
    decision = decided(tmp_path, bundles.healthy_trips())
    assert decision.decision == "PROMOTE"
    assert {check.status for check in results(decision).values()} == {Status.PASS}


@pytest.mark.parametrize(
    ("gate", "command", "fields", "check_id", "status", "observed"),
    ROWS,
    ids=[f"{row[3]}-{row[1]}-{number}" for number, row in enumerate(ROWS)],
)
def test_a_fault_holds(
    tmp_path: Path, gate: str, command: str, fields: dict[str, Any], check_id: str, status: str, observed: str
) -> None:
    holds(decided(tmp_path, bundles.trips_with(gate, command, **fields)), check_id, status, observed)


@pytest.mark.parametrize(
    ("ages", "calculation", "warned"),
    [
        ("postgresql_seconds: 60\nworker_seconds: 1800\n", False, True),
        ("postgresql_seconds: 60\nworker_seconds: 1800\n", True, False),
        ("postgresql_seconds: 60\nworker_seconds: 60\n", False, False),
        ("worker_seconds: 1800\n", False, False),
        ("postgresql_seconds: x\nworker_seconds: 1800\n", False, False),
        ("", False, False),
    ],
    ids=["restarted", "a calculation proves it", "started together", "a remote database", "hostile", "nothing seen"],
)
def test_a_database_younger_than_its_daemon_is_a_warning(
    tmp_path: Path, ages: str, calculation: bool, warned: bool
) -> None:
    trips = bundles.trips_with("vm_bootstrap", "ages", output=ages)
    workers = results(decided(tmp_path, trips, gate_slurm_smoke_submit_calculation=calculation))["vm_bootstrap.workers"]
    assert workers.status is Status.PASS
    assert ["60 s ago, the daemon's oldest worker 1800 s ago" in text for text in workers.warnings] == [True] * warned


@pytest.mark.parametrize(
    "line",
    [
        "..   [100%]\n2 passed, 1 warning in 0.1s",
        "= 2 passed in 62.11s (0:01:02) =",
        "1 passed, 5 subtests passed in 0.1s",
        "2 passed",  # of a wrapper around pytest
        "3 events relayed in 0.02s\n2 passed in 0.01s",
    ],
)
def test_a_summary_that_agrees_with_the_report_passes(tmp_path: Path, line: str) -> None:
    trips = bundles.trips_with("contracts", "relay", output=f"{line}\n")
    assert results(decided(tmp_path, trips))["contracts.relay"].status is Status.PASS


@pytest.mark.parametrize("attribute", ["failures", "errors", "skipped"])
def test_a_relay_test_that_did_not_pass_holds(tmp_path: Path, attribute: str) -> None:
    tag = {"failures": "failure", "errors": "error", "skipped": "skipped"}[attribute]
    report = bundles.JUNIT.replace(f'{attribute}="0"', f'{attribute}="1"').replace(
        'time="0.003" />', f'time="0.003"><{tag} message="no" /></testcase>'
    )
    holds(_with_artifact(tmp_path, "contracts", "05-relay-junit.xml", {"": report}), "contracts.relay", "FAIL", "1 ")


@pytest.mark.parametrize(
    ("gate", "command", "output"),
    [
        (
            "contracts",
            "diff",
            "warning: in the working copy of 'schema.ts', LF will be replaced by CRLF the next time\n",
        ),
    ],
)
def test_what_git_prints_about_itself_is_not_a_change(tmp_path: Path, gate: str, command: str, output: str) -> None:
    assert decided(tmp_path, bundles.trips_with(gate, command, output=output)).decision == "PROMOTE"


def test_where_verdi_cannot_be_run_nothing_is_said_of_its_configuration(tmp_path: Path) -> None:
    trips = bundles.healthy_trips()
    for command in ("profile_list", "status"):
        lost = {"exit": 2, "output": "error: Failed to spawn: `verdi`\n  Caused by: No such file or directory\n"}
        trips["vm_bootstrap"] = bundles.changed(trips["vm_bootstrap"], command, **lost)
    decision = decided(tmp_path, trips)
    holds(decision, "vm_bootstrap.config_dir", "BLOCKED", "Failed to spawn")
    assert "install the application's Python environment" in results(decision)["vm_bootstrap.config_dir"].unblock


def test_a_drift_that_git_does_not_see_has_a_remedy_of_its_own(tmp_path: Path) -> None:
    decision = decided(tmp_path, bundles.trips_with("contracts", "hash_file", output="b" * 40 + "\n"))
    unblock = results(decision)["contracts.client_drift"].unblock
    assert "add --force packages/api-client/src/generated/schema.ts`" in unblock


def test_fewer_nodes_than_wanted_are_counted(tmp_path: Path) -> None:
    policy = yaml.safe_load((bundles.PROJECT / "policies" / "aiida.yml").read_text(encoding="utf-8"))
    [node] = [c for gate in policy["gates"] for c in gate["checks"] if c["id"] == "slurm_smoke.node"]
    node["limits"]["min_schedulable_nodes"] = 2
    (tmp_path / "mine.yml").write_text(yaml.safe_dump(policy), encoding="utf-8")
    decision = decided(tmp_path / "root", bundles.healthy_trips(), promotion_policy=str(tmp_path / "mine.yml"))
    holds(decision, "slurm_smoke.node", "FAIL", "1 of 2 wanted nodes can be scheduled")
    assert "min_schedulable_nodes" in results(decision)["slurm_smoke.node"].unblock


def test_a_relay_suite_that_was_stopped_in_a_test_holds(tmp_path: Path) -> None:
    report = bundles.JUNIT.replace("</testsuite>", '<testcase time="0.1" /></testsuite>')
    holds(
        _with_artifact(tmp_path, "contracts", "05-relay-junit.xml", {"": report}),
        "contracts.relay",
        "INVALID",
        "no name",
    )


@pytest.mark.parametrize(
    ("gate", "command", "change", "check_id", "remedy"),
    [
        ("slurm_smoke", "sinfo", {"truncated": True}, "slurm_smoke.node", "print less"),
        ("sqlite_smoke", "run_2", {"truncated": True}, "sqlite_smoke.runs", "print less"),
        ("slurm_smoke", "reservations", {"output": "slurm_load: error: Unable\n"}, "slurm_smoke.node", "slurmctld"),
        ("sqlite_smoke", "run_2", {"duration_ns": 0}, "sqlite_smoke.p95", "Re-run the gate; its evidence"),
    ],
)
def test_evidence_that_cannot_be_judged_has_a_remedy_of_its_kind(
    tmp_path: Path, gate: str, command: str, change: dict[str, Any], check_id: str, remedy: str
) -> None:
    found = results(decided(tmp_path, bundles.trips_with(gate, command, **change)))[check_id]
    assert str(found.status) == "INVALID" and remedy in found.unblock, found


def test_a_contract_document_that_cannot_be_read_is_to_be_corrected(tmp_path: Path) -> None:
    trips = bundles.healthy_trips()
    [documents] = [item for item in trips["contracts"]["artifacts"] if item["to"] == "05-contracts/docs/contracts"]
    for file in documents["files"]:
        file["content"] += "\n```\nnever closed\n"
        file["size"] = len(file["content"].encode())
    found = results(decided(tmp_path, trips))["contracts.ownership"]
    assert str(found.status) == "INVALID" and "Correct the named lines" in found.unblock, found


def test_no_relay_test_collected_holds(tmp_path: Path) -> None:
    report = '<?xml version="1.0"?><testsuites><testsuite tests="0" errors="0" failures="0" skipped="0" /></testsuites>'
    holds(
        _with_artifact(tmp_path, "contracts", "05-relay-junit.xml", {"": report}), "contracts.relay", "FAIL", "0 passed"
    )


def test_an_empty_smoke_log_holds(tmp_path: Path) -> None:
    logs = {**bundles.SMOKE_LOGS, "20261124T003036-vm-slurm/02-sinfo.log": ""}
    decision = _with_artifact(tmp_path, "slurm_smoke", "slurm-smoke", logs)
    holds(decision, "slurm_smoke.artifacts", "MISSING", "empty: slurm-smoke/20261124T003036-vm-slurm/02-sinfo.log")


@pytest.mark.stranger("13.7", "a log that the smoke leaves empty on purpose, or did not get to, held as a full disk")
def test_a_log_that_is_meant_to_be_empty_does_not_hold(tmp_path: Path) -> None:
    logs = {**bundles.SMOKE_LOGS, "20261124T003036-vm-slurm/diag-which-verdi.log": ""}
    assert (
        results(_with_artifact(tmp_path / "a", "slurm_smoke", "slurm-smoke", logs))["slurm_smoke.artifacts"].status
        == "PASS"
    )
    blocked = bundles.trips_with("slurm_smoke", "script", exit=2, output="result: BLOCKED: no profile\n")
    empty = {name: "" for name in bundles.SMOKE_LOGS if "05" in name}
    blocked["slurm_smoke"]["artifacts"] = [bundles.artifact("slurm-smoke", {**bundles.SMOKE_LOGS, **empty})]
    found = results(decided(tmp_path / "b", blocked))
    assert (found["slurm_smoke.artifacts"].status, found["slurm_smoke.script"].status) == ("PASS", "BLOCKED")


@pytest.mark.stranger(
    "13.3", "a lock that uv wrote anew in gate 2 made other gates hold, and nothing said who wrote it"
)
@pytest.mark.parametrize("gate", list(bundles.healthy_trips()))
def test_a_tracked_file_that_the_gate_s_own_commands_change_is_named_once(tmp_path: Path, gate: str) -> None:
    trips = bundles.healthy_trips()
    probe = next(command["output"] for command in trips[gate]["commands"] if command["id"] == "identity_end")
    now = bundles.dirty(probe, "uv.lock (modified)")
    trips[gate] = bundles.changed(trips[gate], "identity_end", output=now)
    names = list(trips)
    for later in names[names.index(gate) + 1 :]:  # the gates after it on this host find it so
        if bundles.host_of(later) == bundles.host_of(gate):
            for which in bundles.BEGIN_AND_END:
                trips[later] = bundles.changed(trips[later], which, output=now)
    found = results(decided(tmp_path, trips))
    assert found[f"{gate}.tracked"].status == "FAIL"
    assert "uv.lock" in found[f"{gate}.tracked"].observed
    ways = "aiida_vm_verdi" if gate in ("vm_bootstrap", "slurm_smoke") else "workspace_checkout=worktree"
    assert ways in found[f"{gate}.tracked"].unblock
    assert [check.id for check in found.values() if "uv.lock" in check.observed and check.status != "STALE"] == [
        f"{gate}.tracked"
    ]


def test_what_was_put_right_in_the_temporary_worktree_is_a_warning(tmp_path: Path) -> None:
    trips = bundles.healthy_trips()
    restored = bundles.command(
        "put_right", "02-sqlite-smoke-host.log", ["own-worktree.sh"], "restored: apps/api/uv.lock\n"
    )
    trips["sqlite_smoke"]["commands"].append(restored)
    found = results(decided(tmp_path, trips))["sqlite_smoke.tracked"]
    assert found.status == "PASS"
    assert "apps/api/uv.lock" in found.warnings[0]


@pytest.mark.parametrize(
    ("gate", "command", "fields", "check", "remedy"),
    [
        ("vm_bootstrap", "status", {"output": OLD_SCHEMA, "exit": 3}, "vm_bootstrap.storage", "'storage migrate --force'"),
        ("slurm_smoke", "show_nodes", {"output": INVALID_NODE}, "slurm_smoke.node", "correct the line of aiida-vm in slurm"),
        ("slurm_smoke", "computer_test", {"exit": 1, "output": DISABLED}, "slurm_smoke.computer_test",
         "computer enable vm-slurm op@example.org`"),
        ("slurm_smoke", "job", {"exit": 1, "output": "sbatch: error: Invalid account or account/partition combination\n"},
         "slurm_smoke.job", "Set gate_slurm_smoke_partition, gate_slurm_smoke_account"),
    ],
    ids=["an older schema", "a node with less memory", "a disabled computer", "a refused job"],
)  # fmt: skip
def test_the_remedy_is_for_what_the_tool_reports(
    tmp_path: Path, gate: str, command: str, fields: dict[str, object], check: str, remedy: str
) -> None:
    found = results(decided(tmp_path, bundles.trips_with(gate, command, **fields)))[check]
    assert found.status == "FAIL" and remedy in found.unblock, found


def test_a_generated_file_beside_the_named_one_that_was_restored_is_drift(tmp_path: Path) -> None:
    trips = bundles.healthy_trips()
    rows = "restored: packages/api-client/src/generated/zod/client.ts\n"
    trips["contracts"]["commands"].append(bundles.command("worktree_restore", "05-workspace.log", ["x"], rows))
    holds(
        decided(tmp_path, trips), "contracts.client_drift", "FAIL", "also changed packages/api-client/src/generated/zod"
    )


def test_what_gate_5_put_back_is_a_warning(tmp_path: Path) -> None:
    trips = bundles.healthy_trips()
    argv = ["worktree.sh", "restore"]
    rows = "restored: src/schema.ts\nleft alone: mine.txt\n"
    trips["contracts"]["commands"].append(bundles.command("worktree_restore", "05-workspace.log", argv, rows))
    found = results(decided(tmp_path, trips))["contracts.tracked"]
    assert (found.status, found.observed) == ("PASS", "restored in the checkout: src/schema.ts")
    assert found.warnings == ("Gate 5 changed files of the checkout, which were restored: src/schema.ts.",)


NO_SPACE = [
    (
        "vm_bootstrap",
        "bootstrap",
        1,
        "mkdir: cannot create directory '/x': No space left on device",
        "vm_bootstrap.script",
    ),
    ("sqlite_smoke", "run_1", 1, "sqlite3.OperationalError: database or disk is full", "sqlite_smoke.runs"),
    ("contracts", "generate", 1, "Error: ENOSPC: no space left on device, write", "contracts.client_generate"),
    ("slurm_smoke", "job", 1, "slurmd: error: Out of diskspace", "slurm_smoke.job"),
]


@pytest.mark.stranger("13.7", "a full file system was recognised in one place and one spelling")
@pytest.mark.parametrize(("gate", "command", "status", "line", "check"), NO_SPACE)
def test_a_full_file_system_is_the_reason_wherever_it_shows(
    tmp_path: Path, gate: str, command: str, status: int, line: str, check: str
) -> None:
    found = results(decided(tmp_path, bundles.trips_with(gate, command, exit=status, output=line + "\n")))[check]
    assert line in found.observed
    assert found.unblock.startswith("A file system of ")


CONFIGS = [
    (
        3,
        "aiida_vm_config_dir is not set, and neither AIIDA_PATH nor AIIDA_CONFIG_DIR is\n",
        "Set aiida_vm_config_dir to the",
    ),
    (4, bundles.CONFIG_DIR + "there is no configuration in /home/aiida/.aiida\n", "-e aiida_vm_first_run=true"),
    (
        0,
        bundles.CONFIG_DIR.replace("/home/aiida", "/srv/other"),
        "Set aiida_vm_config_dir to the folder that verdi named",
    ),
]


@pytest.mark.stranger(
    "13.1", "which configuration verdi read was neither recorded nor compared with the one that was meant"
)
@pytest.mark.parametrize(("status", "output", "says"), CONFIGS)
def test_the_configuration_that_verdi_reads_is_the_one_that_is_meant(
    tmp_path: Path, status: int, output: str, says: str
) -> None:
    found = results(decided(tmp_path, bundles.trips_with("vm_bootstrap", "config_dir", exit=status, output=output)))
    assert found["vm_bootstrap.config_dir"].status == ("FAIL" if status == 0 else "BLOCKED")
    assert says in found["vm_bootstrap.config_dir"].unblock


def test_a_field_without_an_owner_holds(tmp_path: Path) -> None:
    documents = bundles.documents("contracts")
    name = next(name for name in documents if "submit" in name)
    documents[name] = documents[name].replace("## Optional fields", "## Optional fields\n\n- `quota` (integer)", 1)
    decision = _with_artifact(tmp_path, "contracts", "05-contracts/docs/contracts", documents)
    holds(decision, "contracts.ownership", "FAIL", "quota")


def test_a_preparation_that_fails_blocks(tmp_path: Path) -> None:
    trips = bundles.healthy_trips()
    failed = bundles.command("prepare_1", "01-prepare.log", "pnpm install", "no network\n", exit=1)
    trips["preflight"] = {**trips["preflight"], "commands": [*trips["preflight"]["commands"], failed]}
    decision = decided(tmp_path, trips, workspace_prepare_commands=["pnpm install"])
    holds(decision, "preflight.prepare", "BLOCKED", "exited 1")


@pytest.mark.parametrize(
    ("output", "observed"),
    [
        ("scheduler: core.slurm\nx: 19\ny: 23\npk: 5\nprocess_state: created\nexit_status: None\n", "created"),
        ("scheduler: core.slurm\nx: 19\ny: 23\npk: 5\nprocess_state: finished\nexit_status: 0\nsum: 41\n", "gave 41"),
        (
            "scheduler: core.direct\nx: 19\ny: 23\npk: 5\nprocess_state: finished\nexit_status: 0\nsum: 42\n",
            "core.direct",
        ),
        ("scheduler: core.slurm\nx: 19\ny: 23\npk: 5\nprocess_state: finished\nexit_status: 410\nsum: 42\n", "410"),
    ],
)
def test_a_calculation_that_did_not_finish_right_holds(tmp_path: Path, output: str, observed: str) -> None:
    trips = bundles.healthy_trips()
    ran = bundles.command("calculation", "04-calculation.log", ["verdi", "run"], output)
    trips["slurm_smoke"] = {**trips["slurm_smoke"], "commands": [*trips["slurm_smoke"]["commands"], ran]}
    decision = decided(tmp_path, trips, gate_slurm_smoke_submit_calculation=True)
    holds(decision, "slurm_smoke.calculation", "FAIL", observed)


@pytest.mark.parametrize(
    ("command", "output", "check_id", "sentence"),
    [
        ("sinfo", "debug*|up|aiida-vm|drained|work\n", "node", "`sudo scontrol update nodename=aiida-vm state=resume`"),
        ("sinfo", "debug*|up|aiida-vm|down*|none\n", "node", "`sudo systemctl restart slurmd ; "),
        ("sinfo", "debug*|down|aiida-vm|idle|none\n", "node", "partitionname=debug state=up`"),
        ("sinfo", "debug*|up||n/a|none\n", "node", "`sudo scontrol reconfigure`"),
        ("job", PENDING.format(reason="PartitionDown"), "job", "`sinfo -R ; scontrol show reservation ; squeue -l`"),
        ("job", JOB_RUNS, "job", "`sudo systemctl restart slurmd`"),
        ("job", JOB_RUNS + bundles.JOB_LINE.format(state="COMPLETING"), "job", "`sudo systemctl restart slurmd`"),
        ("job", PENDING.format(reason="ReqNodeNotAvail,_UnavailableNodes:aiida-vm"), "job", "restart slurmd`"),
        ("job", PENDING.format(reason="Priority"), "job", "The cluster is busy"),
        ("job", FAILED_JOB, "job", "`sudo journalctl -u slurmd -n 50`"),
    ],
    ids=[
        "drained",
        "slurmd-dead",
        "partition-down",
        "no-node",
        "pending",
        "nobody-runs-it",
        "nobody-ends-it",
        "no-answer",
        "busy",
        "ran-and-failed",
    ],
)
def test_the_sentence_fits_the_fault(tmp_path: Path, command: str, output: str, check_id: str, sentence: str) -> None:
    decision = decided(tmp_path, bundles.trips_with("slurm_smoke", command, output=output))
    checks = {check.id: check for check in decision.gate("slurm_smoke").checks}
    assert sentence in checks[f"slurm_smoke.{check_id}"].unblock


RESERVATION = (
    "ReservationName={name} StartTime=2026-11-24T00:00:00 EndTime=2026-11-25T00:00:00 Duration=1-00:00:00 "
    "Nodes={nodes} NodeCnt=1 Users=root Flags=MAINT,SPEC_NODES State={state} \n"
)
NEXT_WEEK = RESERVATION.format(name="course-next-week", nodes="aiida-vm", state="INACTIVE")
UPKEEP = RESERVATION.format(name="upkeep", nodes="aiida-vm", state="ACTIVE")
ELSEWHERE = RESERVATION.format(name="elsewhere", nodes="other", state="ACTIVE")
MAINT = "debug*|up|aiida-vm|maint|none\n"
BUSY = PENDING.format(reason="Resources")


@pytest.mark.parametrize(
    ("sinfo", "reservations", "sentence"),
    [
        ("old|down|n1|idle|none\ndebug*|up|n2|drained|work\n", "", "nodename=n2 state=resume`"),
        ("debug*|up|aiida-vm|idle~|none\n", "", "`scontrol show node aiida-vm`"),
        ("debug*|up|aiida-vm|inval|none\n", "", "correct the line of aiida-vm in slurm.conf"),
        ("debug*|up|aiida-vm|reboot^|none\n", "", "`scontrol show node aiida-vm`"),
        (MAINT, ELSEWHERE + NEXT_WEEK + UPKEEP, "`sudo scontrol delete reservation=upkeep`"),
        (MAINT, NEXT_WEEK, "Find the reservation of aiida-vm on aiida-vm with `scontrol show reservation`"),
    ],
    ids=["a-node-of-a-partition-that-is-up", "powered-off", "invalid", "reboots", "in-force", "not-known"],
)
def test_the_remedy_is_for_the_node_that_is_in_the_way(
    tmp_path: Path, sinfo: str, reservations: str, sentence: str
) -> None:
    trips = bundles.trips_with("slurm_smoke", "sinfo", output=sinfo)
    trips["slurm_smoke"] = bundles.changed(trips["slurm_smoke"], "reservations", output=reservations)
    assert sentence in results(decided(tmp_path, trips))["slurm_smoke.node"].unblock


@pytest.mark.parametrize(("reservations", "says"), [(NEXT_WEEK, "cluster is busy"), (UPKEEP, "reservation=upkeep`")])
def test_only_a_reservation_in_force_keeps_a_job_waiting(tmp_path: Path, reservations: str, says: str) -> None:
    trips = bundles.trips_with("slurm_smoke", "job", output=BUSY)
    trips["slurm_smoke"] = bundles.changed(trips["slurm_smoke"], "reservations", output=reservations)
    found = results(decided(tmp_path, trips))
    job = found["slurm_smoke.job"]
    assert says in found[job.cause or job.id].unblock


def test_every_check_of_the_shipped_policy_is_seen_to_hold(tmp_path: Path) -> None:
    elsewhere = {
        "vm_bootstrap.config_dir",
        *(f"{gate}.tracked" for gate in bundles.healthy_trips()),
        "contracts.relay",
        "slurm_smoke.artifacts",
        "preflight.prepare",
        "slurm_smoke.calculation",
    }
    policy = load_bundle(bundles.closed_bundle(tmp_path)).policy
    assert {check.id for check in policy.checks()} == {row[3] for row in ROWS} | elsewhere


@pytest.mark.parametrize("gate", list(bundles.healthy_trips()))
def test_a_gate_that_left_nothing_is_missing(tmp_path: Path, gate: str) -> None:
    trips = {name: trip for name, trip in bundles.healthy_trips().items() if name != gate}
    decision = decided(tmp_path, trips)
    assert decision.decision == "HOLD"
    assert decision.gate(gate).status is Status.MISSING


def _with_artifact(root: Path, gate: str, to: str, files: dict[str, str]) -> Decision:
    trips = bundles.healthy_trips()
    kept = [found for found in trips[gate]["artifacts"] if found["to"] != to]
    trips[gate] = {**trips[gate], "artifacts": [*kept, bundles.artifact(to, files)]}
    return decided(root, trips)


def test_the_applications_own_map_is_used_where_the_policy_names_it(tmp_path: Path) -> None:
    shipped = (bundles.PROJECT / "policies" / "aiida.yml").read_text(encoding="utf-8")
    policy = tmp_path / "policy.yml"
    policy.write_text(shipped.replace("map: ''", "map: docs/contract-fields.yml"), encoding="utf-8")
    trips = bundles.healthy_trips()
    owners = shipped_text().replace("    job_id: product\n", "", 1)
    trips["contracts"]["artifacts"].append(bundles.artifact("05-contracts/docs/contract-fields.yml", {"": owners}))
    decision = decided(tmp_path / "root", trips, promotion_policy=str(policy))
    holds(decision, "contracts.ownership", "FAIL", "job_id")


def test_a_map_that_the_policy_names_and_nobody_collected_holds(tmp_path: Path) -> None:
    shipped = (bundles.PROJECT / "policies" / "aiida.yml").read_text(encoding="utf-8")
    policy = tmp_path / "policy.yml"
    policy.write_text(shipped.replace("map: ''", "map: docs/contract-fields.yml"), encoding="utf-8")
    decision = decided(tmp_path / "root", bundles.healthy_trips(), promotion_policy=str(policy))
    holds(decision, "contracts.ownership", "MISSING", "docs/contract-fields.yml")


def test_no_node_modules_blocks_the_generation(tmp_path: Path) -> None:
    trips = bundles.trips_with("contracts", "generate", exit=1, output="sh: 1: openapi-typescript: not found\n")
    trips["contracts"] = bundles.changed(trips["contracts"], "generated_before", exit=1)
    holds(decided(tmp_path, trips), "contracts.client_generate", "BLOCKED", "node_modules is not there")


@pytest.mark.stranger("15.5", "two records of one command id in one attempt: the last one won (ping DOWN, then UP)")
def test_two_records_of_one_command_prove_nothing(tmp_path: Path) -> None:
    trips = bundles.healthy_trips()
    down = bundles.changed(trips["slurm_smoke"], "ping", exit=1, output=bundles.PING_DOWN)["commands"][1]
    trips["slurm_smoke"]["commands"].insert(1, down)
    holds(decided(tmp_path, trips), "slurm_smoke.controller", "INVALID", "is recorded 2 times")


@pytest.mark.stranger("15.5", "two records of the identity in one attempt: the last one won")
def test_two_identities_are_none(tmp_path: Path) -> None:
    trips = bundles.healthy_trips()
    other = bundles.changed(trips["vm_bootstrap"], "identity", output=OTHER_COMMIT)["commands"][0]
    trips["vm_bootstrap"]["commands"].insert(0, other)
    holds(decided(tmp_path, trips), "vm_bootstrap.checkout", "INVALID", "is recorded 2 times")


@pytest.mark.stranger("15.1", "a sqlite profile, or a broker that is not RabbitMQ, counted as the runtime of the spec")
@pytest.mark.parametrize(
    ("service", "line", "observed"),
    [
        ("storage", "SqliteTemp storage [open], sandbox: SandboxFolder", "it is core.sqlite_temp"),
        ("storage", "SqliteZip storage (read-only) [open] @ /a.aiida", "it is core.sqlite_zip"),
        ("storage", "SqliteDosStorage[/postgresql://x]: open,", "it is core.sqlite_dos"),
        ("storage", "MyStorage @ postgresql://a", "it is of an unknown kind"),
        ("storage", "Storage for 'vm-psql' [closed] @ postgresql://a", "it is of an unknown kind"),
        ("broker", "ZeroMQ Broker (PID 12) @ /home/aiida/.aiida/broker/x", "it is core.zeromq"),
        ("broker", "Redis v7 @ redis://127.0.0.1", "it is of an unknown kind"),
        ("broker", "RabbitMQ @ amqp://127.0.0.1", "it is of an unknown kind"),
    ],
)
def test_another_storage_or_broker_is_not_the_runtime_of_the_spec(
    tmp_path: Path, service: str, line: str, observed: str
) -> None:
    rows = [f" ✔ {service}:     {line}" if f" {service}:" in row else row for row in STATUS.splitlines()]
    trips = bundles.trips_with("vm_bootstrap", "status", output="\n".join(rows) + "\n")
    holds(decided(tmp_path, trips), f"vm_bootstrap.{service}", "FAIL", observed)


@pytest.mark.stranger("15.1", "of two lines of one service the first counted, whatever the second said")
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("service", "line", "observed"),
    [
        ("storage", "SqliteDosStorage[/a]: open,", "core.sqlite_dos"),
        ("storage", "Storage for 'old' [open] @ postgresql+psycopg://u@h/d", "it is the storage of "),
        ("broker", "ZeroMQ Broker (PID 12) @ /a", "core.zeromq"),
    ],
)
def test_every_line_of_a_service_counts(tmp_path: Path, service: str, line: str, observed: str, first: bool) -> None:
    rows = STATUS.splitlines()
    [place] = [number for number, row in enumerate(rows) if f" {service}:" in row]
    rows.insert(place if first else place + 1, f" ✔ {service}:     {line}")
    trips = bundles.trips_with("vm_bootstrap", "status", output="\n".join(rows) + "\n")
    holds(decided(tmp_path, trips), f"vm_bootstrap.{service}", "FAIL", observed)


@pytest.mark.stranger("15.1", "the storage of another profile counted as the target's")
def test_the_storage_is_the_target_profiles(tmp_path: Path) -> None:
    other = STATUS.replace("Storage for 'vm-psql'", "Storage for 'vm-psql-old'")
    trips = bundles.trips_with("vm_bootstrap", "status", output=other)
    holds(decided(tmp_path, trips), "vm_bootstrap.storage", "FAIL", "it is the storage of vm-psql-old, not vm-psql")


@pytest.mark.stranger("15.3", "an answer that names no reservation, and not that there are none, counted as none")
@pytest.mark.parametrize("output", ["slurm_load_reservations error: Unable to contact slurm controller\n", "n/a\n"])
def test_reservations_that_are_not_shown_are_not_none(tmp_path: Path, output: str) -> None:
    trips = bundles.trips_with("slurm_smoke", "reservations", output=output)
    holds(decided(tmp_path, trips), "slurm_smoke.node", "INVALID", "does not list the reservations")


@pytest.mark.stranger("15.1", "ZeroMQ: the broker of the daemon's line counted as RabbitMQ")
def test_the_broker_of_the_daemon_is_not_rabbitmq(tmp_path: Path) -> None:
    rows = [row for row in STATUS.splitlines() if " broker:" not in row]
    rows[-1] += ", Broker PID 5770 [0 pending, 0 processing]"
    trips = bundles.trips_with("vm_bootstrap", "status", output="\n".join(rows) + "\n")
    holds(decided(tmp_path, trips), "vm_bootstrap.broker", "FAIL", "it is core.zeromq, not core.rabbitmq")


WORKER = " 2486     0.51        0  2026-11-24 00:30:17"


@pytest.mark.stranger("15.1", "a daemon whose workers are all dead counted by its headline")
@pytest.mark.parametrize(
    ("headline", "rows", "status"),
    [
        (1, [WORKER], "PASS"),
        (1, [" 2486  N/A      N/A      2026-11-24 00:30:17"], "PASS"),
        (2, [WORKER, " 2487  -        -        -"], "PASS"),
        (2, [" 2486  -        -        -", " 2487  -        -        -"], "FAIL"),
        (1, [WORKER, " 2486  -        -        -"], "FAIL"),
        (1, ["--> No workers are running. Use `verdi daemon incr` to start some!"], "FAIL"),
        (1, [], "FAIL"),
        (1, [" 2486  -        -        2026-11-24 00:30:17"], "FAIL"),
        (0, [WORKER], "FAIL"),
    ],
)
def test_a_worker_counts_by_its_row(tmp_path: Path, headline: int, rows: list[str], status: str) -> None:
    output = bundles.DAEMON_STATUS.replace("[1]", f"[{headline}]").replace(WORKER, "\n".join(rows))
    trips = bundles.trips_with("vm_bootstrap", "daemon_status", output=output)
    assert results(decided(tmp_path, trips))["vm_bootstrap.workers"].status == status


@pytest.mark.stranger(
    "15.12", "Git's refusal of a checkout (dubious ownership, lfs missing) had the remedy of a missing one"
)
@pytest.mark.parametrize(
    ("gate", "check_id", "reason", "remedy"),
    [
        (
            "vm_bootstrap",
            "vm_bootstrap.checkout",
            "fatal: detected dubious ownership in repository at '/srv/app'",
            "safe.directory /srv/app",
        ),
        (
            "vm_bootstrap",
            "vm_bootstrap.checkout",
            "fatal: big.bin: smudge filter lfs failed",
            "git -C /srv/app lfs pull",
        ),
        (
            "vm_bootstrap",
            "vm_bootstrap.checkout",
            "fatal: not a git repository",
            "Check the application out at /srv/app",
        ),
        (
            "preflight",
            "preflight.worktree",
            "fatal: detected dubious ownership in repository at '/srv/app'",
            "safe.directory /srv/app",
        ),
        ("preflight", "preflight.worktree", "fatal: index file corrupt", "git -C /srv/app fsck"),
    ],
)
def test_what_git_refuses_has_its_own_remedy(
    tmp_path: Path, gate: str, check_id: str, reason: str, remedy: str
) -> None:
    output = f"machine_id: 1\ncheckout_error: `git rev-parse` exited 128: {reason}\n"
    found = results(decided(tmp_path, bundles.trips_with(gate, "identity", output=output)))[check_id]
    assert (found.status, reason in found.observed, remedy in found.unblock) == (Status.FAIL, True, True), found
