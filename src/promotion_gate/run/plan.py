"""Which gate runs on which host and when, and the other fields of an index that follow from the settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from promotion_gate.base.errors import InputError
from promotion_gate.base.model import PolicyRecord
from promotion_gate.base.policy import Policy
from promotion_gate.bundle.index import Planned, Probe
from promotion_gate.judge.timing import crowded


def chosen_gates(words: Iterable[str], policy: Policy) -> list[str]:
    """The names of gates given by number or by name, in the order of the checklist.

    Raises InputError for a gate that the checklist does not have.
    """
    known = {**{str(gate.id): gate.name for gate in policy.gates}, **{gate.name: gate.name for gate in policy.gates}}
    chosen = set()
    for word in words:
        if word not in known:
            listed = ", ".join(f"{gate.id} {gate.name}" for gate in policy.gates)
            raise InputError(f'promotion_gates: there is no gate "{word[:80]}"; the gates are {listed}.')
        chosen.add(known[word])
    return [gate.name for gate in policy.gates if gate.name in chosen]


def plan_of(policy: Policy, settings: Mapping[str, Any], probes: Mapping[str, Probe]) -> tuple[Planned, ...]:
    """The gates of a checklist in order, each with its host and its wave, as the index keeps them.

    Each host runs its own gates in order, all hosts side by side. Where that would disturb a gate whose timing is
    judged, that gate and what its host runs before it are the first wave, and everything else on that machine is the
    second. A host that was not probed yet may be any machine. `fleet` lists the hosts of the subject if there are
    several: the gates of each run in this plan or in the host's own plan.
    """
    hosts = {gate.hosts: settings["hosts"].get(gate.hosts, "") for gate in policy.gates}
    fleet = settings.get("fleet", ())
    everywhere = {*hosts.values(), *fleet}
    timed = {host for gate in policy.gates if gate.alone for host in (fleet if gate.hosts == policy.subject else ())}
    timed |= {hosts[gate.hosts] for gate in policy.gates if gate.alone}
    chosen = settings["promotion_gates"]
    found = []
    for gate in policy.gates:
        host = hosts[gate.hosts]
        here = [other for other in policy.gates if hosts[other.hosts] == host]
        timed_later = any(other.alone for other in here[here.index(gate) :])
        second = not timed_later and crowded(host, timed, everywhere, settings, probes)
        found.append(Planned(gate.name, host, 2 if second else 1, chosen is None or gate.name in chosen))
    return tuple(found)


def set_by_operator(
    policy: Policy, kept: Mapping[str, Any], record: PolicyRecord, probes: Mapping[str, Probe]
) -> dict[str, Any]:
    """The fields of an index that follow from the settings; a resume sets them again."""
    return {
        "ticket": kept["promotion_ticket"],
        "operator": kept["promotion_operator"],
        "reviewer": kept["promotion_reviewer"],
        "risks": tuple(kept["promotion_risks"]),
        "waivers": tuple(kept["promotion_waivers"]),
        "settings": kept,
        "policy": record,
        "plan": plan_of(policy, kept, probes),
    }
