"""Each fault of the VM ends in HOLD with the right check named; mended as its sentence says, a resume promotes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatch

import matrix
import pytest
from faults_of_vm import BEFORE, FAULTS, Fault
from ground import Run
from live import LiveVm, commands_of
from matrix import BY_A_PERSON, BY_COMMANDS, NOT_TRIED

from demo import podman

PAUSED = Fault("VM paused in mid-gate (no answer, connection open)", "", "slurm_smoke.script", "BLOCKED",
               says="could not be reached", also=("slurm_smoke.*",), mended_by=BY_A_PERSON)  # fmt: skip


@pytest.mark.parametrize(
    "fault",
    [pytest.param(f, marks=[pytest.mark.representative] if f.representative else []) for f in FAULTS],
    ids=lambda fault: fault.name,
)
def test_a_fault_of_the_vm_holds(live: LiveVm, fault: Fault) -> None:
    if fault.when == BEFORE:
        live.root(fault.inject)
        held = live.gate(**fault.extra)
    else:
        held = live.gate_with(lambda: live.root(fault.inject), "vm_bootstrap", **fault.extra)
    judge(live, fault, held, lambda: live.root(fault.restore or "true"))


def test_a_vm_that_is_paused_holds(live: LiveVm) -> None:
    held = live.gate_with(lambda: pause(live), "vm_bootstrap")
    judge(live, PAUSED, held, lambda: podman.call("unpause", live.vm.container))


def pause(live: LiveVm) -> None:
    live.root("sleep 2")  # in the middle of the gate, not before its first byte
    assert podman.call("pause", live.vm.container) is not None


def judge(live: LiveVm, fault: Fault, held: Run, restore: Callable[[], object]) -> None:
    """Records the row, mends the VM, resumes, and only then says what was wrong with the gate."""
    row = matrix.row_of("vm", fault.name, "HOLD", held.decision, fault.check)
    matrix.record(row)
    failing = held.failing() if held.decision else []
    named = held.check(fault.check) if fault.check in failing else None
    said = []
    if named and fault.mended_by == BY_COMMANDS:
        said = [(command, live.shell(command)) for command in commands_of(str(named["unblock"]))]
    restore()
    mended = live.resume(**fault.extra)
    promoted = mended.word == "PROMOTE"
    matrix.record(replace(row, unblocked=fault.mended_by if promoted else NOT_TRIED))

    assert held.status == 2, held.output
    assert held.word == "HOLD", held.output
    assert named is not None, f"{fault.check} is not among {failing}"
    assert named["status"] == fault.status, named
    assert fault.says in str(named["observed"]), named["observed"]
    others = [name for name in failing if name != fault.check and not any(fnmatch(name, p) for p in fault.also)]
    assert others == [], [(name, held.check(name)["observed"]) for name in others]
    shown = [f"$ {command}\n{done.stdout}{done.stderr}" for command, done in said]
    assert promoted, "\n".join([*shown, mended.output])
    assert mended.status == 0
