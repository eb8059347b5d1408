"""Gate 2: three consecutive runs of the sqlite smoke succeed, and their p95 has not regressed.

p95 by nearest rank is the maximum for n = 3; all times are integer nanoseconds of the workspace host's monotonic clock,
and the comparison uses integers, so that exactly 25 % is 25 %.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from promotion_gate.base.errors import GateError
from promotion_gate.base.files import sha256
from promotion_gate.base.limits import Limit, whole
from promotion_gate.base.model import Status, combined
from promotion_gate.base.names import BASELINE_FILE, INDEX_FILE
from promotion_gate.base.patterns import first_match
from promotion_gate.bundle.baseline import Baseline
from promotion_gate.judge.checks.case import Case, Finding, Output, Unproven, check
from promotion_gate.judge.checks.hints import REMEDIES, REPLACED, UNUSABLE
from promotion_gate.judge.identity import Identity, identity
from promotion_gate.judge.parsers.text import lines, reason, without_ignored_exceptions
from promotion_gate.judge.ran import not_as_set

# The number of runs of the role gate_sqlite_smoke.
RUNS = 3


def p95_ns(times: Sequence[int]) -> int:
    """The 95th percentile by nearest rank: the smallest time that at least 95 % of the times do not exceed."""
    return sorted(times)[math.ceil(95 * len(times) / 100) - 1]


def regressed(p95: int, median: int, max_percent: int) -> bool:
    """Whether p95 is more than max_percent above the median; equality is not a regression."""
    return p95 * 100 > median * (100 + max_percent)


def command_sha256(argv: Sequence[str]) -> str:
    """What makes two smoke commands the same: their words."""
    return sha256(json.dumps(list(argv)).encode())


def run_problem(status: int | None, ending: str, text: str, patterns: Sequence[str]) -> str | None:
    """Why one run does not count as a success, or None. `patterns` are the policy's failure_patterns."""
    if status != 0:
        why = reason(text)
        return ending + (f" ({why})" if why else "")
    if not text.strip():
        return "printed nothing"
    # Colours would split the words, and exceptions that Python ignores at exit are not failures.
    found = first_match(patterns, "\n".join(without_ignored_exceptions(lines(text))))
    return None if found is None else f'exited 0 but printed "{found[:120]}"'


def _failure(run: Output, patterns: Sequence[str]) -> str | None:
    return run_problem(run.exit, run.ending, run.text if run.exit != 0 else run.whole, patterns)


def _runs(case: Case) -> list[Output]:
    return [case.command(f"run_{number}") for number in range(1, RUNS + 1)]


@check(
    "smoke_runs",
    "{required_runs} of {required_runs} runs exit 0 with output that matches no failure pattern",
    whole("required_runs", 1, RUNS, "larger"),
    Limit("failure_patterns", "patterns", "more"),
)
def smoke_runs(case: Case) -> Finding:
    failures, files, times = [], [], []
    wanted = int(case.limit("required_runs"))
    statuses: list[Status] = []
    hint = "default"
    for number in range(1, wanted + 1):
        try:
            run = case.command(f"run_{number}")
            other = not_as_set(case, case.settings.get("workspace_sqlite_smoke_command") or "", run.record)
            if other:
                raise Unproven(Status.INVALID, other, run.record.file, REPLACED)
            problem = _failure(run, case.limit("failure_patterns"))
            statuses += [run.failure if run.exit != 0 else Status.FAIL] if problem else []
            files.append(run.record.file)
            times.append({"run": number, "duration_ns": run.record.duration_ns, "exit": run.exit, "problem": problem})
        except Unproven as unproven:
            statuses.append(unproven.finding.status)
            hint = unproven.finding.hint if unproven.finding.hint in REMEDIES else hint
            problem = unproven.finding.observed
            files += unproven.finding.evidence
            times.append({"run": number, "duration_ns": None, "exit": None, "problem": problem})
        if problem:
            failures.append(f"run {number} {problem}")
    observed = f"{wanted - len(failures)} of {wanted} runs succeeded"
    succeeded = wanted - len(failures)
    details = {"runs": times, "success_count": succeeded, "required": wanted, "covered": (succeeded, wanted, "runs")}
    if failures:
        observed = f"{observed}: " + "; ".join(failures)
        return Finding(combined(statuses), observed, tuple(dict.fromkeys(files)), hint=hint, details=details)
    return Finding(Status.PASS, observed, tuple(files), details=details, figure=f"{wanted} of {wanted} runs")


def comparable(case: Case) -> tuple[list[Baseline], str]:
    """The baselines of this command on this host, oldest first, and the reason if there are none."""
    run = case.command("run_1")
    command = command_sha256(run.record.argv)
    host = smoke_fingerprint(case)
    # A resume of a PROMOTE must not be judged by the timings of the same run.
    index = case.bundle.index
    baselines = [item for item in case.bundle.baselines if (item.source, item.run_id) != ("promote", index.run_id)]
    if not baselines:
        return [], "no known-good baseline was found"
    of_command = [item for item in baselines if item.command_sha256 == command]
    if not of_command:
        return [], "the known-good baselines are for another smoke command"
    of_host = [item for item in of_command if item.host_fingerprint == host]
    return of_host, "" if of_host else "the known-good baselines are from another host"


