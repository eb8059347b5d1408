"""Lays examples/workspace out as a Git repository, and puts the same commit on the VM."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from demo import tools
from demo.console import DemoError, output_of, run, say, step
from demo.paths import EXAMPLE, LOGS, WORKSPACE
from demo.vm import USER, Vm

BRANCH = "main"
VM_CHECKOUT = f"/home/{USER}/app"
ENV_FILE = "ops/aiida-vm/aiida-vm.env"
AIIDA_PATH = f"/home/{USER}/.aiida-gate"
WITH_ENV_FILE = f"cd {VM_CHECKOUT} && set -a && . ./{ENV_FILE} && set +a"
MADE_BY_TOOLS = {".venv", "node_modules", "__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache"}
SECRET_NAME = re.compile(r"PASS(WORD)?$")

# The same content gives the same commit on every machine: name and date are fixed, personal settings left out.
IDENTITY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "demo"), ("EMAIL", "demo@localhost"), ("DATE", "2026-01-01T00:00:00Z"))
} | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}


def ensure() -> str:
    """Lay the workspace out, again only if examples/workspace changed since; returns its commit."""
    if not (EXAMPLE / ".gitignore").is_file():
        raise DemoError(f"{EXAMPLE} is not there: run this from a complete checkout.")
    digest = _digest()
    marker = WORKSPACE / ".git" / "demo-source"
    if not marker.is_file() or marker.read_text() != digest:
        with step("Laying examples/workspace out as a Git repository in .demo/workspace"):
            _lay_out()
        marker.write_text(digest)
    commit = _git("rev-parse", BRANCH).strip()
    _install_dependencies(commit)
    return commit


def put_on(vm: Vm, commit: str) -> None:
    """The same commit, its environment file and its Python environment on the VM."""
    done = f"{commit} {vm.container_id()}"
    marker = vm.directory / "provisioned"
    if marker.is_file() and marker.read_text() == done:
        return
    log = LOGS / f"vm-{vm.name}.log"
    with step(f"Putting commit {commit[:10]} on the VM {vm.name}"):
        prepare = f"git init --quiet --initial-branch={BRANCH} {VM_CHECKOUT}"
        accept = f"git -C {VM_CHECKOUT} config receive.denyCurrentBranch updateInstead"
        run(vm.ssh(f"{prepare} && {accept}"), log, "Making the checkout on the VM")
        push = [
            "git",
            "-C",
            str(WORKSPACE),
            "push",
            "--quiet",
            f"{vm.name}:{VM_CHECKOUT}",
            f"+{BRANCH}:{BRANCH}",
        ]
        ssh = shlex.join(["ssh", "-F", str(vm.ssh_config)])
        run(push, log, "Pushing the workspace to the VM", env={"GIT_SSH_COMMAND": ssh})
        _write_env_file(vm, log)
    with step(f"Installing AiiDA on the VM {vm.name}"):
        sync = f"cd {VM_CHECKOUT} && uv sync --quiet --frozen --compile-bytecode --project apps/api --group aiida"
        run(vm.ssh(sync), log, "uv sync on the VM")
    marker.write_text(done)


def has_profile(vm: Vm) -> bool:
    """Whether the profile of the VM's environment file has been made."""
    look = (
        f"{WITH_ENV_FILE}; python3 -c 'import json, os; "
        'config = json.load(open(os.environ["AIIDA_PATH"] + "/.aiida/config.json")); '
        'print(os.environ["AIIDA_PROFILE"] in config["profiles"])\''
    )
    return (output_of(vm.ssh(look)) or "").strip() == "True"


def start_daemon(vm: Vm) -> None:
    """AiiDA's daemon is no service of the system: it does not come back with the VM."""
    verdi = "uv run --frozen --project apps/api --group aiida verdi"
    restart = f'{verdi} -p "$AIIDA_PROFILE" daemon stop; {verdi} -p "$AIIDA_PROFILE" daemon start'
    with step(f"Starting AiiDA's daemon on the VM {vm.name} again"):
        log = LOGS / f"vm-{vm.name}.log"
        run(vm.ssh(f"{WITH_ENV_FILE} && {{ {restart}; }}"), log, "Starting AiiDA's daemon")


