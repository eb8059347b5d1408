"""Bad input: one clear sentence, a non-zero exit, no traceback, and never a PROMOTE."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from ground import Ground, Run

# Id, what -e sets, part of the sentence: what Ansible has a part in. The others are in tests/unit/test_input_errors.py.
ROWS: list[tuple[str, Mapping[str, Any], str]] = [
    ("misspelt", {"promotion_reviewr": "x"}, 'no variable "promotion_reviewr"; did you mean "promotion_reviewer"?'),
    ("undefined-inside", {"workspace_target_branch": "{{ nowhere }}"}, "'nowhere' is undefined"),
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
    run = ground.gate(**changes)
    assert_one_sentence(run, sentence)
    assert ground.bundles() == []


def test_an_inventory_without_the_group_is_one_sentence_and_no_bundle(ground: Ground) -> None:
    groups = ground.groups()
    ground.inventory({"workspace": groups["workspace"], "aiida-vm": groups["aiida_vm"]})
    assert_one_sentence(ground.gate(), 'The inventory has no group "aiida_vm".')
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
        (_no_env_file, "vm_bootstrap.host", "BLOCKED", "ops/aiida-vm/aiida-vm.env"),
        (_no_profile, "vm_bootstrap.env_file", "BLOCKED", "does not set AIIDA_PROFILE"),
        (_no_script, "vm_bootstrap.script", "BLOCKED", "scripts/aiida-vm-bootstrap.sh"),
        (_not_executable, "vm_bootstrap.script", "BLOCKED", "ermission denied"),
        (_host_key, "vm_bootstrap.host", "BLOCKED", "REMOTE HOST IDENTIFICATION HAS CHANGED"),
        (_user, "vm_bootstrap.host", "BLOCKED", "Permission denied"),
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