def first_of(baselines: Sequence[Baseline]) -> Baseline:
    """The reference for slow drift: the newest baseline that was recorded with a reason, or else the oldest."""
    return next((item for item in reversed(baselines) if item.source == "recorded"), baselines[0])


def fingerprint_of(here: Identity, settings: Mapping[str, Any]) -> str:
    """The host that timings belong to: measured, or set by the operator for hosts that are recreated each time.

    Raises GateError for a host that has neither a machine id nor a host key.
    """
    fixed = settings.get("gate_sqlite_smoke_fingerprint")
    if fixed:
        return f"set:{fixed}"
    if here.timing_fingerprint is None:
        raise GateError(
            "The workspace host has neither a machine id nor a host key; set gate_sqlite_smoke_fingerprint."
        )
    return here.timing_fingerprint


def smoke_fingerprint(case: Case) -> str:
    """The host of this gate's runs."""
    output = case.command("identity")
    try:
        return fingerprint_of(identity(output.whole), case.settings)
    except GateError as error:
        raise Unproven(Status.INVALID, str(error), output.record.file) from None


def cores_of(text: str) -> int | None:
    """The number of processors in the identity of a host."""
    return identity(text).processors


def busy(load: Sequence[float], cores: int | None) -> bool:
    """Whether more processes were running than there are processors, so that a run had to wait."""
    return bool(load) and cores is not None and load[0] > cores


def _load(load: Sequence[float]) -> str:
    return f"load {load[0]:.1f}" if load else "load unknown"


@check(
    "smoke_baseline",
    "a known-good baseline of the same command and host",
    Limit("max_load_percent", "whole", "smaller", 1, 10_000, "percent of the processors", required=False),
    Limit("max_spread_percent", "whole", "smaller", 1, 1000, "percent", required=False),
    beyond="a known-good baseline",
)
def smoke_baseline(case: Case) -> Finding:
    found, problem = comparable(case)
    if not found:
        raise Unproven(Status.MISSING, problem, BASELINE_FILE if case.bundle.baselines else None)
    newest = found[-1]
    return Finding(
        Status.PASS,
        f"median {newest.median_ns / 1e9:.3f} s of run {newest.run_id} ({newest.source} by {newest.operator}, "
        f"{newest.recorded_at})",
        (BASELINE_FILE,),
        details={"reference": newest.as_dict(), "median_ns": newest.median_ns},
    )


@check(
    "smoke_p95",
    "p95 of three runs at most {max_regression_percent} % above the known-good median",
    whole("max_regression_percent", 0, 500, "smaller", "percent"),
    whole("warn_drift_percent", 0, 100, "smaller", "percent"),
    whole("max_drift_percent", 1, 1000, "smaller", "percent"),
    hints="drift",
    beyond="a known-good baseline",
)
def smoke_p95(case: Case) -> Finding:
    max_percent = int(case.limit("max_regression_percent"))
    times = [run.record.duration_ns for run in _runs(case)]
    if min(times) <= 0:
        raise Unproven(Status.INVALID, "a run has no wall time", INDEX_FILE, UNUSABLE)
    found, problem = comparable(case)
    if not found:
        raise Unproven(Status.MISSING, f"nothing to compare with: {problem}")
    p95, median = p95_ns(times), found[-1].median_ns
    change = f"{(p95 - median) * 100 / median:+.1f} %"
    limit = median * (100 + max_percent) // 100
    expected = (
        f"p95 * 100 <= {median} ns * {100 + max_percent} (at most {limit / 1e9:.3f} s: the known-good median "
        f"{median / 1e9:.3f} s + {max_percent} %)"
    )
    loads = f"{_load(case.record.load_average if case.record else ())}, the baseline's {_load(found[-1].load_average)}"
    observed = f"p95 {p95 / 1e9:.3f} s (nearest rank, {p95} ns), {change} against the known-good median ({loads})"
    middle, anchor = sorted(times)[1], first_of(found)
    first = anchor.median_ns
    drift = (middle - first) * 100 / first
    since = f"the median has drifted by {drift:+.1f} % since the baseline of {anchor.recorded_at}"
    max_drift, warn_from = int(case.limit("max_drift_percent")), int(case.limit("warn_drift_percent"))
    warnings: tuple[str, ...] = ()
    if middle * 100 >= first * (100 + warn_from):
        warnings = (f"{since[:1].upper()}{since[1:]}.",)
    drifted = regressed(middle, first, max_drift)
    details = {"p95_ns": p95, "limit_ns": limit, "change": change, "drift_percent": f"{drift:+.1f}",
               "measured": p95, "at_most": limit,
               "first_baseline": anchor.as_dict(), "first_median_ns": first}  # fmt: skip
    figure = f"p95 {p95 / 1e9:.2f} of {limit / 1e9:.2f} s"
    status = Status.FAIL if drifted or regressed(p95, median, max_percent) else Status.PASS
    runs = tuple(f"02-sqlite-smoke-run{number}.log" for number in range(1, RUNS + 1))
    files = (*runs, BASELINE_FILE)
    if drifted:
        observed = f"{observed}; {since}, more than {max_drift} %"
        return Finding(status, observed, files, expected, "drift", details=details, figure=figure)
    return Finding(status, observed, files, expected, details=details, warnings=warnings, figure=figure)