def _lay_out() -> None:
    WORKSPACE.mkdir(parents=True, exist_ok=True)
    if not (WORKSPACE / ".git").is_dir():
        _git("init", "--quiet", f"--initial-branch={BRANCH}")
    for name in _git("ls-files", "-z").split("\0"):
        if name:
            (WORKSPACE / name).unlink(missing_ok=True)
    for source in _files():
        target = WORKSPACE / source.relative_to(EXAMPLE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    _git("add", "--all")
    if _git("status", "--porcelain"):
        _git("commit", "--quiet", "--message", "The reference workspace of the promotion gate's demo")


def _files() -> Iterator[Path]:
    for path in sorted(EXAMPLE.rglob("*")):
        if path.is_file() and MADE_BY_TOOLS.isdisjoint(path.relative_to(EXAMPLE).parts):
            yield path


def _digest() -> str:
    digest = hashlib.sha256()
    for path in _files():
        mode = path.stat().st_mode & 0o100
        digest.update(f"{path.relative_to(EXAMPLE)}\0{mode}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _install_dependencies(commit: str) -> None:
    """Once per commit, so that no timed smoke run is the one that downloads."""
    marker = WORKSPACE / ".git" / "demo-installed"
    if marker.is_file() and marker.read_text() == commit:
        return
    log = LOGS / "workspace.log"
    environment = {"PATH": tools.path(), "COREPACK_ENABLE_DOWNLOAD_PROMPT": "0", "CI": "true"}
    with step("Installing the workspace's Python packages (uv sync)"):
        sync = ["uv", "sync", "--quiet", "--frozen", "--all-packages", "--all-groups"]
        run(sync, log, "uv sync in the workspace", env=environment, cwd=WORKSPACE)
    with step("Installing the workspace's node packages (pnpm install)"):
        client = WORKSPACE / "packages" / "api-client"
        run(["pnpm", "install", "--frozen-lockfile"], log, "pnpm install", env=environment, cwd=client)
    marker.write_text(commit)


def _write_env_file(vm: Vm, log: Path) -> None:
    """aiida-vm.env from the example, with this VM's own random passwords; one that is there stays."""
    example = (WORKSPACE / f"{ENV_FILE}.example").read_text()
    text = "".join(f"{_filled(line)}\n" for line in example.splitlines())
    if not re.search(r"^AIIDA_PATH=", text, re.MULTILINE):
        text += f"AIIDA_PATH={AIIDA_PATH}\n"
    target = f"{VM_CHECKOUT}/{ENV_FILE}"
    write = f"test -s {target} || {{ umask 077 && cat >{target}; }}"
    run(vm.ssh(write), log, "Writing the environment file on the VM", feed=text.encode())


def _filled(line: str) -> str:
    match = re.fullmatch(r"(export )?([A-Z][A-Z0-9_]*)=.*", line)
    if match and match[2] == "AIIDA_PATH":
        return f"{match[1] or ''}AIIDA_PATH={AIIDA_PATH}"
    if match and match[2] == "AIIDA_REPOSITORY_URI":
        return line.replace(f"/home/{USER}/.aiida/", f"{AIIDA_PATH}/.aiida/")
    if match and SECRET_NAME.search(match[2]):
        return f"{match[1] or ''}{match[2]}={secrets.token_hex(16)}"
    return line


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(WORKSPACE), *arguments],
            env=_git_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
    except OSError as error:
        raise DemoError("git is not there: install git and run this again.") from error
    if done.returncode != 0:
        raise DemoError(f"`git {arguments[0]}` failed in {WORKSPACE}: {done.stderr.strip()}")
    return done.stdout


def _git_environment() -> dict[str, str]:
    return {**{k: v for k, v in os.environ.items() if not k.startswith("GIT_")}, **IDENTITY}


def tell() -> None:
    say(f"workspace {WORKSPACE}, commit {_git('rev-parse', BRANCH)[:10]} on {BRANCH}")
