"""The settings of a request, checked once and all together, before the first connection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from promotion_gate.base.errors import InputError
from promotion_gate.base.fields import Fields
from promotion_gate.base.mistakes import FileMistakes
from promotion_gate.base.policy import Policy
from promotion_gate.base.policy_reading import policy_text
from promotion_gate.base.redact import Redactor
from promotion_gate.judge.shipped import read_policy
from promotion_gate.judge.waivers import check_waivers
from promotion_gate.run.kinds import text
from promotion_gate.run.plan import chosen_gates
from promotion_gate.run.roles import Role, command_mistakes, find_role, name_mistakes
from promotion_gate.run.roots import check_holds_no_tracked_file
from promotion_gate.run.settings import VARIABLES, Mistakes, effective


class Given:
    """The variables of a request: of the run, and by group. What cannot be evaluated does not count as missing."""

    def __init__(self, fields: Fields, mistakes: Mistakes) -> None:
        self.of_group: dict[str, dict[str, Any]] = {}
        broken: dict[str, str] = {}
        self.marked: set[str] = set()  # values that a vault or the name of their variable marks as secret
        for group, found in fields.mapping("hosts").items():
            host = Fields(found, f"{fields.where}: hosts.{group}", InputError)
            self.of_group[str(group)] = host.mapping("values")
            broken.update(host.mapping("errors"))
            self.marked.update(host.texts("secrets"))
        mistakes.redactor = Redactor(self.marked)
        self.broken = tuple(sorted(broken))
        self.names = sorted({name for values in self.of_group.values() for name in values} | set(broken))
        for name in self.broken:
            mistakes.add(_not_evaluated(name, str(broken[name])))
        self.values = {name: self._of(_group(name), name) for name in VARIABLES}

    def _of(self, group: str, name: str) -> Any:
        return self.of_group.get(group, {}).get(name)


def _group(name: str) -> str:
    """The group whose host a variable of the run is read from."""
    return "aiida_vm" if name.startswith("aiida_vm_") else "workspace"


def _not_evaluated(name: str, error: str) -> str:
    undefined = re.match(r"'(\w+)' is undefined", error)
    if undefined and undefined[1] in VARIABLES:
        return f"{name} refers to {undefined[1]}, which is not set. Set {undefined[1]} in the inventory's group_vars."
    return f"{name} cannot be evaluated: {error.rstrip('.')}."


def checked_settings(
    fields: Fields,
    given: Given,
    mistakes: Mistakes,
    kept: Mapping[str, Any] | None = None,
    optional: tuple[str, ...] = (),
) -> tuple[dict[str, Any], Policy, dict[str, Role]]:
    """The effective settings of a request, its policy, and the role of each gate that has one.

    Raises InputError with every mistake that was found, `mistakes` included.
    """
    settings = effective(given.values, kept, (*optional, *given.broken), mistakes)
    settings["workspace"], settings["vm"] = _hosts(fields, mistakes)
    settings["inventory"] = [_relative(source, Path(fields.text("directory"))) for source in fields.texts("inventory")]
    policy: Policy | None = None
    with mistakes.noting():
        policy = read_policy(checklist_text(settings, fields), str(settings["promotion_policy"]))
    roles = _roles(policy, fields, mistakes)
    mistakes.add(*(FileMistakes(command_mistakes(policy, roles)).sentences(policy.marks) if policy else ()))
    known = policy is not None and len(roles) == sum(1 for gate in policy.gates if gate.role)
    # Without all roles nobody can say which variables they have.
    names = (name for name in given.names if known or not name.startswith("gate_"))
    mistakes.add(*name_mistakes(names, roles.values(), ran=fields.has("trip")))
    for gate in policy.gates if policy else ():
        if gate.name in roles:
            settings.update(roles[gate.name].settings(given.of_group.get(gate.hosts, {}), mistakes, kept))
    settings["gate_settings"] = {name: role.depends_on() for name, role in roles.items()}
    if policy:
        _ask_checklist(policy, settings, mistakes)
    _check_folders(settings, fields.boolean("workspace_local"), mistakes)
    mistakes.stop()
    assert policy is not None
    root = settings["promotion_evidence_root"]
    settings["promotion_baseline_dir"] = settings["promotion_baseline_dir"] or str(Path(root) / "baseline")
    settings["evidence_path"] = _below(root, settings["workspace_dir"])
    settings["baseline_path"] = _below(settings["promotion_baseline_dir"], settings["workspace_dir"])
    settings["ownership_map"] = _ownership_map(policy)
    return settings, policy, roles


def _ask_checklist(policy: Policy, settings: dict[str, Any], mistakes: Mistakes) -> None:
    """The gates that are chosen and the checks that are waived are there."""
    if settings["promotion_gates"] is not None:
        with mistakes.noting():
            settings["promotion_gates"] = chosen_gates(settings["promotion_gates"], policy)
    if settings["promotion_waivers"]:
        with mistakes.noting():
            waivers = check_waivers(settings["promotion_waivers"], policy, settings["promotion_operator"])
            settings["promotion_waivers"] = list(waivers)


def _check_folders(settings: dict[str, Any], local: bool, mistakes: Mistakes) -> None:
    """Where the evidence goes, and, where the workspace is on this machine, that it is a checkout and stays one."""
    if settings["workspace_dir"] or settings["promotion_evidence_root"]:
        with mistakes.noting():
            settings["promotion_evidence_root"] = str(evidence_root(settings, local))
    if local and settings["workspace_dir"] and Path(settings["workspace_dir"]).is_dir():
        with mistakes.noting():
            _check_git(Path(settings["workspace_dir"]))
        with mistakes.noting():
            check_holds_no_tracked_file(str(settings["promotion_evidence_root"] or ""), settings["workspace_dir"])


def _roles(policy: Policy | None, fields: Fields, mistakes: Mistakes) -> dict[str, Role]:
    """The role of each gate of a policy, by the gate's name; one that cannot be read is a mistake."""
    folders = [Path(fields.text("directory")) / "roles", *map(Path, fields.texts("roles"))]
    found = {}
    for gate in policy.gates if policy else ():
        if gate.role:
            with mistakes.noting():
                found[gate.name] = find_role(gate.role, folders)
    return found


