"""Records known-good timings: from three runs made for that purpose, or from the evidence of a PROMOTE."""

from __future__ import annotations

from pathlib import Path

from promotion_gate.base.errors import GateError, InputError
from promotion_gate.base.fields import Fields
from promotion_gate.base.model import Decision
from promotion_gate.base.times import RUN_ID_FORMAT, stamp, utc_now
from promotion_gate.bundle.baseline import Baseline, write_baseline
from promotion_gate.bundle.load import Bundle
from promotion_gate.judge.checks.case import Case
from promotion_gate.judge.checks.sqlite import command_sha256, fingerprint_of, run_problem, smoke_fingerprint
from promotion_gate.judge.identity import identity
from promotion_gate.run.opening import checked_settings

RUNS = ("run_1", "run_2", "run_3")


def record_from_runs(request: object) -> Path:
    """Records what playbooks/record-baseline.yml measured.

    `request` is that of roles/gate_common with `trip`, the module's result of the role gate_sqlite_smoke. Raises
    InputError or GateError with one sentence; a run that did not succeed records nothing.
    """
    fields = Fields(request, "the request of record-baseline.yml", InputError)
    settings, policy = checked_settings(fields, optional=("promotion_reviewer", "aiida_vm_repo_dir"))
    if not settings["promotion_reason"]:
        raise InputError(
            "promotion_reason is not set. Say why these timings are known to be good: -e promotion_reason=..."
        )
    trip = Fields(fields.raw("trip"), "the result of the role gate_sqlite_smoke", GateError)
    commands = {str(c.get("id")): Fields(c, "a command of the trip", GateError) for c in trip.sequence("commands")}
    check = next(check for check in policy.gate("sqlite_smoke").checks if check.check == "smoke_runs")
    times = [_time(commands.get(name), name, check.limits.get("failure_patterns", [])) for name in RUNS]
    probe = commands.get("identity")
    if probe is None or probe.raw("exit") != 0:
        raise GateError(f"The commit of {settings['workspace_dir']} could not be read; is it a Git checkout?")
    here = identity(probe.text("output"))
    now = utc_now()
    return write_baseline(
        Path(settings["promotion_baseline_dir"]),
        Baseline(
            recorded_at=stamp(now),
            run_id=now.strftime(RUN_ID_FORMAT),
            source="recorded",
            operator=settings["promotion_operator"],
            reason=str(settings["promotion_reason"]),
            command_sha256=command_sha256(commands["run_1"].texts("argv")),
            host_fingerprint=fingerprint_of(here, settings),
            commit=here.commit or "",
            times_ns=tuple(times),
        ),
    )


def _time(command: Fields | None, name: str, patterns: list[str]) -> int:
    if command is None or command.raw("not_run") is not None:
        reason = command.text("not_run") if command else "it has no record"
        raise GateError(f"The sqlite smoke ({name}) was not run: {reason}. No baseline was recorded.")
    if command.boolean("timed_out", False):
        raise GateError(f"The sqlite smoke ({name}) did not end within its limit. No baseline was recorded.")
    status = command.raw("exit")
    ending = f"exited {status}" if status is not None else f"was killed by signal {command.raw('signal')}"
    problem = run_problem(status, ending, command.text("output", ""), patterns)
    if problem:
        raise GateError(f"The sqlite smoke ({name}) {problem}. No baseline was recorded; it must succeed three times.")
    return command.integer("duration_ns")


def record_from_promote(bundle: Bundle, decision: Decision) -> Path:
    """Records the timings of a PROMOTE as known-good. Raises GateError for a HOLD: those are never recorded."""
    if decision.decision != "PROMOTE":
        raise GateError("Only a PROMOTE records a baseline.")
    gate = bundle.policy.gate("sqlite_smoke")
    case = Case(bundle, gate, gate.checks[0])
    runs = [case.command(name).record for name in RUNS]
    record = bundle.index.gates[gate.name]
    return write_baseline(
        Path(str(bundle.index.settings["promotion_baseline_dir"])),
        Baseline(
            recorded_at=record.ended,
            run_id=bundle.index.run_id,
            source="promote",
            operator=bundle.index.operator,
            reason=f"PROMOTE of run {bundle.index.run_id}",
            command_sha256=command_sha256(runs[0].argv),
            host_fingerprint=smoke_fingerprint(case),
            commit=decision.commit or "",
            times_ns=tuple(run.duration_ns for run in runs),
        ),
    )
