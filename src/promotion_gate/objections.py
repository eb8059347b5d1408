"""Gate 6: what stands against a promotion although every single check may have passed."""

from __future__ import annotations

from collections.abc import Iterator

from promotion_gate.bundle import Bundle
from promotion_gate.model import GateResult, Status
from promotion_gate.policy import GATE_NAMES
from promotion_gate.versions import version_objections


def objections(bundle: Bundle, gates: tuple[GateResult, ...]) -> tuple[str, ...]:
    """One sentence each; any of them makes the decision HOLD."""
    found = [*_gates(gates), *_run(bundle), *_people(bundle), *_events(bundle), *version_objections(bundle)]
    return tuple(dict.fromkeys(found))


def _gates(gates: tuple[GateResult, ...]) -> Iterator[str]:
    """The spec's threshold of gate 6: all gates 1 to 5 pass."""
    for gate in gates:
        failing = [check.id for check in gate.checks if check.status is not Status.PASS and not check.waived]
        if gate.status is not Status.PASS:
            yield f"Gate {gate.id} did not pass: {gate.status} ({', '.join(failing) or 'it has no check'})."


def _run(bundle: Bundle) -> Iterator[str]:
    run = bundle.index.run
    if run.get("check"):
        yield "The run was a rehearsal (--check): nothing was executed, so nothing is proven."
    for error in bundle.index.collector_errors:
        yield f"The recorder met an error, so evidence may be missing: {error}"


def _people(bundle: Bundle) -> Iterator[str]:
    index = bundle.index
    if not index.operator or not index.reviewer:
        yield "Operator and reviewer must both be named."
    elif index.operator.casefold() == index.reviewer.casefold():
        yield f"The reviewer is the operator ({index.operator}); another person must review."


def _events(bundle: Bundle) -> Iterator[str]:
    for gate in bundle.index.gates.values():
        yield from gate.objections
    for event in bundle.index.events:
        if event.kind in ("unreachable", "failed"):
            where = f"Gate {GATE_NAMES.index(event.gate) + 1}" if event.gate in GATE_NAMES else "The run"
            verb = "could not be reached" if event.kind == "unreachable" else "failed"
            yield f'{where}: {event.host} {verb} in the task "{event.task}": {event.message}'
    for item in bundle.index.artifact_sets:
        for path, reason in item.refused:
            yield f'The artifact "{path}" was refused: {reason}.'
