"""A decision in the terms of test reports: each check passed, failed or was skipped, and a HOLD has a failure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from promotion_gate.base.escape import visible
from promotion_gate.base.model import CheckResult, Decision, GateResult, Status, beside_gates

OBJECTIONS, NOT_JUDGED = "objections", "not_judged"


class Outcome(StrEnum):
    """The status as test reports name it."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Test:
    """One line of a test report. `message` is empty if it passed; `check` is None if it is not a check."""

    id: str
    title: str
    outcome: Outcome
    message: str = ""
    check: CheckResult | None = None

    @property
    def status(self) -> str:
        """The gate's own status."""
        if self.check is not None:
            return str(self.check.status)
        return "objection" if self.outcome is Outcome.FAILED else "not judged"


@dataclass(frozen=True, slots=True)
class Suite:
    """The tests of one gate; `gate` is None for objections that belong to no gate."""

    name: str
    title: str
    tests: tuple[Test, ...]
    gate: GateResult | None = None

    def count(self, outcome: Outcome) -> int:
        return sum(test.outcome is outcome for test in self.tests)


def suites(decision: Decision) -> tuple[Suite, ...]:
    """All tests of a decision. A HOLD has at least one failure, so that those who only count failures see it."""
    found = [Suite(gate.name, gate.title, tuple(map(_test, gate.checks)), gate) for gate in decision.gates]
    if decision.not_judged:
        skipped = (Test(item.id, item.title, Outcome.SKIPPED, visible(item.reason)) for item in decision.not_judged)
        found.append(Suite(NOT_JUDGED, "What the operator switched off", tuple(skipped)))
    stands_against = beside_gates(decision.objections)
    if decision.decision == "HOLD" and not stands_against and not any(suite.count(Outcome.FAILED) for suite in found):
        stands_against = decision.objections or ("The decision is HOLD.",)
    if stands_against:
        tests = tuple(
            Test(f"{OBJECTIONS}.{number}", "Nothing else stands against the promotion", Outcome.FAILED, visible(text))
            for number, text in enumerate(stands_against, 1)
        )
        found.append(Suite(OBJECTIONS, "What prevents the promotion besides the gates", tests))
    return tuple(found)


def by_cause(decision: Decision) -> dict[str, list[CheckResult]]:
    """By the id of a cause, the checks that did not pass because of it."""
    found: dict[str, list[CheckResult]] = {}
    for check in (check for gate in decision.gates for check in gate.checks if check.cause):
        found.setdefault(str(check.cause), []).append(check)
    return found


def _test(check: CheckResult) -> Test:
    outcome, message = _outcome(check)
    return Test(check.id, check.title, outcome, visible(message), check)


def _outcome(check: CheckResult) -> tuple[Outcome, str]:
    if check.status is Status.PASS:
        return Outcome.PASSED, ""
    if check.waived:
        return Outcome.SKIPPED, f"waived, {check.status}: {check.observed}"
    if check.cause:
        return Outcome.SKIPPED, f"because of {check.cause}, {check.status}: {check.observed}"
    return Outcome.FAILED, check.observed
