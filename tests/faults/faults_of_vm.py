# ruff: noqa: E501 - a script of the table is one line
"""What is broken on the VM, one fault per entry: as data, so that adding one is adding an entry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from live import IMPATIENT, VERDI
from matrix import BY_A_PERSON, BY_COMMANDS, PROJECT

AS_AIIDA = "runuser -l aiida -c"
BEFORE, IN_GATE_4 = "before the run", "as gate 4 begins"
# What else cannot work when the named thing does not: allowed to fail beside the named check, never instead of it.
VERDI_CHECKS = ("vm_bootstrap.*", "slurm_smoke.*")
BROKER = ("vm_bootstrap.daemon", "vm_bootstrap.workers", "slurm_smoke.calculation")
STORAGE = (
    "vm_bootstrap.*",
    "slurm_smoke.script",
    "slurm_smoke.computer_test",
    "slurm_smoke.calculation",
    "slurm_smoke.artifacts",
    "slurm_smoke.evidence",  # the script is not run where verdi did not answer
)
DAEMON = ("vm_bootstrap.daemon", "vm_bootstrap.workers", "slurm_smoke.calculation")
SLURM = ("slurm_smoke.*",)
JOBS = ("slurm_smoke.node", "slurm_smoke.job", "slurm_smoke.calculation")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to break. `inject` and `restore` are scripts for root on the VM; `restore` is what a person does, or
    where commands repair it, what is put back once they have done so."""

    name: str
    inject: str
    check: str
    status: str
    says: str = ""
    also: tuple[str, ...] = ()
    repaired_by: str = BY_COMMANDS
    restore: str = ""
    when: str = BEFORE
    extra: dict[str, Any] = field(default_factory=dict)
    representative: bool = False
    silent: bool = False  # something accepts connections and never answers


def aiida(command: str) -> str:
    """A script of root that lets the VM's operator run a command."""
    return f"{AS_AIIDA} '{command}'"


def verdi(words: str) -> str:
    return aiida(f"{VERDI} {words}")


def reservation(name: str, more: str) -> str:
    return (
        f"scontrol create reservation reservationname={name} starttime=now duration=30 nodes=ALL {more} && "
        "scontrol show reservation -o"
    )


def until_node_is(pattern: str) -> str:
    """Waits until sinfo shows what is wrong, so that the fault is there and not on its way."""
    return f"for i in $(seq 60); do sinfo -h -o %T | grep -Eqx '{pattern}' && break; sleep 0.5; done; sinfo -h -o %T"


ALTER_PASSWORD = (
    "set -a; . /home/aiida/app/ops/aiida-vm/aiida-vm.env; "
    "runuser -u postgres -- psql -q -c \"ALTER ROLE $AIIDA_DB_USER PASSWORD '{}'\""
)
BROKER_PASSWORD = (
    "set -a; . /home/aiida/app/ops/aiida-vm/aiida-vm.env; rabbitmqctl -q change_password $AIIDA_RABBITMQ_USER {}"
)
SLURM_CONF_AGAIN = (
    "cd /etc/slurm && cp -p slurm.conf.away slurm.conf && rm slurm.conf.away && scontrol reconfigure; sleep 3"
)
SSH_GONE = "systemctl stop ssh.socket ssh.service 2>/dev/null; pkill -KILL -f '[s]shd(-session)?: aiida' || true"

# The gate's own calculation, for a daemon that has worked before something happens to it.
CALCULATION = (PROJECT / "roles" / "gate_slurm_smoke" / "files" / "calculation.py").read_text(encoding="utf-8")
WORK = (
    f"cat >/tmp/calculation.py <<'END'\n{CALCULATION}END\n"
    + verdi('run /tmp/calculation.py "$AIIDA_COMPUTER_LABEL" 60') + " | grep -qx 'exit_status: 0'"
)  # fmt: skip

# As on a VM that was never bootstrapped: neither a profile nor what it stored.
PROFILE_GONE = (
    verdi("daemon stop")
    + "; "
    + verdi('profile delete --force --keep-data "$AIIDA_PROFILE"')
    + "; runuser -u postgres -- psql -qc 'DROP DATABASE aiida_vm WITH (FORCE)'"
    " && rm -r /home/aiida/.aiida-gate/.aiida/repository/vm-psql"
)

