"""Each fault of the VM ends in HOLD with the right check named; mended as its sentence says, a resume promotes."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatch

import outcomes
import pytest
from faults_of_vm import BEFORE, FAULTS, SSH_GONE, Fault
from ground import Run
from live import LiveVm, commands_of
from matrix import BY_A_PERSON, BY_COMMANDS, NOT_TRIED

from demo import podman

MOST_RESUMES = 3

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


BEFORE_GATE_4 = Fault("sshd stopped before gate 4", "", "slurm_smoke.script", "BLOCKED", says="could not be reached",
                      also=("vm_bootstrap.*", "slurm_smoke.*"), mended_by=BY_A_PERSON)  # fmt: skip


def test_a_vm_that_is_gone_before_gate_4_holds(live: LiveVm) -> None:
    """Gate 3 has just passed, and gate 4 alone is run: what was kept of gate 3 does not count any more."""
    assert live.gate().word == "PROMOTE"
    live.root(SSH_GONE)
    held = live.resume(promotion_gates="4")
    assert held.decision is None or held.gate("vm_bootstrap")["status"] == "STALE"
    judge(live, BEFORE_GATE_4, held, lambda: live.root("systemctl start ssh"))


def judge(live: LiveVm, fault: Fault, held: Run, restore: Callable[[], object]) -> None:
    """Records the row, mends the VM, resumes, and only then says what was wrong with the gate.

    Where commands mend, nothing else is put back before the resume, so that it is they who did it.
    """
    outcomes.record("vm", fault.name, held, fault.check)
    failing = held.failing() if held.decision else []
    named = held.check(fault.check) if fault.check in failing else None
    if named and fault.mended_by == BY_COMMANDS:
        mended, said = follow(live, fault, held, [fault.check])
        restore()
    else:
        restore()
        mended, said = live.resume(**fault.extra), []
    promoted = mended.word == "PROMOTE" and mended.status == 0
    outcomes.record("vm", fault.name, held, fault.check, unblocked=fault.mended_by if promoted else NOT_TRIED)

    assert held.status == 2, held.output
    assert held.word == "HOLD", held.output
    assert named is not None, f"{fault.check} is not among {failing}"
    assert named["status"] == fault.status, named
    assert fault.says in str(named["observed"]), named["observed"]
    expected = (fault.check, *fault.also, "*.host")
    others = [name for name in failing if not any(fnmatch(name, pattern) for pattern in expected)]
    assert others == [], [(name, held.check(name)["observed"]) for name in others]
    assert promoted, "\n".join([*said, mended.output])


def follow(live: LiveVm, fault: Fault, held: Run, checks: list[str]) -> tuple[Run, list[str]]:
    """Runs the commands of the unblock sentences as they stand, and resumes; what is said then is done, too.

    A sentence may have no command: a cluster that is busy with what the fault left wants a re-run and nothing else.
    """
    said, run = [], held
    for _ in range(MOST_RESUMES):
        for command in (c for name in checks for c in commands_of(str(run.check(name)["unblock"]))):
            done = live.shell(command)
            said.append(f"$ {command}\n{done.stdout}{done.stderr}")
        run = live.resume(**fault.extra)
        if run.status == 0 or run.decision is None:
            break
        checks = run.failing()
    return run, said
