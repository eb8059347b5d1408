# ruff: noqa: E501 - a row of the table is one line
"""All gates of a decision agree on what they ran on, and each end agrees with its own begin."""

from __future__ import annotations

from pathlib import Path

import bundles
import pytest
from bundles import BEGIN_AND_END, elsewhere, healthy_trips, vm_probe, workspace_probe

from promotion_gate.bundle.load import load_bundle
from promotion_gate.bundle.recorder import Recorder
from promotion_gate.judge.decide import decide
from promotion_gate.judge.identity import identity, same_machine
from promotion_gate.prove.seal import seal
from promotion_gate.report.show import text_of

B, OTHER = "b" * 40, "c" * 64
WORKSPACE, VM = workspace_probe(), vm_probe()


def message(root: Path, trips: bundles.Trips) -> dict[str, str]:
    """What the first check of each gate says that does not pass, of a run that held."""
    decision = decide(load_bundle(bundles.closed_bundle(root, trips)))
    assert decision.decision == "HOLD"
    return {
        gate.name: next(f"{check.status}: {check.observed}" for check in gate.checks if check.status != "PASS")
        for gate in decision.gates
        if gate.status != "PASS"
    }


# What the later gates of a host ran on, from which gate on, and what is reported about the gates before it.
BETWEEN = {
    "HEAD moved": ("sqlite_smoke", workspace_probe(B, OTHER), f"the commit changed from {bundles.COMMIT} to {B}"),
    "a commit without changes": ("contracts", workspace_probe(B), f"the commit changed from {bundles.COMMIT} to {B}"),
    "another branch": (
        "contracts", WORKSPACE.replace("branch: main", "branch: fix"), "the branch changed from main to fix",
    ),
    "a tracked file changed": (
        "contracts", bundles.dirty(WORKSPACE, "app.py (modified)"), "tracked files changed: app.py (modified)",
    ),
    "a file was added": (
        "contracts", bundles.dirty(WORKSPACE, untracked="conftest.py"), "files that are not tracked changed: conftest.py",
    ),
    "gate 2 in another checkout": (
        "sqlite_smoke", WORKSPACE.replace("/srv/app", "/srv/other"), "the checkout changed from /srv/app to /srv/other",
    ),
    "the checkout of the VM moved": ("slurm_smoke", vm_probe(B, OTHER), f"the commit changed from {bundles.COMMIT} to {B}"),
    "the smoke script changed": (
        "slurm_smoke", bundles.dirty(VM, "scripts/aiida-slurm-smoke-vm.sh (modified)"), "scripts/aiida-slurm-smoke-vm.sh",
    ),
    "the environment file changed": (
        "slurm_smoke", VM.replace("b2b2", "b3b3"), "the content of the environment file /srv/app/ops/aiida-vm/aiida-vm.env",
    ),
    "another environment file": ("slurm_smoke", VM.replace("vm.env", "other.env"), "the environment file changed from "),
    "another profile": (
        "slurm_smoke", VM.replace("profile: vm-psql", "profile: other"), "the profile changed from vm-psql to other",
    ),
    "the profile points elsewhere": ("slurm_smoke", VM.replace("a1a1", "a3a3"), "configuration says of the profile vm-psql"),
    "another configuration folder": (
        "slurm_smoke", VM.replace("/home/aiida/.aiida", "/srv/.aiida"), "configuration folder changed from /home/aiida/.aiida",
    ),
    "gate 4 on another machine": ("slurm_smoke", vm_probe(machine_id="f" * 32), "it is a different machine"),
    "the VM was rebooted": ("slurm_smoke", VM.replace("boot_id: 5", "boot_id: 6"), "the machine was rebooted"),
}  # fmt: skip
ORDER = {"workspace": ("preflight", "sqlite_smoke", "contracts"), "vm": ("vm_bootstrap", "slurm_smoke")}
NUMBER = {"preflight": 1, "sqlite_smoke": 2, "vm_bootstrap": 3, "slurm_smoke": 4, "contracts": 5}


@pytest.mark.stranger(
    "14.1", "HEAD, a tracked file, the VM's checkout, env file, profile or machine changed between gates"
)
@pytest.mark.parametrize(("gate", "now", "what"), BETWEEN.values(), ids=BETWEEN)
def test_a_change_between_two_gates_of_a_run_holds(tmp_path: Path, gate: str, now: str, what: str) -> None:
    order = ORDER["vm" if gate in ORDER["vm"] else "workspace"]
    at = order.index(gate)
    found = message(tmp_path, elsewhere(healthy_trips(), *order[at:], output=now))
    assert {name for name in found if found[name].startswith("STALE")} == set(order[:at])
    for before in order[:at]:
        assert found[before].startswith(f"STALE: between gate {NUMBER[order[at - 1]]} and gate {NUMBER[gate]} ")
        assert what in found[before]


