"""ARCHITECTURE.md, "How it must not fail": each way in which ansible-core itself ends in 0 without a decision."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import ansible_runner  # type: ignore[import-untyped]
import pytest
from ground import PROJECT, Ground, Run

PARTS = (
    "promotion-gate.yml",
    "ansible.cfg",
    "policies",
    "roles",
    "library",
    "module_utils",
    "filter_plugins",
    "callback_plugins",
)


def checkout(folder: Path, without: str = "") -> Path:
    """A copy of what a run needs of this checkout."""
    folder.mkdir(parents=True)
    for part in PARTS:
        if part == without:
            continue
        source = PROJECT / part
        if source.is_dir():
            # Links are followed: module_utils/ may point into src/.
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / part)
    return folder


def assert_no_promote(run: Run) -> None:
    assert run.status != 0, run.output
    assert run.decision is None or run.decision["decision"] == "HOLD"
    assert "PROMOTE. The record is" not in run.output
    assert "Traceback" not in run.output


def test_limit_to_the_vm_is_no_silent_success(ground: Ground) -> None:
    run = ground.gate("--limit", "aiida_vm")
    assert_no_promote(run)
    assert "HOLD: the deciding play did not run, and no bundle was opened." in run.words


def test_a_limit_to_the_workspace_holds(ground: Ground) -> None:
    run = ground.gate("--limit", "workspace,localhost")
    assert_no_promote(run)
    assert run.gate("vm_bootstrap")["status"] != "PASS"
    assert run.gate("slurm_smoke")["status"] != "PASS"


def test_a_tag_that_does_not_exist_holds(ground: Ground) -> None:
    run = ground.gate("--tags", "nosuch")
    assert_no_promote(run)
    assert run.decision is not None
    assert {gate["status"] for gate in run.decision["gates"]} <= {"SKIPPED", "MISSING"}
    assert "--tags nosuch" in run.check("preflight.node")["observed"]


def test_check_mode_is_a_rehearsal(ground: Ground) -> None:
    run = ground.gate("--check")
    assert_no_promote(run)
    assert run.decision is not None
    assert any("rehearsal (--check)" in sentence for sentence in run.decision["objections"])
    assert {check["status"] for check in run.gate("slurm_smoke")["checks"]} <= {"SKIPPED", "MISSING"}


def test_a_group_that_is_missing_is_an_input_error(ground: Ground) -> None:
    ground.inventory({"workspace": ground.groups()["workspace"]})
    run = ground.gate()
    assert_no_promote(run)
    assert run.bundle is None
    assert 'The inventory has no group "aiida_vm".' in run.words


@pytest.mark.parametrize("place", ["foreign-directory", "world-writable"])
def test_without_ansible_cfg_it_decides_all_the_same_or_fails(ground: Ground, tmp_path: Path, place: str) -> None:
    project = checkout(tmp_path / "checkout")
    if place == "world-writable":
        project.chmod(0o777)
        run = ground.gate(project=project)
        assert "world writable directory" in run.words
    else:
        run = ground.gate(project=project, cwd=tmp_path)
    # The plugins beside the playbook are found without it: what counts is that 0 comes with this run's decision only.
    assert run.status == 0, run.output
    assert run.decision is not None
    assert run.decision["decision"] == "PROMOTE"


def test_without_the_callback_nothing_is_decided(ground: Ground, tmp_path: Path) -> None:
    run = ground.gate(project=checkout(tmp_path / "checkout", without="callback_plugins"))
    assert_no_promote(run)
    assert run.decision is None
    assert "The evidence callback is not recording" in run.words


def test_a_recorder_that_fails_in_the_middle_holds(ground: Ground) -> None:
    ground.hook("generate", f"for run in {ground.evidence}/*/index.json; do rm -r \"$(dirname \"$run\")\"; done\n")
    run = ground.gate()
    assert_no_promote(run)
    assert "The evidence recorder failed" in run.words or "is missing" in run.words


def test_it_promotes_through_ansible_runner(ground: Ground, tmp_path: Path) -> None:
    """ansible-runner replaces the callback path; the plugins beside the playbook are found all the same."""
    data = tmp_path / "runner"
    checkout(data / "project")
    shutil.copytree(ground.inventory(), data / "inventory")
    (data / "env").mkdir()
    (data / "env" / "envvars").write_text(
        json.dumps({key: value for key, value in ground.environment().items() if key.startswith("ANSIBLE_")})
    )
    result = ansible_runner.run(
        private_data_dir=str(data),
        playbook="promotion-gate.yml",
        binary=str(Path(sys.executable).with_name("ansible-playbook")),
        quiet=True,
    )
    run = ground.outcome(int(result.rc), result.stdout.read())
    assert run.status == 0, run.output
    assert run.decision is not None
    assert run.decision["decision"] == "PROMOTE"


def test_a_limit_through_ansible_runner_is_no_silent_success(ground: Ground, tmp_path: Path) -> None:
    data = tmp_path / "runner"
    checkout(data / "project")
    shutil.copytree(ground.inventory(), data / "inventory")
    result = ansible_runner.run(
        private_data_dir=str(data),
        playbook="promotion-gate.yml",
        binary=str(Path(sys.executable).with_name("ansible-playbook")),
        limit="aiida_vm",
        quiet=True,
    )
    assert_no_promote(ground.outcome(int(result.rc), result.stdout.read()))
