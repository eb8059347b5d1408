# ruff: noqa: E501 - a script of the table is one line
"""Unusual but healthy VMs must promote: a false HOLD costs a team its trust in the gate."""

from __future__ import annotations

from dataclasses import dataclass

import outcomes
import pytest
from faults_of_vm import aiida, until_node_is, verdi
from ground import Run
from live import VERDI, LiveVm


@dataclass(frozen=True, slots=True)
class Variant:
    """A difference from the plain VM that is not a fault. `prepare` and `undo` are scripts for root there."""

    name: str
    prepare: str
    undo: str
    sees: str = ""  # what the evidence must show, or the variant was not there


# aiida-core 2.9 says --broker none, 2.7 and 2.8 say --no-use-rabbitmq.
OTHER_PROFILE = (
    f"{VERDI} profile setup core.sqlite_dos -n --profile-name another --email a@localhost --broker none && "
    f"{VERDI} profile set-default another"
)
SECOND_NODE = """
cp -p /etc/slurm/slurm.conf /etc/slurm/slurm.conf.away
sed -i 's/^NodeName=aiida-vm CPUs=4.*/&\\nNodeName=second NodeHostname=aiida-vm NodeAddr=aiida-vm Port=17003 CPUs=2 State=UNKNOWN/' /etc/slurm/slurm.conf
sed -i 's/^NodeName=aiida-vm CPUs=4/NodeName=aiida-vm NodeHostname=aiida-vm NodeAddr=aiida-vm Port=6818 CPUs=4/' /etc/slurm/slurm.conf
sed -i 's,^SlurmdSpoolDir=.*,SlurmdSpoolDir=/var/lib/slurm/slurmd-%n,;s,^SlurmdPidFile=.*,SlurmdPidFile=/run/slurmd-%n.pid,' /etc/slurm/slurm.conf
mkdir -p /var/lib/slurm/slurmd-aiida-vm /var/lib/slurm/slurmd-second
systemctl stop slurmd; systemctl restart slurmctld; sleep 1
systemd-run --quiet --unit=slurmd-first slurmd -D -N aiida-vm
systemd-run --quiet --unit=slurmd-second slurmd -D -N second
for i in $(seq 40); do [ "$(sinfo -h -N -o %T | sort -u)" = idle ] && break; sleep 0.5; done
"""
ONE_NODE_AGAIN = """
scancel --user=aiida
systemctl stop slurmd-first slurmd-second
mv /etc/slurm/slurm.conf.away /etc/slurm/slurm.conf
systemctl restart slurmctld slurmd
for i in $(seq 40); do [ "$(sinfo -h -o %T)" = idle ] && break; sleep 0.5; done
"""
# Both controllers have the same port: the primary must not answer at the address of the other one, too.
BACKUP = """
cp -p /etc/slurm/slurm.conf /etc/slurm/slurm.conf.away
sed -i 's/^SlurmctldHost=aiida-vm/&\\nSlurmctldHost=backup(127.0.0.9)\\nCommunicationParameters=NoCtldInAddrAny/' /etc/slurm/slurm.conf
systemctl restart slurmctld slurmd; sleep 3; scontrol ping
"""

