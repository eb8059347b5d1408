"""The end of a run about several hosts: fleet.json, a table with one line per host, and what to do about a HOLD."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from promotion_gate.base.errors import BundleError, GateError
from promotion_gate.base.escape import harmless
from promotion_gate.base.names import FLEET_FILE
from promotion_gate.bundle.fleet import FleetHost, read_fleet
from promotion_gate.bundle.history import read_run
from promotion_gate.report.fleet import table_of_fleet
from promotion_gate.run.backstop import End
from promotion_gate.run.standing import entry_as_verified, host_entry, note_fleet

# The number of hosts on HOLD whose full ending is shown; `show` prints it for the others.
SHOWN = 3


def end_of_fleet(root: Path, ends: Sequence[End]) -> End:
    """Writes fleet.json and returns how the run ended: PROMOTE only if every host is promoted."""
    decided = {end.bundle: host_entry(end.bundle, end.decision, end.problem) for end in ends if end.bundle}
    planned = [root / item.bundle for item in _planned(root)]
    # If one was neither recorded into nor closed, the run was cut short and does not promote.
    entries = [decided.get(bundle) or entry_as_verified(bundle) for bundle in dict.fromkeys([*planned, *decided])]
    problem = _noted(root, entries)
    promotes = all(end.promotes for end in ends) and len(decided) == len(entries) and not problem
    lines = [*table_of_fleet(entries), "", *_holds(ends), f"fleet:    {root / FLEET_FILE}"]
    commands = [end.decision.rerun_command for end in ends if end.decision]
    lines += [f"re-run:   {command}" for command in commands[:1] if not promotes]  # the same for all of them
    lines += [f"HOLD: {problem}"] if problem else []
    return End("\n".join(lines), promotes)


def _planned(root: Path) -> tuple[FleetHost, ...]:
    """The hosts of this run in the order of the inventory, as noted when it was opened."""
    try:
        return read_fleet(root).hosts
    except BundleError:
        return ()


def _noted(root: Path, entries: Sequence[FleetHost]) -> str:
    """Writes fleet.json; returns why that was not possible."""
    try:
        group = read_run(root / entries[0].bundle).settings.get("promotion_evidence_group")
        note_fleet(root, entries, group)
    except GateError as error:
        return str(error)
    return ""


def _holds(ends: Sequence[End]) -> Iterator[str]:
    """The full ending for the first hosts that are not promoted; for the others, the command that shows it."""
    held = [end for end in ends if not end.promotes]
    for end in held[:SHOWN]:
        yield from (end.text, "")
    for end in held[SHOWN:]:
        yield harmless(f"show:     promotion-gate show {end.bundle}")
