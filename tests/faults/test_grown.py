"""The grown application under ten faults: what the unblock sentences say there, pasted into a shell, repairs it.

Its environment file, its verdi and its configuration folder are others than those of the plain one, whose faults are in
test_vm.py; so are the commands of the sentences.
"""

from __future__ import annotations

import pytest
from faults_of_vm import FAULTS, Fault
from judging import judge, waited_once
from live import LiveVm

NAMES = (
    "RabbitMQ stopped",
    "RabbitMQ frozen",
    "PostgreSQL stopped",
    "PostgreSQL frozen (SIGSTOP)",
    "daemon killed -9 (a stale pid file)",
    "slurmctld stopped",
    "munge stopped",
    "slurmd dead (down*)",
    "node drained",
    "partition DOWN",
)
CHOSEN = [fault for fault in FAULTS if fault.name in NAMES]


def test_the_faults_are_there() -> None:
    assert sorted(fault.name for fault in CHOSEN) == sorted(NAMES)
    assert not [fault for fault in CHOSEN if "/home/aiida/app" in fault.inject + fault.restore]


@pytest.mark.parametrize("fault", CHOSEN, ids=lambda fault: fault.name)
def test_the_sentences_repair_the_grown_application(grown: LiveVm, fault: Fault) -> None:
    grown.root(fault.inject)
    held = grown.gate(**fault.extra, **grown.vm_gates())
    if fault.silent:
        waited_once(held)
    judge(grown, fault, held, lambda: grown.root(fault.restore or "true"), table="grown")
