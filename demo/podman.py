"""Finds or installs podman, and finds out how to call it on this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from demo.console import DemoError, output_of, run, say, step
from demo.paths import LOGS

WANTED_NOFILE, WANTED_NPROC = 10_000, 20_000
CAP_SYS_RESOURCE = 24  # bit number, linux/capability.h


@cache
def as_root() -> tuple[str, ...]:
    """The prefix of a command that needs root.

    The VM runs a whole init system with several users in it, so we use rootful podman everywhere: one way that
    is tested, not two.
    """
    if os.geteuid() == 0:
        return ()
    if shutil.which("sudo") is None:
        raise DemoError("The container VM needs root: run this as root, or install sudo and allow this user to use it.")
    return ("sudo",)


def ensure_installed(programs: dict[str, str]) -> None:
    """Makes sure that programs (program -> Debian package) exist; installs them on Debian and Ubuntu."""
    missing = {
        program: package for program, package in programs.items() if shutil.which(program, path=_system_path()) is None
    }
    if not missing:
        return
    names = " and ".join(missing)
    if shutil.which("apt-get") is None:
        raise DemoError(
            f"{names} not found: install {' '.join(missing.values())} with this machine's package manager and run "
            "this again (it is only installed for you on Debian and Ubuntu)."
        )
    packages = sorted({*missing.values(), "debian-archive-keyring"})
    say(f"{names} not found; installing the packages {', '.join(packages)} with apt-get")
    log = LOGS / "apt.log"
    apt = [*as_root(), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "--install-recommends"]
    with step(f"Installing {names}"):
        run([*apt, "update"], log, "apt-get update")
        run([*apt, "install", "--yes", *packages], log, f"Installing {names}")


def _system_path() -> str:
    """Users often have no /usr/sbin on their PATH, where runc and mmdebstrap's helpers may be."""
    return os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"


def podman(*arguments: str) -> list[str]:
    return [*as_root(), "podman", *arguments]


def call(*arguments: str) -> str | None:
    """What podman prints, or None if it fails."""
    return output_of(podman(*arguments))


def execute(container: str, argv: Sequence[str], feed: bytes | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a command as root in a container."""
    done = subprocess.run(
        podman("exec", *(["-i"] if feed is not None else []), container, *argv),
        input=b"" if feed is None else feed, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(errors="replace"))


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options with which `podman run` works on this machine."""

    runtime: str  # empty: podman's default
    ulimits: tuple[str, ...]

    def arguments(self) -> list[str]:
        runtime = ["--runtime", self.runtime] if self.runtime else []
        return [*runtime, *(word for limit in self.ulimits for word in ("--ulimit", limit))]


def run_options(image: str) -> RunOptions:
    """Finds the options that work by running a command that does nothing."""
    ulimits = _ulimits()
    tried = []
    for runtime in ("", "runc"):
        if runtime:
            # crun before 1.14 refuses a host that mounts cgroups v1 and v2 side by side ("hybrid"); runc does not.
            ensure_installed({runtime: runtime})
        options = RunOptions(runtime, ulimits)
        done = subprocess.run(
            podman("run", "--rm", "--network", "none", "--privileged", *options.arguments(), image, "/bin/true"),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        if done.returncode == 0:
            return options
        tried.append(f"{runtime or 'default runtime'}: {done.stdout.strip()}")
    raise DemoError(f"podman cannot run a container on this machine ({'; '.join(tried)}); repair podman first.")


def _ulimits() -> tuple[str, ...]:
    """Ulimits below this machine's hard limits, if root may not raise them.

    podman asks for 1048576 open files and processes by default. A root without CAP_SYS_RESOURCE (inside most
    containers and some VMs) may not go above its hard limits, and the container does not start.
    """
    text = output_of([*as_root(), "sh", "-c", "ulimit -Hn; ulimit -Hu; cat /proc/self/status"]) or ""
    capabilities = re.search(r"^CapEff:\s*([0-9a-f]+)$", text, re.MULTILINE)
    if capabilities is None or int(capabilities[1], 16) >> CAP_SYS_RESOURCE & 1:
        return ()
    nofile, nproc = text.splitlines()[:2]
    return (f"nofile={_limit(nofile, WANTED_NOFILE)}", f"nproc={_limit(nproc, WANTED_NPROC)}")


def _limit(hard: str, wanted: int) -> str:
    value = min(int(hard), wanted) if hard.isdigit() else wanted
    return f"{value}:{value}"


def remove_tree(path: Path) -> None:
    """Removes a directory that may contain files of the VM's users."""
    if path.exists():
        subprocess.run([*as_root(), "rm", "-rf", str(path)], check=False)
