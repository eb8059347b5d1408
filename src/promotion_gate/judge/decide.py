"""decide(): from a bundle in memory to a Decision. No clock, no disk, no network: same bundle, same decision."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from promotion_gate.base.errors import BundleError, of_a_bundle
from promotion_gate.base.model import CheckResult, Decision, GateResult, Machine, NotJudged, Status, Workspace
from promotion_gate.base.policy import CheckPolicy, GatePolicy, Policy
from promotion_gate.bundle.index import Index
from promotion_gate.bundle.load import Bundle
from promotion_gate.judge import by_hand
from promotion_gate.judge.causes import causes
from promotion_gate.judge.checks.case import Case, Finding, Registered, SwitchedOff, Unproven
from promotion_gate.judge.checks.hints import FULL, REMEDIES, REPLACED, UNUSABLE
from promotion_gate.judge.checks.not_run import HostTrouble, host_trouble
from promotion_gate.judge.checks.registry import check_policy, registered
from promotion_gate.judge.evidence import evidence_check
from promotion_gate.judge.identity import Identity, gate_identity
from promotion_gate.judge.masks import MASKED, WORDS
from promotion_gate.judge.objections import objections, recorded_versions
from promotion_gate.judge.parsers import failures
from promotion_gate.judge.parsers.trouble import no_space
from promotion_gate.judge.ran import replaced
from promotion_gate.judge.rerun import inventory_words, option_words, rerun_command
from promotion_gate.judge.shipped import check_spec, differences
from promotion_gate.judge.stale import stale_reason, unknown_reason
from promotion_gate.judge.waivers import Waivers, judge_waivers

_ENDED_BADLY = re.compile(r"\bexited [1-9]|\bwas killed by signal ")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,200}", re.ASCII)


def decide(bundle: Bundle) -> Decision:
    """Judges every check of the policy in the bundle.

    Raises BundleError for an open bundle: collection was not finished, so there is nothing to decide.
    """
    index = bundle.index
    decided_at = _decided_at(index)
    _check_checklists(bundle)
    waivers = judge_waivers(index.waivers, bundle.policy, decided_at, index.operator)
    not_judged: list[NotJudged] = []
    findings: dict[str, Finding] = {}
    gates = tuple(_gate(bundle, gate, waivers, not_judged, findings) for gate in bundle.policy.gates)
    gates = _with_causes(bundle.policy, gates, findings)
    workspace, vm, judged = _ran_on(bundle, of_subject=False), _ran_on(bundle, of_subject=True), _judged(bundle)
    failed = {check.id for gate in gates for check in gate.checks if check.status is not Status.PASS}
    return Decision(
        run_id=index.run_id,
        root_id=index.root_id,
        attempt=index.attempt,
        decided_at=decided_at,
        operator=index.operator,
        reviewer=index.reviewer,
        ticket=index.ticket,
        commit=judged.commit if judged else None,
        branch=judged.branch or index.settings.get("workspace_target_branch") if judged else None,
        vm=Machine(index.settings.get("vm"), vm.fingerprint if vm else None),
        workspace=Workspace(workspace.fingerprint if workspace else None),
        versions=recorded_versions(bundle),
        policy=index.policy,
        policy_differences=differences(bundle.policy, bundle.shipped) if bundle.shipped else None,
        risks=index.risks,
        waivers=waivers.report(failed),
        not_judged=tuple(not_judged),
        gates=gates,
        objections=objections(bundle, gates) + waivers.objections,
        rerun_command=rerun_command(index),
        masks=index.masks,
    )


def _decided_at(index: Index) -> str:
    if index.state != "closed" or index.evaluated_at is None:
        raise BundleError(
            f"Run {index.run_id} is still open: it is running or was cut off. That is not a decision; "
            f"finish it with: {rerun_command(index)}"
        )
    return index.evaluated_at


def _check_checklists(bundle: Bundle) -> None:
    """Both checklists name existing checks, and a policy with the name of a shipped one contains all of the spec."""
    with of_a_bundle():
        check_policy(bundle.policy)
        if bundle.shipped:
            check_spec(bundle.policy, check_policy(bundle.shipped))


def _words(bundle: Bundle, values: Mapping[str, str]) -> _Words:
    """What unblock sentences name. A command with `-i {inventory}` reaches the hosts as this run did."""
    index = bundle.index
    words = {**by_hand.words(bundle), **_harmless(values)}
    words["inventory"] = shlex.join([*inventory_words(index)[1:], *option_words(index)])
    # If the commit is not known, the branch under judgement will do.
    words.setdefault("commit", str(index.settings.get("workspace_target_branch", "HEAD")))
    return _Words(words)


def _with_causes(
    policy: Policy, gates: tuple[GateResult, ...], findings: Mapping[str, Finding]
) -> tuple[GateResult, ...]:
    """The gates with the cause of each consequence, whose own remedy would be misleading."""
    found = causes(policy, {check.id: check for gate in gates for check in gate.checks}, findings)

    def told(check: CheckResult) -> CheckResult:
        cause = found.get(check.id)
        return replace(check, cause=cause, unblock=f"First unblock {cause}.") if cause else check

    return tuple(replace(gate, checks=tuple(map(told, gate.checks))) for gate in gates)


def _gate(
    bundle: Bundle,
    gate: GatePolicy,
    waivers: Waivers,
    not_judged: list[NotJudged],
    findings: dict[str, Finding],
) -> GateResult:
    record = bundle.index.gates.get(gate.name)
    stale, unknown = stale_reason(bundle, gate), unknown_reason(bundle, gate)
    trouble = host_trouble(bundle, gate.name)
    checks = [_host_check(bundle, gate, trouble)] if trouble else []
    for policy in gate.checks:
        try:
            findings[policy.id] = _finding(bundle, gate, policy, stale, unknown)
            checks.append(_check(bundle, policy, waivers, findings[policy.id]))
        except SwitchedOff as switched_off:
            not_judged.append(NotJudged(policy.id, policy.title, str(switched_off)))
    checks.append(evidence_check(bundle, gate))
    return GateResult(
        id=gate.id,
        name=gate.name,
        title=gate.title,
        attempt=record.attempt if record else bundle.index.attempt,
        duration_seconds=round(record.duration_ns / 1e9, 3) if record else None,
        checks=tuple(checks),
    )


def _finding(bundle: Bundle, gate: GatePolicy, policy: CheckPolicy, stale: str | None, unknown: str | None) -> Finding:
    """What a check finds. Raises SwitchedOff where it is not judged."""
    case = Case(bundle, gate, policy)
    finding = _found(case)
    if stale:
        return Finding(Status.STALE, stale, finding.evidence)
    if unknown and finding.status is Status.PASS:
        return Finding(Status.INVALID, unknown, finding.evidence, hint=UNUSABLE)
    other = replaced(case)
    if other and not policy.replaceable:
        shown = "; ".join(f"{item.command} was `{item.ran}`, the checklist says `{item.meant}`" for item in other)
        return Finding(Status.INVALID, f"another command was run: {shown}", finding.evidence, hint=REPLACED)
    if case.masked:
        finding = _masked(case, finding)
    finding = _without_space(bundle, gate, finding)
    return replace(finding, replaced=other) if other else finding


def _masked(case: Case, finding: Finding) -> Finding:
    """The finding on evidence with masks that hide something: INVALID if what they hide could change it."""
    by_exit = all(case.masked.values()) and _ENDED_BADLY.search(finding.observed)
    by_words = finding.status is not Status.PASS and not by_exit
    if by_words or any(_found(replace(case, word=word)).status is not finding.status for word in WORDS):
        files = tuple(sorted(case.masked))
        observed = f"{finding.observed}; but that may depend on masked text in {', '.join(files)}"
        return Finding(Status.INVALID, observed, files, hint=MASKED)
    return finding


def _found(case: Case) -> Finding:
    try:
        return registered()[case.check.check].function(case)
    except Unproven as unproven:
        return unproven.finding


def _check(bundle: Bundle, policy: CheckPolicy, waivers: Waivers, finding: Finding) -> CheckResult:
    return CheckResult(
        id=policy.id,
        title=policy.title,
        status=finding.status,
        expected=finding.expected or _expected(registered()[policy.check], policy, bundle.index.settings),
        observed=finding.observed,
        evidence=finding.evidence,
        unblock="" if finding.status is Status.PASS else _unblock(policy, finding, bundle),
        waived=finding.status is not Status.PASS and waivers.covers(policy.id),
        details=finding.details,
        warnings=finding.warnings,
        replaced=finding.replaced,
        figure=finding.figure,
    )


def _without_space(bundle: Bundle, gate: GatePolicy, finding: Finding) -> Finding:
    """The finding itself, unless its evidence says that a file system is full: then that is the reason."""
    if finding.status not in (Status.FAIL, Status.BLOCKED, Status.MISSING):
        return finding
    message = no_space(finding.observed)
    for record in bundle.index.commands:
        if message is None and record.gate == gate.name and record.exit != 0 and record.file in finding.evidence:
            message = no_space(bundle.output(gate.name, record.id) or "")
    if message is None:
        return finding
    observed = finding.observed if message in finding.observed else f"{finding.observed}; {message}"
    record_of = bundle.index.gates.get(gate.name)
    values = {**finding.values, "host": record_of.host if record_of else "the host"}
    return replace(finding, observed=observed, hint=FULL, values=values)


class _Words(dict[str, Any]):
    """Fills in a sentence; a name without a value stays in braces."""

    def __missing__(self, key: str) -> str:
        return f"<{key}>"


def _expected(entry: Registered, policy: CheckPolicy, settings: Mapping[str, Any]) -> str:
    words = _Words({**settings, **policy.limits})
    return entry.expected.format_map(
        _Words({key: ", ".join(map(str, v)) if isinstance(v, list) else v for key, v in words.items()})
    )


def _unblock(policy: CheckPolicy, finding: Finding, bundle: Bundle) -> str:
    if finding.status is Status.SKIPPED:
        return "Run the gate without --check, --limit and promotion_gates; a gate that was not run cannot pass."
    if finding.status is Status.MISSING and finding.not_run:
        return "Re-run the gate; it left no evidence."
    if finding.status is Status.STALE:
        return "Re-run the gate; the re-run command does it."
    sentence = policy.unblock.get(finding.hint) or REMEDIES.get(finding.hint) or policy.unblock["default"]
    words = _words(bundle, finding.values)
    judged = _judged(bundle)
    if judged and judged.commit and _PLAIN_NAME.fullmatch(judged.commit):
        words["commit"] = judged.commit
    words["host"] = next(
        bundle.index.host_of(gate.name) or gate.hosts for gate in bundle.policy.gates if policy in gate.checks
    )
    return sentence.format_map(words)


def _ran_on(bundle: Bundle, of_subject: bool) -> Identity | None:
    """The identity recorded by the first gate on the host that the decision is about, or on another one."""
    names = (gate.name for gate in bundle.policy.gates if (gate.hosts == bundle.policy.subject) is of_subject)
    first = next(names, None)
    return gate_identity(bundle, first) if first else None


def _judged(bundle: Bundle) -> Identity | None:
    """The identity recorded by the first gate with a checkout: its commit is the one under judgement."""
    first = next((gate.name for gate in bundle.policy.gates if "checkout" in gate.identity), None)
    return gate_identity(bundle, first) if first else None


def _host_check(bundle: Bundle, gate: GatePolicy, trouble: HostTrouble) -> CheckResult:
    """The built-in check of a gate whose host could not be used; every other check of the gate depends on it."""
    known = failures.trouble(trouble.message)
    if known:
        sentence = known.remedy
    elif no_space(trouble.message):
        sentence = REMEDIES[FULL]
    elif trouble.unreachable:
        sentence = "Make {host} answer `ansible -i {inventory} {host} -m ansible.builtin.ping`, then re-run."
    else:
        sentence = "On {host}, correct what the message names, then re-run."
    return CheckResult(
        id=f"{gate.name}.host",
        title="The host can be used",
        status=Status.BLOCKED,
        expected="reachable, and every task of the gate finished",
        observed=trouble.message,
        evidence=(),
        unblock=sentence.format_map(_words(bundle, {"host": trouble.host})),
    )


def _harmless(values: Mapping[str, str]) -> dict[str, str]:
    """Values from the VM go into commands that people paste, so only plain names are filled in."""
    return {key: value if _PLAIN_NAME.fullmatch(value) else "NAME" for key, value in values.items()}
