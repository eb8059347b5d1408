"""Creates a Git repository from an example application, and puts the same commit on the VM."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from demo import tools
from demo.console import DemoError, output_of, run, say, step
from demo.paths import CHECKOUT, DEMO, EXAMPLE, INVENTORY, LOGS, WORKSPACE
from demo.vm import USER, Vm

BRANCH = "main"
ENV_FILE = "ops/aiida-vm/aiida-vm.env"
AIIDA_PATH = f"/home/{USER}/.aiida-gate"
MADE_BY_TOOLS = {".venv", "node_modules", "__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache"}
SECRET_NAME = re.compile(r"PASS(WORD)?$")

# The same content gives the same commit on every machine: name and date are fixed, personal settings ignored.
IDENTITY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "demo"), ("EMAIL", "demo@localhost"), ("DATE", "2026-01-01T00:00:00Z"))
} | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}


@dataclass(frozen=True, slots=True)
class Application:
    """One of the example applications: its sources, and its checkouts here and on the VM."""

    name: str
    sources: tuple[Path, ...]  # a later one replaces files of an earlier one
    workspace: Path
    vm_checkout: str
    inventory: Path
    sync: str  # installs its Python environment, here and on the VM

    @property
    def evidence(self) -> Path:
        return self.workspace / "investigations" / "artifacts" / "gra-125"

    @property
    def with_env_file(self) -> str:
        return f"cd {self.vm_checkout} && set -a && . ./{ENV_FILE} && set +a"

    def files(self) -> dict[Path, Path]:
        """Maps each name to its file; REMOVED in a source lists files of earlier sources to leave out."""
        found: dict[Path, Path] = {}
        for source in self.sources:
            removed = source / "REMOVED"
            for name in removed.read_text().split() if removed.is_file() else ():
                found.pop(Path(name), None)
            found.update({path.relative_to(source): path for path in _files(source) if path != removed})
        return dict(sorted(found.items()))


# --frozen, or restoring the lock: an installation by hand does not leave a changed lock either.
APPLICATIONS = {
    "plain": Application(
        "plain", (EXAMPLE,), WORKSPACE, f"/home/{USER}/app", INVENTORY,
        "uv sync --quiet --frozen --all-packages --all-groups",
    ),
    "grown": Application(
        "grown", (EXAMPLE, CHECKOUT / "examples" / "grown"), DEMO / "workspace-grown", f"/home/{USER}/grown",
        CHECKOUT / "inventory" / "grown",
        "uv sync --quiet --project apps/api --group aiida && git checkout --quiet apps/api/uv.lock",
    ),
}  # fmt: skip


def ensure(application: Application) -> str:
    """Creates the workspace, again only if the example has changed; returns its commit."""
    if not (EXAMPLE / ".gitignore").is_file():
        raise DemoError(f"{EXAMPLE} is missing: run this from a complete checkout.")
    digest = _digest(application)
    marker = application.workspace / ".git" / "demo-source"
    if not marker.is_file() or marker.read_text() != digest:
        where = application.workspace.relative_to(CHECKOUT)
        with step(f"Creating a Git repository of the {application.name} application in {where}"):
            _lay_out(application)
        marker.write_text(digest)
    commit = _git(application, "rev-parse", BRANCH).strip()
    _install_dependencies(application, commit)
    return commit


def put_on(vm: Vm, commit: str, application: Application) -> None:
    """Puts the same commit, its environment file and its Python environment on the VM."""
    done = f"{commit} {vm.container_id()}"
    marker = vm.directory / f"provisioned-{application.name}"
    if marker.is_file() and marker.read_text() == done:
        return
    log = LOGS / f"vm-{vm.name}.log"
    with step(f"Putting commit {commit[:10]} on the VM {vm.name}"):
        prepare = f"git init --quiet --initial-branch={BRANCH} {application.vm_checkout}"
        accept = f"git -C {application.vm_checkout} config receive.denyCurrentBranch updateInstead"
        run(vm.ssh(f"{prepare} && {accept}"), log, "Creating the checkout on the VM")
        push = [
            "git",
            "-C",
            str(application.workspace),
            "push",
            "--quiet",
            f"{vm.name}:{application.vm_checkout}",
            f"+{BRANCH}:{BRANCH}",
        ]
        ssh = shlex.join(["ssh", "-F", str(vm.ssh_config)])
        run(push, log, "Pushing the workspace to the VM", env={"GIT_SSH_COMMAND": ssh})
        _write_env_file(vm, application, log)
    with step(f"Installing AiiDA on the VM {vm.name}"):
        sync = application.sync.replace("--all-packages --all-groups", "--project apps/api --group aiida")
        sync = sync.replace("uv sync", "uv sync --compile-bytecode")
        run(vm.ssh(f"cd {application.vm_checkout} && {sync}"), log, "uv sync on the VM")
    marker.write_text(done)


def has_profile(vm: Vm, application: Application) -> bool:
    """Whether the profile of the VM's environment file exists."""
    look = (
        f"{application.with_env_file}; python3 -c 'import json, os; "
        'folder = os.environ.get("AIIDA_PATH") or os.environ["AIIDA_CONFIG_DIR"]; '
        'config = json.load(open(folder + "/.aiida/config.json")); '
        'print(os.environ["AIIDA_PROFILE"] in config["profiles"])\''
    )
    return (output_of(vm.ssh(look)) or "").strip() == "True"


