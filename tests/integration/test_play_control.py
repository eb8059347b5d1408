"""ARCHITECTURE.md, "How it must not fail": each way in which ansible-core itself ends in 0 without a decision."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import ansible_runner
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


def assert_promoted_again(run: Run) -> None:
    assert run.status == 0, run.output
    assert run.decision is not None
    assert run.decision["decision"] == "PROMOTE"
    attempts = {"preflight": 2, "sqlite_smoke": 1, "vm_bootstrap": 1, "slurm_smoke": 2, "contracts": 1}
    assert run.attempts() == attempts


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
def test_without_ansible_cfg_it_still_decides(decided: Ground, tmp_path: Path, place: str) -> None:
    """The plugins beside the playbook are found without it; 0 comes only with a decision of this attempt."""
    project = checkout(tmp_path / "checkout")
    if place == "world-writable":
        project.chmod(0o777)
        run = decided.again("1,4", project=project)
        assert "world writable directory" in run.words
    else:
        run = decided.again("1,4", project=project, cwd=tmp_path)
    assert_promoted_again(run)


def test_without_the_callback_nothing_is_decided(ground: Ground, tmp_path: Path) -> None:
    run = ground.gate(project=checkout(tmp_path / "checkout", without="callback_plugins"))
    assert_no_promote(run)
    assert run.decision is None
    assert "The evidence callback is not recording" in run.words


@pytest.mark.parametrize(
    ("then", "sentence"),
    [("touch", "HOLD: the evidence recorder failed"), ("true", "has no decision")],
    ids=["recorder-raises", "bundle-removed"],
)
def test_a_bundle_that_is_lost_in_the_middle_holds(decided: Ground, then: str, sentence: str) -> None:
    """Where a file stands in place of the bundle's folder, the recorder cannot write: an exception in a callback."""
    bundle = decided.bundles()[-1]
    decided.hook("generate", f"rm -r {bundle} && {then} {bundle}\n")
    run = decided.again("5")
    assert_no_promote(run)
    assert sentence in run.words, run.output


def through_runner(ground: Ground, folder: Path, **arguments: object) -> Run:
    """Runs the gate as ansible-runner does: a private data folder with the checkout as its project."""
    checkout(folder / "project")
    shutil.copytree(ground.inventory(), folder / "inventory")
    (folder / "env").mkdir()
    settings = {key: value for key, value in ground.environment().items() if key.startswith("ANSIBLE_")}
    settings["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    (folder / "env" / "envvars").write_text(json.dumps(settings), encoding="utf-8")
    result = ansible_runner.run(
        private_data_dir=str(folder),
        playbook="promotion-gate.yml",
        quiet=True,
        **arguments,
    )
    return ground.outcome(int(result.rc), result.stdout.read())


def test_it_promotes_through_ansible_runner(decided: Ground, tmp_path: Path) -> None:
    """ansible-runner replaces the callback path; the plugins beside the playbook are found all the same."""
    assert_promoted_again(through_runner(decided, tmp_path / "runner", extravars=decided.resumption("1,4")))


def test_a_limit_through_ansible_runner_is_no_silent_success(ground: Ground, tmp_path: Path) -> None:
    run = through_runner(ground, tmp_path / "runner", limit="aiida_vm")
    assert_no_promote(run)
    assert "HOLD: the deciding play did not run" in run.words
