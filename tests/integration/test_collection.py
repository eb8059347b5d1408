"""The collection: built by `make collection`, installed from its tarball, run by its full names in an empty project."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from ground import PROJECT, Ground
from waiting import PATIENCE_SECONDS

from collection.__main__ import build, changelog

GATE = "gate.promotion.promotion_gate"


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("built"))


@pytest.fixture
def empty(tarball: Path, ground: Ground, tmp_path: Path) -> Path:
    """A project with nothing in it, for an account that has the collection installed."""
    subprocess.run(
        [Path(sys.executable).with_name("ansible-galaxy"), "collection", "install", tarball, "--offline"],
        env=ground.environment(), check=True, capture_output=True, timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    assert (Path(ground.environment()["ANSIBLE_HOME"]) / "collections" / "ansible_collections" / "gate").is_dir()
    project = tmp_path / "empty"
    project.mkdir()
    return project


def test_the_tarball_has_what_the_checkout_has(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        names = set(archive.getnames())
    for folder, inside in (
        ("roles", "roles"), ("policies", "policies"), ("library", "plugins/modules"),
        ("action_plugins", "plugins/action"),
        ("filter_plugins", "plugins/filter"), ("callback_plugins", "plugins/callback"),
        ("module_utils/promotion", "plugins/module_utils/promotion"),
        ("module_utils/promotion/redact", "plugins/module_utils/promotion/redact"),
    ):  # fmt: skip
        there = [
            p.relative_to(PROJECT / folder) for p in (PROJECT / folder).rglob("*") if p.suffix in (".py", ".yml", ".sh")
        ]
        assert there and {f"{inside}/{path.as_posix()}" for path in there} <= names
    assert {"meta/runtime.yml", "meta/execution-environment.yml", "changelogs/changelog.yaml", "LICENSE"} <= names
    assert not any("__pycache__" in name or name.startswith("tests") for name in names)


def test_the_changelog_is_that_of_the_project() -> None:
    text = "# C\n\n## [Unreleased]\n\n### Added\n\n- One\n  line.\n- Two.\n\n"
    text += "## [0.1.0] - 2026-01-02\n\n### Fixed\n\n- F.\n"
    releases = changelog(text, "0.2.0")["releases"]
    assert isinstance(releases, dict)
    assert releases["0.2.0"]["changes"] == {"major_changes": ["One line.", "Two."]}
    assert releases["0.1.0"] == {"changes": {"bugfixes": ["F."]}, "release_date": "2026-01-02"}


def test_an_empty_project_reaches_a_hold_and_a_promote_by_full_names(empty: Path, ground: Ground) -> None:
    ground.say("sinfo", "sinfo/drained")
    ground.say("scontrol_nodes", "scontrol_nodes/drained")
    held = ground.play(GATE, project=Path(), cwd=empty)
    assert (held.status, held.word) == (2, "HOLD"), held.output
    assert held.decision is not None and held.bundle is not None
    assert held.failing() == ["slurm_smoke.node"]
    # The command of the record finds the collection again, from wherever it is pasted.
    words = shlex.split(held.decision["rerun_command"])
    assert words[:2] == ["ansible-playbook", GATE]
    for name, case in (("sinfo", "sinfo/healthy"), ("scontrol_nodes", "scontrol_nodes/healthy")):
        ground.say(name, case)
    (empty / "elsewhere").mkdir()
    ground.settings["ANSIBLE_STDOUT_CALLBACK"] = "gate.promotion.gates"
    again = ground.play(GATE, *words[2:], project=Path(), cwd=empty / "elsewhere")
    assert (again.status, again.word) == (0, "PROMOTE"), again.output
    assert "TASK [" not in again.output
    assert again.attempts()["preflight"] == 1 and again.attempts()["slurm_smoke"] == 2
    assert again.bundle is not None
    signer = {"promotion_run_id": again.bundle.name, "promotion_operator": "test-reviewer"}
    signed = ground.play("gate.promotion.sign_off", project=Path(), cwd=empty, **signer)
    assert signed.status == 0 and again.bundle.with_name(f"{again.bundle.name}.signoff.json").is_file(), signed.output
    recorded = ground.play("gate.promotion.record_baseline", project=Path(), cwd=empty, promotion_reason="known good")
    assert recorded.status == 0, recorded.output


@pytest.mark.nightly
def test_a_playbook_of_ones_own_imports_it_and_may_enable_the_callback_once_more(empty: Path, ground: Ground) -> None:
    (empty / "site.yml").write_text(f"- import_playbook: {GATE}\n", encoding="utf-8")
    (empty / "ansible.cfg").write_text("[defaults]\ncallbacks_enabled = gate.promotion.evidence\n", encoding="utf-8")
    run = ground.play("site.yml", "-vvv", project=empty, cwd=empty)
    assert (run.status, run.word) == (0, "PROMOTE"), run.output
    assert run.bundle is not None
    index = json.loads((run.bundle / "index.json").read_text(encoding="utf-8"))
    assert index["run"]["playbook"] == str(empty / "site.yml")
    assert index["collector_errors"] == []
    # group_vars of the collection's playbooks are in force: with pipelining no module is written to a file on the VM.
    assert "gate_commands" in run.output and "AnsiballZ_gate_commands.py" not in run.output


def test_a_gate_role_judges_in_a_playbook_of_ones_own_by_its_full_name(empty: Path, ground: Ground) -> None:
    ground.say("sinfo", "sinfo/drained")
    ground.say("scontrol_nodes", "scontrol_nodes/drained")
    play = [{"hosts": "aiida_vm", "gather_facts": False, "roles": ["gate.promotion.gate_slurm_smoke"]}]
    (empty / "site.yml").write_text(json.dumps(play), encoding="utf-8")
    run = ground.play("site.yml", project=empty, cwd=empty)
    assert run.status == 2, run.output
    assert "(slurm_smoke.node)" in run.words and "FAIL" in run.words, run.output
