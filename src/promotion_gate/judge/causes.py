"""Causes and consequences: which check to unblock first when several did not pass for the same reason."""

from __future__ import annotations

from collections.abc import Mapping

from promotion_gate.base.model import CheckResult, Status
from promotion_gate.base.policy import GatePolicy, Policy
from promotion_gate.judge.checks.case import Finding

# A check with one of these found something that a person has to fix.
_BROKEN = (Status.FAIL, Status.BLOCKED, Status.MISSING, Status.INVALID)
# A check with one of these may be a consequence of it; STALE, SKIPPED and INVALID have reasons of their own.
_KEPT = (Status.FAIL, Status.BLOCKED, Status.MISSING)

Results = Mapping[str, CheckResult]
Findings = Mapping[str, Finding]


def causes(policy: Policy, results: Results, findings: Findings) -> dict[str, str]:
    """Maps each check that did not pass because another one did not to the id of the first cause.

    `results` are all results by id, the built-in ones included; `findings` what the checks of the policy found.
    """
    rests: dict[str, list[str]] = {}
    hosts: dict[str, str] = {}
    for gate in policy.gates:
        rests |= _rests(gate, results, findings, hosts)
    found = {}
    for check_id, result in results.items():
        cause = _root(check_id, rests, results) if result.status in _KEPT else check_id
        if cause != check_id:
            found[check_id] = cause
    # What a check found may contradict the `needs` of the policy; then one check of a cycle has to be the cause.
    for cause in list(found.values()):
        found.pop(cause, None)
    return found


def _rests(gate: GatePolicy, results: Results, findings: Findings, hosts: dict[str, str]) -> dict[str, list[str]]:
    """Maps each check of a gate to those that it depends on, the surest first. `hosts`: the first of each host."""
    host, evidence = f"{gate.name}.host", f"{gate.name}.evidence"
    ids = [check.id for check in gate.checks if check.id in results]
    lost = results[evidence].status in (Status.MISSING, Status.BLOCKED)
    rests = {evidence: [host, *ids] if lost else []}
    if host in results:
        # A machine that cannot be used keeps all its gates from running, for one reason.
        rests[host] = [hosts.setdefault(results[host].observed, host)]
    not_run: dict[str, str] = {}
    for check in gate.checks:
        if check.id not in results:
            continue
        finding = findings[check.id]
        first = not_run.setdefault(finding.not_run, check.id) if finding.not_run else ""
        rests[check.id] = [host, finding.because, *check.needs, first]
    return rests


def _root(check_id: str, rests: Mapping[str, list[str]], results: Results) -> str:
    seen = {check_id, ""}
    while True:
        nearer = next((name for name in rests.get(check_id, ()) if name not in seen and _broken(results, name)), None)
        if nearer is None:
            return check_id
        seen.add(nearer)
        check_id = nearer


def _broken(results: Results, name: str) -> bool:
    return name in results and results[name].status in _BROKEN and not results[name].waived