def _check_git(folder: Path) -> None:
    if not any((place / ".git").exists() for place in (folder, *folder.parents)):
        raise InputError(
            f"workspace_dir is {folder}, which is not in a Git checkout. Clone the application there, or set another."
        )


def _ownership_map(policy: Policy) -> str:
    """The application's own map of field owners that the policy names, relative to the checkout; or an empty text."""
    maps = [str(check.limits.get("map") or "") for check in policy.checks() if check.check == "ownership"]
    for name in maps:
        if name and (Path(name).is_absolute() or ".." in Path(name).parts):
            raise InputError(
                f'The ownership map "{name}" of the policy must lie in the checkout: write a relative path.'
            )
    return maps[0] if maps else ""


def checklist_text(settings: Mapping[str, Any], fields: Fields) -> str:
    return policy_text(Path(fields.text("directory")) / str(settings["promotion_policy"]))


def _hosts(fields: Fields, mistakes: Mistakes) -> tuple[str, str]:
    groups = fields.mapping("groups")
    found = []
    for group, what in (("workspace", "the workspace host"), ("aiida_vm", "the VM")):
        hosts = groups.get(group)
        if hosts is None:
            mistakes.add(f'The inventory has no group "{group}". Add it with one host: {what}.')
        elif len(hosts) != 1:
            named = ", ".join(map(str, hosts)) or "none"
            mistakes.add(f'The group "{group}" must have exactly one host ({what}), it has: {named}.')
        found.append(str(hosts[0]) if hosts else "")
    if found[0] and found[0] == found[1]:
        mistakes.add(f"{found[0]} is in both groups, workspace and aiida_vm; they are two hosts.")
    return found[0], found[1]


def for_root(given: Mapping[str, Any]) -> dict[str, Any]:
    """What finding the evidence root of a resume needs, before the kept settings are known."""
    defaults = {"promotion_evidence_root": None, "workspace_dir": "", "promotion_ticket": "gra-125"}
    return {name: text(given[name], name) if given.get(name) else unset for name, unset in defaults.items()}


def evidence_root(settings: Mapping[str, Any], workspace_local: bool) -> Path:
    given = settings["promotion_evidence_root"]
    if given:
        root = Path(given)
    elif not workspace_local:
        raise InputError(
            "promotion_evidence_root is not set, and the workspace host is not this machine. Set it to a folder "
            "of the controller where the evidence is to be kept."
        )
    elif not settings["workspace_dir"]:
        raise InputError(
            "workspace_dir is not set. Set it in the inventory's group_vars or with -e workspace_dir=... ."
        )
    else:
        if not Path(settings["workspace_dir"]).is_dir():
            raise InputError(f"workspace_dir is {settings['workspace_dir']}, and there is no such folder.")
        root = Path(settings["workspace_dir"]) / "investigations" / "artifacts" / settings["promotion_ticket"]
    if not root.is_absolute():
        raise InputError(f'promotion_evidence_root must be an absolute path, not "{root}".')
    return root


def _below(path: str, folder: str) -> str:
    """`path` relative to `folder`, or an empty text if it lies elsewhere."""
    if not folder or not Path(path).is_relative_to(folder):
        return ""
    return Path(path).relative_to(folder).as_posix()


def _relative(source: str, directory: Path) -> str:
    path = Path(source)
    return path.relative_to(directory).as_posix() if path.is_relative_to(directory) else source
