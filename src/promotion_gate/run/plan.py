"""Which gate runs on which host, and what else an index has of what an operator set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from promotion_gate.base.errors import InputError
from promotion_gate.base.model import PolicyRecord
from promotion_gate.base.policy import Policy
from promotion_gate.bundle.index import Planned


def chosen_gates(words: Iterable[str], policy: Policy) -> list[str]:
    """The names of the gates that are named by number or by name, in the order of the checklist.

    Raises InputError for one that the checklist does not have.
    """
    known = {**{str(gate.id): gate.name for gate in policy.gates}, **{gate.name: gate.name for gate in policy.gates}}
    chosen = set()
    for word in words:
        if word not in known:
            listed = ", ".join(f"{gate.id} {gate.name}" for gate in policy.gates)
            raise InputError(f'promotion_gates: there is no gate "{word[:80]}"; the gates are {listed}.')
        chosen.add(known[word])
    return [gate.name for gate in policy.gates if gate.name in chosen]


def plan_of(policy: Policy, settings: Mapping[str, Any]) -> tuple[Planned, ...]:
    """The gates of a checklist in order, each with its host, as the index keeps them."""
    hosts = {"workspace": settings["workspace"], "aiida_vm": settings["vm"]}
    return tuple(Planned(gate.name, hosts[gate.hosts], wave=1, chosen=True) for gate in policy.gates)


def set_by_operator(policy: Policy, kept: Mapping[str, Any], record: PolicyRecord) -> dict[str, Any]:
    """The fields of an index that follow from the settings; a resume sets them anew."""
    return {
        "ticket": kept["promotion_ticket"],
        "operator": kept["promotion_operator"],
        "reviewer": kept["promotion_reviewer"],
        "risks": tuple(kept["promotion_risks"]),
        "waivers": tuple(kept["promotion_waivers"]),
        "settings": kept,
        "policy": record,
        "plan": plan_of(policy, kept),
    }
