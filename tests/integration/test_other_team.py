"""Another team's checklist: a gate of commands alone, a reused role under another name, a role of their own."""

from __future__ import annotations

import json
import re
import shutil
import sys
from typing import Any

import pytest
import yaml
from ground import PROJECT, SYSTEM_PATH, Ground, Run

NODE: dict[str, Any] = {
    "id": 1,
    "name": "node",
    "hosts": "cluster",
    "title": "The node is fit for work",
    "commands": [
        {"id": "space", "file": "01-node.log", "run": ["df", "-P", "/"], "limit_seconds": 10, "group": "ask"},
        {"id": "gpu", "file": "01-node.log", "run": "cat gpu", "chdir": "FOLDER", "limit_seconds": 10, "group": "ask"},
        {"id": "driver", "file": "01-driver.log", "run": ["echo", "550.1"], "after": "gpu"},
    ],
    "evidence": ["01-node.log", "01-driver.log"],
    "summary": "01-node-summary.md",
    "checks": [
        {
            "id": "node.space",
            "check": "number_within",
            "title": "The disk has room",
            "limits": {"command": "space", "pattern": r"(\d+)% ", "max": 100, "unit": "%"},
            "unblock": "On {host}, look at `du -xd1 /`.",
        },
        {
            "id": "node.gpu",
            "check": "output_matches",
            "title": "The node has its GPU",
            "limits": {"command": "gpu", "pattern": "^GPU 0:"},
            "unblock": "On {host}, run `sudo modprobe nvidia`.",
        },
        {
            "id": "node.driver",
            "check": "command_succeeds",
            "title": "The driver answers",
            "needs": ["node.gpu"],
            "limits": {"command": "driver"},
            "unblock": "On {host}, install the driver.",
        },
    ],
}
QUEUE: dict[str, Any] = {
    "id": 2,
    "name": "queue",
    "role": "gate_slurm_smoke",
    "hosts": "cluster",
    "identity": ["machine", "checkout", "profile", "env_file", "config_dir"],
    "title": "The queue takes jobs",
    "evidence": ["04-slurm-state.log"],
    "summary": "02-queue-summary.md",
    "checks": [
        {
            "id": "queue.controller",
            "check": "controller",
            "title": "The controller is up",
            "unblock": "On {host}, run `sudo systemctl restart slurmctld`.",
        }
    ],
}
BURN: dict[str, Any] = {
    "id": 3,
    "name": "burn",
    "role": "gate_burn_in",
    "hosts": "cluster",
    "title": "The burn-in passes",
    "evidence": ["03-burn.log"],
    "summary": "03-burn-summary.md",
    "checks": [
        {
            "id": "burn.passes",
            "check": "output_matches",
            "title": "The burn-in reports no error",
            "limits": {"command": "burn", "pattern": "^errors: 0 in 7 s$"},
            "unblock": "Drain {host} and call its vendor.",
        }
    ],
}
TASKS = """- name: Burn
  gate_commands:
    gate: "{{ gate_common_planned.name }}"
    identity: {file: 03-burn.log}
    commands:
      - {id: burn, file: 03-burn.log, run: "echo errors: 0 in {{ gate_burn_in_seconds }} s"}
  changed_when: false
"""


@pytest.fixture
def team(ground: Ground) -> Ground:
    """Their host is the one behind the loopback sshd; no workspace variable is set."""
    theirs = ground.folder / "theirs"
    role = theirs / "roles" / "gate_burn_in"
    for name, text in {
        "tasks": TASKS,
        "defaults": "# How long it burns.\ngate_burn_in_seconds: 3\n",
    }.items():
        (role / name).mkdir(parents=True)
        (role / name / "main.yml").write_text(text, encoding="utf-8")
    (theirs / "gpu").write_text("GPU 0: NVIDIA H100\n", encoding="utf-8")
    checklist(ground, NODE, QUEUE, BURN)
    ground.variables = {
        "aiida_vm_repo_dir": str(ground.vm),
        "aiida_vm_verdi": "verdi",
        "aiida_vm_environment": {"PATH": f"{ground.folder}/vm-bin:{SYSTEM_PATH}"},
        "gate_burn_in_seconds": 7,
        "promotion_evidence_root": str(ground.evidence),
        "promotion_policy": str(theirs / "checklist.yml"),
        "promotion_operator": "test-operator",
        "promotion_reviewer": "test-reviewer",
    }
    ground.inventory({"cluster": ground.groups()["aiida_vm"]})
    return ground


def checklist(ground: Ground, *gates: dict[str, Any]) -> None:
    text = yaml.safe_dump({"schema": 2, "name": "cluster", "title": "GPUs", "subject": "cluster", "gates": list(gates)})
    path = ground.folder / "theirs" / "checklist.yml"
    path.write_text(text.replace("FOLDER", str(path.parent)), encoding="utf-8")