VARIANTS = (
    Variant(
        "as it is: one node, one worker, RabbitMQ's version warning in verdi status",
        "true", "true", sees="is not supported",
    ),
    Variant(
        "another default profile beside the target",
        aiida(f"{OTHER_PROFILE}"),
        verdi('profile set-default "$AIIDA_PROFILE"') + "; " + verdi("profile delete --force --delete-data another"),
        sees="* another",
    ),
    Variant(
        "several daemon workers",
        verdi("daemon incr 2"), verdi("daemon decr 2"), sees="Active workers [3]:",
    ),
    Variant(
        "node mixed: a job runs, CPUs are free",
        aiida('sbatch --quiet --output=/dev/null --wrap="sleep 900"') + "; " + until_node_is("mixed"),
        "scancel --user=aiida", sees="|mixed|",
    ),
    Variant(
        "one node allocated, another one free",
        SECOND_NODE + aiida('sbatch --quiet --nodelist=aiida-vm --ntasks=4 --output=/dev/null --wrap="sleep 900"')
        + "; " + until_node_is("allocated"),
        ONE_NODE_AGAIN, sees="|allocated|",
    ),
    Variant(
        "two partitions, the other one down",
        "scontrol create partitionname=old nodes=aiida-vm state=down",
        "scontrol delete partitionname=old", sees="old|down|",
    ),
    Variant(
        "a backup controller that is down",
        BACKUP,
        "mv /etc/slurm/slurm.conf.away /etc/slurm/slurm.conf; systemctl restart slurmctld slurmd; sleep 2",
        sees="(backup) at backup is DOWN",
    ),
)  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_a_healthy_variant_promotes(live: LiveVm, variant: Variant) -> None:
    try:
        live.root(variant.prepare)
        judge(live.gate(**live.vm_gates()), variant.name, variant.sees)
    finally:
        live.root(variant.undo)


def judge(run: Run, name: str, sees: str) -> None:
    outcomes.record("healthy", name, run, wanted="PROMOTE")
    assert run.word == "PROMOTE", run.output
    assert run.status == 0
    assert run.bundle is not None
    logs = "".join(path.read_text(encoding="utf-8") for path in sorted(run.bundle.glob("0[34]-*.log")))
    assert sees in logs, f"the variant was not there: {sees!r} is not in the evidence"


def with_aiida_2_7(live: LiveVm) -> dict[str, object]:
    """A second AiiDA on the VM, with its own environment file, database and virtual host."""
    for command in (
        "test -x ~/aiida-2.7/bin/verdi || "
        '{ uv venv --quiet --clear ~/aiida-2.7 && uv pip install --quiet --python ~/aiida-2.7/bin/python "aiida-core==2.7.*"; }',
        'mkdir -p ~/env && sed "s/^AIIDA_PROFILE=.*/AIIDA_PROFILE=vm-old/;s,^AIIDA_PATH=.*,AIIDA_PATH=/home/aiida/.aiida-2.7,;'
        's/^AIIDA_DB_NAME=.*/AIIDA_DB_NAME=aiida_old/;s/^AIIDA_RABBITMQ_VHOST=.*/AIIDA_RABBITMQ_VHOST=old/" '
        "~/app/ops/aiida-vm/aiida-vm.env >~/env/old.env && echo AIIDA_VERDI=$HOME/aiida-2.7/bin/verdi >>~/env/old.env",
    ):
        done = live.shell(command)
        assert done.returncode == 0, done.stdout + done.stderr
    return {"aiida_vm_env_file": "/home/aiida/env/old.env", "aiida_vm_verdi": "/home/aiida/aiida-2.7/bin/verdi"}


@pytest.fixture(scope="session")
def bookworm() -> LiveVm:
    """Debian 12: Python 3.11, for which AiiDA 2.7 has its NumPy; PostgreSQL 15, RabbitMQ 3.10, Slurm 22.05."""
    return LiveVm("bookworm", suite="bookworm")


def test_debian_12_and_aiida_2_7_promote(bookworm: LiveVm) -> None:
    """AiiDA 2.7's first run creates its profile and the second one finds it: both paths of the spec.

    One test, because two processes of pytest-xdist must not have the one VM at a time.
    """
    judge(bookworm.gate(), "Debian 12 as the VM", "slurm-wlm 22.05")
    extra = with_aiida_2_7(bookworm)
    bookworm.root(aiida("rm -rf ~/.aiida-2.7"))
    bookworm.root("runuser -u postgres -- psql -qc 'DROP DATABASE IF EXISTS aiida_old WITH (FORCE)'")
    judge(bookworm.gate(aiida_vm_first_run=True, **extra), "AiiDA 2.7 on Debian 12, first run", "AiiDA v2.7")
    judge(bookworm.gate(**extra), "AiiDA 2.7 on Debian 12", "AiiDA v2.7")