def start_daemon(vm: Vm, application: Application) -> None:
    """Restarts AiiDA's daemon, which is not a system service and does not come back with the VM."""
    verdi = 'env AIIDA_PATH="${AIIDA_PATH:-$PWD/$AIIDA_CONFIG_DIR}" uv run --no-sync --project apps/api verdi'
    restart = f'{verdi} -p "$AIIDA_PROFILE" daemon stop; {verdi} -p "$AIIDA_PROFILE" daemon start'
    with step(f"Restarting AiiDA's daemon on the VM {vm.name}"):
        log = LOGS / f"vm-{vm.name}.log"
        run(vm.ssh(f"{application.with_env_file} && {{ {restart}; }}"), log, "Starting AiiDA's daemon")


def _lay_out(application: Application) -> None:
    workspace = application.workspace
    workspace.mkdir(parents=True, exist_ok=True)
    if not (workspace / ".git").is_dir():
        _git(application, "init", "--quiet", f"--initial-branch={BRANCH}")
    for tracked in filter(None, _git(application, "ls-files", "-z").split("\0")):
        (workspace / tracked).unlink(missing_ok=True)
    for name, source in application.files().items():
        target = workspace / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    _git(application, "add", "--all")
    if _git(application, "status", "--porcelain"):
        message = "The reference workspace of the promotion gate's demo"
        _git(application, "commit", "--quiet", "--message", message)


def _files(source: Path) -> Iterator[Path]:
    for path in sorted(source.rglob("*")):
        if path.is_file() and MADE_BY_TOOLS.isdisjoint(path.relative_to(source).parts):
            yield path


def _digest(application: Application) -> str:
    digest = hashlib.sha256()
    for name, path in application.files().items():
        mode = path.stat().st_mode & 0o100
        digest.update(f"{name}\0{mode}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _install_dependencies(application: Application, commit: str) -> None:
    """Installs them once per commit, so that no timed smoke run has to download anything."""
    workspace = application.workspace
    marker = workspace / ".git" / "demo-installed"
    if marker.is_file() and marker.read_text() == commit:
        return
    log = LOGS / "workspace.log"
    environment = {"PATH": tools.path(), "COREPACK_ENABLE_DOWNLOAD_PROMPT": "0", "CI": "true"}
    with step("Installing the workspace's Python packages (uv sync)"):
        run(["sh", "-c", application.sync], log, "uv sync in the workspace", env=environment, cwd=workspace)
    with step("Installing the workspace's node packages (pnpm install)"):
        client = workspace / "packages" / "api-client"
        run(["pnpm", "install", "--frozen-lockfile"], log, "pnpm install", env=environment, cwd=client)
    marker.write_text(commit)


def _write_env_file(vm: Vm, application: Application, log: Path) -> None:
    """Writes aiida-vm.env from the example, with random passwords; an existing one stays."""
    example = (application.workspace / f"{ENV_FILE}.example").read_text()
    text = "".join(f"{_filled(line)}\n" for line in example.splitlines())
    target = f"{application.vm_checkout}/{ENV_FILE}"
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


def _git(application: Application, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(application.workspace), *arguments],
            env=_git_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
    except OSError as error:
        raise DemoError("git not found: install git and run this again.") from error
    if done.returncode != 0:
        raise DemoError(f"`git {arguments[0]}` failed in {application.workspace}: {done.stderr.strip()}")
    return done.stdout


def _git_environment() -> dict[str, str]:
    return {**{k: v for k, v in os.environ.items() if not k.startswith("GIT_")}, **IDENTITY}


def tell() -> None:
    for application in APPLICATIONS.values():
        if (application.workspace / ".git").is_dir():
            commit = _git(application, "rev-parse", BRANCH)[:10]
            say(f"workspace {application.workspace}, commit {commit} on {BRANCH}")
