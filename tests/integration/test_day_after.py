"""What an operator does on the day after a HOLD, through the real playbooks."""

from __future__ import annotations

import grp
import json
import os
import re
import shlex
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from ground import HEALTHY, PROJECT, Ground, Run, git
from waiting import wait_until

URL = "https://tracker.example.org/issues/7"


def drain(ground: Ground) -> None:
    ground.say("sinfo", "sinfo/drained")
    ground.say("scontrol_nodes", "scontrol_nodes/drained")


def repair(ground: Ground) -> None:
    for name in ("sinfo", "scontrol_nodes"):
        ground.say(name, HEALTHY[name])


def decision(run: Run) -> str:
    assert run.decision is not None, run.output
    assert "Traceback" not in run.output
    return str(run.decision["decision"])


def promotion_gate(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "promotion_gate", *map(str, words)]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)


# --- the follow-up issue, and a reviewer with another account -----------------------------------------------------


def tracker(ground: Ground, does: str) -> str:
    """A tool that keeps what it was called with, and the file it was given as its second word."""
    tool = ground.folder / "tracker"
    calls = ground.folder / "tracker-calls"
    tool.write_text(f'#!/bin/sh\necho "$@" >>{calls}\ncp "$2" {calls}.md\n{does}\n', encoding="utf-8")
    tool.chmod(0o755)
    return str(tool)


def calls(ground: Ground) -> list[str]:
    return (ground.folder / "tracker-calls").read_text(encoding="utf-8").splitlines()


def another_group() -> grp.struct_group:
    """A group that files can be given to; as root another one than ours."""
    ours = [grp.getgrgid(number) for number in os.getgroups()]
    others = grp.getgrall() if os.geteuid() == 0 else ours
    return next((group for group in others if group.gr_gid != os.getegid()), grp.getgrgid(os.getegid()))


def test_an_issue_is_created_updated_and_settled_and_the_group_can_read_it_all(decided: Ground) -> None:
    tool, group = tracker(decided, f"echo {URL}"), another_group()
    decided.variables.update(
        promotion_issue_command=f"{tool} create {{file}} {{ticket}} {{vm}}",
        promotion_issue_update_command=[tool, "update", "{file}", "{issue}"],
        promotion_evidence_group=group.gr_name,
    )
    drain(decided)
    held = decided.again("4")
    assert decision(held) == "HOLD" and held.bundle is not None
    assert f"issue: The follow-up issue was created: {URL}" in held.words
    assert f"bundle: {held.bundle}" in held.words, "the run came to its end"
    text = (held.bundle / "follow-up-issue.md").read_bytes()
    assert (decided.folder / "tracker-calls.md").read_bytes() == text
    answer = json.loads(held.bundle.with_name(f"{held.bundle.name}.issue.json").read_text(encoding="utf-8"))
    assert answer["issue"] == URL

    again = decided.again("4")
    assert f"issue: The follow-up issue {URL} was updated." in again.words
    repair(decided)
    promoted = decided.again("4")
    assert promoted.status == 0 and decision(promoted) == "PROMOTE", promoted.output
    assert f"This PROMOTE settles the follow-up issue {URL}; close it in the tracker." in promoted.words
    assert not (held.bundle / "follow-up-issue.md").exists()
    create, update = calls(decided)
    assert re.fullmatch(r"create /\S+/follow-up-issue\.md gra-125 vm", create)
    assert re.fullmatch(rf"update /\S+/follow-up-issue\.md {URL}", update)
    assert promotion_gate("verify", held.bundle).returncode == 0

    beside = sorted(decided.evidence.glob(f"{held.bundle.name}.*"))
    for path in [held.bundle, *held.bundle.rglob("*"), *beside]:
        found = path.stat()
        wanted = (group.gr_gid, 0o750 if path.is_dir() else 0o640)
        assert (found.st_gid, stat.S_IMODE(found.st_mode)) == wanted, path


