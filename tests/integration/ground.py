"""A place to run the gate in: a workspace, a VM's checkout behind a loopback sshd, and recorded tools on PATH."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
CASES = PROJECT / "tests" / "unit" / "parsers" / "cases"
DOCUMENTS = PROJECT / "examples" / "workspace" / "docs"
VM_TOOLS = ("verdi", "scontrol", "sinfo", "sbatch", "scancel", "bootstrap", "smoke")
WORKSPACE_TOOLS = ("node", "corepack", "pnpm", "uv")
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
GATES = ("preflight", "sqlite_smoke", "vm_bootstrap", "slurm_smoke", "contracts")

# The answer of each tool in a healthy world: a case of the parsers' tests.
HEALTHY = {
    "profile_list": "profile_list/2.9-one",
    "verdi_status": "verdi_status/2.9-healthy",
    "daemon_status": "daemon_status/2.9-healthy",
    "computer_test": "computer_test/2.9-slurm-ok",
    "computer_show": "computer_show/2.9-slurm",
    "scontrol_ping": "scontrol_ping/healthy",
    "scontrol_nodes": "scontrol_nodes/healthy",
    "sinfo": "sinfo/healthy",
    "node": "tool_version/node",
    "corepack": "tool_version/corepack",
    "pnpm": "tool_version/pnpm",
    "uv": "tool_version/uv",
    "junit": "junit/pytest-ok",
}
# Recorded only, as versions: no parser reads these.
VERSIONS = {"verdi_version": "AiiDA version 2.9.4\n", "slurm_version": "slurm-wlm 24.11.5\n"}
SCHEMA_TS = "export interface paths { '/jobs': unknown }\n"
BOOTSTRAP = '#!/bin/sh\nexec bootstrap "$@"\n'
# The smoke script's own work, one log per step, with the recorded tools behind it.
SMOKE = """#!/bin/sh
while [ $# -gt 0 ]; do
  if [ "$1" = --artifact-dir ]; then folder=$2/20261124T002630-vm-slurm; fi
  shift
done
mkdir -p "$folder"
scontrol ping >"$folder/01-scontrol-ping.log" 2>&1
sinfo -h -N -o '%P' >"$folder/02-sinfo.log" 2>&1
verdi -p "$AIIDA_PROFILE" computer test "$AIIDA_COMPUTER_LABEL" >"$folder/05-verdi-computer-test.log" 2>&1
exec smoke "$folder"
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One call of ansible-playbook: its exit status, what it printed, and the decision that it left."""

    status: int
    output: str
    bundle: Path | None
    decision: Mapping[str, Any] | None

    @property
    def word(self) -> str:
        """PROMOTE or HOLD as the record says, or none."""
        return str(self.decision["decision"]) if self.decision else "none"

    @property
    def words(self) -> str:
        """The output with every run of white space as one space: Ansible folds long sentences."""
        return " ".join(self.output.split())

    def gate(self, name: str) -> Mapping[str, Any]:
        assert self.decision is not None, self.output
        return next(dict(gate) for gate in self.decision["gates"] if gate["name"] == name)

    def check(self, check_id: str) -> Mapping[str, Any]:
        gate = self.gate(check_id.split(".")[0])
        return next(dict(check) for check in gate["checks"] if check["id"] == check_id)

    def failing(self) -> list[str]:
        """The ids of all checks that do not pass."""
        assert self.decision is not None, self.output
        return [c["id"] for gate in self.decision["gates"] for c in gate["checks"] if c["status"] != "PASS"]

    def attempts(self) -> dict[str, int]:
        assert self.decision is not None, self.output
        return {gate["name"]: gate["attempt"] for gate in self.decision["gates"]}


@dataclass(frozen=True, slots=True)
class Sshd:
    """Where the loopback sshd listens and with which keys."""

    port: int
    folder: Path
    user: str
    pid: int

    def config(self, port: int | None = None, user: str | None = None, known_hosts: str = "known_hosts") -> str:
        return (
            f"Host *\n  HostName 127.0.0.1\n  Port {port or self.port}\n  User {user or self.user}\n"
            f"  IdentityFile {self.folder}/user_key\n  IdentitiesOnly yes\n  IdentityAgent none\n"
            f"  UserKnownHostsFile {self.folder}/{known_hosts}\n  GlobalKnownHostsFile /dev/null\n"
            "  StrictHostKeyChecking yes\n  BatchMode yes\n"
        )


@dataclass(slots=True)
class Ground:
    """One application on a workspace and a VM; every test has its own."""

    folder: Path
    sshd: Sshd
    variables: dict[str, Any] = field(default_factory=dict)
    # ANSIBLE_... of one test
    settings: dict[str, str] = field(default_factory=lambda: {"ANSIBLE_NOCOLOR": "1"})

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    @property
    def vm(self) -> Path:
        return self.folder / "vm"

    @property
    def evidence(self) -> Path:
        return self.workspace / "investigations" / "artifacts" / "gra-125"

    @property
    def env_file(self) -> Path:
        return self.vm / "ops" / "aiida-vm" / "aiida-vm.env"

    def bundles(self) -> list[Path]:
        return sorted(path.parent for path in self.evidence.glob("*/index.json"))

    # --- what the tools say ---

    def say(self, name: str, case: str, status: int = 0) -> None:
        """Lets a tool answer with a recorded case, and exit with `status`."""
        self.say_text(name, (CASES / f"{case}.txt").read_text(encoding="utf-8"), status)

    def say_text(self, name: str, text: str, status: int = 0) -> None:
        (self.folder / "answers" / name).write_text(text, encoding="utf-8")
        (self.folder / "answers" / f"{name}.exit").write_text(str(status), encoding="utf-8")

    def hook(self, name: str, script: str) -> None:
        """A shell script to run when the tool is called: something that happens in the middle of a run."""
        (self.folder / "answers" / f"{name}.hook").write_text(script, encoding="utf-8")

    def sqlite(self, seconds: float, fails_at: int = 0) -> None:
        answers = self.folder / "answers"
        (answers / "sqlite.seconds").write_text(str(seconds), encoding="utf-8")
        (answers / "sqlite.fails_at").write_text(str(fails_at), encoding="utf-8")
        (answers / "sqlite.count").unlink(missing_ok=True)

    def ssh(self, **changes: Any) -> None:
        (self.folder / "ssh_config").write_text(self.sshd.config(**changes), encoding="utf-8")

    # --- running the gate ---

    def inventory(self, groups: Mapping[str, Any] | None = None) -> Path:
        """Writes the inventory; `groups` replaces its two groups."""
        data = {
            "all": {
                "vars": self.variables,
                "children": self.groups() if groups is None else dict(groups),
            }
        }
        path = self.folder / "inventory" / "hosts.yml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(data, indent=1), encoding="utf-8")
        return path.parent

    def groups(self) -> dict[str, Any]:
        python = shutil.which("python3", path=SYSTEM_PATH) or sys.executable
        vm = {
            "ansible_ssh_common_args": f"-F {self.folder}/ssh_config",
            "ansible_python_interpreter": python,
        }
        workspace = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        return {"workspace": {"hosts": {"here": workspace}}, "aiida_vm": {"hosts": {"vm": vm}}}

    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
        return {
            **kept,
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            # Masters of another ground would answer for a VM that is gone.
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "cp"),
            "LC_ALL": "C.UTF-8",
            **self.settings,
        }

    def gate(self, *options: str, project: Path = PROJECT, cwd: Path | None = None, **extra: Any) -> Run:
        """Runs promotion-gate.yml of `project` with `options`; `extra` are -e variables."""
        return self.play("promotion-gate.yml", *options, project=project, cwd=cwd, **extra)

    def resumption(self, gates: str) -> dict[str, Any]:
        return {"promotion_resume": "latest", "promotion_gates": gates}

    def again(self, gates: str, project: Path = PROJECT, cwd: Path | None = None) -> Run:
        """Resumes the newest run and re-runs `gates`, whatever they were."""
        return self.gate(project=project, cwd=cwd, **self.resumption(gates))

    def play(self, playbook: str, *options: str, project: Path = PROJECT, cwd: Path | None = None, **extra: Any) -> Run:
        process = self.start(playbook, *options, project=project, cwd=cwd, **extra)
        try:
            output, _ = process.communicate(timeout=300)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return self.outcome(process.returncode, output)

    def start(
        self,
        playbook: str,
        *options: str,
        project: Path = PROJECT,
        cwd: Path | None = None,
        stdout: int = subprocess.PIPE,
        **extra: Any,
    ) -> subprocess.Popen[str]:
        """Starts ansible-playbook, with its process group to itself, as a shell does for a command of a terminal."""
        return subprocess.Popen(
            self.command(playbook, *options, project=project, **extra),
            cwd=cwd or project,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            process_group=0,
        )

    def command(self, playbook: str, *options: str, project: Path = PROJECT, **extra: Any) -> list[str]:
        inventory = self.folder / "inventory"
        if not (inventory / "hosts.yml").exists():
            self.inventory()
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        variables = ["-e", json.dumps(extra)] if extra else []
        return [program, str(project / playbook), "-i", str(inventory), *options, *variables]

    def outcome(self, status: int, output: str) -> Run:
        bundles = self.bundles()
        bundle = bundles[-1] if bundles else None
        record = bundle / "promotion-decision.json" if bundle else None
        decision = json.loads(record.read_text(encoding="utf-8")) if record and record.is_file() else None
        return Run(status, output, bundle, decision)

    def close(self) -> None:
        """Ends the SSH masters that Ansible keeps for a minute."""
        for master in (self.folder / "cp").glob("*"):
            subprocess.run(
                ["ssh", "-F", str(self.folder / "ssh_config"), "-O", "exit", "-S", str(master), "vm"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=A. Nyone", "-c", "user.email=anyone@example.org", *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def build(folder: Path, sshd: Sshd) -> Ground:
    """Lays out a healthy ground in an empty folder."""
    ground = Ground(folder, sshd)
    for name in ("workspace", "answers", "cp"):
        (folder / name).mkdir(parents=True)
    _application(ground.workspace)
    shutil.copytree(ground.workspace, ground.vm)
    ground.env_file.parent.mkdir(parents=True)
    (ground.workspace / "packages" / "api-client" / "node_modules").mkdir()
    for place, tools in (("workspace-bin", WORKSPACE_TOOLS), ("vm-bin", VM_TOOLS)):
        (folder / place).mkdir()
        for tool in tools:
            shutil.copy(HERE / "recorded.sh", folder / place / tool)
    healthy_answers(ground)
    return settle(ground)


def copy_of(template: Ground, folder: Path) -> Ground:
    """A separate ground for one test, with the baseline of the template."""
    shutil.copytree(template.folder, folder, symlinks=True, dirs_exist_ok=True, ignore=_passing)
    (folder / "cp").mkdir(exist_ok=True)
    return settle(Ground(folder, template.sshd))


def kept_aside(ground: Ground, folder: Path) -> Path:
    """A copy of a ground's folder, times of files included, to put things back from."""
    ground.close()  # a socket cannot be copied
    return Path(shutil.copytree(ground.folder, folder / "g", symlinks=True))


@contextlib.contextmanager
def in_place(ground: Ground, pristine: Path) -> Iterator[Ground]:
    """A ground for one test in its original place, restored afterwards: kept evidence counts only for its own paths."""
    (ground.folder / "inventory" / "hosts.yml").unlink()  # rewritten with the variables of the test
    mine = replace(ground, variables=copy.deepcopy(ground.variables), settings=dict(ground.settings))
    try:
        yield mine
    finally:
        mine.close()
        shutil.rmtree(ground.folder)
        shutil.copytree(pristine, ground.folder, symlinks=True)


def _passing(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name in ("cp", "inventory", "ansible", ".promotion-gate.lock")]


def one_machine(path: Path) -> Path:
    """Writes the shipped checklist for a workspace and a VM that are one machine, as those of these tests are."""
    shipped = (PROJECT / "policies" / "aiida.yml").read_text(encoding="utf-8")
    path.write_text(shipped.replace("\nsubject: ", "\nsame_machine: true\nsubject: ", 1), encoding="utf-8")
    return path


def settle(ground: Ground) -> Ground:
    """Writes what names the ground's own folder: environment file, SSH configuration, variables."""
    folder = ground.folder
    (folder / "aiida" / ".aiida").mkdir(parents=True, exist_ok=True)
    (folder / "aiida" / ".aiida" / "config.json").write_text("{}", encoding="utf-8")
    ground.env_file.write_text(
        f"AIIDA_PROFILE=vm-psql\nAIIDA_PATH={folder}/aiida\nAIIDA_COMPUTER_LABEL=vm-slurm\n", encoding="utf-8"
    )
    ground.ssh()
    ground.variables.update(
        workspace_dir=str(ground.workspace),
        workspace_sqlite_smoke_command="uv run sqlite-smoke",
        workspace_environment={"PATH": f"{folder}/workspace-bin:{os.environ['PATH']}"},
        aiida_vm_repo_dir=str(ground.vm),
        aiida_vm_verdi="verdi",
        aiida_vm_environment={"PATH": f"{folder}/vm-bin:{SYSTEM_PATH}"},
        promotion_policy=str(one_machine(folder / "policy.yml")),
        promotion_operator="test-operator",
        promotion_reviewer="test-reviewer",
    )
    return ground


def _application(workspace: Path) -> None:
    shutil.copytree(DOCUMENTS, workspace / "docs")
    scripts = {"aiida-vm-bootstrap.sh": BOOTSTRAP, "aiida-slurm-smoke-vm.sh": SMOKE}
    (workspace / "scripts").mkdir()
    for name, text in scripts.items():
        (workspace / "scripts" / name).write_text(text, encoding="utf-8")
        (workspace / "scripts" / name).chmod(0o755)
    generated = workspace / "packages" / "api-client" / "src" / "generated"
    generated.mkdir(parents=True)
    (generated / "schema.ts").write_text(SCHEMA_TS, encoding="utf-8")
    (workspace / ".gitignore").write_text("ops/aiida-vm/aiida-vm.env\nnode_modules/\n", encoding="utf-8")
    git(workspace, "init", "--quiet", "--initial-branch=main")
    git(workspace, "add", ".")
    git(workspace, "commit", "--quiet", "--message=Application")


def healthy_answers(ground: Ground) -> None:
    for name, version in VERSIONS.items():
        ground.say_text(name, version)
    for name, case in HEALTHY.items():
        ground.say(name, case)
    job = (CASES / "job" / "scontrol-completed.txt").read_text(encoding="utf-8").splitlines()
    ground.say_text("sbatch", f"{job[0]}\n")
    ground.say_text("job", f"{job[-1]}\n")
    ground.say_text("versions", "aiida-core: 2.9.4\npython: 3.13.5\nslurm: slurm-wlm 24.11.5\npostgresql: 17.12\n")
    ground.say_text("reservations", "No reservations in the system\n")
    ground.say_text("bootstrap", "[DRY RUN] nothing is changed without --apply\nsanity check: done\n")
    ground.say_text("smoke", "result: PASSED\n")
    ground.say_text("openapi", "apps/api/openapi.json is up to date\n")
    ground.say_text("generate", "openapi-typescript: schema.ts written\n")
    ground.say_text("pytest", "3 passed\n")
    ground.say_text("schema.ts", SCHEMA_TS)
    ground.sqlite(0.05)
