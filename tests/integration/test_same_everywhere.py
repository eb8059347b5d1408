"""A value means the same, and is recorded the same, whether group_vars, host_vars, -e or a file behind -e sets it."""

from __future__ import annotations

import getpass
import grp
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ground import PROJECT, Ground, Run, git, one_machine

from promotion_gate.run.roles import find_role
from promotion_gate.run.settings import VARIABLES

# Of a resume alone; tests/unit/test_operators.py has it.
NOT_OF_A_FIRST_RUN = {"promotion_resume", "promotion_report_only"}
GATES = ("preflight", "sqlite_smoke", "vm_bootstrap", "slurm_smoke", "contracts")
WAIVER = {"check": "preflight.node", "reason": "r", "owner": "eve", "ticket": "gra-1", "expires": "2099-12-31"}


def values(ground: Ground) -> dict[str, Any]:
    """Every public variable with a value that is not its default, as YAML would give it."""
    limits = {f"gate_{name}_limit_seconds": 31 + number for number, name in enumerate(LIMITS)}
    commands = {name: f"echo {name}" for name in ("openapi", "generate", "diff", "relay")}
    return {
        **limits,
        **{f"gate_contracts_{name}_command": command for name, command in commands.items()},
        "gate_contracts_client_dir": "packages/client",
        "gate_contracts_documents": ["docs/contracts"],
        "gate_contracts_generated_file": "packages/client/schema.ts",
        "gate_preflight_inputs": ["docs/process/aiida-vm-bootstrap.md"],
        "gate_slurm_smoke_account": "a",
        "gate_slurm_smoke_computer_label": "vm-slurm",
        "gate_slurm_smoke_partition": "debug",
        "gate_slurm_smoke_qos": "normal",
        "gate_slurm_smoke_submit_calculation": True,
        "gate_slurm_smoke_submit_job": False,
        "gate_sqlite_smoke_fingerprint": "f" * 64,
        "workspace_dir": str(ground.workspace),
        "workspace_target_branch": "release",
        "workspace_checkout": "worktree",
        "workspace_prepare_commands": [["true"]],
        "workspace_sqlite_smoke_command": "uv run sqlite-smoke --all",
        "workspace_environment": {**ground.variables["workspace_environment"], "ONE": "1"},
        "aiida_vm_repo_dir": str(ground.vm),
        "aiida_vm_env_file": str(ground.env_file),
        "aiida_vm_verdi": "verdi -v error",
        "aiida_vm_profile": "vm-psql",
        "aiida_vm_config_dir": f"{ground.folder}/aiida",
        "aiida_vm_first_run": True,
        "aiida_vm_smoke_args": ["--keep"],
        "aiida_vm_environment": {**ground.variables["aiida_vm_environment"], "TWO": "2"},
        "promotion_ticket": "gra-7",
        "promotion_evidence_root": f"{ground.folder}/evidence",
        "promotion_baseline_dir": f"{ground.folder}/known-good",
        "promotion_run_id": "run-1",
        "promotion_gates": ["preflight", "slurm_smoke"],
        "promotion_side_by_side": False,
        "promotion_evidence_max_age": "5h",
        "promotion_operator": "carol",
        "promotion_reviewer": "dave",
        "promotion_reason": "two words",
        "promotion_policy": str(ground.folder / "policy.yml"),
        "promotion_risks": [{"risk": "a", "mitigation": "b"}],
        "promotion_waivers": [WAIVER],
        "promotion_signing_key": f"{ground.folder}/key",
        "promotion_secrets": ["correct horse battery"],
        "promotion_evidence_group": grp.getgrgid(os.getgid()).gr_name,
        "promotion_issue_command": "true",
        "promotion_issue_update_command": "true",
        "promotion_issue_limit_seconds": 7,
    }


LIMITS = (
    *("preflight_tool", "preflight_prepare", "sqlite_smoke", "contracts", "vm_bootstrap_sanity", "vm_bootstrap_apply"),
    *("vm_bootstrap_verdi", "slurm_smoke_job", "slurm_smoke_calculation", "slurm_smoke_script", "slurm_smoke_query"),
    "slurm_smoke_verdi",
)


