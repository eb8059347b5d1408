"""Several VMs in one run, over real SSH: one sshd with many names, which the checklist of these tests allows."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from copies import checkout
from ground import GATES, Ground, Run, free_port

# A partition that Slurm does not have holds gate 4 of this host alone.
HOLDS = {"gate_slurm_smoke_partition": "nowhere"}


def on_hosts(ground: Ground, hosts: Mapping[str, Mapping[str, Any]], **extra: Any) -> Run:
    """Runs the gate with these VMs, each with its own variables."""
    groups = ground.groups()
    vm = groups["aiida_vm"]["hosts"]["vm"]
    groups["aiida_vm"]["hosts"] = {host: {**vm, **own} for host, own in hosts.items()}
    ground.inventory(groups)
    return ground.gate(**extra)


def impatient(folder: Path) -> Path:
    """A copy of this checkout that waits only 25 s for a host to answer."""
    defaults = checkout(folder) / "roles" / "gate_common" / "defaults" / "main.yml"
    text = defaults.read_text(encoding="utf-8")
    short = text.replace("gate_common_probe_limit_seconds: 60", "gate_common_probe_limit_seconds: 25")
    assert short != text
    defaults.write_text(short, encoding="utf-8")
    return folder


def fleet(ground: Ground) -> dict[str, dict[str, Any]]:
    record = json.loads((ground.evidence / "fleet.json").read_text(encoding="utf-8"))
    return {item["host"]: item for item in record["hosts"]}


def decisions(ground: Ground) -> dict[str, str | None]:
    return {host: item["decision"] for host, item in fleet(ground).items()}


def index(ground: Ground, host: str) -> dict[str, Any]:
    bundle = ground.evidence / fleet(ground)[host]["bundle"]
    found: dict[str, Any] = json.loads((bundle / "index.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that accepts every connection and never sends anything: a host that hangs."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        held: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=take, daemon=True).start()
        yield int(server.getsockname()[1])
        for connection in held:
            connection.close()
        server.shutdown(socket.SHUT_RDWR)


def test_two_hosts_and_a_resume_of_what_one_of_them_needs(ground: Ground) -> None:
    run = on_hosts(ground, {"vm-a": {}, "vm-b": HOLDS})
    assert run.status != 0, run.output
    assert decisions(ground) == {"vm-a": "PROMOTE", "vm-b": "HOLD"}, run.output
    assert "HOLD  1 of 2 hosts promote" in run.output
    assert run.output.count("re-run:") == 1
    for host in ("vm-a", "vm-b"):
        assert set(index(ground, host)["gates"]) == set(GATES), host
    assert "gate 4 starts on vm-a" in run.output and "gate 4 PASS on vm-a" in run.output
    assert "this run will decide HOLD for vm-b" in run.words
    assert run.output.count("gate 2 starts") == 1, "the workspace's gates run once"
    sealed = (ground.evidence / fleet(ground)["vm-a"]["bundle"] / "SHA256SUMS").read_bytes()

    ground.settings["ANSIBLE_FORKS"] = "2"
    # A resume takes what is not set from the bundle.
    again = on_hosts(ground, {"vm-a": {}, "vm-b": {"gate_slurm_smoke_partition": "debug"}}, promotion_resume="latest")
    assert again.status == 0, again.output
    assert decisions(ground) == {"vm-a": "PROMOTE", "vm-b": "PROMOTE"}
    attempts = {name: gate["attempt"] for name, gate in index(ground, "vm-b")["gates"].items()}
    assert attempts == {**dict.fromkeys(GATES, 1), "slurm_smoke": 2}
    assert (ground.evidence / fleet(ground)["vm-a"]["bundle"] / "SHA256SUMS").read_bytes() == sealed
    assert again.words.count("Ansible works on 2 of the 3 hosts at once") == 1
    assert "gate 3 starts" not in again.output and "gate 2 starts" not in again.output
    assert len(list((ground.evidence / "baseline").glob("*-promote*.json"))) == 1, "one measurement, one baseline"


@pytest.mark.nightly
def test_a_host_that_hangs_or_holds_does_not_affect_the_others(ground: Ground, silent: int, tmp_path: Path) -> None:
    """Eight names: one hangs while connecting, one after the login, one is not there, and one is on HOLD."""
    hanging = tmp_path / "python3"
    hanging.write_text("#!/bin/sh\nexec sleep 120\n", encoding="utf-8")
    hanging.chmod(0o755)
    names = [f"vm-{letter}" for letter in "abcdefgh"]
    own: dict[str, dict[str, Any]] = {name: {} for name in names}
    own["vm-a"] = {"ansible_port": silent}
    own["vm-b"] = {"ansible_port": free_port()}
    own["vm-c"] = HOLDS
    own["vm-d"] = {"ansible_python_interpreter": str(hanging)}
    run = on_hosts(ground, own, project=impatient(tmp_path / "checkout"))
    assert run.status != 0
    held = dict.fromkeys(("vm-a", "vm-b", "vm-c", "vm-d"), "HOLD")
    assert decisions(ground) == {**dict.fromkeys(names, "PROMOTE"), **held}, run.output
    assert "HOLD  4 of 8 hosts promote" in run.output
    causes = {host: item["cause"] for host, item in fleet(ground).items()}
    assert {causes[host] for host in ("vm-a", "vm-b", "vm-d")} == {"vm_bootstrap.host BLOCKED"}
    sealed = ground.evidence / fleet(ground)["vm-d"]["bundle"] / "promotion-decision.md"
    assert "does not answer: a start-up file" in sealed.read_text(encoding="utf-8")
    assert causes["vm-c"] == "slurm_smoke.node FAIL"
    # What the others share with a host that cannot be used is in its bundle all the same.
    assert set(index(ground, "vm-a")["gates"]) == {"preflight", "sqlite_smoke", "contracts"}


# The smoke script of vm-b hangs until vm-a is decided; it would hang until its limit if that never came.
HANGS = """[ "$HANGS" ] || exit 0
until ls {evidence}/vm-a/*/SHA256SUMS; do sleep 0.2; done
"""


@pytest.mark.parametrize("side_by_side", [True, False], ids=["in-one-wave", "in-two-waves"])
def test_a_host_is_decided_while_another_hangs(ground: Ground, side_by_side: bool) -> None:
    ground.hook("smoke", HANGS.format(evidence=ground.evidence))
    environment = {**ground.variables["aiida_vm_environment"], "HANGS": "1"}
    hosts = {"vm-a": {}, "vm-b": {"aiida_vm_environment": environment}}
    run = on_hosts(ground, hosts, promotion_side_by_side=side_by_side)
    assert run.status == 0, run.output
    record = json.loads((ground.evidence / fleet(ground)["vm-a"]["bundle"] / "promotion-decision.json").read_bytes())
    [script] = [item for item in index(ground, "vm-b")["commands"] if item["id"] == "script"]
    assert not script["timed_out"]
    assert record["decided_at"] <= index(ground, "vm-b")["gates"]["slurm_smoke"]["ended"]
    lines = [line.split(" s  ")[-1].split(" after")[0] for line in run.output.splitlines()]
    assert lines.index("vm-a: PROMOTE is sealed") < lines.index("gate 4 PASS on vm-b"), run.output
    assert lines.index("gate 4 PASS on vm-b") < lines.index("vm-b: PROMOTE is sealed")
    assert run.output.count("is sealed") == 2


@pytest.mark.nightly
def test_one_host_is_as_it_was(ground: Ground) -> None:
    run = on_hosts(ground, {"vm": {}})
    assert run.status == 0, run.output
    assert not (ground.evidence / "fleet.json").exists()
    assert run.bundle is not None and run.bundle.parent == ground.evidence
