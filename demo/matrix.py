"""Runs the gate's main integration tests on each supported ansible-core, with the Python of a container VM.

ansible-core 2.20 and newer need a newer Python on the controller than the oldest that this project supports; Debian
13 has one. The VM gets a copy of this checkout as it is, with uncommitted changes, and one virtual environment per
version.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import tarfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from demo import host, tools, vm
from demo.console import DemoError, output_of, run, say, step
from demo.lock import alone
from demo.paths import CHECKOUT, LOGS

NAME = "matrix"
SUITE = "trixie"
VERSIONS = ("2.19", "2.20", "2.21")
# Not supported yet: its result is shown, and decides nothing. `rc1` makes pip accept its release candidates.
NEXT = "2.22"
TESTS = {
    "promote": ("tests/integration/test_gate_promote.py::test_",),
    "hold": ("tests/integration/test_gate_hold.py::test_all_gates_run_although_four_fail",),
    "canary": (
        "tests/integration/test_canary.py::test_no_secret_shows_up_anywhere",
        "tests/integration/test_canary.py::test_from_another_folder_no_token_is_in_a_journal",
    ),
    "foreign folder": ("tests/faults/test_controller.py::test_it_still_decides[foreign-directory]",),
}
PASS, FAIL, NO_RESULT = "pass", "FAIL", "no result"
Row = Mapping[str, str]


def check(keep: bool) -> int:
    """Runs the tests on every version, prints a table, and returns the exit status."""
    machine = vm.Vm(NAME)
    settings = host.detect()
    with alone():
        vm.ensure(machine, SUITE, settings, tools.ensure(settings))
    with step(f"Copying this checkout to the VM {NAME}"):
        run(machine.ssh("rm -rf checkout && mkdir checkout && tar -x -C checkout"), _log(), "tar", feed=_checkout())
    rows = {version: _row(machine, version) for version in (*VERSIONS, NEXT)}
    print("\n".join(table(rows)), flush=True)
    if not keep:
        vm.remove(machine)
    return status(rows)


def table(rows: Mapping[str, Row]) -> list[str]:
    """The lines to print: a row per version, a column per test."""
    cells = [["ansible-core", "Python", *TESTS]]
    cells += [[row["ansible-core"], row["Python"], *(row[name] for name in TESTS)] for row in rows.values()]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]
    return [*lines, *(f"{version}: read {os.path.relpath(_log(version), CHECKOUT)}" for version in _failed(rows))]


def status(rows: Mapping[str, Row]) -> int:
    """0 if every test passed on every supported version."""
    return int(any(version in VERSIONS for version in _failed(rows)))


def results(junit: str) -> dict[str, str]:
    """The result of each column. A test that is missing or was skipped has not passed."""
    try:
        cases = list(ElementTree.fromstring(junit).iter("testcase"))
    except ElementTree.ParseError:
        return dict.fromkeys(TESTS, NO_RESULT)
    passed = {_node(case): not any(child.tag in ("failure", "error", "skipped") for child in case) for case in cases}
    found = {}
    for name, nodes in TESTS.items():
        of_each = [[ok for node, ok in passed.items() if node.startswith(wanted)] for wanted in nodes]
        found[name] = PASS if all(each and all(each) for each in of_each) else FAIL
    return found


def _failed(rows: Mapping[str, Row]) -> list[str]:
    return [version for version, row in rows.items() if any(row[name] != PASS for name in TESTS)]


def _node(case: ElementTree.Element) -> str:
    return f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"


def _row(machine: vm.Vm, version: str) -> Row:
    python = f"venv-{version}/bin/python"
    words = ["pip", "install", "--quiet", "--editable", "./checkout[test]", *_requirements(version)]
    install = f"rm -rf venv-{version} && python3 -m venv venv-{version} && {python} -m {shlex.join(words)}"
    try:
        with step(f"Installing ansible-core {version}"):
            run(machine.ssh(install), _log(version), f"Installing ansible-core {version}")
    except DemoError as error:
        say(str(error))
        return {"ansible-core": version, "Python": "", **results("")}
    nodes = [node.removesuffix("::test_") for nodes in TESTS.values() for node in nodes]
    pytest = shlex.join(["-m", "pytest", "-q", "-n0", f"--junitxml=../junit-{version}.xml", *nodes])
    with contextlib.suppress(DemoError), step(f"Running the tests on ansible-core {version}"):
        run(machine.ssh(f"rm -f junit-{version}.xml && cd checkout && ../{python} {pytest}"), _log(version), "pytest")
    asked = "import platform, ansible.release as a; print(a.__version__, platform.python_version())"
    versions = (output_of(machine.ssh(shlex.join([python, "-c", asked]))) or f"{version} ?").split()
    junit = output_of(machine.ssh(f"cat junit-{version}.xml")) or ""
    return {"ansible-core": versions[0], "Python": versions[1], **results(junit)}


def _requirements(version: str) -> Sequence[str]:
    """One version of ansible-core, and the rest of what `pip install promotion-gate[ansible]` brings."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    others = [name for name in project["optional-dependencies"]["ansible"] if not name.startswith("ansible-core")]
    return [f"ansible-core~={version}.0{'rc1' if version == NEXT else ''}", *others]


def _checkout() -> bytes:
    names = output_of(["git", "-C", str(CHECKOUT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
    if not names:
        raise DemoError(f"`git ls-files` lists nothing in {CHECKOUT}: run this in a clone of the repository.")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in filter(None, names.split("\0")):
            path = CHECKOUT / name
            if path.is_symlink() or path.is_file():
                tar.add(path, arcname=name)
    return packed.getvalue()


def _log(version: str = "checkout") -> Path:
    return LOGS / f"matrix-{version}.log"
