"""Each fault of the VM ends in HOLD with the right check named; repaired as its sentence says, a resume promotes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from faults_of_vm import BEFORE, FAULTS, SSH_GONE, Fault
from judging import judge, waited_once
from live import LiveVm
from matrix import BY_A_PERSON, BY_COMMANDS

from demo import podman

PAUSED = Fault("VM paused in mid-gate (no answer, connection open)", "", "slurm_smoke.script", "BLOCKED",
               says="could not be reached", also=("slurm_smoke.*",), repaired_by=BY_A_PERSON)  # fmt: skip


@pytest.mark.parametrize(
    "fault",
    [pytest.param(f, marks=[pytest.mark.representative] if f.representative else []) for f in FAULTS],
    ids=lambda fault: fault.name,
)
def test_a_fault_of_the_vm_holds(live: LiveVm, fault: Fault) -> None:
    # A repair may cut the connection; the whole gate has to cope with that.
    extra = {**fault.extra, **(live.vm_gates() if fault.repaired_by == BY_COMMANDS else {})}
    if fault.when == BEFORE:
        live.root(fault.inject)
        held = live.gate(**extra)
    else:
        held = live.gate_with(lambda: live.root(fault.inject), "vm_bootstrap", **extra)
    if fault.silent:
        waited_once(held)
    judge(live, fault, held, lambda: live.root(fault.restore or "true"))


BY_NAME = {fault.name: fault for fault in FAULTS}
# With the other representative ones, the five faults whose commands `make test` pastes.
TOGETHER = (("RabbitMQ stopped", "node drained"), ("PostgreSQL frozen (SIGSTOP)", "partition DOWN"))


@pytest.mark.representative
@pytest.mark.parametrize("names", TOGETHER, ids=" and ".join)
def test_faults_that_come_together_each_have_their_remedy(live: LiveVm, names: tuple[str, ...]) -> None:
    faults = [BY_NAME[name] for name in names]
    live.root("\n".join(fault.inject for fault in faults))
    held = live.gate(**live.vm_gates(), **{key: value for fault in faults for key, value in fault.extra.items()})
    also = tuple(name for one in faults for name in (one.check, *one.also))
    judge(live, replace(faults[0], name=" and ".join(names), also=also), held, lambda: None)
    for fault in faults:
        found = held.check(fault.check)
        assert found["status"] == fault.status and fault.says in found["observed"], found


def test_a_vm_that_is_paused_holds(live: LiveVm) -> None:
    held = live.gate_with(lambda: pause(live), "vm_bootstrap")
    judge(live, PAUSED, held, lambda: podman.call("unpause", live.vm.container))


def pause(live: LiveVm) -> None:
    live.root("sleep 2")  # in the middle of the gate, not before its first byte
    assert podman.call("pause", live.vm.container) is not None


BEFORE_GATE_4 = Fault("sshd stopped before gate 4", "", "slurm_smoke.script", "BLOCKED", says="could not be reached",
                      also=("vm_bootstrap.*", "slurm_smoke.*"), repaired_by=BY_A_PERSON)  # fmt: skip


def test_a_vm_that_is_gone_before_gate_4_holds(live: LiveVm) -> None:
    """Gate 3 has just passed, and only gate 4 is run: the evidence kept from gate 3 no longer counts."""
    assert live.gate().word == "PROMOTE"
    live.root(SSH_GONE)
    held = live.resume(promotion_gates="4")
    assert held.decision is None or held.gate("vm_bootstrap")["status"] == "STALE"
    judge(live, BEFORE_GATE_4, held, lambda: live.root("systemctl start ssh"))