SERVICES = (
    Fault(
        "RabbitMQ stopped",
        "systemctl stop rabbitmq-server",
        "vm_bootstrap.broker", "FAIL", also=BROKER,
    ),
    Fault(
        "RabbitMQ frozen",
        "systemctl kill --kill-whom=all --signal=SIGSTOP rabbitmq-server",
        "vm_bootstrap.broker", "FAIL", also=BROKER, extra=IMPATIENT,
    ),
    Fault(
        "wrong broker password",
        BROKER_PASSWORD.format("some-other-password"),
        "vm_bootstrap.broker", "FAIL", also=BROKER, repaired_by=BY_A_PERSON,
        restore=BROKER_PASSWORD.format('"$AIIDA_RABBITMQ_PASSWORD"') + "; " + verdi("daemon restart"),
    ),
    Fault(
        "wrong vhost",
        verdi('profile configure-rabbitmq "$AIIDA_PROFILE" -n -f --broker-virtual-host nowhere')
        + " && " + verdi("daemon restart || true"),
        "vm_bootstrap.broker", "FAIL", also=BROKER, repaired_by=BY_A_PERSON,
        restore=verdi('profile configure-rabbitmq "$AIIDA_PROFILE" -n -f --broker-virtual-host "$AIIDA_RABBITMQ_VHOST"')
        + " && " + verdi("daemon restart"),
    ),
    Fault(
        "PostgreSQL stopped",
        "systemctl stop postgresql",
        "vm_bootstrap.storage", "FAIL", also=STORAGE,
    ),
    Fault(
        "PostgreSQL frozen (SIGSTOP)",
        "systemctl kill --kill-whom=all --signal=SIGSTOP 'postgresql@*'",
        "vm_bootstrap.storage", "BLOCKED", says="timed out after", also=STORAGE, silent=True,
        extra=IMPATIENT,
    ),
    Fault(
        # Everything but a calculation calls this VM healthy: verdi status, the daemon with its worker, the computer. A
        # worker that has not worked yet would survive it: it has no connection that can be lost.
        "PostgreSQL restarted under a daemon that has worked",
        WORK + " && systemctl restart postgresql && sleep 2",
        "slurm_smoke.calculation", "FAIL", says="created",
    ),
    Fault(
        "wrong database password",
        ALTER_PASSWORD.format("some-other-password"),
        "vm_bootstrap.storage", "FAIL", also=STORAGE, repaired_by=BY_A_PERSON,
        restore=ALTER_PASSWORD.format("$AIIDA_DB_PASSWORD") + "; " + verdi("daemon restart"),
    ),
)  # fmt: skip

AIIDA = (
    Fault(
        "daemon stopped",
        verdi("daemon stop"),
        "vm_bootstrap.daemon", "FAIL", also=DAEMON, representative=True,
    ),
    Fault(
        "daemon with 0 workers",
        verdi("daemon decr 1"),
        "vm_bootstrap.workers", "FAIL", says="0 workers", also=DAEMON,
    ),
    Fault(
        "daemon killed -9 (a stale pid file)",
        "pkill -KILL -u aiida -f 'verdi.* daemon|circus'; sleep 1",
        "vm_bootstrap.daemon", "FAIL", also=(*DAEMON, "vm_bootstrap.broker"),
    ),
    Fault(
        "daemon that does not answer (something cleaned up its sockets in /tmp)",
        aiida('rm -r "$(cat ~/.aiida-gate/.aiida/daemon/circus-vm-psql.sockets)"'),
        "vm_bootstrap.daemon", "FAIL", says="timed out", also=DAEMON,
    ),
    Fault(
        "profile absent",
        PROFILE_GONE,
        "vm_bootstrap.profile", "FAIL", also=VERDI_CHECKS,
    ),
    Fault(
        "only a look-alike profile",
        verdi("profile setup core.sqlite_dos -n --profile-name vm-psql-old --email a@localhost --broker none")
        + "; " + PROFILE_GONE,
        "vm_bootstrap.profile", "FAIL", says="-old", also=VERDI_CHECKS,
        restore=verdi("profile delete --force --delete-data vm-psql-old"),
    ),
    Fault(
        "env file missing",
        "mv /home/aiida/app/ops/aiida-vm/aiida-vm.env /home/aiida/app/ops/aiida-vm/aiida-vm.env.away",
        "vm_bootstrap.env_file", "BLOCKED", says="there is no such file", also=VERDI_CHECKS, repaired_by=BY_A_PERSON,
        restore="mv /home/aiida/app/ops/aiida-vm/aiida-vm.env.away /home/aiida/app/ops/aiida-vm/aiida-vm.env",
    ),
    Fault(
        "env file of another profile",
        "sed -i.away 's/^AIIDA_PROFILE=.*/AIIDA_PROFILE=another/' /home/aiida/app/ops/aiida-vm/aiida-vm.env",
        "vm_bootstrap.env_file", "FAIL", says="another", also=VERDI_CHECKS, repaired_by=BY_A_PERSON,
        restore="cd /home/aiida/app/ops/aiida-vm && cp -p aiida-vm.env.away aiida-vm.env && rm aiida-vm.env.away",
        extra={"aiida_vm_profile": "vm-psql"},
    ),
    Fault(
        "verdi not on PATH",
        "mv /home/aiida/app/.venv /home/aiida/app/.venv.away",
        "vm_bootstrap.profile", "BLOCKED", also=VERDI_CHECKS,
    ),
    Fault(
        "VM checkout at another commit",
        aiida(
            "cd app && git config user.name x && git config user.email x@localhost && git tag before && "
            "echo >>README.md && git commit -qam other"
        ),
        "vm_bootstrap.checkout", "FAIL", says="the VM is at",
        restore=aiida("cd app && git checkout -q -B main before && git tag -d before"),
    ),
)  # fmt: skip

