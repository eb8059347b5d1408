"""examples/other-team on the container VM: it promotes, holds for three faults, and promotes again after repair."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from live import LiveVm
from matrix import PROJECT

from promotion_gate.__main__ import main

TEAM = PROJECT / "examples" / "other-team"
# Per fault: how to break it, the check that names it, and the repair.
FAULTS = (
    ("dd if=/dev/zero of=/scratch/filler bs=1M count=95 2>&1", "node.space", "rm /scratch/filler"),
    ("systemd-run --unit=broken /bin/false; sleep 1", "node.units", "systemctl reset-failed"),
    (
        "scontrol update nodename=aiida-vm state=drain reason=fault",
        "queue.node",
        "scontrol update nodename=aiida-vm state=resume",
    ),
)


@pytest.fixture
def scratch(live: LiveVm, request: pytest.FixtureRequest) -> None:
    """A shared file system of 100 MB for everybody, and no unit that failed before."""
    live.root("mkdir -p /scratch && mount -t tmpfs -o size=100M,mode=1777 tmpfs /scratch; systemctl reset-failed")
    request.addfinalizer(lambda: live.root("umount /scratch; systemctl reset-failed"))


def gate(live: LiveVm, evidence: Path, **extra: Any) -> tuple[int, dict[str, Any]]:
    """Their run: its exit status, and the record."""
    inventory = evidence.parent / "inventory.yml"
    login = {
        "ansible_host": live.vm.name,
        "ansible_ssh_common_args": f"-F {live.vm.ssh_config}",
        "ansible_control_path": "%(directory)s/%%C",
        "ansible_python_interpreter": "/usr/bin/python3",
        "aiida_vm_repo_dir": live.application.vm_checkout,
        "aiida_vm_environment": {"PATH": f"{live.application.vm_checkout}/.venv/bin:/usr/bin:/bin", "UV_FROZEN": "1"},
    }
    inventory.write_text(json.dumps({"cluster": {"hosts": {"login": login}}}), encoding="utf-8")
    variables = {
        "promotion_policy": str(TEAM / "checklist.yml"),
        "promotion_evidence_root": str(evidence),
        "promotion_operator": "bob",
        "promotion_reviewer": "ada",
        "gate_burn_in_seconds": 2,
        **extra,
    }
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "promotion-gate.yml", "-i", str(inventory),
         "-e", json.dumps(variables)],
        cwd=PROJECT, env={**live.environment(), "PATH": os.environ["PATH"]}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    records = sorted(evidence.glob("*/promotion-decision.json"))
    assert records, done.stdout
    return done.returncode, json.loads(records[-1].read_text(encoding="utf-8"))


def failing(record: dict[str, Any]) -> list[str]:
    return [c["id"] for g in record["gates"] for c in g["checks"] if c["status"] != "PASS" and not c["cause"]]


@pytest.mark.usefixtures("scratch")
def test_the_other_team_promotes_and_holds_for_three_faults(live: LiveVm, tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    evidence.mkdir()
    status, record = gate(live, evidence)
    assert (status, record["decision"], failing(record)) == (0, "PROMOTE", [])
    assert [g["name"] for g in record["gates"]] == ["node", "queue", "burn_in"]
    for fault, check, repair in FAULTS:
        live.root(fault)
        chosen = check.partition(".")[0]
        status, record = gate(live, evidence, promotion_resume="latest", promotion_gates=chosen)
        live.root(repair)
        assert (status, record["decision"]) == (2, "HOLD"), check
        assert failing(record) == [check], record
        status, record = gate(live, evidence, promotion_resume="latest")
        assert (status, record["decision"]) == (0, "PROMOTE"), failing(record)


def test_its_inventory_and_checklist_are_what_a_run_takes() -> None:
    assert main(["policy", "lint", str(TEAM / "checklist.yml")]) == 0
