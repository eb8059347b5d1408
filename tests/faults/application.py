"""The real example application as a ground: real uv, pnpm and node; behind SSH, the VM of recorded output.

It is laid out, run and promoted once. A test breaks it and runs the gates again, by a resume of the promoted
run: what it re-runs is the whole of these gates, and what it keeps is that of a run a minute ago.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import bundles
import pytest
from ground import (
    HERE,
    PROJECT,
    SYSTEM_PATH,
    VM_TOOLS,
    WORKSPACE_TOOLS,
    Ground,
    Run,
    Sshd,
    git,
    healthy_answers,
    in_place,
    kept_aside,
    settle,
)

from demo import host, tools, workspace
from demo.lock import alone
from demo.paths import WORKSPACE
from promotion_gate.bundle.baseline import write_baseline
from promotion_gate.judge.checks.sqlite import command_sha256
from promotion_gate.judge.identity import identity

ALL_GATES = "1,2,3,4,5"
CLIENT = "packages/api-client/src/generated/schema.ts"
SMOKE = shlex.split("uv run --frozen --project apps/api --group aiida python scripts/aiida-sqlite-smoke.py")
# Far above what the smoke takes: a busy machine must not make a test fail. Injected times have tests of their own.
KNOWN_GOOD_NS = 60 * 1_000_000_000
# What may come between a fault and a PROMOTE: a commit that fixes the workspace also has to reach the VM.
MOST_RESUMES = 3


@pytest.fixture(scope="session")
def healthy_application(sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """The application with a promoted run in it; look, do not change."""
    home = tmp_path_factory.mktemp("application")
    ground = _build(home / "g", sshd)
    run = ground.gate()
    assert run.status == 0, run.output
    _baseline(ground)
    yield ground
    ground.close()


@pytest.fixture(scope="session")
def pristine_application(healthy_application: Ground, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kept_aside(healthy_application, tmp_path_factory.mktemp("pristine-application"))


@pytest.fixture
def application(healthy_application: Ground, pristine_application: Path) -> Iterator[Ground]:
    """The application and its promoted run, to break; it is put back afterwards."""
    with in_place(healthy_application, pristine_application) as ground:
        yield ground


# --- what a test does with it -----------------------------------------------------------------------------------


def commit(ground: Ground, message: str) -> None:
    """Commits what was changed and moves the VM to the same commit, like drift that somebody pushed."""
    git(ground.workspace, "commit", "--quiet", "--all", f"--message={message}")
    git(ground.vm, "fetch", "--quiet", "origin")
    git(ground.vm, "checkout", "--quiet", git(ground.workspace, "rev-parse", "HEAD"))


def edit(ground: Ground, name: str, old: str, new: str) -> None:
    path = ground.workspace / name
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{name} has no {old!r}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def generate(ground: Ground) -> None:
    """Generates the client, as a developer does."""
    shell(ground, f"cd {ground.workspace} && pnpm -C packages/api-client run generate")


def replace_tool(ground: Ground, tool: str, script: str) -> None:
    """Puts a script in the place of a tool; {real} in it is the tool."""
    path = ground.folder / "workspace-bin" / tool
    real = path.read_text(encoding="utf-8").splitlines()[-1]
    path.write_text(script.replace("{real}", real), encoding="utf-8")


def shell(ground: Ground, command: str) -> None:
    """Types a command, in the environment that the gate has on the workspace; it must succeed."""
    environment = {**ground.environment(), **ground.variables["workspace_environment"]}
    done = subprocess.run(
        ["sh", "-c", command], cwd=ground.folder, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}"


def follow(ground: Ground, run: Run) -> Run:
    """Runs the commands of each unblock sentence unchanged and resumes, until it promotes; returns the last run."""
    for _ in range(MOST_RESUMES):
        assert run.decision is not None, run.output
        for gate in run.decision["gates"]:
            for check in gate["checks"]:
                for command in re.findall(r"`([^`]+)`", check["unblock"]):
                    shell(ground, command)
        run = ground.gate(**{**ground.resumption(ALL_GATES), "promotion_gates": None})
        if run.status == 0:
            break
    return run


# --- how it is made ---------------------------------------------------------------------------------------------


def _build(folder: Path, sshd: Sshd) -> Ground:
    with alone():
        tools.ensure(host.detect())
        workspace.ensure(workspace.APPLICATIONS["plain"])
    ground = Ground(folder, sshd)
    for name in ("answers", "cp", "workspace-bin", "vm-bin"):
        (folder / name).mkdir(parents=True)
    for source, target in ((WORKSPACE, ground.workspace), (ground.workspace, ground.vm)):
        git(folder, "clone", "--quiet", str(source), str(target))
        git(target, "config", "user.name", "A. Nyone")
        git(target, "config", "user.email", "anyone@example.org")
    # The VM gets its commits from the workspace.
    git(ground.workspace, "remote", "remove", "origin")
    git(ground.vm, "remote", "set-url", "origin", "../workspace")
    _tools(ground)
    healthy_answers(ground)
    _settled(ground, folder.parent)
    shell(ground, f"cd {ground.workspace} && uv sync --quiet --frozen --all-packages --all-groups")
    shell(ground, f"cd {ground.workspace} && pnpm -C packages/api-client install --frozen-lockfile")
    _baseline(ground)
    return ground


def _tools(ground: Ground) -> None:
    """The four tools as scripts that a test may take away or replace, and beside them everything else of PATH."""
    for tool in WORKSPACE_TOOLS:
        real = shutil.which(tool, path=tools.path())
        path = ground.folder / "workspace-bin" / tool
        path.write_text(f'#!/bin/sh\nexec {real} "$@"\n', encoding="utf-8")
        path.chmod(0o755)
    for tool in VM_TOOLS:
        shutil.copy(HERE / "recorded.sh", ground.folder / "vm-bin" / tool)
    others = ground.folder.parent / "system-bin"
    others.mkdir()
    for directory in map(Path, SYSTEM_PATH.split(":")):
        for program in directory.iterdir() if directory.is_dir() else ():
            if program.name not in WORKSPACE_TOOLS and not (others / program.name).is_symlink():
                (others / program.name).symlink_to(program)


def _settled(ground: Ground, home: Path) -> Ground:
    """Names the ground's own folders; `home` is where all copies have their system's tools and Python packages."""
    settle(ground)
    example = (ground.vm / "ops" / "aiida-vm" / "aiida-vm.env.example").read_text(encoding="utf-8")
    ground.env_file.write_text(example.replace("/home/aiida", f"{ground.folder}/aiida"), encoding="utf-8")
    ground.variables.update(
        workspace_sqlite_smoke_command=SMOKE,
        workspace_environment={
            "PATH": f"{ground.folder}/workspace-bin:{home}/system-bin",
            "UV_PROJECT_ENVIRONMENT": f"{home}/venv",
            "UV_FROZEN": "1",
            "CI": "true",
            "COREPACK_ENABLE_DOWNLOAD_PROMPT": "0",
        },
    )
    return ground


def _baseline(ground: Ground) -> None:
    """One known-good baseline of this command and host, and no other: a PROMOTE has just recorded its own."""
    folder = ground.evidence / "baseline"
    shutil.rmtree(folder, ignore_errors=True)
    here = subprocess.run(
        [sys.executable, "-c", "from promotion.identity import main; main()", "--part", "machine"],
        cwd=PROJECT / "module_utils",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    fingerprint = identity(here).timing_fingerprint
    assert fingerprint is not None, here
    times = (KNOWN_GOOD_NS,) * 3
    write_baseline(
        folder, bundles.known_good(times, command_sha256=command_sha256(SMOKE), host_fingerprint=fingerprint)
    )
