"""Options of ansible-playbook that rule out a decision: reported before the first connection, with exit status 2.

No host is needed: these runs end before one is reached.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
GATE, BASELINE = "promotion-gate.yml", "playbooks/record-baseline.yml"


def play(playbook: str, *options: str, **environment: str) -> str:
    """The output of a run that has to end with 2, with its white space squeezed: Ansible folds long lines."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    program = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [program, playbook, "-i", "inventory/vm", *options],
        cwd=PROJECT,
        env={**kept, "ANSIBLE_NOCOLOR": "1", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    output = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 2, output
    assert "Traceback" not in output and "PROMOTE run" not in output
    return output


@pytest.mark.stranger("15.9", "-e promotion_reason='known-good sqlite smoke' recorded known-good")
def test_words_that_ansible_would_drop_are_refused_with_the_right_form() -> None:
    output = play(BASELINE, "-e", "promotion_reason=known-good sqlite smoke")
    assert """Write -e "promotion_reason='known-good sqlite smoke'".""" in output
    assert "TASK" not in output


@pytest.mark.stranger("15.11", "a baseline without workspace_dir ended in 'workspace_dir' is undefined")
def test_what_a_baseline_needs_is_asked_for_before_the_first_run() -> None:
    output = play(BASELINE)
    for name in ("workspace_dir", "workspace_sqlite_smoke_command", "promotion_reason"):
        assert f"{name} is not set." in output
    assert "is undefined" not in output and "promotion_reviewer is not set" not in output


@pytest.mark.stranger("15.10", "--tags gate3 ran nothing of gate 3")
@pytest.mark.parametrize("option", ["--tags", "--skip-tags"])
def test_tags_choose_no_gates(option: str) -> None:
    output = play(GATE, option, "gate3")
    assert f"HOLD: {option} gate3: tags choose no gates. Use -e promotion_gates=3,4 instead." in output
    assert "TASK" not in output


@pytest.mark.stranger("15.11", "--limit aiida_vm ended without a sentence of its own")
def test_a_limit_that_leaves_the_controller_out_is_named() -> None:
    output = play(GATE, "--limit", "aiida_vm")
    assert "HOLD: --limit aiida_vm leaves out localhost, where a run is opened and decided." in output
    assert "TASK" not in output


@pytest.mark.stranger("15.11", "ANSIBLE_NO_LOG=1 ended in a sentence about the callback")
def test_results_that_are_hidden_cannot_be_recorded() -> None:
    output = play(GATE, ANSIBLE_NO_LOG="1")
    assert "HOLD: ANSIBLE_NO_LOG (no_log in ansible.cfg) hides every result" in output
    assert "TASK" not in output


@pytest.mark.stranger("14.3", "-e of the request itself: the check of all variables looked at what -e said")
@pytest.mark.parametrize("playbook", [GATE, BASELINE])
@pytest.mark.parametrize("name", ["__gate_common_request", "gate_common_run", "gate_common_python"])
def test_what_the_variables_are_checked_with_cannot_be_replaced(playbook: str, name: str) -> None:
    output = play(playbook, "-e", json.dumps({name: {"hosts": {}}}))
    assert f'HOLD: "{name}" is internal to the gate; it cannot be set.' in output
    assert "TASK" not in output


@pytest.mark.stranger("14.3", "-e __gate_decision_record made a success of a HOLD")
@pytest.mark.stranger("15.11", "missing, misspelt and internal variables were reported one per run")
def test_all_mistakes_are_reported_before_the_first_connection(tmp_path: Path) -> None:
    more = tmp_path / "more.yml"
    more.write_text(
        "promotion_reviewr: ada\n__gate_decision_computed: {}\ngate_slurm_smoke_submit_job: maybe\n"
        'promotion_baseline_dir: "{{ workspace_dir }}/b"\n',
        encoding="utf-8",
    )
    output = play(GATE, "-e", "__gate_decision_record={}", "-e", f"@{more}", "-e", "gate_slurm_smoke_profile=x")
    for sentence in (
        "workspace_dir is not set.",
        "workspace_sqlite_smoke_command is not set.",
        "aiida_vm_repo_dir is not set.",
        "promotion_reviewer is not set.",
        "promotion_baseline_dir refers to workspace_dir, which is not set.",
        '"__gate_decision_record" is internal to the gate; it cannot be set.',
        '"__gate_decision_computed" is internal to the gate; it cannot be set.',
        '"gate_slurm_smoke_profile" is passed to its role by the run; it cannot be set. Set aiida_vm_profile instead.',
        'There is no variable "promotion_reviewr"; did you mean "promotion_reviewer"?',
        'gate_slurm_smoke_submit_job must be true or false, not "maybe".',
    ):
        assert sentence in output, sentence
    assert "is undefined" not in output
