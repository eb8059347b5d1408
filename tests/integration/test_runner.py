"""docs/runner.md: its commands, as they are printed, with a worker behind the loopback sshd."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ground import PROJECT, Ground

from collection.__main__ import build

PAGE = (PROJECT / "docs" / "runner.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
BIN = Path(sys.executable).parent


@pytest.fixture
def here(ground: Ground, tmp_path: Path) -> Path:
    """A directory with what the page assumes: the tarball, and an inventory."""
    here = tmp_path / "here"
    build(here / "build")
    shutil.copytree(ground.inventory(), here / "inventory" / "mine")
    (here / "job" / "env").mkdir(parents=True)
    settings = {name: value for name, value in ground.environment().items() if name.startswith("ANSIBLE_")}
    (here / "job" / "env" / "envvars").write_text(json.dumps(settings), encoding="utf-8")
    return here


class Page:
    """Runs the page's blocks in their order; each is used once."""

    def __init__(self, ground: Ground, here: Path) -> None:
        self.ground, self.here = ground, here
        self.left = list(BLOCKS)

    def block(self, beginning: str, status: int = 0) -> str:
        """Runs the next block, which begins so."""
        text = self.left.pop(0)
        assert text.startswith(beginning), text
        for placeholder, value in (
            ("ssh worker.example.org", f"ssh -F {self.ground.folder}/ssh_config worker.example.org"),
            ("/opt/promotion-gate/bin", str(BIN)),
            ("/var/tmp/gate", str(self.here / "worker")),
        ):
            text = text.replace(placeholder, value)
        environment = {**self.ground.environment(), "PATH": f"{BIN}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["sh", "-c", text], cwd=self.here, env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == status, text + done.stdout + done.stderr
        return done.stdout


@pytest.mark.nightly
def test_the_commands_of_the_page_run_as_printed(ground: Ground, here: Path) -> None:
    page = Page(ground, here)
    page.block("mkdir")
    ground.sqlite(0.8)
    page.block("ansible-runner run job -p baseline.yml")
    ground.sqlite(0.05)  # far below the baseline: a busy machine does not make the test fail
    for name in ("sinfo", "scontrol_nodes"):
        ground.say(name, f"{name}/drained")
    page.block("ansible-runner run job -p gate.yml", status=2)
    first = bundles_in(here / "job")

    page.block("ansible-runner transmit")  # a HOLD, and 0 all the same: the page says so
    held = bundles_in(here / "back")
    assert held[:-1] == first and len(held) == 2
    verify, check = page.left.pop(0).strip().splitlines()
    page.left[:0] = [verify, check]
    page.block("promotion-gate verify")
    page.block("promotion-gate check", status=1)

    for name in ("sinfo", "scontrol_nodes"):
        ground.say(name, f"{name}/healthy")
    page.block("rm -rf job/artifacts")
    assert bundles_in(here / "back") == held
    for command in (["verify", "--history"], ["check", "latest", "--root"]):
        done = subprocess.run(
            [BIN / "promotion-gate", *command, "back/artifacts/gate/evidence"],
            cwd=here, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    assert not (here / "worker").exists()

    events = page.block("python3 -c").splitlines()
    for role in ("gate_preflight", "gate_sqlite_smoke", "gate_vm_bootstrap", "gate_slurm_smoke", "gate_contracts"):
        assert any(role in event and "runner_on_ok" in event for event in events), role
    page.left[0] = page.left[0].removeprefix("make collection\n")
    shutil.copy(PROJECT / "execution-environment.yml", here)
    version = re.search(r"promotion-([\d.]+)\.tar\.gz", PAGE)
    assert version
    (here / "build" / f"promotion_gate-{version[1]}-py3-none-any.whl").touch()
    page.block("ansible-builder create")
    assert (here / "build" / "context" / "Containerfile").is_file()
    assert page.left == []


def bundles_in(place: Path) -> list[str]:
    return sorted(path.parent.name for path in (place / "artifacts" / "gate" / "evidence").glob("*/SHA256SUMS"))
