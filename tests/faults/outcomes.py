"""The row of a run on a loopback ground: what the operator was shown, and what the decision was."""

from __future__ import annotations

import re

import matrix
from ground import Run

_STOPPED = re.compile(r"^\[ERROR\]: Task failed: Action failed: (.*)$", re.MULTILINE)
_HELD = re.compile(r"^HOLD: (.*)$", re.MULTILINE)


def record(
    part: str,
    fault: str,
    run: Run,
    check_id: str = "",
    wanted: str = "HOLD",
    unblocked: str = matrix.NOT_TRIED,
    kept: bool = False,
) -> Run:
    """Writes the row of a run and returns the run.

    `kept` says that the record on disk is that of an earlier run, whose decision this one does not touch. Exit
    status 0 is what a caller takes for PROMOTE, and nothing else is: a run that ends so and leaves no PROMOTE counts
    as a false one, and a PROMOTE with another status as none.
    """
    decision = None if kept else run.decision
    row = matrix.row_of(part, fault, wanted, decision, check_id, "" if decision else told(run.output))
    values = {field: getattr(row, field) for field in ("gate", "check", "status", "sentence")}
    outcome = "PROMOTE" if run.status == 0 else "none" if row.decision == "PROMOTE" else row.decision
    matrix.record(matrix.Row(part, fault, wanted, outcome, **values, unblocked=unblocked))
    return run


def told(output: str) -> str:
    """The last message that the operator sees: that of the task that stopped the run, else the backstop's."""
    found = _STOPPED.findall(output) or _HELD.findall(output)
    return str(found[-1]) if found else ""
