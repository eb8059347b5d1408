"""The input of the plays: the gates to loop over, and module parameters where there is no role.

Paths, environments and parts of an identity are worked out here, so that no play knows a group or a gate by its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from promotion_gate.base.policy import IDENTITY_PARTS, GatePolicy, Policy
from promotion_gate.base.typed import plain
from promotion_gate.run.places import CHECKOUTS
from promotion_gate.run.roles import Role


def for_the_plays(
    policy: Policy, settings: Mapping[str, Any], roles: Mapping[str, Role], run_id: str
) -> dict[str, Any]:
    """`plan` lists the gates in order, each with id, name, title, host and role (null for a gate of `commands:`).

    By gate, `handed` has the variables of its role and `trips` the module parameters of a gate without one. Both may
    hold secrets, so they are not in the plan, which is looped over. By host, `asked` has what its probe asks and
    `worktrees` what its temporary worktree is created from. The wave of each gate is in the index after the probes.
    """
    at = _in_worktree(settings, run_id)
    plan = [
        {
            "id": gate.id,
            "name": gate.name,
            "title": gate.title,
            "host": settings["hosts"][gate.hosts],
            "role": roles[gate.name].called or gate.role if gate.name in roles else None,
        }
        for gate in policy.gates
    ]
    return {
        "plan": plan,
        "handed": {name: role.handed(at) for name, role in roles.items()},
        "trips": {gate.name: _trip(gate, at) for gate in policy.gates if gate.commands},
        "asked": {host: _asked(policy, group, settings) for group, host in settings["hosts"].items()},
        "worktrees": _worktrees(settings, run_id),
    }


def _worktrees(settings: Mapping[str, Any], run_id: str) -> dict[str, dict[str, str]]:
    """By host, the checkout that a temporary worktree is created from, and its folder."""
    if settings["workspace_checkout"] != "worktree":
        return {}
    of = {"checkout": settings["workspace_dir"], "folder": _in_worktree(settings, run_id)["workspace_dir"]}
    return {host: of for group, host in settings["hosts"].items() if settings["places"][group] == "workspace"}


def _in_worktree(settings: Mapping[str, Any], run_id: str) -> dict[str, Any]:
    """The settings as a gate gets them: a temporary worktree, if there is one, is its checkout."""
    at = dict(settings)
    if at["workspace_checkout"] == "worktree":
        at["workspace_dir"] = f"{at['workspace_dir']}/.git/promotion-gate-{run_id}"
    return at


def _trip(gate: GatePolicy, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The module parameters for a gate of `commands:`."""
    commands = [{key: value for key, value in plain(command).items() if value} for command in gate.commands]
    return {**_place(gate.hosts, [gate], gate.commands[0].file, settings), "commands": commands}


def _asked(policy: Policy, group: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The module parameters for the probe of a group's host."""
    asked = _place(group, [gate for gate in policy.gates if gate.hosts == group], "probe.log", settings)
    if settings["places"][group] == "workspace" and settings["workspace_checkout"] == "worktree":
        # What counts is the branch's head, not the checkout.
        asked["identity"]["revision"] = settings["workspace_target_branch"]
    return asked


def _place(group: str, gates: Sequence[GatePolicy], file: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Where and with which environment the module runs, and what it reports about the host's identity."""
    parts = [part for part in IDENTITY_PARTS if any(part in gate.identity for gate in gates)]
    identity: dict[str, Any] = {"file": file, "parts": parts}
    kind = settings["places"][group]
    if not kind:
        return {"chdir": "/", "environment": {}, "identity": identity}
    identity |= {"target_branch": settings["workspace_target_branch"], "evidence": settings["evidence_path"]}
    identity["baseline"] = settings["baseline_path"]
    found = {"chdir": settings[CHECKOUTS[kind]] or "/", "environment": settings[f"{kind}_environment"]}
    if kind == "aiida_vm":
        identity["profile"] = settings["aiida_vm_profile"] or ""
        identity["config_dir"] = settings["aiida_vm_config_dir"] or ""
        if "env_file" in parts or "profile" in parts:
            found["env_file"] = settings["aiida_vm_env_file"]
    return {**found, "identity": identity}
