"""One cause, one remedy: what did not pass because of another check is shown under that one, in every record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bundles
import pytest

from promotion_gate.base.files import read_json, to_json
from promotion_gate.base.model import Decision, Status
from promotion_gate.bundle.baseline import write_baseline
from promotion_gate.bundle.load import load_bundle
from promotion_gate.bundle.recorder import Recorder
from promotion_gate.judge.decide import decide
from promotion_gate.prove.seal import seal
from promotion_gate.report.render import render
from promotion_gate.report.show import text_of
from promotion_gate.run.probing import probe_of, record_probes

Trips = bundles.Trips
LOST = "slurm_load_partitions: Unable to contact slurm controller (connect failure)\n"


def changed(trips: Trips, gate: str, **commands: dict[str, Any]) -> None:
    for command_id, fields in commands.items():
        trips[gate] = bundles.changed(trips[gate], command_id, **fields)


def stopped_slurmctld(trips: Trips) -> None:
    changed(
        trips,
        "slurm_smoke",
        ping={"exit": 1, "output": bundles.PING_DOWN},
        sinfo={"exit": 1, "output": LOST},
        show_nodes={"exit": 1, "output": LOST},
        script={"exit": 2, "output": "BLOCKED: slurmctld does not answer\n"},
        computer_test={"exit": 1, "output": "* Getting number of jobs from scheduler... [Failed]: no\n"},
        job={"exit": 1, "output": "sbatch: error: Batch job submission failed\n"},
    )
    trips["slurm_smoke"]["artifacts"] = [bundles.artifact("slurm-smoke", {})]


def misspelt_env_file(trips: Trips) -> None:
    why = "the environment file ops/aiida-vm/aiida-vn.env cannot be read (No such file or directory)"
    none = {"exit": None, "output": "", "not_run": why, "duration_ns": 0}
    for gate in ("vm_bootstrap", "slurm_smoke"):
        trips[gate]["env_file"] = {"path": "ops/aiida-vm/aiida-vn.env", "error": "No such file", "names": []}
    names = ("env_profile", "profile_list", "status", "daemon_status", "ages", "versions")
    changed(trips, "vm_bootstrap", **dict.fromkeys(names, none), bootstrap={"exit": 1, "output": "no such file\n"})
    changed(trips, "slurm_smoke", **dict.fromkeys(("script", "computer_test", "computer_show"), none))
    trips["slurm_smoke"]["artifacts"] = []


def no_folder_of_verdi(trips: Trips) -> None:
    message = "aiida_vm_config_dir is not set, and neither AIIDA_PATH nor AIIDA_CONFIG_DIR is in the environment file\n"
    none = {"exit": None, "output": "", "not_run": "needs config_dir, which exited 3", "duration_ns": 0}
    seen = bundles.vm_probe().replace("config_dir: /home/aiida/.aiida", "config_dir: none")
    for gate in ("vm_bootstrap", "slurm_smoke"):
        changed(trips, gate, identity={"output": seen}, identity_end={"output": seen})
    changed(trips, "vm_bootstrap", config_dir={"exit": 3, "output": message})
    changed(trips, "vm_bootstrap", **dict.fromkeys(("profile_list", "status", "daemon_status", "versions"), none))
    changed(trips, "slurm_smoke", **dict.fromkeys(("script", "computer_test", "computer_show"), none))
    trips["slurm_smoke"]["artifacts"] = []


def absent_profile(trips: Trips) -> None:
    gone = {"exit": 1, "output": "Critical: profile `vm-psql` does not exist\n"}
    changed(
        trips,
        "vm_bootstrap",
        profile_list={"output": "Report: configuration folder: /home/aiida/.aiida\n* other\n"},
        status=gone,
        daemon_status=gone,
    )
    changed(
        trips,
        "slurm_smoke",
        script={"exit": 2, "output": "BLOCKED: no profile\n"},
        computer_test=gone,
        computer_show=gone,
    )


def frozen_postgresql(trips: Trips) -> None:
    shown = bundles.STATUS[: bundles.STATUS.index(" ✔ storage")]
    late = {"exit": None, "signal": 9, "timed_out": True, "duration_ns": 60 * bundles.SECOND}
    changed(
        trips,
        "vm_bootstrap",
        status={**late, "output": shown},
        daemon_status={**late, "output": ""},
    )
    changed(trips, "slurm_smoke", computer_test={**late, "output": ""}, script={**late, "output": ""})


def frozen_postgresql_that_the_bootstrap_asks(trips: Trips) -> None:
    frozen_postgresql(trips)
    late = {"exit": None, "signal": 9, "timed_out": True, "duration_ns": 120 * bundles.SECOND}
    changed(trips, "vm_bootstrap", bootstrap={**late, "output": "==> dry run\n"})


GATE_3 = ("status_profile", "storage", "broker", "daemon", "workers")
FAULTS: list[tuple[Callable[[Trips], None], dict[str, set[str]]]] = [
    (
        stopped_slurmctld,
        {
            "slurm_smoke.controller": {
                f"slurm_smoke.{w}" for w in (["script", "artifacts", "node", "computer_test", "job", "evidence"])
            }
        },
    ),
    (
        misspelt_env_file,
        {
            "vm_bootstrap.env_file": {
                *(f"vm_bootstrap.{word}" for word in (*GATE_3, "script", "config_dir", "profile")),
                *(f"slurm_smoke.{word}" for word in ("script", "computer_test", "artifacts", "evidence")),
            }
        },
    ),
    (
        no_folder_of_verdi,
        {
            "vm_bootstrap.config_dir": {
                *(f"vm_bootstrap.{word}" for word in (*GATE_3, "profile")),
                *(f"slurm_smoke.{word}" for word in ("script", "computer_test", "artifacts", "evidence")),
            }
        },
    ),
    (
        absent_profile,
        {
            "vm_bootstrap.profile": {
                *(f"vm_bootstrap.{word}" for word in GATE_3),
                *("slurm_smoke.script", "slurm_smoke.computer_test"),
            }
        },
    ),
    (
        frozen_postgresql,
        {
            "vm_bootstrap.storage": {
                *("vm_bootstrap.broker", "vm_bootstrap.daemon", "vm_bootstrap.workers"),
                *("slurm_smoke.script", "slurm_smoke.computer_test"),
            }
        },
    ),
    (
        frozen_postgresql_that_the_bootstrap_asks,
        {
            "vm_bootstrap.storage": {
                *("vm_bootstrap.script", "vm_bootstrap.first_run"),
                *("vm_bootstrap.broker", "vm_bootstrap.daemon", "vm_bootstrap.workers"),
                *("slurm_smoke.script", "slurm_smoke.computer_test"),
            }
        },
    ),
]


def decided(root: Path, fault: Callable[[Trips], None]) -> tuple[Path, Decision]:
    trips = bundles.healthy_trips()
    fault(trips)
    folder = bundles.closed_bundle(root, trips)
    return folder, decide(load_bundle(folder))


def caused(decision: Decision) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for gate in decision.gates:
        for check in gate.checks:
            if check.status is not Status.PASS:
                found.setdefault(check.cause or check.id, set()).update([check.id] if check.cause else [])
    return found


@pytest.mark.stranger("13.7", "one fault of the VM answered with six or seven remedies")
@pytest.mark.parametrize(("fault", "expected"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_one_fault_has_one_cause(tmp_path: Path, fault: Callable[[Trips], None], expected: dict[str, set[str]]) -> None:
    _, decision = decided(tmp_path, fault)
    assert decision.decision == "HOLD"
    assert caused(decision) == expected


@pytest.mark.parametrize(("fault", "expected"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_the_remedy_of_the_cause_is_the_only_one_that_people_read(
    tmp_path: Path, fault: Callable[[Trips], None], expected: dict[str, set[str]]
) -> None:
    folder, decision = decided(tmp_path, fault)
    (cause,) = expected
    rendered = render(load_bundle(folder), decision)
    terminal = text_of(json.loads(rendered["promotion-decision.json"]))
    assert terminal.count("  unblock:  ") == 1 and terminal.count("  because of it: ") == 1
    assert rendered["promotion-decision.md"].count("  - unblock: ") == 1
    assert rendered["follow-up-issue.md"].count("unblock condition") == 1
    for gate in decision.gates:
        for check in gate.checks:
            if check.cause:
                assert (check.cause, check.unblock) == (cause, f"First unblock {cause}.")
                assert check.id in terminal and f"`{check.id}`" in rendered["promotion-decision.md"]


@pytest.mark.stranger("13.7", "PostgreSQL frozen: RabbitMQ and the daemon are said to hang")
def test_a_service_that_verdi_did_not_get_to_is_not_reported_as_hanging(tmp_path: Path) -> None:
    _, decision = decided(tmp_path, frozen_postgresql)
    checks = {check.id: check for check in decision.gate("vm_bootstrap").checks}
    assert checks["vm_bootstrap.status_profile"].status is Status.PASS
    assert "PostgreSQL accepts connections and does not answer" in checks["vm_bootstrap.storage"].unblock
    assert "did not get past storage" in checks["vm_bootstrap.broker"].observed


def test_a_status_that_shows_everything_up_and_does_not_end_passes_for_nothing(tmp_path: Path) -> None:
    """Whatever it hangs at, something is wrong: no service may pass because another one is to be blamed."""

    def late(trips: Trips) -> None:
        changed(trips, "vm_bootstrap", status={"exit": None, "signal": 9, "timed_out": True})

    _, decision = decided(tmp_path, late)
    checks = {check.id: check.status for check in decision.gate("vm_bootstrap").checks}
    assert checks["vm_bootstrap.status_profile"] is Status.BLOCKED and checks["vm_bootstrap.daemon"] is Status.BLOCKED


@pytest.mark.stranger("13.7", "an unreachable VM: 16 identical blocks")
def test_an_unreachable_host_is_one_block(tmp_path: Path) -> None:
    trips = bundles.healthy_trips()
    write_baseline(tmp_path / "baseline", bundles.known_good())
    bundle = bundles.open_bundle(tmp_path)
    bundles.record(
        bundle, {gate: trip for gate, trip in trips.items() if "vm" not in gate and "slurm" not in gate}, False
    )
    recorder = Recorder(bundle)
    for gate in ("vm_bootstrap", "slurm_smoke"):
        recorder.event(
            "unreachable", gate, "aiida-vm", "Run the gate", "ssh: connect to host aiida-vm port 22: no route"
        )
    recorder.close()
    decision = seal(bundle)
    found = caused(decision)
    assert set(found) == {"vm_bootstrap.host"} and len(found["vm_bootstrap.host"]) > 15
    terminal = text_of(json.loads((bundle / "promotion-decision.json").read_text(encoding="utf-8")))
    assert terminal.count("  unblock:  ") == 1 and "-m ansible.builtin.ping" in terminal


@pytest.mark.stranger("13.8", "an unreachable VM: unknown key, wrong user, port or name all had one remedy")
@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("Host key verification failed.", "known_hosts"),
        ("aiida@192.0.2.1: Permission denied (publickey).", "ansible_user"),
        ("ssh: connect to host 192.0.2.1 port 2222: Connection refused", "ansible_port"),
        ("ssh: Could not resolve hostname aiida-vn: Name or service not known", "ansible_host"),
        ("the environment file /home/aiida/app/x.env: there is no such file.", "aiida_vm_env_file"),
        ("the application is not checked out: there is no folder /home/aiida/ap.", "aiida_vm_repo_dir"),
    ],
    ids=["host-key", "user", "port", "name", "env-file", "checkout"],
)
def test_a_host_that_was_found_unusable_is_one_short_block_with_its_own_remedy(
    tmp_path: Path, message: str, remedy: str
) -> None:
    trips = bundles.healthy_trips()
    write_baseline(tmp_path / "baseline", bundles.known_good())
    bundle = bundles.open_bundle(tmp_path)
    record_probes(Recorder(bundle), {"aiida-vm": probe_of({"unreachable": True, "msg": message})})
    bundles.record(bundle, {gate: trips[gate] for gate in ("preflight", "sqlite_smoke", "contracts")})
    found = caused(seal(bundle))
    assert set(found) == {"vm_bootstrap.host"} and len(found["vm_bootstrap.host"]) > 15
    terminal = text_of(json.loads((bundle / "promotion-decision.json").read_text(encoding="utf-8")))
    block = terminal[terminal.index("gate 3: ") :].split("\nobjection: ")[0].splitlines()
    assert len(block) <= 8 and remedy in "\n".join(block) and message in "\n".join(block), terminal
    assert all(len(line) < 320 for line in block)


@pytest.mark.stranger("13.7", "a gate whose setting changed was shown once for each of its checks, 13 times alike")
def test_checks_of_one_reason_and_one_remedy_are_one_block(tmp_path: Path) -> None:
    trips = bundles.healthy_trips()
    write_baseline(tmp_path / "baseline", bundles.known_good())
    bundle = bundles.open_bundle(tmp_path, promotion_gates="1,2,3,4")
    bundles.record(bundle, {gate: trip for gate, trip in trips.items() if gate != "contracts"})
    decision = seal(bundle)
    skipped = [check.id for check in decision.gate("contracts").checks]
    terminal = text_of(json.loads((bundle / "promotion-decision.json").read_text(encoding="utf-8")))
    assert len(skipped) > 4 and all(check_id in terminal for check_id in skipped)
    assert terminal.count("gate 5: SKIPPED") <= 2 and terminal.count("  unblock:  ") <= 2, terminal


def test_two_faults_have_two_causes(tmp_path: Path) -> None:
    def both(trips: Trips) -> None:
        stopped_slurmctld(trips)
        changed(trips, "preflight", find_uv={"exit": 1, "output": ""})

    _, decision = decided(tmp_path, both)
    assert set(caused(decision)) == {"slurm_smoke.controller", "preflight.uv"}


def test_a_healthy_run_has_no_causes(tmp_path: Path) -> None:
    _, decision = decided(tmp_path, lambda trips: None)
    assert decision.decision == "PROMOTE"
    assert not [check for gate in decision.gates for check in gate.checks if check.cause]


@pytest.mark.stranger("15.11", "a host that cannot be used: its gates were MISSING, with a remedy for each check")
@pytest.mark.parametrize("problem", ["The module interpreter '/nowhere/python3' was not found.", "no route to host"])
def test_the_gates_of_a_host_that_cannot_be_used_are_blocked_by_one_check(tmp_path: Path, problem: str) -> None:
    bundle = bundles.open_bundle(tmp_path)
    index = read_json(bundle / "index.json")
    told = {"output": "", "kind": "failed", "problem": problem}
    (bundle / "index.json").write_text(to_json({**index, "probes": {"aiida-vm": told}}), encoding="utf-8")
    trips = bundles.healthy_trips()
    bundles.record(bundle, {name: trips[name] for name in ("preflight", "sqlite_smoke", "contracts")})
    decision = decide(load_bundle(bundle))
    of_vm = {check.id: check for gate in decision.gates[2:4] for check in gate.checks}
    assert [gate.status for gate in decision.gates[2:4]] == [Status.BLOCKED, Status.BLOCKED]
    assert {check.cause for name, check in of_vm.items() if name != "vm_bootstrap.host"} == {"vm_bootstrap.host"}
    assert of_vm["vm_bootstrap.host"].observed.endswith(problem)