SLURM_FAULTS = (
    Fault(
        "slurmctld stopped",
        "systemctl stop slurmctld",
        "slurm_smoke.controller", "FAIL", also=SLURM,
    ),
    Fault(
        "munge stopped",
        "systemctl stop munge",
        "slurm_smoke.controller", "FAIL", also=SLURM,
    ),
    Fault(
        "slurmd dead, the node still shown idle",
        "sed -i.away 's/^SlurmdTimeout=.*/SlurmdTimeout=300/' /etc/slurm/slurm.conf && scontrol reconfigure && sleep 2 && "
        "systemctl kill --signal=SIGKILL slurmd; systemctl stop slurmd; sinfo -h -o %T",
        "slurm_smoke.job", "FAIL", also=JOBS,
        restore=SLURM_CONF_AGAIN,
    ),
    Fault(
        "slurmd dead (down*)",
        "systemctl stop slurmd; " + until_node_is(r"down\*"),
        "slurm_smoke.node", "FAIL", says="down", also=JOBS,
    ),
    Fault(
        "node down",
        # With the image's ReturnToService=2 the node would return to service as soon as slurmd registers again.
        "sed -i.away 's/^ReturnToService=.*/ReturnToService=0/' /etc/slurm/slurm.conf && scontrol reconfigure && sleep 2 && "
        "scontrol update nodename=aiida-vm state=down reason=fault",
        "slurm_smoke.node", "FAIL", says="down", also=JOBS, restore=SLURM_CONF_AGAIN,
    ),
    Fault(
        "node drained",
        "scontrol update nodename=aiida-vm state=drain reason=fault",
        "slurm_smoke.node", "FAIL", says="drain", also=JOBS,
    ),
    Fault(
        "node with less memory than slurm.conf says",
        "cp -p /etc/slurm/slurm.conf /etc/slurm/slurm.conf.away; "
        "sed -i '/config_overrides/d; s/^NodeName=aiida-vm/& RealMemory=99999999/' /etc/slurm/slurm.conf; "
        "systemctl restart slurmctld; sleep 1; systemctl restart slurmd; " + until_node_is("inval"),
        "slurm_smoke.node", "FAIL", says="registered with less", also=(*JOBS, "slurm_smoke.script"),
        repaired_by=BY_A_PERSON,
        restore="mv /etc/slurm/slurm.conf.away /etc/slurm/slurm.conf; scontrol reconfigure; systemctl restart slurmd; "
        "sleep 10; sinfo -h -o %T | grep -qv drain || scontrol update nodename=aiida-vm state=resume; "
        + until_node_is("idle"),
    ),
    Fault(
        "computer disabled",
        verdi("computer disable vm-slurm aiida@example.org"),
        "slurm_smoke.computer_test", "FAIL", says="is disabled for",
        also=("slurm_smoke.script", "slurm_smoke.calculation"),
    ),
    Fault(
        "node draining",
        aiida("sbatch --quiet --output=/dev/null --wrap=\"sleep 900\"") + "; " + until_node_is("mixed|allocated")
        + "; scontrol update nodename=aiida-vm state=drain reason=fault; " + until_node_is("draining"),
        "slurm_smoke.node", "FAIL", says="drain", also=JOBS, restore="scancel --user=aiida",
    ),
    Fault(
        "node in maintenance",
        reservation("upkeep", "flags=maint,ignore_jobs users=root") + "; " + until_node_is("maint"),
        "slurm_smoke.node", "FAIL", says="maint", also=JOBS,
    ),
    Fault(
        "node reserved",
        reservation("course", "flags=ignore_jobs users=root") + "; " + until_node_is("reserved"),
        "slurm_smoke.node", "FAIL", says="reserved", also=JOBS,
    ),
    Fault(
        "node failing",
        "scontrol update nodename=aiida-vm state=fail reason=fault; " + until_node_is("fail"),
        "slurm_smoke.node", "FAIL", says="fail", also=JOBS,
    ),
    *(
        Fault(
            f"partition {state}",
            f"scontrol update partitionname=debug state={state}",
            "slurm_smoke.node", "FAIL", says="partition", also=JOBS,
        )
        for state in ("DOWN", "DRAIN", "INACTIVE")
    ),
    Fault(
        "partition empty",
        # A partition in which a job still is cannot be deleted.
        "scancel --user=aiida; for i in $(seq 60); do [ -z \"$(squeue -h)\" ] && break; sleep 0.5; done; "
        "scontrol create partitionname=nothing default=yes && scontrol delete partitionname=debug && sinfo",
        "slurm_smoke.node", "FAIL", says="no node", also=JOBS,
    ),
    Fault(
        "a MAINT reservation that has just begun (sinfo still shows idle)",
        reservation("surprise", "flags=maint,ignore_jobs users=root"),
        "slurm_smoke.job", "FAIL", says="Reserved_for_maintenance", also=JOBS, when=IN_GATE_4,
    ),
)  # fmt: skip

