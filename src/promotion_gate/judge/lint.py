"""What a run accepts in a checklist and an author may still want to know."""

from __future__ import annotations

from promotion_gate.base.policy import GatePolicy, Policy
from promotion_gate.judge.checks.case import CHECKS


def notes(policy: Policy) -> list[str]:
    """One sentence each, with file, line and column."""
    found = []
    for gate in policy.gates:
        for check in gate.checks:
            place = policy.marks.at(check.path)
            if check.waivable:
                found.append(f"{place}: {check.id} may be waived.")
            if CHECKS[check.check].optional:
                found.append(f"{place}: {check.id} is not judged where an operator switches it off.")
        found += [f"{policy.marks.at(gate.path)}: {sentence}" for sentence in _unread(gate)]
    return found


def _unread(gate: GatePolicy) -> list[str]:
    """Commands of a gate without a role whose output no check looks at."""
    read = {str(value) for check in gate.checks for value in check.limits.values()}
    return [f"nothing judges the command {item.id} of {gate.name}." for item in gate.commands if item.id not in read]
