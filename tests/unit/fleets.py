"""Runs about several hosts, in process: what roles/gate_common hands over, and what the plays do with it."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import bundles

from promotion_gate.prove.seal import seal
from promotion_gate.run.backstop import End
from promotion_gate.run.fleet import begin_runs
from promotion_gate.run.following import Following

HOSTS = ("vm-a", "vm-b")
CALLED = {"recorder": "evidence", "check": False, "selection": ""}
OTHER_VM = bundles.vm_probe(machine_id="88ceb62a43ada30304ea3dd09c8dd264").replace("IODgzAYfy2", "IODgzAYfy3")
THIRD_VM = OTHER_VM.replace("88ceb6", "99ceb6").replace("AYfy3", "AYfy4")
BY_HOST = {"vm-a": bundles.vm_probe(), "vm-b": OTHER_VM, "vm-c": THIRD_VM}


def request(root: Path, *hosts: str, of: Mapping[str, Mapping[str, Any]] | None = None, **variables: Any) -> Any:
    """What roles/gate_common hands over for these hosts; `of` has more variables of some of them."""
    asked = bundles.request(root, **variables)
    first = asked["hosts"]["aiida_vm"]
    entries = {host: copy.deepcopy(first) for host in hosts}
    for host, values in (of or {}).items():
        entries[host]["values"].update(values)
    rest = {"others": {host: entries[host] for host in hosts[1:]}} if len(hosts) > 1 else {}
    asked["hosts"]["aiida_vm"] = {**entries[hosts[0]], **rest}
    asked["groups"]["aiida_vm"] = list(hosts)
    return asked


def answers(*hosts: str, **changes: str) -> dict[str, Any]:
    """What each host answers before the first gate; an empty text is one that does not."""
    outputs = {"workspace-local": bundles.workspace_probe(), **{host: BY_HOST[host] for host in hosts}, **changes}
    gone = {"unreachable": True, "msg": "Connection timed out"}
    return {
        host: {"gate_evidence": {"commands": [{"output": text}]}} if text else gone for host, text in outputs.items()
    }


def on_host(gate: str, host: str) -> bundles.Trip:
    trip = bundles.healthy_trips()[gate]
    return bundles.elsewhere({gate: trip}, gate, output=BY_HOST[host])[gate] if host in BY_HOST else trip


def played(
    run: Mapping[str, Any], probes: Mapping[str, Any], changes: Mapping[tuple[str, str], bundles.Trip] | None = None
) -> End:
    """Does what the plays do with opened runs: probe, begin, gates, close, seal, end; `changes` by gate and host."""
    with followed() as following:
        return _played(following, run, probes, changes or {})


@contextlib.contextmanager
def followed() -> Iterator[Following]:
    following = Following(lambda message, error: None)
    following.arm()
    try:
        yield following
    finally:
        for lock in following._locks.values():
            lock.release()


def _played(
    following: Following,
    run: Mapping[str, Any],
    probes: Mapping[str, Any],
    changes: Mapping[tuple[str, str], bundles.Trip],
) -> End:
    if run["resumes"]:
        run = begin_runs({"plan": run, "probes": probes})
    for one in run["runs"]:
        if not one["kept"]:
            following.open(Path(one["bundle"]), CALLED, ())
    for host, answer in probes.items() if not run["resumes"] else ():
        following.probe(host, answer)
    for host in ("workspace-local", *(one["host"] for one in run["runs"])):
        for gate in (entry["name"] for entry in run["plan"] if entry["host"] == host):
            due = any(gate in one["gates"] and host in (one["host"], "workspace-local") for one in run["runs"])
            if due and "gate_evidence" in probes[host]:
                following.trip(changes.get((gate, host)) or on_host(gate, host), host, ())
        # The gates of the workspace have ended first, so each other host is the last one of its run.
        for one in run["runs"]:
            if one["host"] == host and not one["kept"]:
                following.close(Path(one["bundle"]))
                seal(Path(one["bundle"]))
    for one in run["runs"]:
        following.close(Path(one["bundle"]))
    end = following.end()
    assert end is not None
    return end
