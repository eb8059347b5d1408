"""What counts in pytest's report is its own test cases: passed, failed, in error, skipped, at least one."""

from __future__ import annotations

import pytest

from promotion_gate.judge.parsers import junit

OK = '<testcase classname="t" name="{}" time="0.0" />'
BAD = '<testcase classname="t" name="{}" time="0.0"><{} message="no">why</{}></testcase>'


def case(name: str, outcome: str = "") -> str:
    return BAD.format(name, outcome, outcome) if outcome else OK.format(name)


def report(cases: str, tests: int, failures: int = 0, errors: int = 0, skipped: int = 0) -> str:
    counts = f'errors="{errors}" failures="{failures}" skipped="{skipped}" tests="{tests}"'
    return f'<testsuites name="pytest tests"><testsuite name="pytest" {counts}>{cases}</testsuite></testsuites>'


@pytest.mark.stranger("15.6", "subtests, re-runs and -qq made a report contradict itself: its own test cases count")
@pytest.mark.parametrize(
    ("text", "counts"),
    [
        # passed, failures, errors, skipped
        pytest.param(report(case("a") + case("b"), 2), (2, 0, 0, 0), id="plain"),
        pytest.param(report(case("a"), 7), (1, 0, 0, 0), id="subtests that passed"),
        pytest.param(report(case("a") + case("a") + case("b"), 2), (2, 0, 0, 0), id="a re-run that passed"),
        pytest.param(report(case("a") * 3 + case("a", "failure"), 1, failures=1), (0, 1, 0, 0), id="re-runs failed"),
        pytest.param(report(case("a") + case("a", "failure"), 5, failures=1), (0, 1, 0, 0), id="a subtest failed"),
        pytest.param(report(case("a", "skipped"), 4, skipped=1), (0, 0, 0, 1), id="a subtest skipped"),
        pytest.param(report(case("a"), 4, skipped=2), (1, 0, 0, 2), id="skips that only the suite counts"),
        pytest.param(report(case("a"), 1, failures=1), (1, 1, 0, 0), id="a failure that only the suite counts"),
        pytest.param(report(case("a") + case("a", "error"), 1, errors=1), (0, 0, 1, 0), id="an error in teardown"),
        pytest.param(report(case("a", "error"), 1, errors=1), (0, 0, 1, 0), id="an error in setup"),
        pytest.param(report("", 0), (0, 0, 0, 0), id="no test"),
        pytest.param(report("", 9), (0, 0, 0, 0), id="tests counted, no case"),
        pytest.param(report(case("a") + case("b", "skipped"), 2), (1, 0, 0, 1), id="a skip it does not count"),
        pytest.param(report(case("a") + case("b", "failure"), 2), (1, 1, 0, 0), id="a failure it does not count"),
        pytest.param(report(case("a"), 1) + "", (1, 0, 0, 0), id="one test"),
    ],
)
def test_the_test_cases_count(text: str, counts: tuple[int, int, int, int]) -> None:
    found = junit.parse(text)
    assert (found.passed, found.failures, found.errors, found.skipped) == counts
    assert found.problem is None
