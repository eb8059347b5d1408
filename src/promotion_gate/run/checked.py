"""Checks all settings of a request at once, before the first connection."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from promotion_gate.base.errors import InputError
from promotion_gate.base.fields import Fields
from promotion_gate.base.mistakes import sentences
from promotion_gate.base.policy import Policy
from promotion_gate.base.policy_reading import policy_text
from promotion_gate.base.redact import Redactor
from promotion_gate.judge.shipped import read_policy
from promotion_gate.judge.waivers import check_waivers
from promotion_gate.run.kinds import text
from promotion_gate.run.places import (
    depends_on,
    groups_of,
    hosts_of,
    not_needed,
    places_by_name,
    places_of,
    role_mistakes,
    timed_together,
)
from promotion_gate.run.plan import chosen_gates
from promotion_gate.run.roles import Role, find_role, name_mistakes
from promotion_gate.run.roots import check_holds_no_tracked_file
from promotion_gate.run.settings import VARIABLES, Mistakes, effective, unset


class Given:
    """The variables of a request by group; localhost's are used for a group that the inventory does not have.

    A variable that cannot be evaluated does not count as missing.
    """

    def __init__(self, fields: Fields) -> None:
        self._hosts = {
            str(group): Fields(found, f"{fields.where}: hosts.{group}", InputError)
            for group, found in fields.mapping("hosts").items()
        }
        self.redactor = Redactor({secret for host in self._hosts.values() for secret in host.texts("secrets")})
        self.broken: tuple[str, ...] = ()
        self.names: list[str] = []
        self.marked: set[str] = set()  # values marked as secret by a vault or by the name of their variable

    @property
    def groups(self) -> list[str]:
        return [group for group in self._hosts if group != "localhost"]

    def of_group(self, group: str) -> Mapping[str, Any]:
        found = self._of(group)
        return found.mapping("values") if found else {}

    def _of(self, group: str) -> Fields | None:
        return self._hosts.get(group) or self._hosts.get("localhost")

    def first(self, name: str, groups: Iterable[str] = ()) -> Any:
        """The value on the first host that has one, in any group while the groups of the checklist are unknown."""
        for group in groups or sorted(self._hosts, key=lambda group: (group != "workspace", group == "localhost")):
            if self.of_group(group).get(name) is not None:
                return self.of_group(group)[name]
        return None

    def local(self, places: Mapping[str, str] | None = None) -> bool:
        """Whether the workspace is this machine; False where a plan has none."""
        kinds = {"workspace": "workspace"} if places is None else places
        found = [self._of(group) for group, kind in kinds.items() if kind == "workspace"]
        return any(host.boolean("local", False) for host in found if host)

    def is_local(self, group: str) -> bool:
        """Whether the host of a group is this machine."""
        return group in self._hosts and self._hosts[group].boolean("local", False)

    def of_plan(self, places: Mapping[str, str], mistakes: Mistakes) -> dict[str, Any]:
        """The variables of the run as the hosts of a plan have them; `places` are its groups (see places_of())."""
        found = [host for host in map(self._of, places) if host]
        broken = {name: str(error) for host in found for name, error in host.mapping("errors").items()}
        self.broken = tuple(sorted(broken))
        self.names = sorted({name for host in found for name in host.mapping("values")} | set(broken))
        self.marked = {secret for host in found for secret in host.texts("secrets")}
        for name in self.broken:
            mistakes.add(_not_evaluated(name, broken[name]))
        values = {}
        for name in VARIABLES:
            groups = groups_of(name, places)
            values[name] = self.first(name, groups)
            if not name.startswith("promotion_"):
                mistakes.add(*_two_values(name, {group: self.of_group(group).get(name) for group in groups}))
        return values


def _two_values(name: str, of_group: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each variable that differs between the hosts of two groups: a run has one value for it."""
    found = [(group, value) for group, value in of_group.items() if not unset(value)]
    for group, value in found[1:]:
        if value != found[0][1]:
            yield f"{name} is not the same in the groups {found[0][0]} and {group}; a run has one value of it."
            return


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
    policy = _policy(fields, given, mistakes, kept)
    roles = _roles(policy, fields, mistakes)
    places = places_of(policy, roles) if policy else places_by_name(given.groups)
    # Unless all roles were found, it is unknown which variables they have.
    known = policy is not None and len(roles) == sum(1 for gate in policy.gates if gate.role)
    if policy:
        mistakes.add(*sentences(policy.marks, role_mistakes(policy, roles)))
    values = given.of_plan(places, mistakes)
    unneeded = not_needed(policy, roles, places)
    settings = effective(values, kept, (*optional, *given.broken, *unneeded), mistakes)
    settings["inventory"] = [_relative(source, Path(fields.text("directory"))) for source in fields.texts("inventory")]
    names = (name for name in given.names if known or not name.startswith("gate_"))
    mistakes.add(*name_mistakes(names, roles.values(), ran=fields.has("trip")))
    if policy:
        settings.update(hosts_of(policy, fields.mapping("groups"), mistakes), places=places)
        mistakes.add(*timed_together(policy, settings["hosts"], given.is_local))
        settings.update(_of_roles(policy, roles, given, mistakes, kept))
        settings["gate_settings"] = {gate.name: depends_on(gate, roles, places) for gate in policy.gates}
        _ask_checklist(policy, settings, mistakes)
    _check_folders(settings, "workspace" in places.values(), given.local(places), mistakes)
    mistakes.stop()
    assert policy is not None
    root, workspace = settings["promotion_evidence_root"], settings["workspace_dir"] or ""
    settings["promotion_baseline_dir"] = settings["promotion_baseline_dir"] or str(Path(root) / "baseline")
    settings["evidence_path"] = _below(root, workspace)
    settings["baseline_path"] = _below(settings["promotion_baseline_dir"], workspace)
    settings["ownership_map"] = _ownership_map(policy)
    return settings, policy, roles


