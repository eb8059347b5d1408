"""What `pip install .` brings, without the extra `ansible`: verify, check and show of a copied bundle."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import bundles
import pytest

BUNDLES = bundles.PROJECT / "tests" / "bundles"
PROMOTED = sorted(BUNDLES.glob("*/root/healthy"))
# No Ansible, and what Windows lacks: modules, and flags of os.
ELSEWHERE = """
import os, sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("fcntl", "grp", "ansible", "ansible_runner"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in ("fcntl", "grp"):
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Refused())
del os.O_NOFOLLOW, os.O_NONBLOCK
from promotion_gate.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def elsewhere(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("bundle", PROMOTED, ids=lambda path: path.parent.parent.name)
def test_a_machine_without_ansible_fcntl_and_grp_verifies(bundle: Path) -> None:
    for command in (["verify"], ["show"], ["check", "--max-age", "3650d"], ["decide"]):
        done = elsewhere(*command, str(bundle))
        assert done.returncode == 0, done.stdout + done.stderr
        assert not done.stderr
    done = elsewhere("verify", "--history", str(bundle.parent))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_machine_without_o_nofollow_follows_no_link(tmp_path: Path) -> None:
    bundle = tmp_path / PROMOTED[-1].name
    shutil.copytree(PROMOTED[-1], bundle)
    (tmp_path / "aside.log").write_bytes((bundle / "01-preflight.log").read_bytes())
    (bundle / "01-preflight.log").unlink()
    (bundle / "01-preflight.log").symlink_to(tmp_path / "aside.log")
    done = elsewhere("verify", str(bundle))
    assert done.returncode == 1
    assert "01-preflight.log" in done.stdout and "link" in done.stdout


def pip(*arguments: str, cwd: Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as an operator builds it; in a copy, since building leaves files behind."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(bundles.PROJECT / name, source)
    for name in ("src", "policies", "docs"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(bundles.PROJECT / name, source / name, symlinks=True, ignore=ignored)
    pip("wheel", ".", "--no-deps", "--wheel-dir", "dist", cwd=source)
    return next((source / "dist").glob("promotion_gate-*.whl"))


@pytest.mark.slow
def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    package = bundles.PROJECT / "src" / "promotion_gate"
    found = {
        (Path(folder) / name).relative_to(package.parent).as_posix()
        for folder, _, names in os.walk(package, followlinks=True)
        for name in names
        if "__pycache__" not in folder
    }
    assert {name for name in found if name.endswith((".yml", ".j2", ".schema.json"))}
    assert found == {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


@pytest.mark.slow
def test_the_wheel_installed_alone_verifies_a_bundle(wheel: Path, tmp_path: Path) -> None:
    """Needs the package index, as installing this checkout does."""
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True, timeout=120)
    python = environment / "bin" / "python"
    pip("--python", str(python), "install", str(wheel), cwd=tmp_path)
    installed = json.loads(
        subprocess.run(
            [python, "-c", "import importlib.util as u, json; print(json.dumps([*map(bool, map(u.find_spec, "
             "('promotion_gate', 'ansible', 'ansible_runner', 'pytest')))]))"],
            capture_output=True, check=True, cwd=tmp_path, timeout=60,
        ).stdout
    )  # fmt: skip
    assert installed == [True, False, False, False]
    program = str(environment / "bin" / "promotion-gate")
    for command in ("verify", "show"):
        done = subprocess.run(
            [program, command, PROMOTED[-1]], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "PROMOTE" in done.stdout
