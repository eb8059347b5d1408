"""The fixtures of the tests that run the real gate: a loopback sshd, and grounds to run in.

A folder of tests has them with one line in its conftest.py: `from grounds import *`.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ground import SYSTEM_PATH, Ground, Run, Sshd, build, copy_of, free_port, in_place, kept_aside
from waiting import PATIENCE_SECONDS

__all__ = [
    "decided",
    "ground",
    "healthy_ground",
    "pristine",
    "promoted",
    "pytest_collection_modifyitems",
    "sshd",
    "template",
]

# SetEnv: bash reads ~/.bashrc for a command over SSH unless it is the second shell. What whoever runs the tests has in
# there (pyenv, say: 0.2 s of processor per command, and a lock that is waited for) is not to be part of them.
SSHD_CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
PubkeyAuthentication yes
UseDNS no
MaxStartups 100
SetEnv SHLVL=1
Subsystem sftp internal-sftp
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "sshd" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.integration)


def _key(path: Path) -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path.with_suffix(".pub").read_text(encoding="utf-8")


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                if connection.recv(4) == b"SSH-":
                    return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"sshd did not start: {log.read_text(encoding='utf-8')}")


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with loopback_sshd(tmp_path_factory.mktemp("sshd")) as serving:
        yield serving


@contextlib.contextmanager
def loopback_sshd(folder: Path) -> Iterator[Sshd]:
    """An sshd on 127.0.0.1 that lets this user in, with its keys in an empty folder."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:{SYSTEM_PATH}")
    if program is None:
        pytest.fail("These tests need sshd: install openssh-server (apt-get install openssh-server).")
    port = free_port()
    host_key = _key(folder / "host_key")
    other_key = _key(folder / "other_key")
    _key(folder / "user_key")
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}", encoding="utf-8")
    (folder / "known_hosts_of_another").write_text(f"[127.0.0.1]:{port} {other_key}", encoding="utf-8")
    (folder / "sshd_config").write_text(SSHD_CONFIG.format(port=port, folder=folder), encoding="utf-8")
    if os.geteuid() == 0:
        # sshd drops its privileges there and does not start without it; Debian's unit creates it at boot.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    log = folder / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [program, "-D", "-e", "-f", str(folder / "sshd_config")], stdin=subprocess.DEVNULL, stderr=stream
        )
    try:
        _wait_for(process, port, log)
        yield Sshd(port, folder, getpass.getuser(), process.pid)
    finally:
        process.terminate()
        process.wait(timeout=10)


@pytest.fixture(scope="session")
def template(sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A healthy ground whose baseline was recorded by the real playbook, with runs of 2 s."""
    ground = build(tmp_path_factory.mktemp("template") / "g", sshd)
    ground.sqlite(2.0)
    recorded = ground.play("playbooks/record-baseline.yml", promotion_reason="known good for the tests")
    assert recorded.status == 0, recorded.output
    # Far below the baseline: a busy machine does not make a test fail.
    ground.sqlite(0.05)
    yield ground
    ground.close()


@pytest.fixture
def ground(template: Ground, tmp_path: Path) -> Iterator[Ground]:
    """A healthy ground of the test's own."""
    copied = copy_of(template, tmp_path / "g")
    yield copied
    copied.close()


@pytest.fixture(scope="session")
def healthy_ground(template: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """The ground of `promoted`; look, do not change."""
    copied = copy_of(template, tmp_path_factory.mktemp("healthy") / "g")
    yield copied
    copied.close()


@pytest.fixture(scope="session")
def promoted(healthy_ground: Ground) -> Run:
    """One healthy run that several tests look at."""
    return healthy_ground.gate()


@pytest.fixture(scope="session")
def pristine(promoted: Run, healthy_ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the folder of `healthy_ground` with its promoted run, to put things back from."""
    assert promoted.status == 0, promoted.output
    return kept_aside(healthy_ground, tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def decided(pristine: Path, healthy_ground: Ground) -> Iterator[Ground]:
    """A ground with a promoted run in it, to re-run single gates of: `decided.again("3")`."""
    with in_place(healthy_ground, pristine) as ground:
        yield ground
