"""Why a gate has no record: its host could not be used, or it was not chosen."""

from __future__ import annotations

from dataclasses import dataclass

from promotion_gate.bundle.index import Index
from promotion_gate.bundle.load import Bundle, once


def why_skipped(index: Index, gate: str) -> str:
    """Why a gate without any record was not even tried, or an empty string."""
    chosen = index.settings.get("promotion_gates")
    if gate in index.gates:
        return ""
    if index.run.get("check") or index.run.get("selection"):
        return f"the gate was not run ({'check mode' if index.run.get('check') else index.run.get('selection')})"
    return "the gate was not chosen (promotion_gates)" if isinstance(chosen, list) and gate not in chosen else ""


@dataclass(frozen=True, slots=True)
class HostTrouble:
    """Why a gate's host could not be used."""

    host: str
    unreachable: bool
    message: str


@once
def host_trouble(bundle: Bundle, gate: str) -> HostTrouble | None:
    """What kept a gate from starting or finishing: its host, or the newest event; or None."""
    planned = bundle.index.host_of(gate)
    probe = bundle.index.probes.get(planned or "")
    if planned and probe and probe.problem and gate not in bundle.index.gates:
        unreachable = probe.kind == "unreachable"
        how = "could not be reached" if unreachable else "cannot be used"
        return HostTrouble(planned, unreachable, f"{planned} {how}, so the gate was not run: {probe.problem}")
    for event in reversed([event for event in bundle.index.events if event.gate == gate]):
        if event.kind == "unreachable":
            return HostTrouble(event.host, True, f"{event.host} could not be reached: {event.message}")
        if event.kind == "failed":
            return HostTrouble(event.host, False, f'the task "{event.task}" failed on {event.host}: {event.message}')
    return None