def options(given: dict[str, Any]) -> list[str]:
    """The values behind -e, as NAME=VALUE where that can be: then they are strings."""
    found = []
    for name, value in given.items():
        plain = not isinstance(value, (list, dict)) and " " not in str(value)
        written = "yes" if value is True else "no" if value is False else str(value)
        found += ["-e", f"{name}={written}" if plain else json.dumps({name: value})]
    return found


def run_with(ground: Ground, place: str) -> Run:
    """Gates 1 and 4, with the values set in one place."""
    given = values(ground)
    git(ground.workspace, "branch", "release")
    policy = one_machine(ground.folder / "policy.yml")
    node = "- id: preflight.node\n"
    text = policy.read_text(encoding="utf-8").replace(node, f"{node}        waivable: true\n", 1)
    policy.write_text(text, encoding="utf-8")
    (ground.folder / "known-good").mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", given["promotion_signing_key"]], check=True)
    ground.variables.clear()
    if place == "-e":
        return ground.gate(*options(given))
    if place == "-e @file":
        file = ground.folder / "more.yml"
        file.write_text(json.dumps(given), encoding="utf-8")
        return ground.gate("-e", f"@{file}")
    folder = ground.inventory() / place
    folder.mkdir()
    for name in ("workspace", "aiida_vm") if place == "group_vars" else ("here", "vm"):
        (folder / f"{name}.yml").write_text(json.dumps(given), encoding="utf-8")
    return ground.gate()


def test_the_values_are_of_every_public_variable(ground: Ground) -> None:
    public = {name for gate in GATES for name in find_role(f"gate_{gate}", [PROJECT / "roles"]).public}
    assert set(values(ground)) == {*VARIABLES, *public} - NOT_OF_A_FIRST_RUN
    assert getpass.getuser() != "carol"


@pytest.mark.stranger("14.5", "with -e workspace_dir and workspace_checkout=worktree the gates ran in the checkout")
@pytest.mark.parametrize("place", ["group_vars", "host_vars", "-e", "-e @file"])
def test_it_is_the_same_wherever_it_is_set(ground: Ground, place: str) -> None:
    given = values(ground)
    run = run_with(ground, place)
    bundle = Path(given["promotion_evidence_root"]) / "run-1"
    assert bundle.is_dir(), run.output
    index = json.loads((bundle / "index.json").read_text(encoding="utf-8"))
    recorded = {**given, "promotion_secrets": ["***"]}
    assert {name: index["settings"][name] for name in recorded} == recorded
    assert (index["ticket"], index["operator"], index["reviewer"]) == ("gra-7", "carol", "dave")
    assert index["risks"] == given["promotion_risks"] and index["waivers"][0]["check"] == "preflight.node"
    assert set(index["gates"]) == {"preflight", "slurm_smoke"}
    ran = {(command["gate"], command["id"]): command for command in index["commands"]}
    assert ("slurm_smoke", "job") not in ran, "the string `no` is false"
    assert ("slurm_smoke", "calculation") in ran, "the string `yes` is true"
    assert ran["slurm_smoke", "ping"]["limit_seconds"] == given["gate_slurm_smoke_query_limit_seconds"]
    assert ran["preflight", "version_node"]["limit_seconds"] == given["gate_preflight_tool_limit_seconds"]
    assert ran["preflight", "prepare_1"]["argv"] == ["true"]
    assert "ONE" in ran["preflight", "version_node"]["environment_names"]
    assert "TWO" in ran["slurm_smoke", "ping"]["environment_names"]
    assert ran["slurm_smoke", "script"]["argv"][-3:] == ["--computer-label", "vm-slurm", "--keep"]
    assert ran["slurm_smoke", "computer_test"]["argv"][:5] == ["verdi", "-v", "error", "-p", "vm-psql"]
    worktree = f"{ground.workspace}/.git/promotion-gate-run-1"
    assert {
        command["directory"] for (gate, name), command in ran.items() if gate == "preflight" and name != "checkout"
    } == {worktree}
