"""The grounds and the VM that the fault matrix breaks, and the table that is written at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import matrix
import pytest
from application import application, healthy_application  # noqa: F401
from grounds import *  # noqa: F403
from live import LiveVm

from demo.paths import DEMO
from promotion_gate.bundle import load_bundle
from promotion_gate.versions import recorded_versions

# Each process of pytest-xdist breaks a VM of its own.
VM_NAME = "-".join(filter(None, ["faults", os.environ.get("PYTEST_XDIST_WORKER", "")]))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault-matrix", type=Path, metavar="FILE", help="write the table of all recorded rows to FILE")


@pytest.fixture(scope="session")
def live_vm() -> LiveVm:
    """A healthy VM with the real services; made and bootstrapped where it is not there yet."""
    return LiveVm(VM_NAME)


@pytest.fixture
def live(live_vm: LiveVm, request: pytest.FixtureRequest) -> Iterator[LiveVm]:
    """The VM, healed if the test that had it failed: the next fault must be the only one."""
    failed_before = request.session.testsfailed
    yield live_vm
    if request.session.testsfailed > failed_before:
        live_vm.heal()


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.getoption("--fault-matrix", default=None)
    if path is not None and "PYTEST_XDIST_WORKER" not in os.environ:
        path.write_text(matrix.render(matrix.rows(), f"The VM ran {_versions()}."), encoding="utf-8")


def _versions() -> str:
    """What the newest run on the VM recorded of its components."""
    logs = (DEMO / "faults-ground").glob("faults*/evidence/*/03-vm-versions.log")
    newest = max((path.parent for path in logs), key=lambda bundle: bundle.name, default=None)
    if newest is None:
        return "nothing: no fault of the VM was tried"
    found = recorded_versions(load_bundle(newest))
    return ", ".join(f"{component} {version}" for component, version in sorted(found.items()))
