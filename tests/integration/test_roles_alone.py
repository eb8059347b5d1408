"""Each gate role alone, as its README shows it: no callback, no bundle, and never green where a check does not pass."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ground import GATES, PROJECT, SYSTEM_PATH, Ground, Run

CONFIG = """[defaults]
roles_path = {0}/roles
library = {0}/library
module_utils = {0}/module_utils
filter_plugins = {0}/filter_plugins
"""
NOT_JUDGED = {"sqlite_smoke": "sqlite_smoke.p95", "vm_bootstrap": "vm_bootstrap.checkout"}


def example(gate: str) -> str:
    """The play of a role's README."""
    page = (PROJECT / "roles" / f"gate_{gate}" / "README.md").read_text(encoding="utf-8")
    [lines] = re.findall(r"\n\n((?:    .*\n)+)", page[page.index("## Example") :])
    return re.sub("^    ", "", lines, flags=re.MULTILINE)


def alone(ground: Ground, playbook: str, **extra: Any) -> Run:
    """Runs a playbook in a folder that has nothing but it and an ansible.cfg."""
    folder = ground.folder / "stranger"
    folder.mkdir()
    (folder / "ansible.cfg").write_text(CONFIG.format(PROJECT), encoding="utf-8")
    (folder / "site.yml").write_text(playbook, encoding="utf-8")
    return ground.play("site.yml", project=folder, **extra)


@pytest.mark.stranger("18.3", "a gate role could not be used without the plays of the gate")
@pytest.mark.parametrize("gate", GATES)
def test_the_example_of_each_role_runs_as_it_is_printed(ground: Ground, gate: str) -> None:
    before = ground.bundles()
    run = alone(ground, example(gate))
    assert run.status == 0, run.output
    assert f"gate_{gate} on" in run.words and ": PASS" in run.words
    assert gate not in NOT_JUDGED or f"({NOT_JUDGED[gate]}): it needs" in run.words
    assert ground.bundles() == before


def test_a_role_fails_with_our_sentences(ground: Ground) -> None:
    ground.say_text("scontrol_ping", "Slurmctld(primary) at vm is DOWN\n")
    run = alone(ground, example("slurm_smoke"))
    assert run.status != 0
    assert "FAIL scontrol ping reports a controller UP (slurm_smoke.controller)" in run.words
    assert "On vm, run `sudo systemctl restart munge" in run.words


@pytest.mark.stranger("18.3", "a gate role on a host without Slurm ended green")
def test_a_host_without_slurm_is_never_green(ground: Ground) -> None:
    ground.variables["aiida_vm_environment"] = {"PATH": SYSTEM_PATH}
    run = alone(ground, example("slurm_smoke"))
    assert run.status != 0 and "BLOCKED scontrol ping reports a controller UP" in run.words


def test_the_findings_are_returned_as_data_on_request(ground: Ground) -> None:
    ground.say_text("scontrol_ping", "Slurmctld(primary) at vm is DOWN\n")
    more = """
        - name: Go on with them
          ansible.builtin.debug:
            msg: "passed={{ gate_slurm_smoke_findings.passed }} status={{ gate_slurm_smoke_findings.status }}"
"""
    indent = example("slurm_smoke").rstrip("\n") + more.replace("\n        ", "\n    ")
    run = alone(ground, indent, promotion_report_only=True)
    assert run.status == 0, run.output
    assert "passed=False status=FAIL" in run.words


def test_a_checklist_without_the_role_is_reported(ground: Ground, tmp_path: Path) -> None:
    text = Path(str(ground.variables["promotion_policy"])).read_text(encoding="utf-8")
    other = tmp_path / "other.yml"
    other.write_text(text.replace("name: aiida\n", "name: mine\n", 1).replace("gate_slurm_smoke\n", "gate_queue\n", 1))
    run = alone(ground, example("slurm_smoke"), promotion_policy=str(other))
    assert run.status != 0
    assert "The checklist mine has no gate with the role gate_slurm_smoke. Set promotion_policy to one." in run.words
