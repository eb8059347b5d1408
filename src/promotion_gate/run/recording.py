"""Records known-good timings: from three runs made for that purpose, or from the evidence of a PROMOTE."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from promotion_gate.base.errors import GateError, InputError
from promotion_gate.base.fields import Fields
from promotion_gate.base.files import read_file, sha256
from promotion_gate.base.model import Decision
from promotion_gate.base.names import SUMS_FILE
from promotion_gate.base.policy import GatePolicy, Policy
from promotion_gate.base.times import RUN_ID_FORMAT, stamp, utc_now
from promotion_gate.bundle.baseline import Baseline, write_baseline
from promotion_gate.bundle.load import Bundle
from promotion_gate.judge.checks.case import Case
from promotion_gate.judge.checks.sqlite import (
    busy,
    command_sha256,
    cores_of,
    fingerprint_of,
    run_problem,
    smoke_fingerprint,
)
from promotion_gate.judge.identity import BEGIN, END, Identity, difference, identity
from promotion_gate.judge.timing import had_company
from promotion_gate.run.checked import Given, checked_settings
from promotion_gate.run.settings import Mistakes

# Three runs of the same program on an idle machine differ by less than this.
SPREAD_PERCENT = 25
RUNS = ("run_1", "run_2", "run_3")
# The checks of the gate that has these runs; a checklist may have some of them.
_OF_RUNS = ("smoke_runs", "smoke_baseline", "smoke_p95")


def check_request(request: object) -> tuple[Fields, dict[str, Any], Policy]:
    """Checks what recording a baseline needs, before the first run. Raises InputError with one line per mistake."""
    fields = Fields(request, "the request of record-baseline.yml", InputError)
    mistakes = Mistakes()
    given = Given(fields)
    mistakes.redactor = given.redactor
    if not given.first("promotion_reason"):
        mistakes.add("promotion_reason is not set. Say why these timings are known to be good: -e promotion_reason=...")
    settings, policy, _ = checked_settings(
        fields, given, mistakes, optional=("promotion_reviewer", "aiida_vm_repo_dir")
    )
    if _timed(policy) is None:
        raise InputError(f"The checklist {policy.name} has no check of the sqlite smoke, so nothing is timed.")
    return fields, settings, policy


def _timed(policy: Policy) -> GatePolicy | None:
    """The gate whose runs are compared with known-good timings."""
    return next((gate for gate in policy.gates if any(check.check in _OF_RUNS for check in gate.checks)), None)


def record_from_runs(request: object) -> tuple[Path, Baseline, tuple[str, ...]]:
    """Records what playbooks/record-baseline.yml measured.

    `request` is the one of roles/gate_common with `trip`, the module's result of the role gate_sqlite_smoke. Raises
    InputError or GateError with one sentence; a run that did not succeed records nothing. Returns the file, the
    baseline, and warnings: timings of a busy machine or far apart are a poor reference.
    """
    fields, settings, policy = check_request(request)
    trip = Fields(fields.raw("trip"), "the result of the role gate_sqlite_smoke", GateError)
    commands = {str(c.get("id")): Fields(c, "a command of the trip", GateError) for c in trip.sequence("commands")}
    gate = _timed(policy)
    assert gate is not None  # check_request() has checked it
    patterns: list[str] = next((c.limits["failure_patterns"] for c in gate.checks if c.check == "smoke_runs"), [])
    times = [_time(commands.get(name), name, patterns) for name in RUNS]
    if len({tuple(commands[name].texts("argv")) for name in RUNS}) != 1:
        raise GateError("The three runs did not run the same command. No baseline was recorded.")
    here = _ran_on(commands, settings["workspace_dir"])
    now = utc_now()
    baseline = Baseline(
        recorded_at=stamp(now),
        run_id=now.strftime(RUN_ID_FORMAT),
        source="recorded",
        operator=settings["promotion_operator"],
        reason=str(settings["promotion_reason"]),
        command_sha256=command_sha256(commands["run_1"].texts("argv")),
        host_fingerprint=fingerprint_of(here, settings),
        commit=here.commit or "",
        times_ns=tuple(times),
        load_average=tuple(Fields(trip.mapping("host"), "host of the trip", GateError).sequence("load_average")),
        processors=here.processors,
        side_by_side=False,
    )
    limits = next((check.limits for check in gate.checks if check.check == "smoke_baseline"), {})
    warnings = _doubts(baseline, limits) + _modified(here)
    return write_baseline(Path(settings["promotion_baseline_dir"]), baseline), baseline, warnings


def _doubts(baseline: Baseline, limits: Mapping[str, Any]) -> tuple[str, ...]:
    """Why these timings may be a poor reference. Raises GateError where a limit of the checklist is exceeded."""
    load, cores, spread = baseline.load_average, baseline.processors, baseline.spread_percent
    doubts = []
    if load and cores:
        doubt = f"the load was {load[0]:.1f} on {cores} processors"
        most = limits.get("max_load_percent")
        if most is not None and load[0] * 100 > cores * most:
            raise GateError(f"No baseline was recorded: {doubt}, more than max_load_percent of {most} allows.")
        if busy(load, cores):
            doubts.append(f"{doubt}; repeat on an idle machine")
    doubt = f"the three times are {spread} % of their median apart"
    most = limits.get("max_spread_percent")
    if most is not None and spread > most:
        raise GateError(f"No baseline was recorded: {doubt}, more than max_spread_percent of {most} allows.")
    if spread > SPREAD_PERCENT:
        doubts.append(f"{doubt}; repeat on an idle machine")
    return tuple(doubts)


def _ran_on(commands: Mapping[str, Fields], checkout: object) -> Identity:
    """What the runs ran on; until their end nothing may have changed but files that they changed themselves."""
    here, there = (identity(probe.text("output", "") if (probe := commands.get(name)) else "") for name in (BEGIN, END))
    if here.commit is None or there.commit is None:
        raise GateError(f"The commit of {checkout} could not be read; is it a Git checkout?")
    if changed := difference(here, there, ("machine", "checkout"), same_attempt=True, own=True):
        raise GateError(f"While the sqlite smoke ran {changed}. No baseline was recorded; run it again.")
    return here


def _modified(here: Identity) -> tuple[str, ...]:
    names = ", ".join(here.modified[:5])
    return (f"tracked files are modified, which these timings may depend on: {names}",) if names else ()


def _time(command: Fields | None, name: str, patterns: list[str]) -> int:
    if command is None or command.raw("not_run") is not None:
        reason = command.text("not_run") if command else "it has no record"
        raise GateError(f"The sqlite smoke ({name}) was not run: {reason}. No baseline was recorded.")
    if command.boolean("timed_out", False):
        raise GateError(f"The sqlite smoke ({name}) timed out. No baseline was recorded.")
    status = command.raw("exit")
    ending = f"exited {status}" if status is not None else f"was killed by signal {command.raw('signal')}"
    problem = run_problem(status, ending, command.text("output", ""), patterns)
    # As in gate 2: what was cut, or goes on in the background, is neither whole nor timed.
    problem = problem or (
        "printed too much, so its output was truncated" if command.boolean("truncated", False) else ""
    )
    problem = problem or ("left processes running; they were killed" if command.boolean("left_running", False) else "")
    problem = problem or ("has no wall time" if command.integer("duration_ns") <= 0 else "")
    if problem:
        raise GateError(f"The sqlite smoke ({name}) {problem}. No baseline was recorded; it must succeed three times.")
    return command.integer("duration_ns")


def record_from_promote(folder: Path, bundle: Bundle, decision: Decision) -> Path | None:
    """Records the timings of a sealed PROMOTE as known-good; None for a checklist that times nothing.

    Raises GateError for a HOLD, and for timings or failed runs that were waived: those are never known-good.
    """
    if decision.decision != "PROMOTE":
        raise GateError("Only a PROMOTE records a baseline.")
    gate = _timed(bundle.policy)
    if gate is None:
        return None
    waived = [check.id for check in decision.gate(gate.name).checks if check.waived]
    if waived:
        raise GateError(f"{', '.join(waived)} was waived, and what was waived is not known-good.")
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
            load_average=record.load_average,
            processors=cores_of(case.command("identity").text),
            side_by_side=had_company(bundle.index, gate.name),
            seal_sha256=sha256(read_file(folder / SUMS_FILE).data),
        ),
    )
