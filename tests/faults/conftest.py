"""The grounds and the VM that the fault matrix breaks, and the table that is written at the end."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grounds
import matrix
import pytest
import strangers
from application import application, healthy_application, pristine_application  # noqa: F401
from grounds import decided, ground, healthy_ground, pristine, promoted, sshd, template  # noqa: F401
from live import LiveVm

from demo.paths import DEMO
from promotion_gate.bundle.load import load_bundle
from promotion_gate.judge.objections import recorded_versions

# Each process of pytest-xdist breaks a separate VM.
VM_NAME = "-".join(filter(None, ["faults", os.environ.get("PYTEST_XDIST_WORKER", "")]))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault-matrix", type=Path, metavar="FILE", help="write the table of all recorded rows to FILE")


@pytest.fixture(scope="session")
def live_vm() -> LiveVm:
    """A healthy VM with the real services; made and bootstrapped where it is not there yet."""
    return LiveVm(VM_NAME)


def healed(vm: LiveVm, request: pytest.FixtureRequest) -> Iterator[LiveVm]:
    """The VM, healed if the test that had it failed: the next fault must be the only one."""
    failed_before = request.session.testsfailed
    yield vm
    if request.session.testsfailed > failed_before:
        vm.heal()


@pytest.fixture
def live(live_vm: LiveVm, request: pytest.FixtureRequest) -> Iterator[LiveVm]:
    yield from healed(live_vm, request)


@pytest.fixture(scope="session")
def grown_vm() -> LiveVm:
    """A separate VM with the grown application: a fault of one application's daemon must not affect the other."""
    return LiveVm(f"{VM_NAME}-grown", application="grown")


@pytest.fixture
def grown(grown_vm: LiveVm, request: pytest.FixtureRequest) -> Iterator[LiveVm]:
    yield from healed(grown_vm, request)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    grounds.pytest_collection_modifyitems(items)
    for item in items:
        if {"live_vm", "grown_vm", "bookworm"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.live)


def pytest_collection_finish(session: pytest.Session) -> None:
    """The tests that were chosen have not passed yet."""
    # Each process of pytest-xdist collects the same tests; one of them says which.
    if session.config.getoption("--fault-matrix") and os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0":
        matrix.forget(item.nodeid for item in session.items)


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--fault-matrix", default=None)
    if path is not None and "PYTEST_XDIST_WORKER" not in os.environ:
        config.pluginmanager.register(TableWriter(path))


class TableWriter:
    """Notes how each test ended, and writes the table if all of them passed: no row of it is then a mere claim."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            matrix.note(report.nodeid, report.outcome)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        ended = matrix.outcomes()
        bad = sorted(f"{test}: {outcome}" for test, outcome in ended.items() if outcome != "passed")
        if bad or not ended:
            terminalreporter.write_line(f"{self._path} is left as it was, because not all tests passed:")
            terminalreporter.write_line("\n".join(bad))
            return
        versions = f"The gate was at commit {_commit()}, the VM ran {_versions()}."
        text = matrix.render(matrix.rows(), versions, len(ended))
        kept = strangers.section_of(self._path.read_text(encoding="utf-8")) if self._path.exists() else ""
        self._path.write_text(text + kept, encoding="utf-8")


def _commit() -> str:
    """Of which gate the rows speak; `+` where something is not committed."""
    shown = ["git", "-C", str(matrix.PROJECT), "describe", "--always", "--abbrev=10", "--dirty=+", "--exclude=*"]
    return subprocess.run(shown, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def _versions() -> str:
    """What the newest run on the VM recorded of its components."""
    logs = (DEMO / "faults-ground").glob("faults*/evidence/*/03-vm-versions.log")
    newest = max((path.parent for path in logs), key=lambda bundle: bundle.name, default=None)
    if newest is None:
        return "nothing: no fault of the VM was tried"
    found = recorded_versions(load_bundle(newest))
    return ", ".join(f"{component} {version}" for component, version in sorted(found.items()))