# The VM's /tmp is a separate file system in memory; AiiDA's daemon has its sockets there, so it stays mounted.
SMALL_TMP = "mount -o remount,size=$(($(df --output=used -k /tmp | tail -n 1) + {more_kb}))k /tmp"
FREE_TMP = "pkill -f '/dev/zer[o]'; rm -f /tmp/filler; mount -o remount,size=50% /tmp"
# Fills it as soon as something is in the file `path` of the gate's scratch directory.
FILL_WHEN = (
    "nohup bash -c 'for i in $(seq 3000); do grep -qs . {path} && break; sleep 0.02; done; "
    "cat /dev/zero >/tmp/filler' >/dev/null 2>&1 </dev/null &"
)
STUBBORN = """cat >/usr/local/bin/sinfo <<'END'
#!/bin/bash
trap '' TERM HUP INT
for i in 1 2 3; do setsid bash -c 'trap "" TERM HUP; exec -a stubborn-child sleep 3600' & done
while :; do sleep 1; done
END
chmod 755 /usr/local/bin/sinfo"""
NOTHING_LEFT = "! pgrep -fa '[s]tubborn-child' && ! pgrep -fa '/usr/local/bin/[s]info'"

MACHINE = (
    Fault(
        "full file system for the artifacts",
        SMALL_TMP.format(more_kb=20000) + "; "
        + FILL_WHEN.format(path="/tmp/promotion-gate-*/slurm-smoke/*/summary.txt"),
        "slurm_smoke.script", "BLOCKED", says="No space left on device", also=("slurm_smoke.*",), repaired_by=BY_A_PERSON,
        restore=FREE_TMP, when=IN_GATE_4,
    ),
    Fault(
        "/tmp full",
        # Again and again, because others free what they had there.
        SMALL_TMP.format(more_kb=100) + "; nohup bash -c 'while sleep 0.1; do cat /dev/zero >>/tmp/filler; done' "
        ">/dev/null 2>&1 </dev/null & sleep 2; df /tmp",
        "vm_bootstrap.checkout", "BLOCKED", says="No space left on device", also=VERDI_CHECKS, repaired_by=BY_A_PERSON,
        restore=FREE_TMP,
    ),
    Fault(
        "sshd stopped before gate 3",
        SSH_GONE,
        "vm_bootstrap.checkout", "BLOCKED", says="could not be reached", also=VERDI_CHECKS, repaired_by=BY_A_PERSON,
        restore="systemctl start ssh",
    ),
    Fault(
        "sshd stopped in the middle of gate 4",
        "sleep 3; " + SSH_GONE,
        "slurm_smoke.script", "BLOCKED", says="could not be reached", also=SLURM, repaired_by=BY_A_PERSON,
        restore="systemctl start ssh", when=IN_GATE_4,
    ),
    Fault(
        "a command that never ends, whose children ignore TERM",
        STUBBORN,
        "slurm_smoke.node", "BLOCKED", says="timed out after", also=SLURM, repaired_by=BY_A_PERSON,
        restore=f"{NOTHING_LEFT} && rm /usr/local/bin/sinf[o]",
        extra={"gate_slurm_smoke_query_limit_seconds": 5},
    ),
)  # fmt: skip

FAULTS = (*SERVICES, *AIIDA, *SLURM_FAULTS, *MACHINE)
