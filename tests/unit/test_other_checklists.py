"""Checklists with other gates, groups and roles than the spec's: what a run asks for follows from the checklist."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bundles
import pytest

from promotion_gate.base.errors import InputError
from promotion_gate.base.files import sha256
from promotion_gate.base.names import MAP_FILE
from promotion_gate.bundle.load import load_bundle
from promotion_gate.bundle.recorder import Recorder
from promotion_gate.judge.decide import decide
from promotion_gate.prove.seal import seal
from promotion_gate.prove.verify import verify_bundle
from promotion_gate.run.recording import check_request

CHECK = {
    "id": "disk.free",
    "check": "command_succeeds",
    "title": "The disk can be asked",
    "limits": {"command": "df"},
    "unblock": "On {host}, run `df`.",
}
DISK: dict[str, Any] = {
    "id": 7,
    "name": "disk",
    "hosts": "nodes",
    "title": "The disk",
    "commands": [{"id": "df", "file": "07-disk.log", "run": ["df", "-P"], "environment": {"LANG": "C"}}],
    "evidence": ["07-disk.log"],
    "summary": "07-disk-summary.md",
    "checks": [CHECK],
}
MACHINE = "machine_id: 77ceb62a43ada30304ea3dd09c8dd263\nboot_id: 5e0f1c52-2b8e-4d5f-9a53-9a1d6f2f9b02\n"


def checklist(folder: Path, *gates: dict[str, Any], **fields: Any) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "mine.yml"
    data = {"schema": 2, "name": "mine", "title": "Mine", "gates": list(gates) or [DISK], **fields}
    path.write_text(json.dumps(data, indent=1), encoding="utf-8")
    return path


def request(root: Path, policy: Path, *groups: str, **variables: Any) -> dict[str, Any]:
    values = {
        "promotion_operator": "alice",
        "promotion_reviewer": "bob",
        "promotion_policy": str(policy),
        "promotion_evidence_root": str(root),
        **variables,
    }
    return {
        "hosts": {group: {"values": dict(values), "errors": {}, "local": False} for group in groups or ("nodes",)},
        "groups": {"all": ["a", "b"], **{group: [f"{group}-1"] for group in groups or ("nodes",)}},
        "inventory": [],
        "directory": str(bundles.PROJECT),
        "roles": [],
    }


def refused(asked: dict[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        bundles.opened(asked)
    return str(caught.value)


def trip(exit_status: int = 0) -> bundles.Trip:
    identity = bundles.command("identity", "07-disk.log", bundles.IDENTITY, MACHINE)
    return bundles.trip(
        "disk", [identity, bundles.command("df", "07-disk.log", ["df", "-P"], "ok\n", exit=exit_status)]
    )


def sealed(root: Path, policy: Path, exit_status: int) -> Any:
    opened = bundles.opened(request(root, policy))
    recorder = Recorder(Path(opened["bundle"]))
    recorder.trip(trip(exit_status), "nodes-1")
    recorder.close()
    return Path(opened["bundle"]), seal(Path(opened["bundle"]))


@pytest.mark.parametrize(("exit_status", "word"), [(0, "PROMOTE"), (1, "HOLD")])
def test_one_gate_of_commands_decides(tmp_path: Path, exit_status: int, word: str) -> None:
    bundle, decision = sealed(tmp_path / "root", checklist(tmp_path / "theirs"), exit_status)
    assert decision.decision == word and verify_bundle(bundle).holds
    unblock = {check.unblock for check in decision.gate("disk").checks if check.status != "PASS"}
    assert unblock == ({"On nodes-1, run `df`."} if exit_status else set())


def test_the_input_of_the_plays_names_no_group_of_ours(tmp_path: Path) -> None:
    run = bundles.opened(request(tmp_path / "root", checklist(tmp_path / "theirs")))
    assert run["plan"] == [{"id": 7, "name": "disk", "title": "The disk", "host": "nodes-1", "role": None}]
    assert run["asked"] == {
        "nodes-1": {"chdir": "/", "environment": {}, "identity": {"file": "probe.log", "parts": ["machine"]}}
    }
    commands = [{**DISK["commands"][0], "limit_seconds": 60.0}]
    identity = {"file": "07-disk.log", "parts": ["machine"]}
    assert run["trips"] == {"disk": {"chdir": "/", "environment": {}, "identity": identity, "commands": commands}}
    assert run["handed"] == {} and run["worktrees"] == {}
    assert run["settings"]["hosts"] == {"nodes": "nodes-1"} and run["settings"]["vm"] == "nodes-1"


def test_only_what_a_role_of_the_plan_takes_is_required(tmp_path: Path) -> None:
    policy = checklist(tmp_path / "theirs")
    asked = request(tmp_path / "root", policy, promotion_evidence_root=None, promotion_reviewer=None)
    assert refused(asked).splitlines() == [
        "promotion_reviewer is not set. Set it in the inventory's group_vars or with -e promotion_reviewer=....",
        "promotion_evidence_root is not set, and no workspace host is this machine. Set it to a folder of the "
        "controller where the evidence is to be kept.",
    ]
    smoke = {**DISK, "role": "gate_sqlite_smoke"}
    del smoke["commands"]
    sentences = refused(request(tmp_path / "root", checklist(tmp_path / "theirs", smoke)))
    assert "workspace_dir is not set" in sentences and "aiida_vm_repo_dir" not in sentences


def role(folder: Path, name: str, defaults: str) -> None:
    (folder / "roles" / name / "defaults").mkdir(parents=True)
    (folder / "roles" / name / "defaults" / "main.yml").write_text(defaults, encoding="utf-8")


def with_role(name: str, number: int = 8, hosts: str = "nodes") -> dict[str, Any]:
    checks = [{**CHECK, "id": f"mine{number}.free"}]
    gate = {**DISK, "id": number, "name": f"mine{number}", "role": name, "hosts": hosts, "checks": checks}
    del gate["commands"]
    return {**gate, "evidence": [f"0{number}-mine.log"], "summary": f"0{number}-mine.md"}


def test_a_role_beside_the_checklist_is_found_by_its_folder(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    policy = checklist(theirs, DISK, with_role("gate_mine"))
    role(theirs, "gate_mine", "gate_mine_size: 3\n")
    run = bundles.opened(request(tmp_path / "root", policy, gate_mine_size="3"))
    assert run["plan"][1]["role"] == str(theirs / "roles" / "gate_mine")
    assert run["handed"] == {"mine8": {"gate_mine_size": 3}}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gate_mien", 'did you mean "gate_mine"?'),
        ("gate_preflit", 'did you mean "gate_preflight"?'),
        ("gate_odd", "The role gate_odd has the variable odd_size; those of a gate begin with gate_."),
        ("gate_broken", "cannot be read"),
    ],
)
def test_a_role_that_cannot_be_used_is_an_input_error(tmp_path: Path, name: str, message: str) -> None:
    theirs = tmp_path / "theirs"
    policy = checklist(theirs, with_role(name))
    role(theirs, "gate_mine", "gate_mine_size: 3\n")
    role(theirs, "gate_odd", "odd_size: 3\n")
    role(theirs, "gate_broken", "a: [\n")
    sentence = refused(request(tmp_path / "root", policy))
    assert message in sentence
    assert "odd" in name or f"{policy}, line " in sentence
    assert not list((tmp_path / "root").glob("*"))


def test_groups_are_asked_of_the_inventory(tmp_path: Path) -> None:
    gates = [DISK, {**with_role("gate_mine", 8, "other")}]
    policy = checklist(tmp_path / "theirs", *gates, subject="nodes")
    role(tmp_path / "theirs", "gate_mine", "gate_mine_size: 3\n")
    asked = request(tmp_path / "root", policy, "nodes", "other")
    asked["groups"]["other"] = ["nodes-1"]
    assert "nodes-1 is in both groups, nodes and other; they are two hosts." in refused(asked)
    del asked["groups"]["other"]
    assert 'The inventory has no group "other". Add it with one host: the host of gate 8.' in refused(asked)


def test_two_timed_gates_of_two_hosts_that_are_this_machine_are_an_input_error(tmp_path: Path) -> None:
    gates = [{**DISK, "alone": True}, {**with_role("gate_mine", 8, "other"), "alone": True}]
    policy = checklist(tmp_path / "theirs", *gates, subject="nodes")
    role(tmp_path / "theirs", "gate_mine", "gate_mine_size: 3\n")
    asked = request(tmp_path / "root", policy, "nodes", "other")
    for host in asked["hosts"].values():
        host["local"] = True
    assert "are both timed (alone), and nodes-1 and other-1 are both this machine." in refused(asked)
    asked["hosts"]["other"]["local"] = False
    bundles.opened(asked)


def test_a_variable_has_one_value_in_a_run(tmp_path: Path) -> None:
    policy = checklist(
        tmp_path / "theirs", with_role("gate_mine", 7, "nodes"), with_role("gate_mine", 8, "other"), subject="nodes"
    )
    role(tmp_path / "theirs", "gate_mine", "gate_mine_size: 3\n")
    asked = request(tmp_path / "root", policy, "nodes", "other", gate_mine_size=1)
    assert bundles.opened(asked)["handed"]["mine8"] == {"gate_mine_size": 1}
    asked["hosts"]["other"]["values"]["gate_mine_size"] = 2
    assert "gate_mine_size is not the same in the groups" in refused(asked)


def test_evidence_that_no_command_writes_is_refused(tmp_path: Path) -> None:
    policy = checklist(tmp_path / "theirs", {**DISK, "evidence": ["07-disc.log"]})
    sentence = refused(request(tmp_path / "root", policy))
    assert 'evidence: no command writes "07-disc.log"; did you mean "07-disk.log"?' in sentence


def test_a_checklist_that_times_nothing_records_no_baseline(tmp_path: Path) -> None:
    asked = request(tmp_path / "root", checklist(tmp_path / "theirs"), promotion_reason="known-good")
    with pytest.raises(InputError, match="The checklist mine has no check of the sqlite smoke"):
        check_request(asked)


def test_a_resume_follows_the_gates_of_the_checklist_as_it_is_now(tmp_path: Path) -> None:
    root, theirs = tmp_path / "root", tmp_path / "theirs"
    bundle, _ = sealed(root, checklist(theirs), 1)
    other = {**DISK, "name": "disc", "checks": [{**CHECK, "id": "disc.free"}]}
    asked = request(root, checklist(theirs, other), promotion_resume="latest")
    probes = {"nodes-1": {"gate_evidence": {"commands": [{"output": MACHINE}]}}}
    run = bundles.begun(bundles.opened(asked), probes)
    assert run["gates"] == ["disc"] and run["message"].startswith("The checklist has it now, so gate 7 is run again.")
    recorder = Recorder(bundle)
    recorder.trip({**trip(), "gate": "disc"}, "nodes-1")
    recorder.close()
    assert decide(load_bundle(bundle)).decision == "PROMOTE"
    seal(bundle)
    assert verify_bundle(bundle).holds


def test_only_a_checklist_that_reads_the_ownership_map_has_it_in_its_bundles(tmp_path: Path) -> None:
    root, theirs = tmp_path / "root", tmp_path / "theirs"
    bundle, _ = sealed(root, checklist(theirs), 1)
    assert not (bundle / MAP_FILE).exists() and MAP_FILE not in load_bundle(bundle).index.files
    owners = {**CHECK, "id": "disk.owners", "check": "ownership", "limits": {}}
    documents = {"id": "documents", "file": "07-documents.log", "run": ["true"]}
    reading = {**DISK, "commands": [*DISK["commands"], documents], "checks": [CHECK, owners]}
    asked = request(root, checklist(theirs, reading), promotion_resume="latest")
    probes = {"nodes-1": {"gate_evidence": {"commands": [{"output": MACHINE}]}}}
    bundles.begun(bundles.opened(asked), probes)
    index = load_bundle(bundle).index
    assert index.files == {MAP_FILE: sha256((bundle / MAP_FILE).read_bytes())}