@pytest.mark.stranger("14.1", "what a gate ran on changed while it ran")
@pytest.mark.parametrize(("gate", "now", "what"), BETWEEN.values(), ids=BETWEEN)
def test_a_change_while_a_gate_ran_holds(tmp_path: Path, gate: str, now: str, what: str) -> None:
    trips = healthy_trips()
    trips[gate] = bundles.changed(trips[gate], "identity_end", output=now)
    trips = elsewhere(
        trips,
        *(name for name in NUMBER if NUMBER[name] > NUMBER[gate] and bundles.host_of(name) == bundles.host_of(gate)),
        output=now,
    )
    if what.startswith("files that are not tracked"):
        assert decide(load_bundle(bundles.closed_bundle(tmp_path, trips))).decision == "PROMOTE"  # what a smoke leaves
        return
    found = message(tmp_path, trips)
    assert what.removeprefix("tracked files changed: ") in found[gate]
    assert f"while gate {NUMBER[gate]} ran" in found[gate] or "while the gate ran" in found[gate]


@pytest.mark.stranger("14.1", "gate 5 ran on a worktree with changes")
def test_tracked_files_that_the_gate_itself_changed_are_named_once(tmp_path: Path) -> None:
    changed = bundles.dirty(WORKSPACE, "uv.lock (modified)")
    trips = elsewhere(healthy_trips(), "contracts", output=changed)
    trips["sqlite_smoke"] = bundles.changed(trips["sqlite_smoke"], "identity_end", output=changed)
    found = message(tmp_path, trips)
    assert set(found) == {"sqlite_smoke"}
    assert "changed while the gate ran, by its own commands: uv.lock (modified)" in found["sqlite_smoke"]


UNKNOWN = {
    "no machine id, no host key": ("machine_id: ", "the machine"),
    "no commit": ("content: ", "the checkout"),
    "no profile": ("profile: ", "the profile"),
    "no environment file": ("env_file_digest: ", "the environment file"),
    "no configuration folder": ("config_dir: ", "verdi's configuration folder"),
}


