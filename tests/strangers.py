"""The tests marked `stranger(point, fault)`, and the section of docs/fault-matrix.md written from those that ran.

`point` is where the fault was filed (`15.3`), `fault` is what was wrong, in one line. Several tests of one fault are
one row. The section is written only if every marked test that was chosen ran and passed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

MARKER = "stranger"
HEADING = "## Found by strangers"
INTRODUCTION = f"""{HEADING}

Inputs that people outside this project wrote or met: tool output from bug reports and mailing lists, contract
documents, bundles, settings, commands typed as they came to mind. Each row was judged wrongly once, and has a test
that failed before the fix. `make strangers` writes this section from the marked tests, and only if all of them passed.

| Point | Fault | Outcome |
| --- | --- | --- |
"""


@dataclass(slots=True)
class Strangers:
    """What the marked tests led to: a fault's tests by how they ended."""

    page: Path
    ended: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.outcome == "passed":
            return
        for name, value in report.user_properties:
            if name == MARKER:
                point, fault = str(value).split("\n", 1)
                tests = self.ended.setdefault((point, fault), {})
                if tests.get(report.nodeid, "passed") == "passed":  # what a phase found bad stays
                    tests[report.nodeid] = report.outcome

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        bad = [f"{test}: {how}" for tests in self.ended.values() for test, how in tests.items() if how != "passed"]
        if bad or not self.ended:
            terminalreporter.write_line(f"{self.page} is left as it was, because not all marked tests passed:")
            terminalreporter.write_line("\n".join(sorted(bad)) or "there were none")
            return
        rows = {fault: len(tests) for fault, tests in self.ended.items()}
        self.page.write_text(with_section(self.page.read_text(encoding="utf-8"), rows), encoding="utf-8")


def with_section(page: str, rows: Mapping[tuple[str, str], int]) -> str:
    """The page with its section, the last one, written from `rows`: a fault's number of tests that passed."""
    return without_section(page) + "\n" + INTRODUCTION + "".join(_rows(rows))


def without_section(page: str) -> str:
    """The page up to the section."""
    return page.partition(f"\n{HEADING}\n")[0]


def section_of(page: str) -> str:
    """The section as it is on the page; empty if there is none."""
    _, heading, rest = page.partition(f"\n{HEADING}\n")
    return heading + rest


def _rows(rows: Mapping[tuple[str, str], int]) -> Iterator[str]:
    for (point, fault), tests in sorted(rows.items(), key=lambda item: (_order(item[0][0]), item[0][1])):
        passed = "passed" if tests == 1 else f"passed ({tests} tests)"
        yield f"| {point} | {_cell(fault)} | {passed} |\n"


def _order(point: str) -> tuple[int, ...]:
    return tuple(int(part) for part in point.split(".") if part.isdecimal())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def put_marks_on_reports(items: Iterable[pytest.Item]) -> None:
    """Reports carry the mark, so that it is known where pytest-xdist runs the tests in other processes."""
    for item in items:
        for mark in item.iter_markers(MARKER):
            if len(mark.args) != 2 or mark.kwargs or not all(isinstance(word, str) for word in mark.args):
                raise pytest.UsageError(f"{item.nodeid}: the marker is stranger(point, fault), two strings")
            item.user_properties.append((MARKER, "\n".join(mark.args)))


def add_option(parser: pytest.Parser) -> None:
    parser.addoption("--strangers", type=Path, metavar="FILE", help="write the section of the marked tests to FILE")


def pytest_configure(config: pytest.Config) -> None:
    page = config.getoption("--strangers")
    if page is not None and "PYTEST_XDIST_WORKER" not in os.environ:
        config.pluginmanager.register(Strangers(page))
