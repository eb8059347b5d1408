"""What counts in pytest's report is its own test cases: passed, failed, in error, skipped, at least one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from promotion_gate.judge.parsers import junit, pytest_output

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


# --- the real pytest --------------------------------------------------------------------------------------------

SUITE = """
import pytest
def test_one(): pass
def test_two(): {}
def test_three(): pass
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "second", "sentence"),
    [
        ("", "pass", ""),
        ("-q --color=yes", "pass", ""),
        ("-k one", "pass", "2 deselected"),
        ("-q -k one --color=yes", "pass", "2 deselected"),
        ("-q --deselect test_suite.py::test_one", "pass", "1 deselected"),
        ("", "pytest.exit('the network is gone', returncode=0)", "pytest was stopped before all tests ran"),
        ("-q", "pytest.exit('the network is gone', returncode=0)", "pytest was stopped before all tests ran"),
    ],
)
def test_a_suite_that_did_not_run_as_a_whole_is_seen_although_it_exits_0(
    tmp_path: Path, options: str, second: str, sentence: str
) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE.format(second), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--junit-xml=report.xml", "test_suite.py"],
        cwd=tmp_path, env={**os.environ, "PYTEST_ADDOPTS": options}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    found = junit.parse((tmp_path / "report.xml").read_text(encoding="utf-8"))
    assert pytest_output.not_run(done.stdout, found.cases) == sentence
    assert (found.problem is None) == ("exit(" not in second), found


def test_fewer_cases_than_were_collected_are_seen() -> None:
    assert pytest_output.not_run("collected 3 items\n", 2) == "3 tests were collected, 2 ran"
    assert pytest_output.not_run("2 workers [3 items]\n", 2) == "3 tests were collected, 2 ran"
    assert pytest_output.not_run("collected 3 items\n", 4) == ""  # a re-run is one more