@pytest.mark.stranger("14.1", "None == None: what is not known is equal")
@pytest.mark.parametrize(("line", "what"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_not_known_does_not_pass(tmp_path: Path, line: str, what: str) -> None:
    text = VM.replace(line, "unknown: ").replace(
        "host_keys: ", "unknown: " if line.startswith("machine") else "host_keys: "
    )
    found = message(tmp_path, elsewhere(healthy_trips(), *ORDER["vm"], output=text))
    assert set(found) == set(ORDER["vm"])
    for sentence in found.values():
        assert f"{what}: it was not reported" in sentence or "FAIL: no Git checkout" in sentence


@pytest.mark.stranger("14.1", "a gate that does not say what it ran on when it began, or when it ended")
@pytest.mark.parametrize("which", BEGIN_AND_END)
@pytest.mark.parametrize("gate", NUMBER)
@pytest.mark.parametrize(
    "fields", [{"exit": None, "timed_out": True}, {"truncated": True}, None], ids=["hangs", "cut", "lost"]
)
def test_an_end_that_is_not_known_does_not_pass(
    tmp_path: Path, gate: str, which: str, fields: dict[str, object] | None
) -> None:
    trips = healthy_trips()
    lost = fields is None
    trips[gate] = bundles.without(trips[gate], which) if lost else bundles.changed(trips[gate], which, **(fields or {}))
    assert gate in message(tmp_path, trips)


def test_a_part_that_failed_is_reported_with_its_reason(tmp_path: Path) -> None:
    text = VM.replace(
        "config_dir: /home/aiida/.aiida", "config_dir_error: neither AIIDA_PATH nor AIIDA_CONFIG_DIR is set"
    )
    found = message(tmp_path, elsewhere(healthy_trips(), *ORDER["vm"], output=text))
    assert "verdi's configuration folder: neither AIIDA_PATH nor AIIDA_CONFIG_DIR is set" in found["vm_bootstrap"]


@pytest.mark.stranger("13.6", "a host key that appeared makes a host another machine")
def test_a_new_host_key_does_not_make_another_machine() -> None:
    with_key = WORKSPACE.replace("host_keys: []", 'host_keys: ["ssh-ed25519 AAAA"]')
    assert same_machine(identity(WORKSPACE), identity(with_key))
    keys = [identity(f'host_keys: ["{key}", "ssh-rsa BBBB"]\n') for key in ("ssh-ed25519 AAAA", "ssh-ed25519 CCCC")]
    assert same_machine(*keys)
    assert not same_machine(identity('host_keys: ["a"]\n'), identity('host_keys: ["b"]\n'))
    assert not same_machine(identity(""), identity(""))


# --- machines -----------------------------------------------------------------------------------------------------

MACHINE_OF_WORKSPACE = {
    line.split(":")[0]: line for line in WORKSPACE.splitlines() if line.startswith(("machine", "boot", "host_"))
}


def on_the_controller(**other: str) -> str:
    """The VM's probe with the lines of the workspace's machine."""
    lines = {**MACHINE_OF_WORKSPACE, **other}
    return "".join(f"{lines.get(line.split(':')[0], line)}\n" for line in VM.splitlines())


@pytest.mark.stranger(
    "14.8", "ansible_connection: local for aiida_vm: gates 3 and 4 ran on the controller and promoted"
)
def test_a_vm_that_is_the_workspace_is_an_objection(tmp_path: Path) -> None:
    trips = elsewhere(healthy_trips(), *ORDER["vm"], output=on_the_controller())
    decision = decide(load_bundle(bundles.closed_bundle(tmp_path / "one", trips)))
    assert decision.decision == "HOLD"
    [objection] = decision.objections
    assert objection.startswith("workspace-local and aiida-vm are the same machine (gate 1 and gate 3 ran on it)")
    policy = tmp_path / "policy.yml"
    text = (bundles.PROJECT / "policies" / "aiida.yml").read_text(encoding="utf-8")
    policy.write_text(text.replace("\nsubject: ", "\nsame_machine: true\nsubject: ", 1), encoding="utf-8")
    bundle = bundles.closed_bundle(tmp_path / "two", trips, promotion_policy=str(policy))
    assert decide(load_bundle(bundle)).decision == "PROMOTE"


@pytest.mark.stranger("14.8", "a cloned image: workspace and VM have one machine id, and nothing said so")
def test_a_clone_is_another_machine_and_a_warning(tmp_path: Path) -> None:
    clone = on_the_controller(boot_id="boot_id: another")
    trips = elsewhere(healthy_trips(), *ORDER["vm"], output=clone)
    decision = decide(load_bundle(bundles.closed_bundle(tmp_path, trips)))
    assert decision.decision == "PROMOTE"
    [warning] = [text for gate in decision.gates for check in gate.checks for text in check.warnings if "clone" in text]
    assert warning.startswith("aiida-vm has the same machine id as workspace-local but is another machine")
    assert f"warning:  {warning}" in text_of(decision.as_dict())


@pytest.mark.parametrize("boot", ["boot_id: ", "boot: none"])
def test_an_unknown_boot_id_does_not_prove_another_machine(tmp_path: Path, boot: str) -> None:
    trips = elsewhere(healthy_trips(), *ORDER["vm"], output=on_the_controller(boot_id=boot))
    [objection] = decide(load_bundle(bundles.closed_bundle(tmp_path, trips))).objections
    assert "are the same machine" in objection


@pytest.mark.stranger(
    "14.8", "a resume under another inventory name, on a machine with an equal fingerprint, kept gate 3"
)
def test_the_inventory_name_is_part_of_a_hosts_identity(tmp_path: Path) -> None:
    bundles.make_bundle(tmp_path, healthy_trips())
    request = bundles.request(tmp_path, promotion_resume="latest")
    request["groups"]["aiida_vm"] = ["clone"]
    answers = bundles.answers()
    run = bundles.begun(bundles.opened(request), {**answers, "clone": answers["aiida-vm"]})
    assert run["gates"] == ["vm_bootstrap", "slurm_smoke"]
    assert (
        "It was collected on aiida-vm, but the gate's host is now clone, so gates 3, 4 are run again" in run["message"]
    )
    bundle = Path(run["bundle"])
    recorder = Recorder(bundle, {"recorder": "evidence", "check": False, "selection": ""})
    for gate in run["gates"]:
        recorder.trip(healthy_trips()[gate], "clone")
    recorder.close()
    assert seal(bundle).decision == "PROMOTE"