@pytest.mark.parametrize(
    ("does", "message"),
    [
        ("echo 'no repository here' >&2; exit 4", "promotion_issue_command exited 4 (no repository here)"),
        ("sleep 60", "promotion_issue_command timed out after 1 s and was killed"),
    ],
    ids=["fails", "hangs"],
)
def test_a_tracker_that_does_not_work_changes_no_decision(decided: Ground, does: str, message: str) -> None:
    decided.variables.update(
        promotion_issue_command=[tracker(decided, does), "create", "{file}"], promotion_issue_limit_seconds="1"
    )
    drain(decided)
    held = decided.again("4")
    assert (held.status, decision(held)) == (2, "HOLD")
    assert f"issue: {message}" in held.words
    assert f"bundle: {held.bundle}" in held.words, "the run came to its end"
    assert held.bundle is not None and (held.bundle / "follow-up-issue.md").is_file()


# --- resume -------------------------------------------------------------------------------------------------------


@pytest.mark.nightly
def test_the_printed_command_runs_unchanged(decided: Ground) -> None:
    """What -e overrode in the inventory is repeated, because the inventory would now override the index."""
    decided.variables["promotion_reviewer"] = "somebody-else"
    drain(decided)
    options = ["--user", decided.sshd.user, "--ssh-extra-args=-o LogLevel=ERROR", "--timeout=20"]
    held = decided.gate(*options, **decided.resumption("4"), promotion_reviewer="test-reviewer")
    assert decision(held) == "HOLD" and held.decision is not None
    assert shlex.split(held.decision["rerun_command"])[-3:] == [
        f"--user={decided.sshd.user}",
        "--timeout=20",
        "--ssh-extra-args=-o LogLevel=ERROR",
    ]
    repair(decided)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        held.decision["rerun_command"],
        shell=True,
        cwd=PROJECT,
        env={**decided.environment(), "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    run = decided.outcome(done.returncode, done.stdout)
    assert run.status == 0 and decision(run) == "PROMOTE", run.output
    assert run.decision is not None and run.decision["reviewer"] == "test-reviewer"
    assert run.attempts()["slurm_smoke"] == 3 and run.attempts()["preflight"] == 1


def test_a_fix_that_moved_the_commit_is_reported_once_and_all_gates_are_run_again(decided: Ground) -> None:
    old = git(decided.workspace, "rev-parse", "HEAD")
    (decided.workspace / "fix.txt").write_text("fixed\n", encoding="utf-8")
    git(decided.workspace, "add", "fix.txt")
    git(decided.workspace, "commit", "--quiet", "--message=Fix")
    new = git(decided.workspace, "rev-parse", "HEAD")
    variables = decided.resumption("")
    del variables["promotion_gates"]
    run = decided.gate(**variables)
    assert run.words.count(f"he commit changed from {old} to {new}") == 1
    assert run.words.count("so gates 1, 2, 3, 4, 5 are run again") == 1
    assert set(run.attempts().values()) == {2}
    assert run.check("vm_bootstrap.checkout")["status"] == "FAIL", "the VM is at the old commit: that is the finding"


def test_an_empty_choice_of_gates_is_refused_and_the_decision_stays(decided: Ground) -> None:
    run = decided.again("")
    assert run.status != 0
    assert "promotion_gates chooses no gate" in run.words
    assert promotion_gate("check", decided.bundles()[-1]).returncode == 0


def test_a_resume_with_nothing_left_points_to_check(decided: Ground) -> None:
    variables = decided.resumption("")
    del variables["promotion_gates"]
    run = decided.gate(**variables)
    assert run.status != 0
    assert f"Ask `promotion-gate check {decided.bundles()[-1]}`" in run.words
    assert promotion_gate("check", decided.bundles()[-1]).returncode == 0


@pytest.mark.nightly
def test_gates_of_a_vm_that_does_not_answer_are_not_kept(decided: Ground) -> None:
    """Gate 5 alone had failed; the VM may have become another one since, and nobody can say."""
    decided.say_text("openapi", "drift: apps/api/openapi.json\n", 1)
    assert decided.again("5").status != 0
    decided.say_text("openapi", "up to date: apps/api/openapi.json\n")
    decided.close()
    decided.ssh(known_hosts="known_hosts_of_another")
    variables = decided.resumption("")
    del variables["promotion_gates"]
    run = decided.gate(**variables)
    assert run.status != 0 and decision(run) == "HOLD", run.output
    assert " did not report its identity, so gates 3, 4 are run again; it was " in run.words
    assert run.attempts() == {"preflight": 1, "sqlite_smoke": 1, "vm_bootstrap": 3, "slurm_smoke": 3, "contracts": 3}


def test_a_change_that_nobody_committed_is_seen_before_a_gate_is_kept(decided: Ground) -> None:
    drain(decided)
    assert decided.again("4").status != 0
    repair(decided)
    (decided.workspace / "docs" / "README.txt").write_text("new\n", encoding="utf-8")
    variables = decided.resumption("")
    del variables["promotion_gates"]
    run = decided.gate(**variables)
    assert run.status != 0 and decision(run) == "HOLD", run.output
    assert (
        "Since gate 5 files that are not tracked changed: docs/README.txt, so gates 1, 2, 5 are run again" in run.words
    )
    assert run.check("preflight.worktree")["status"] == "FAIL"


# --- sign-off, two operators --------------------------------------------------------------------------------------


def test_only_the_reviewer_signs_off_and_a_re_run_makes_it_void(decided: Ground) -> None:
    bundle = decided.bundles()[-1]
    key = decided.folder / "reviewer"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    allowed = decided.folder / "allowed"
    allowed.write_text(f"test-reviewer {key.with_suffix('.pub').read_text(encoding='utf-8')}", encoding="utf-8")
    where: dict[str, Any] = {"promotion_run_id": bundle.name}
    # As in inventory/vm: the workspace group says where the evidence is.
    groups = decided.groups()
    groups["workspace"]["vars"] = {"workspace_dir": decided.variables.pop("workspace_dir")}
    decided.inventory(groups)

    other = decided.play("playbooks/sign-off.yml", promotion_operator="carol", **where)
    assert other.status != 0 and 'names test-reviewer as its reviewer, not "carol"' in other.words
    signed = decided.play(
        "playbooks/sign-off.yml", promotion_operator="test-reviewer", promotion_signing_key=str(key), **where
    )
    assert signed.status == 0, signed.output
    question = ("check", bundle, "--require-sign-off", "--allowed-signers", allowed)
    assert promotion_gate(*question).returncode == 0

    run = decided.again("4")
    assert run.status == 0, run.output
    assert "The sign-off of this run is void from now on." in run.words
    asked = promotion_gate(*question)
    assert asked.returncode == 3 and "is void" in asked.stdout


@pytest.mark.nightly
def test_the_second_operator_is_told_who_runs_the_first(decided: Ground) -> None:
    running, go = decided.folder / "running", decided.folder / "go"
    decided.hook("generate", f"touch {running}\nfor i in $(seq 3000); do [ -e {go} ] && break; sleep 0.1; done\n")
    first: list[Run] = []
    thread = threading.Thread(target=lambda: first.append(decided.again("5")))
    thread.start()
    try:
        wait_until(running.exists, "the first run is in gate 5")
        second = decided.again("3")
    finally:
        go.touch()
        thread.join()
    assert second.status != 0
    holder = rf"run {decided.bundles()[-1].name} on \S+, pid \d+, started \S+Z\."
    assert re.search(rf"Another run is under way in \S+: {holder}", second.words), second.output
    assert first[0].status == 0 and decision(first[0]) == "PROMOTE", first[0].output
    assert first[0].attempts()["vm_bootstrap"] == 1, "the second has changed nothing"
    after = decided.again("3")
    assert after.status == 0, "the lock of a run that has ended is taken over"
