"""A value means the same, and is recorded the same, whether group_vars, host_vars, -e or a file behind -e sets it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ground import Ground, Run

# As -e gives them: strings. The last two are read from the VM's host, the others from the workspace's.
VALUES = {
    "workspace_checkout": "worktree",
    "promotion_ticket": "gra-7",
    "gate_preflight_tool_limit_seconds": "33",
    "gate_slurm_smoke_submit_job": "no",
    "gate_slurm_smoke_query_limit_seconds": "29",
}
TYPED: dict[str, Any] = {
    **VALUES,
    "gate_preflight_tool_limit_seconds": 33,
    "gate_slurm_smoke_submit_job": False,
    "gate_slurm_smoke_query_limit_seconds": 29,
}


def run_with(ground: Ground, place: str) -> Run:
    """Gates 1 and 4, with the values set in one place."""
    # The evidence root is left to its default, which workspace_dir and the ticket make.
    workspace_dir = {"workspace_dir": str(ground.workspace)}
    if place == "-e":
        options = [
            option for name, value in {**VALUES, **workspace_dir}.items() for option in ("-e", f"{name}={value}")
        ]
        return ground.gate(*options, "-e", "promotion_gates=1,4")
    if place == "-e @file":
        file = ground.folder / "more.yml"
        file.write_text(json.dumps({**TYPED, **workspace_dir, "promotion_gates": "1,4"}), encoding="utf-8")
        return ground.gate("-e", f"@{file}")
    folder = ground.inventory() / place
    folder.mkdir()
    for name in ("workspace", "aiida_vm") if place == "group_vars" else ("here", "vm"):
        (folder / f"{name}.yml").write_text(json.dumps({**TYPED, "promotion_gates": "1,4"}), encoding="utf-8")
    return ground.gate()


@pytest.mark.stranger("14.5", "with -e workspace_dir and workspace_checkout=worktree the gates ran in the checkout")
@pytest.mark.parametrize("place", ["group_vars", "host_vars", "-e", "-e @file"])
def test_it_is_the_same_wherever_it_is_set(ground: Ground, place: str) -> None:
    run_with(ground, place)
    [bundle] = [path.parent for path in ground.workspace.glob("investigations/artifacts/gra-7/*/index.json")]
    index = json.loads((bundle / "index.json").read_text(encoding="utf-8"))
    assert {name: index["settings"][name] for name in TYPED} == TYPED
    assert index["settings"]["workspace_dir"] == str(ground.workspace)
    assert set(index["gates"]) == {"preflight", "slurm_smoke"}
    ran = {(command["gate"], command["id"]): command for command in index["commands"]}
    assert ("slurm_smoke", "job") not in ran, "the string `no` is false"
    assert ran["slurm_smoke", "ping"]["limit_seconds"] == 29
    assert ran["preflight", "version_node"]["limit_seconds"] == 33
    worktree = f"{ground.workspace}/.git/promotion-gate-{bundle.name}"
    assert {
        command["directory"] for (gate, name), command in ran.items() if gate == "preflight" and name != "checkout"
    } == {worktree}
