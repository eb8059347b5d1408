"""Bad input: one clear sentence, a non-zero exit, no traceback, and never a PROMOTE."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from ground import PROJECT, Ground, Run

# Id, what -e sets (a None takes the variable out of the inventory; {folder} is the ground), part of the sentence.
ROWS: list[tuple[str, Mapping[str, Any], str]] = [
    ("no-workspace-dir", {"workspace_dir": None}, "workspace_dir is not set"),
    ("no-smoke-command", {"workspace_sqlite_smoke_command": None}, "workspace_sqlite_smoke_command is not set"),
    ("no-vm-checkout", {"aiida_vm_repo_dir": None}, "aiida_vm_repo_dir is not set"),
    ("no-reviewer", {"promotion_reviewer": None}, "promotion_reviewer is not set"),
    ("reviewer-is-operator", {"promotion_reviewer": "Test-Operator"}, "promotion_reviewer is the operator"),
    ("misspelt", {"promotion_reviewr": "x"}, 'no variable "promotion_reviewr"; did you mean "promotion_reviewer"?'),
    ("no-boolean", {"gate_slurm_smoke_submit_job": "maybe"}, 'must be true or false, not "maybe"'),
    ("no-list", {"workspace_prepare_commands": "uv sync"}, "workspace_prepare_commands must be a list"),
    ("no-mapping", {"aiida_vm_environment": ["PATH"]}, "aiida_vm_environment must be a mapping"),
    ("no-number", {"gate_slurm_smoke_job_limit_seconds": "soon"}, "must be a number of seconds"),
    ("no-age", {"promotion_evidence_max_age": "a while"}, "promotion_evidence_max_age"),
    ("relative-folder", {"workspace_dir": "somewhere"}, "workspace_dir"),
    ("no-such-folder", {"workspace_dir": "{folder}/nowhere"}, "there is no such folder"),
    ("undefined-inside", {"workspace_target_branch": "{{ nowhere }}"}, "'nowhere' is undefined"),
    ("gates-without-resume", {"promotion_gates": "3,4"}, "promotion_gates is set without promotion_resume"),
    ("resume-of-nothing", {"promotion_resume": "latest"}, "resume"),
    ("no-policy", {"promotion_policy": "nowhere.yml"}, "cannot be read (No such file or directory)"),
    ("run-id-slash", {"promotion_run_id": "a/b"}, 'promotion_run_id is "a/b"'),
    ("run-id-dots", {"promotion_run_id": ".."}, 'promotion_run_id is ".."'),
    ("run-id-empty", {"promotion_run_id": ""}, "promotion_run_id is"),
    ("root-is-a-file", {"promotion_evidence_root": "{folder}/ssh_config"}, "which is a file; it must be a folder"),
    ("resume-empty", {"promotion_resume": ""}, "promotion_resume is empty"),
    ("no-such-group", {"promotion_evidence_group": "no-such-group"}, "this machine has no such group"),
    ("issue-placeholder", {"promotion_issue_command": ["gh", "{fiel}"]}, "unknown placeholder {fiel}; did you mean"),
    ("update-alone", {"promotion_issue_update_command": "gh x"}, "is set without promotion_issue_command"),
    ("key-is-missing", {"promotion_signing_key": "{folder}/nowhere"}, "promotion_signing_key"),
]


def assert_one_sentence(run: Run, sentence: str) -> None:
    assert run.status != 0, run.output
    assert sentence in run.words, run.output
    assert "Traceback" not in run.output
    assert "PROMOTE" not in run.output
    assert len(re.findall(r"^(?:\[ERROR\]|fatal): ", run.output, re.MULTILINE)) <= 2, run.output


@pytest.mark.parametrize(("changes", "sentence"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_an_input_error_is_one_sentence_and_no_bundle(
    ground: Ground, changes: Mapping[str, Any], sentence: str
) -> None:
    extra: dict[str, Any] = {}
    for name, value in changes.items():
        if value is None:
            del ground.variables[name]
        else:
            extra[name] = value.format(folder=ground.folder) if isinstance(value, str) and "{f" in value else value
    run = ground.gate(**extra)
    assert_one_sentence(run, sentence)
    assert ground.bundles() == []


def test_a_run_id_that_exists_is_refused_and_nothing_is_lost(ground: Ground) -> None:
    there = ground.evidence / "first"
    there.mkdir(parents=True)
    (there / "notes.txt").write_text("kept", encoding="utf-8")
    assert_one_sentence(ground.gate(promotion_run_id="first"), "There is a run first in")
    assert [path.name for path in there.iterdir()] == ["notes.txt"]


def test_a_mistyped_policy_key_is_named_with_file_and_line(ground: Ground) -> None:
    text = (PROJECT / "policies" / "aiida.yml").read_text(encoding="utf-8")
    assert "limits: {tool: corepack}" in text
    policy = ground.folder / "policy.yml"
    policy.write_text(text.replace("limits: {tool: corepack}", "limts: {tool: corepack}"), encoding="utf-8")
    line = policy.read_text(encoding="utf-8").splitlines().index("        limts: {tool: corepack}") + 1
    run = ground.gate(promotion_policy=str(policy))
    assert_one_sentence(run, f"{policy}, line {line}, column 9: ")
    assert 'unknown key "limts"; did you mean "limits"?' in run.words
    assert ground.bundles() == []


def _no_vm(ground: Ground) -> dict[str, Any]:
    return {**ground.groups(), "aiida_vm": {"hosts": {}}}


def _two_vms(ground: Ground) -> dict[str, Any]:
    vm = ground.groups()["aiida_vm"]["hosts"]["vm"]
    return {**ground.groups(), "aiida_vm": {"hosts": {"vm": vm, "vm2": vm}}}


def _other_name(ground: Ground) -> dict[str, Any]:
    return {"workspace": ground.groups()["workspace"], "aiida-vm": ground.groups()["aiida_vm"]}


@pytest.mark.parametrize(
    ("groups", "sentence"),
    [
        (_no_vm, 'The group "aiida_vm" must have exactly one host (the VM), it has: none.'),
        (_two_vms, 'The group "aiida_vm" must have exactly one host (the VM), it has: vm, vm2.'),
        (_other_name, 'The inventory has no group "aiida_vm".'),
    ],
    ids=["no-vm", "two-vms", "unknown-group"],
)
def test_the_groups_are_checked(ground: Ground, groups: Callable[[Ground], dict[str, Any]], sentence: str) -> None:
    ground.inventory(groups(ground))
    assert_one_sentence(ground.gate(), sentence)
    assert ground.bundles() == []


# --- what is learned on the VM: a HOLD with a check that names it -------------------------------------------------


def _no_env_file(ground: Ground) -> None:
    ground.env_file.unlink()


def _no_profile(ground: Ground) -> None:
    ground.env_file.write_text("AIIDA_COMPUTER_LABEL=vm-slurm\n", encoding="utf-8")


def _no_script(ground: Ground) -> None:
    (ground.vm / "scripts" / "aiida-vm-bootstrap.sh").unlink()


def _not_executable(ground: Ground) -> None:
    (ground.vm / "scripts" / "aiida-vm-bootstrap.sh").chmod(0o644)


def _host_key(ground: Ground) -> None:
    ground.ssh(known_hosts="known_hosts_of_another")


def _user(ground: Ground) -> None:
    ground.ssh(user="nobody-of-that-name")


@pytest.mark.parametrize(
    ("break_it", "check_id", "status", "observed"),
    [
        (_no_env_file, "vm_bootstrap.env_file", "BLOCKED", "ops/aiida-vm/aiida-vm.env"),
        (_no_profile, "vm_bootstrap.env_file", "BLOCKED", "does not set AIIDA_PROFILE"),
        (_no_script, "vm_bootstrap.script", "BLOCKED", "scripts/aiida-vm-bootstrap.sh"),
        (_not_executable, "vm_bootstrap.script", "BLOCKED", "ermission denied"),
        (_host_key, "vm_bootstrap.checkout", "BLOCKED", "REMOTE HOST IDENTIFICATION HAS CHANGED"),
        (_user, "vm_bootstrap.checkout", "BLOCKED", "Permission denied"),
    ],
    ids=["no-env-file", "no-profile", "no-script", "not-executable", "host-key-changed", "wrong-user"],
)
def test_a_vm_that_is_not_ready_holds_with_its_reason(
    decided: Ground, break_it: Callable[[Ground], None], check_id: str, status: str, observed: str
) -> None:
    break_it(decided)
    run = decided.again("3")
    assert run.status != 0
    assert run.decision is not None, run.output
    assert run.decision["decision"] == "HOLD"
    assert {name.split(".")[0] for name in run.failing()} == {"vm_bootstrap", "slurm_smoke"}
    assert run.gate("slurm_smoke")["status"] == "STALE", "it was run before the VM became what it is"
    check = run.check(check_id)
    assert (check["status"], observed in check["observed"]) == (status, True), check
    assert check["unblock"]
    assert check_id in run.output
    assert "Traceback" not in run.output


def test_an_input_error_makes_no_evidence_root(ground: Ground) -> None:
    run = ground.gate(promotion_evidence_root=str(ground.folder / "evidence"), promotion_reviewer="test-operator")
    assert_one_sentence(run, "promotion_reviewer is the operator (test-operator)")
    assert not (ground.folder / "evidence").exists()
