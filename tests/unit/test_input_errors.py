"""Bad input: one clear sentence, and no bundle.

What Ansible has a part in, such as a template that cannot be filled in, is in tests/integration/test_bad_input.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bundles
import pytest

from promotion_gate.base.errors import InputError

# Id, what the operator sets (None: does not set; {folder} is a folder of the test), part of the sentence.
ROWS: list[tuple[str, Mapping[str, Any], str]] = [
    ("no-workspace-dir", {"workspace_dir": None}, "workspace_dir is not set"),
    ("no-smoke-command", {"workspace_sqlite_smoke_command": None}, "workspace_sqlite_smoke_command is not set"),
    ("no-vm-checkout", {"aiida_vm_repo_dir": None}, "aiida_vm_repo_dir is not set"),
    ("no-reviewer", {"promotion_reviewer": None}, "promotion_reviewer is not set"),
    ("reviewer-is-operator", {"promotion_reviewer": "Alice"}, "promotion_reviewer is the operator"),
    ("misspelt", {"promotion_reviewr": "x"}, 'no variable "promotion_reviewr"; did you mean "promotion_reviewer"?'),
    ("no-boolean", {"gate_slurm_smoke_submit_job": "maybe"}, 'must be true or false, not "maybe"'),
    ("no-list", {"workspace_prepare_commands": "uv sync"}, "workspace_prepare_commands must be a list"),
    ("no-mapping", {"aiida_vm_environment": ["PATH"]}, "aiida_vm_environment must be a mapping"),
    ("no-number", {"gate_slurm_smoke_job_limit_seconds": "soon"}, "must be a number of seconds"),
    ("no-age", {"promotion_evidence_max_age": "a while"}, "promotion_evidence_max_age"),
    ("relative-folder", {"workspace_dir": "somewhere"}, "workspace_dir"),
    (
        "no-such-folder",
        {"workspace_dir": "{folder}/nowhere", "promotion_evidence_root": None},
        "there is no such folder",
    ),
    ("no-such-gate", {"promotion_gates": "3,7"}, 'promotion_gates: there is no gate "7"'),
    ("not-git", {"workspace_dir": "{folder}"}, "which is not in a Git checkout"),
    ("resume-of-nothing", {"promotion_resume": "latest"}, "resume"),
    ("no-policy", {"promotion_policy": "nowhere.yml"}, "cannot be read (No such file or directory)"),
    ("run-id-slash", {"promotion_run_id": "a/b"}, 'promotion_run_id is "a/b"'),
    ("run-id-dots", {"promotion_run_id": ".."}, 'promotion_run_id is ".."'),
    ("run-id-empty", {"promotion_run_id": ""}, "promotion_run_id is"),
    ("root-is-a-file", {"promotion_evidence_root": "{folder}/file"}, "which is a file; it must be a folder"),
    ("resume-empty", {"promotion_resume": ""}, "promotion_resume is empty"),
    ("no-such-group", {"promotion_evidence_group": "no-such-group"}, "this machine has no such group"),
    ("issue-placeholder", {"promotion_issue_command": ["gh", "{fiel}"]}, "unknown placeholder {fiel}; did you mean"),
    ("update-alone", {"promotion_issue_update_command": "gh x"}, "is set without promotion_issue_command"),
    ("key-of-nobody", {"promotion_signing_key": "~no-such-user/key"}, "there is no user of that name"),
    ("key-is-missing", {"promotion_signing_key": "{folder}/nowhere"}, "promotion_signing_key"),
]


@pytest.mark.parametrize(("changes", "sentence"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_an_input_error_is_one_sentence_and_no_bundle(
    changes: Mapping[str, Any], sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    request = bundles.request(tmp_path / "root")
    for name, value in changes.items():
        for host in request["hosts"].values():
            host["values"].pop(name, None)
            if value is not None:
                there = isinstance(value, str) and value.startswith("{folder}")
                host["values"][name] = value.format(folder=tmp_path) if there else value
    with pytest.raises(InputError) as raised:
        bundles.opened(request)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.rglob("index.json"))


def test_a_run_id_that_exists_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    there = tmp_path / "first"
    there.mkdir(parents=True)
    (there / "notes.txt").write_text("kept", encoding="utf-8")
    with pytest.raises(InputError, match="There is a run first in"):
        bundles.open_bundle(tmp_path, "first")
    assert [path.name for path in there.iterdir()] == ["notes.txt"]


def test_a_mistyped_policy_key_is_named_with_file_and_line(tmp_path: Path) -> None:
    text = (bundles.PROJECT / "policies" / "aiida.yml").read_text(encoding="utf-8")
    policy = tmp_path / "policy.yml"
    policy.write_text(text.replace("limits: {tool: corepack}", "limts: {tool: corepack}"), encoding="utf-8")
    line = policy.read_text(encoding="utf-8").splitlines().index("        limts: {tool: corepack}") + 1
    with pytest.raises(InputError) as raised:
        bundles.open_bundle(tmp_path / "root", promotion_policy=str(policy))
    assert f"{policy}, line {line}, column 9: " in str(raised.value)
    assert 'unknown key "limts"; did you mean "limits"?' in str(raised.value)
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize(
    ("groups", "sentence"),
    [
        ({"aiida_vm": []}, 'The group "aiida_vm" must have exactly one host (the host of gates 3, 4), it has: none.'),
        (
            {"aiida_vm": ["vm", "vm2"]},
            'The group "aiida_vm" must have exactly one host (the host of gates 3, 4), it has: vm, vm2.',
        ),
        ({"aiida-vm": ["vm"]}, 'The inventory has no group "aiida_vm".'),
    ],
    ids=["no-vm", "two-vms", "unknown-group"],
)
def test_the_groups_are_checked(groups: Mapping[str, list[str]], sentence: str, tmp_path: Path) -> None:
    request = {**bundles.request(tmp_path / "root"), "groups": {"workspace": ["here"], **groups}}
    with pytest.raises(InputError) as raised:
        bundles.opened(request)
    assert sentence in str(raised.value)
    assert not (tmp_path / "root").exists()