def _policy(fields: Fields, given: Given, mistakes: Mistakes, kept: Mapping[str, Any] | None) -> Policy | None:
    """The checklist: it determines which hosts and variables are needed."""
    with mistakes.noting():
        return read_policy(checklist_text(named_policy(given, kept), fields), named_policy(given, kept))
    return None


def named_policy(given: Given, kept: Mapping[str, Any] | None) -> str:
    """The value of promotion_policy, before all settings are checked."""
    asked = given.first("promotion_policy")
    asked = (kept or {}).get("promotion_policy") if unset(asked) else asked
    return text(VARIABLES["promotion_policy"].default if unset(asked) else asked, "promotion_policy")


def subject_of(hosts: Mapping[str, Any], directory: str) -> str:
    """The group whose hosts get a decision each; empty for an unreadable checklist, which open_runs() reports."""
    fields = Fields({"hosts": hosts, "directory": directory}, "the variables of the hosts", InputError)
    with suppress(InputError):
        called = named_policy(Given(fields), None)
        return read_policy(checklist_text(called, fields), called).subject
    return ""


def _of_roles(
    policy: Policy, roles: Mapping[str, Role], given: Given, mistakes: Mistakes, kept: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The public variables of all roles."""
    found: dict[str, Any] = {}
    for gate in policy.gates:
        if gate.name in roles:
            mine = roles[gate.name].settings(given.of_group(gate.hosts), mistakes, kept)
            for name in mine:
                if not name.startswith("gate_"):
                    mistakes.add(f"The role {gate.role} has the variable {name}; those of a gate begin with gate_.")
                mistakes.add(*_two_values(name, {"of an earlier gate": found.get(name), gate.hosts: mine[name]}))
            found.update(mine)
    return found


def _ask_checklist(policy: Policy, settings: dict[str, Any], mistakes: Mistakes) -> None:
    """Checks that the checklist has the chosen gates and the waived checks."""
    if settings["promotion_gates"] is not None:
        with mistakes.noting():
            settings["promotion_gates"] = chosen_gates(settings["promotion_gates"], policy)
    if settings["promotion_waivers"]:
        with mistakes.noting():
            waivers = check_waivers(settings["promotion_waivers"], policy, settings["promotion_operator"])
            settings["promotion_waivers"] = list(waivers)


def _check_folders(settings: dict[str, Any], has_workspace: bool, local: bool, mistakes: Mistakes) -> None:
    """Checks where the evidence goes and, for a workspace on this machine, that it is a checkout and stays one."""
    if settings["workspace_dir"] or settings["promotion_evidence_root"] or not has_workspace:
        with mistakes.noting():
            settings["promotion_evidence_root"] = str(evidence_root(settings, local))
    if local and settings["workspace_dir"] and Path(settings["workspace_dir"]).is_dir():
        with mistakes.noting():
            _check_git(Path(settings["workspace_dir"]))
        with mistakes.noting():
            check_holds_no_tracked_file(str(settings["promotion_evidence_root"] or ""), settings["workspace_dir"])


def _roles(policy: Policy | None, fields: Fields, mistakes: Mistakes) -> dict[str, Role]:
    """The role of each gate of a policy, by the gate's name; one that cannot be read is a mistake."""
    directory, found = Path(fields.text("directory")), {}
    for gate in policy.gates if policy else ():
        if policy and gate.role:
            folders = [directory / "roles", *map(Path, fields.texts("roles"))]
            try:
                found[gate.name] = find_role(gate.role, folders, (directory / policy.marks.name).parent / "roles")
            except InputError as error:
                mistakes.add(f"{policy.marks.at((*gate.path, 'role'))}: {error}")
    return found


def _check_git(folder: Path) -> None:
    if not any((place / ".git").exists() for place in (folder, *folder.parents)):
        raise InputError(
            f"workspace_dir is {folder}, which is not in a Git checkout. Clone the application there, or set another."
        )


def _ownership_map(policy: Policy) -> str:
    """The path of the application's own ownership map that the policy names, relative to the checkout; or empty."""
    maps = [str(check.limits.get("map") or "") for check in policy.checks() if check.check == "ownership"]
    for name in maps:
        if name and (Path(name).is_absolute() or ".." in Path(name).parts):
            raise InputError(
                f'The ownership map "{name}" of the policy must lie in the checkout: write a relative path.'
            )
    return maps[0] if maps else ""


def checklist_text(policy: str, fields: Fields) -> str:
    return policy_text(Path(fields.text("directory")) / policy)


def for_root(given: Given) -> dict[str, Any]:
    """The settings needed to find the evidence root of a resume, before the kept settings are known."""
    defaults = {"promotion_evidence_root": None, "workspace_dir": "", "promotion_ticket": "gra-125"}
    found = {name: given.first(name) for name in defaults}
    return {name: text(found[name], name) if found[name] else default for name, default in defaults.items()}


def evidence_root(settings: Mapping[str, Any], workspace_local: bool) -> Path:
    given = settings["promotion_evidence_root"]
    if given:
        root = Path(given)
    elif not workspace_local:
        raise InputError(
            "promotion_evidence_root is not set, and no workspace host is this machine. Set it to a folder of the "
            "controller where the evidence is to be kept."
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
    """`path` relative to `folder`, or an empty string if it is elsewhere."""
    if not folder or not Path(path).is_relative_to(folder):
        return ""
    return Path(path).relative_to(folder).as_posix()


def _relative(source: str, directory: Path) -> str:
    path = Path(source)
    return path.relative_to(directory).as_posix() if path.is_relative_to(directory) else source
