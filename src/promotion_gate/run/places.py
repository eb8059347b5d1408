"""Where the gates of a checklist run: its groups, and which variables of the run are about the hosts of a group.

There are two kinds of places with a checkout: a workspace (`workspace_*`) and a VM (`aiida_vm_*`). The variables that
the roles of a group's gates take determine its kind; a group whose gates take none of them is just a host.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from promotion_gate.base.mistakes import Mistake
from promotion_gate.base.policy import GatePolicy, Policy
from promotion_gate.run.roles import Role, command_mistakes
from promotion_gate.run.settings import REQUIRED, VARIABLES, Mistakes

# Each kind of place with the variable that names its checkout; if a role takes variables of both, the first one counts.
CHECKOUTS = {"aiida_vm": "aiida_vm_repo_dir", "workspace": "workspace_dir"}


def places_of(policy: Policy, roles: Mapping[str, Role]) -> dict[str, str]:
    """The groups of a checklist in order, each with the kind of place its hosts are; empty for just a host."""
    found = places_by_name(gate.hosts for gate in policy.gates)
    for group in found:
        taken = {setting for gate in policy.gates if gate.hosts == group for setting in _taken(gate, roles)}
        kinds = [kind for kind in CHECKOUTS if any(name.startswith(f"{kind}_") for name in taken)]
        found[group] = kinds[0] if kinds else found[group]
    return found


def places_by_name(groups: Iterable[str]) -> dict[str, str]:
    """The kind of place of each group, judged by its name alone; empty for any other name."""
    return {group: group if group in CHECKOUTS else "" for group in groups}


def _taken(gate: GatePolicy, roles: Mapping[str, Role]) -> set[str]:
    return set(roles[gate.name].taken.values()) if gate.name in roles else set()


def groups_of(name: str, places: Mapping[str, str]) -> list[str]:
    """The groups whose hosts have a variable of the run; the one that counts comes first."""
    kind = next((kind for kind in CHECKOUTS if name.startswith(f"{kind}_")), "workspace")
    mine = [group for group in places if places[group] == kind]
    others = [group for group in places if group not in mine]
    return [*mine, *others] if name.startswith("promotion_") or not mine else mine


def not_needed(policy: Policy | None, roles: Mapping[str, Role], places: Mapping[str, str]) -> Iterator[str]:
    """The required variables that nothing takes. What an unreadable checklist takes is unknown."""
    gates = policy.gates if policy else ()
    needed = {setting for gate in gates for setting in _taken(gate, roles)}
    needed |= {CHECKOUTS[places[gate.hosts]] for gate in gates if "checkout" in gate.identity and places[gate.hosts]}
    for name, variable in VARIABLES.items():
        if variable.default is REQUIRED and not name.startswith("promotion_") and name not in needed:
            yield name


def role_mistakes(policy: Policy, roles: Mapping[str, Role]) -> Iterator[Mistake]:
    """Where a checklist does not match its roles; roles that are not here cannot be checked."""
    yield from command_mistakes(policy, roles)
    if len(roles) == sum(1 for gate in policy.gates if gate.role):
        yield from without_checkout(policy, places_of(policy, roles))


def without_checkout(policy: Policy, places: Mapping[str, str]) -> Iterator[Mistake]:
    """A gate of just a host that declares more identity than the machine: nothing tells where the rest is."""
    for gate in policy.gates:
        more = [part for part in gate.identity if part != "machine"]
        if more and not places[gate.hosts]:
            message = f"the gate {gate.name} has {', '.join(more)}, and no role of the group {gate.hosts} says where."
            yield Mistake((*gate.path, "identity"), f"identity: {message}")


def depends_on(gate: GatePolicy, roles: Mapping[str, Role], places: Mapping[str, str]) -> list[str]:
    """The settings that the evidence of a gate depends on."""
    if gate.name in roles:
        return roles[gate.name].depends_on()
    kind = places[gate.hosts]
    own = [CHECKOUTS[kind], f"{kind}_environment"] if kind else []
    return sorted([*own, "workspace_checkout"] if kind == "workspace" else own)


def hosts_of(policy: Policy, groups: Mapping[str, Any], mistakes: Mistakes) -> dict[str, Any]:
    """The settings that name hosts: of each group, and, for people, of the workspace and of the VM."""
    found: dict[str, str] = {}
    for group in dict.fromkeys(gate.hosts for gate in policy.gates):
        numbers = [str(gate.id) for gate in policy.gates if gate.hosts == group]
        what = f"the host of gate{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"
        hosts = groups.get(group)
        if hosts is None:
            mistakes.add(f'The inventory has no group "{group}". Add it with one host: {what}.')
        elif len(hosts) != 1:
            named = ", ".join(map(str, hosts)) or "none"
            mistakes.add(f'The group "{group}" must have exactly one host ({what}), it has: {named}.')
        elif str(hosts[0]) in found.values():
            other = next(other for other, host in found.items() if host == str(hosts[0]))
            mistakes.add(f"{hosts[0]} is in both groups, {other} and {group}; they are two hosts.")
        found[group] = str(hosts[0]) if hosts else ""
    others = [host for group, host in found.items() if group != policy.subject]
    return {"hosts": found, "workspace": found.get("workspace", next(iter(others), "")), "vm": found[policy.subject]}


def timed_together(policy: Policy, hosts: Mapping[str, str], is_local: Callable[[str], bool]) -> Iterator[str]:
    """A sentence for every two timed gates of different hosts that are both this machine.

    For other machines this is known only after the probes; then it is an objection.
    """
    timed = [gate for gate in policy.gates if gate.alone and is_local(gate.hosts)]
    for one, two in itertools.combinations(timed, 2):
        here, there = hosts[one.hosts], hosts[two.hosts]
        if here != there:
            yield (
                f"Gate {one.id} and gate {two.id} are both timed (alone), and {here} and {there} "
                "are both this machine. Run both on one host, or remove `alone` from one of them in the checklist."
            )
