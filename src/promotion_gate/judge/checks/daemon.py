"""Gate 3: the daemon of the target profile has workers, and they were started after its database."""

from __future__ import annotations

from promotion_gate.base.limits import whole
from promotion_gate.base.model import Status
from promotion_gate.judge.checks.case import Case, Finding, Output, Unproven, check
from promotion_gate.judge.checks.vm import target_profile
from promotion_gate.judge.parsers import verdi
from promotion_gate.judge.parsers.text import key_values, reason


@check(
    "daemon_workers",
    "the daemon of the target profile runs with at least {min_workers} worker",
    whole("min_workers", 1, 1000, "larger"),
    hints="hangs",
)
def daemon_workers(case: Case) -> Finding:
    output = case.command("daemon_status", timeout_hint="hangs")
    found = verdi.daemon_status(output.whole)
    if output.exit != 0 or not found.running:
        raise Unproven(Status.FAIL, _not_running(output, found), output.record.file)
    if found.profile != target_profile(case):
        raise Unproven(Status.FAIL, f"it is the daemon of {found.profile}", output.record.file)
    if found.workers is None or found.workers < int(case.limit("min_workers")):
        shown = "no worker count is shown" if found.workers is None else f"{found.workers} workers"
        dead = f"; not found by the daemon: PID {', '.join(found.dead[:5])}" if found.dead else ""
        raise Unproven(Status.FAIL, f"the daemon runs with {shown}{dead}", output.record.file)
    figure = f"{found.workers} worker" if found.workers == 1 else f"{found.workers} workers"
    observed = f"{figure}, daemon PID {found.pid}"
    return Finding(Status.PASS, observed, (output.record.file,), warnings=_database_restarted(case), figure=figure)


def _database_restarted(case: Case) -> tuple[str, ...]:
    """A warning where PostgreSQL was started after the daemon's workers, as far as roles/gate_vm_bootstrap can tell.

    A worker that was active before has lost its database for good (aiida-core 2.9.4), but verdi reports it as running;
    one that was idle recovers. So this alone is not a fault, and only a calculation can tell.
    """
    if case.settings.get("gate_slurm_smoke_submit_calculation"):
        return ()
    record = case.bundle.index.command(case.gate.name, "ages")
    ages = key_values(case.command("ages").text) if record and record.exit == 0 else {}
    worker, database = ages.get("worker_seconds", ""), ages.get("postgresql_seconds", "")
    if not (worker.isdecimal() and database.isdecimal() and int(worker) > int(database)):
        return ()
    return (
        f"PostgreSQL was started {database} s ago, the daemon's oldest worker {worker} s ago: a worker that "
        "was active before has lost its database and leaves jobs CREATED. Restart the daemon, or set "
        "gate_slurm_smoke_submit_calculation=true to show that it works.",
    )


def _not_running(output: Output, found: verdi.DaemonStatus) -> str:
    why = found.errors[0] if found.errors else reason(output.text)
    return f"the daemon is not running ({output.ending}" + (f": {why})" if why else ")")
