"""Every gate: its own commands leave the tracked files of the checkout as they were.

`uv run` without --frozen writes a lock anew, a smoke may write what is committed: the next gate would then run on
something else than the commit. In the gate's own temporary worktree it is put right after each gate, and said.
"""

from __future__ import annotations

from promotion_gate.base.model import Status
from promotion_gate.judge.checks.case import Case, Finding, Unproven, check
from promotion_gate.judge.identity import END, changed_by_own_commands, gate_identity

TRACKED = "tracked_files"


@check(TRACKED, "no tracked file is changed by the gate's own commands")
def tracked_files(case: Case) -> Finding:
    begin, end = gate_identity(case.bundle, case.gate.name), gate_identity(case.bundle, case.gate.name, END)
    file = case.command(END).record.file
    if begin is None or end is None:
        raise Unproven(Status.MISSING, "what the checkout was at the gate's begin and end is not recorded", file)
    changed = changed_by_own_commands(begin, end)
    if changed:
        raise Unproven(Status.FAIL, f"changed while the gate ran, by its own commands: {changed}", file)
    put_right = _put_right(case)
    if not put_right:
        return Finding(Status.PASS, "none was changed", (file,))
    shown = ", ".join(put_right[:5]) + (f" and {len(put_right) - 5} more" if len(put_right) > 5 else "")
    warning = f"Gate {case.gate.id} changed files of its temporary worktree, which were put right: {shown}."
    return Finding(Status.PASS, f"put right in the temporary worktree: {shown}", (file,), warnings=(warning,))


def _put_right(case: Case) -> list[str]:
    rows = (case.bundle.output(case.gate.name, "put_right") or "").splitlines()
    return [name for kind, _, name in (row.partition(": ") for row in rows) if kind in ("restored", "removed") and name]
