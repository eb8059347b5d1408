"""The decision for machines: JUnit XML, CTRF and an in-toto statement. Made from the bundle alone like every record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree as xml

from promotion_gate import __version__
from promotion_gate.base.escape import visible
from promotion_gate.base.files import to_json
from promotion_gate.base.model import CheckResult, Decision, Status
from promotion_gate.base.names import BASELINE_FILE, CTRF, INDEX_FILE, JUNIT, POLICY_FILE, STATEMENT
from promotion_gate.base.times import epoch
from promotion_gate.bundle.load import Bundle
from promotion_gate.report.outcomes import Outcome, Suite, Test, suites

TOOL = "promotion-gate"
CTRF_VERSION = "0.0.0"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://in-toto.io/attestation/test-result/v0.1"


def machine_files(bundle: Bundle, decision: Decision) -> dict[str, str]:
    """Each of these files by its name in the bundle."""
    found = suites(decision)
    return {
        JUNIT: _junit(bundle, decision, found),
        CTRF: to_json(_ctrf(bundle, decision, found)),
        STATEMENT: to_json(statement(bundle, decision)),
    }


def _junit(bundle: Bundle, decision: Decision, found: tuple[Suite, ...]) -> str:
    """A test case for each check: a cause is a failure; a consequence of it is skipped and names it."""
    root = xml.Element("testsuites", {"name": f"{TOOL} {decision.run_id}: {decision.decision}", **_counts(*found)})
    for suite in found:
        record = bundle.index.gates.get(suite.name) if suite.gate else None
        attributes = {"name": visible(f"{suite.gate.id} {suite.title}" if suite.gate else suite.title)}
        attributes |= _counts(suite)
        if suite.gate and suite.gate.duration_seconds is not None:
            attributes["time"] = f"{suite.gate.duration_seconds:.3f}"
        if record:
            attributes |= {"timestamp": record.started, "hostname": visible(record.host)}
        element = xml.SubElement(root, "testsuite", attributes)
        for test in suite.tests:
            _junit_case(element, suite, test)
    xml.indent(root)
    return "<?xml version='1.0' encoding='utf-8'?>\n" + xml.tostring(root, encoding="unicode") + "\n"


def _counts(*found: Suite) -> dict[str, str]:
    def number(count: Callable[[Suite], int]) -> str:
        return str(sum(map(count, found)))

    return {
        "tests": number(lambda suite: len(suite.tests)),
        "failures": number(lambda suite: suite.count(Outcome.FAILED)),
        "errors": "0",
        "skipped": number(lambda suite: suite.count(Outcome.SKIPPED)),
    }


def _junit_case(suite_element: xml.Element, suite: Suite, test: Test) -> None:
    name = visible(f"{test.id}: {test.title}")
    case = xml.SubElement(suite_element, "testcase", {"classname": f"{TOOL}.{suite.name}", "name": name})
    if test.outcome is Outcome.FAILED:
        failure = xml.SubElement(case, "failure", {"type": test.status, "message": test.message})
        failure.text = _in_full(test.check) if test.check else test.message
    elif test.outcome is Outcome.SKIPPED:
        xml.SubElement(case, "skipped", {"message": test.message})
    if test.check and test.check.warnings:
        xml.SubElement(case, "system-out").text = "\n".join(f"warning: {visible(text)}" for text in test.check.warnings)


def _in_full(check: CheckResult) -> str:
    found = {"expected": check.expected, "observed": check.observed, "unblock": check.unblock}
    lines = [f"{name}: {visible(text)}" for name, text in found.items()]
    return "\n".join([*lines, *(f"evidence: {visible(name)}" for name in check.evidence)])


def _ctrf(bundle: Bundle, decision: Decision, found: tuple[Suite, ...]) -> dict[str, Any]:
    """Judging takes no time, so a test's duration is 0; how long a gate took is in `extra`."""
    start, stop = epoch(bundle.index.opened_at) * 1000, epoch(decision.decided_at) * 1000
    summary = {str(outcome): sum(suite.count(outcome) for suite in found) for outcome in Outcome}
    environment = {"commit": decision.commit, "branchName": decision.branch, "testEnvironment": decision.vm.name}
    return {
        "reportFormat": "CTRF",
        "specVersion": CTRF_VERSION,
        "runId": decision.run_id,
        "timestamp": decision.decided_at,
        "generatedBy": TOOL,
        "results": {
            "tool": {"name": TOOL, "version": __version__},
            "summary": {
                **summary,
                "tests": sum(summary.values()),
                "pending": 0,
                "other": 0,
                "suites": len(found),
                "start": start,
                "stop": stop,
                "duration": stop - start,
            },
            "environment": {
                **{name: value for name, value in environment.items() if value is not None},
                "healthy": decision.decision == "PROMOTE",
                "extra": {"decision": decision.decision, "attempt": decision.attempt},
            },
            "tests": [_ctrf_test(suite, test) for suite in found for test in suite.tests],
        },
    }


def _ctrf_test(suite: Suite, test: Test) -> dict[str, Any]:
    extra: dict[str, Any] = {"gate_seconds": suite.gate.duration_seconds} if suite.gate else {}
    check = test.check
    if check:
        extra |= {"expected": check.expected, "observed": check.observed, "evidence": list(check.evidence)}
        extra |= {"waived": check.waived, "cause": check.cause, "warnings": list(check.warnings)}
    content: dict[str, Any] = {
        "name": f"{test.id}: {test.title}",
        "status": str(test.outcome),
        "rawStatus": test.status,
        "duration": 0,
        "suite": [suite.title],
        "extra": extra,
    }
    if test.message:
        content["message"] = test.message
    if test.outcome is Outcome.FAILED and check:
        content["trace"] = _in_full(check)
    return content


def statement(bundle: Bundle, decision: Decision) -> dict[str, Any]:
    """An in-toto Statement v1 with a test-result v0.1: what was tested, with which inputs, and the result."""
    tests: dict[str, list[str]] = {"passedTests": [], "warnedTests": [], "failedTests": []}
    for gate in decision.gates:
        for check in gate.checks:
            counts = check.waived or check.status is Status.PASS
            warned = check.waived or check.warnings
            tests[("warnedTests" if warned else "passedTests") if counts else "failedTests"].append(check.id)
    used = {POLICY_FILE: decision.policy.sha256, INDEX_FILE: bundle.index_sha256}
    if bundle.index.baseline_sha256:
        used[BASELINE_FILE] = bundle.index.baseline_sha256
    return {
        "_type": STATEMENT_TYPE,
        "subject": _subjects(bundle, decision),
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "result": "PASSED" if decision.decision == "PROMOTE" else "FAILED",
            "configuration": [{"name": name, "digest": {"sha256": digest}} for name, digest in used.items()],
            **tests,
        },
    }


def _subjects(bundle: Bundle, decision: Decision) -> list[dict[str, Any]]:
    """The commit and the VM; if neither is known, the run itself, because a statement must have a subject."""
    found = []
    if decision.commit:
        found.append({"name": "commit", "digest": {"gitCommit": decision.commit}})
    if decision.vm.fingerprint:
        found.append({"name": decision.vm.name or "vm", "digest": {"sha256": decision.vm.fingerprint}})
    return found or [{"name": f"{decision.run_id}/{INDEX_FILE}", "digest": {"sha256": bundle.index_sha256}}]
