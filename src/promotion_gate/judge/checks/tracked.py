"""Every gate: its own commands leave the tracked files of the checkout as they were.

`uv run` without --frozen rewrites a lock, a smoke may write committed files: the next gate would then run on something
other than the commit. The gate's own temporary worktree is restored after each gate, and gate 5 restores what it
generated in any checkout; that is a warning.
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
        raise Unproven(Status.MISSING, "what the checkout was when the gate began and finished is not recorded", file)
    changed = changed_by_own_commands(begin, end)
    if changed:
        raise Unproven(Status.FAIL, f"changed while the gate ran, by its own commands: {changed}", file)
    put_right = restored(case)
    if not put_right:
        return Finding(Status.PASS, "none was changed", (file,))
    shown = ", ".join(put_right[:5]) + (f" and {len(put_right) - 5} more" if len(put_right) > 5 else "")
    where = "the temporary worktree" if case.settings.get("workspace_checkout") == "worktree" else "the checkout"
    warning = f"Gate {case.gate.id} changed files of {where}, which were restored: {shown}."
    return Finding(Status.PASS, f"restored in {where}: {shown}", (file,), warnings=(warning,))


def restored(case: Case) -> list[str]:
    """The files that the gate's commands changed or added and that were put back, relative to the checkout."""
    texts = [case.bundle.output(case.gate.name, command) for command in ("worktree_restore", "put_right")]
    rows = (row.partition(": ") for text in texts for row in (text or "").splitlines())
    return list(dict.fromkeys(name for kind, _, name in rows if kind in ("restored", "removed") and name))