def statuses(run: Run) -> dict[str, str]:
    assert run.decision is not None, run.output
    return {gate["name"]: gate["status"] for gate in run.decision["gates"]}


@pytest.mark.stranger("18.1", "a checklist with other gates, groups and roles than the five was refused")
def test_their_checklist_promotes_holds_and_resumes(team: Ground) -> None:
    run = team.gate()
    assert run.status == 0, run.output
    assert statuses(run) == {"node": "PASS", "queue": "PASS", "burn": "PASS"}
    assert run.bundle is not None
    for name in ("01-node-summary.md", "02-queue-summary.md", "03-burn-summary.md", "slurm-smoke"):
        assert (run.bundle / name).exists(), name
    assert "preflight" not in (run.bundle / "promotion-decision.md").read_text(encoding="utf-8")

    gpu = team.folder / "theirs" / "gpu"
    gpu.write_text("No devices were found\n", encoding="utf-8")
    held = team.gate()
    assert held.status != 0 and held.word == "HOLD"
    assert held.failing() == ["node.gpu"]
    assert held.check("node.gpu")["unblock"] == "On vm, run `sudo modprobe nvidia`."
    assert "On vm, run `sudo modprobe nvidia`." in held.words

    gpu.write_text("GPU 0: NVIDIA H100\n", encoding="utf-8")
    again = team.gate(promotion_resume="latest")
    assert again.status == 0, again.output
    assert again.attempts() == {"node": 2, "queue": 1, "burn": 1}


def test_one_gate_of_commands_promotes_and_holds(team: Ground) -> None:
    checklist(team, NODE)
    team.variables = {name: value for name, value in team.variables.items() if name.startswith("promotion_")}
    team.inventory({"cluster": team.groups()["aiida_vm"]})
    run = team.gate()
    assert run.status == 0, run.output
    assert statuses(run) == {"node": "PASS"}
    (team.folder / "theirs" / "gpu").unlink()
    held = team.gate()
    assert held.status != 0 and held.failing() == ["node.gpu", "node.driver"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"role": "gate_burn_inn"}, 'did you mean "gate_burn_in"?'),
        ({"role": "acme.gates.burn"}, "The role acme.gates.burn is not in"),
        ({"hosts": "nodes"}, 'The inventory has no group "nodes".'),
    ],
    ids=["role-misspelt", "no-collection", "no-group"],
)
def test_what_is_not_there_is_an_input_error(team: Ground, change: dict[str, str], sentence: str) -> None:
    checklist(team, NODE, {**BURN, **change})
    run = team.gate()
    assert run.status != 0 and sentence in run.words, run.output
    assert "checklist.yml, line" in run.words or "hosts" in change
    assert run.bundle is None


def test_the_record_names_their_role_and_their_setting(team: Ground) -> None:
    checklist(team, BURN)
    run = team.gate()
    assert run.status == 0 and run.bundle is not None, run.output
    index = json.loads((run.bundle / "index.json").read_text(encoding="utf-8"))
    assert index["gates"]["burn"]["settings"] == {"gate_burn_in_seconds": 7}
    assert index["plan"] == [{"gate": "burn", "host": "vm", "wave": 1, "chosen": True}]


@pytest.mark.parametrize(("limit", "word"), [("max: 100", "PROMOTE"), ("max: 0.001", "HOLD")])
def test_the_page_on_ones_own_gate_does_what_it_says(team: Ground, limit: str, word: str) -> None:
    page = (PROJECT / "docs" / "your-own-gate.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"^```yaml\n# (\S+)\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    mine = team.folder / "inventory"
    shutil.rmtree(mine)
    mine.mkdir()
    (mine / "hosts.yml").write_text(blocks["inventory.yml"], encoding="utf-8")
    theirs = team.folder / "theirs" / "checklist.yml"
    theirs.write_text(blocks["checklist.yml"].replace("max: 100", limit), encoding="utf-8")
    run = team.gate(
        promotion_policy=str(theirs),
        promotion_evidence_root=str(team.evidence),
        ansible_python_interpreter=sys.executable,
    )
    assert run.word == word, run.output
    assert (run.status == 0) is (word == "PROMOTE")
    assert word == "PROMOTE" or "On node1, look at `du -xd1 /` and free space." in run.words


@pytest.mark.nightly
def test_this_machine_may_be_a_host_of_the_plan_by_the_name_localhost(team: Ground) -> None:
    checklist(team, NODE)
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    team.variables = {name: value for name, value in team.variables.items() if name.startswith("promotion_")}
    team.inventory({"cluster": {"hosts": {"localhost": here}}})
    run = team.gate()
    assert run.status == 0 and statuses(run) == {"node": "PASS"}, run.output
