"""The small scripts that the roles send along: what they print, and what they leave alone."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

ROLES = Path(__file__).parents[2] / "roles"
WORKTREE = ROLES / "gate_contracts" / "files" / "worktree.sh"
BASE = ROLES / "gate_contracts" / "files" / "base-documents.sh"
AGES = ROLES / "gate_vm_bootstrap" / "files" / "ages.sh"


def git(repo: Path, *words: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    return subprocess.run(["git", *who, *words], cwd=repo, check=True, capture_output=True, text=True).stdout


def run(script: Path, repo: Path, *words: object) -> str:
    argv = ["sh", str(script), *map(str, words)]
    return subprocess.run(argv, cwd=repo, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    repo = tmp_path / "app"
    (repo / "docs" / "contracts").mkdir(parents=True)
    git(repo, "init", "-q", "-b", "main")
    for name in ("generated.ts", "other.txt", "staged.txt", "docs/contracts/a.md"):
        (repo / name).write_text("one\n", encoding="utf-8")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "one")
    return repo


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.mark.stranger("16.11", "the body of a private key is in 05-worktree.patch, whose hunk begins inside the key")
def test_what_the_commands_left_is_listed_without_its_content_and_restored(repo: Path, scratch: Path) -> None:
    run(WORKTREE, repo, "before", scratch)
    (repo / "generated.ts").write_text("two\n", encoding="utf-8")
    assert run(WORKTREE, repo, "restore", scratch) == "restored: generated.ts\n"
    assert (repo / "generated.ts").read_text() == "one\n"
    old, new = (hashlib.sha256(text).hexdigest() for text in (b"one\n", b"two\n"))
    assert (scratch / "worktree.patch").read_text() == f"{old} {new} generated.ts\n"
    assert git(repo, "status", "--porcelain") == ""


def test_work_that_was_there_before_is_left_alone(repo: Path, scratch: Path) -> None:
    (repo / "other.txt").write_text("mine\n", encoding="utf-8")
    run(WORKTREE, repo, "before", scratch)
    (repo / "other.txt").write_text("mine and the command's\n", encoding="utf-8")
    assert run(WORKTREE, repo, "restore", scratch) == "left alone: other.txt\n"
    assert (repo / "other.txt").read_text() == "mine and the command's\n"


def test_nothing_is_restored_where_nobody_noted_what_was_changed_before(repo: Path, scratch: Path) -> None:
    (repo / "generated.ts").write_text("mine\n", encoding="utf-8")
    with pytest.raises(subprocess.CalledProcessError):
        run(WORKTREE, repo, "restore", scratch)
    assert (repo / "generated.ts").read_text() == "mine\n"


def test_untracked_and_staged_files_are_left_alone(repo: Path, scratch: Path) -> None:
    run(WORKTREE, repo, "before", scratch)
    (repo / "new.txt").write_text("new\n", encoding="utf-8")
    (repo / "staged.txt").write_text("two\n", encoding="utf-8")
    git(repo, "add", "staged.txt")
    assert run(WORKTREE, repo, "restore", scratch) == "left alone: staged.txt\n"
    assert (repo / "new.txt").exists() and (repo / "staged.txt").read_text() == "two\n"


def test_nothing_left_means_no_patch(repo: Path, scratch: Path) -> None:
    for step in ("before", "restore"):
        run(WORKTREE, repo, step, scratch)
    assert not (scratch / "worktree.patch").exists()


def test_base_documents_are_those_of_the_commit_before_on_the_target_branch(repo: Path, scratch: Path) -> None:
    first = git(repo, "rev-parse", "HEAD").strip()
    (repo / "docs/contracts/a.md").write_text("two\n", encoding="utf-8")
    git(repo, "commit", "-qam", "two")
    assert run(BASE, repo, scratch / "base", "main", "docs/contracts") == f"base: {first}\n"
    assert (scratch / "base/docs/contracts/a.md").read_text() == "one\n"


def test_base_documents_of_a_branch_are_those_of_the_merge_base(repo: Path, scratch: Path) -> None:
    first = git(repo, "rev-parse", "HEAD").strip()
    git(repo, "switch", "-qc", "topic")
    for text in ("two\n", "three\n"):
        (repo / "docs/contracts/a.md").write_text(text, encoding="utf-8")
        git(repo, "commit", "-qam", text)
    assert run(BASE, repo, scratch / "base", "main", "docs/contracts") == f"base: {first}\n"


def test_a_first_commit_has_no_base(repo: Path, scratch: Path) -> None:
    assert run(BASE, repo, scratch / "base", "main", "docs/contracts") == "base: \n"


PROCESSES = """\
    940 /usr/lib/postgresql/17/bin/postgres -D /var/lib/postgresql/17/main -c config_file=/etc/postgresql/17/main/x.conf
   5000 postgres: checkpointer
   5000 /home/aiida/app/.venv/bin/python /home/aiida/app/.venv/bin/verdi -p vm-psql daemon start-circus 2
   1200 /home/aiida/app/.venv/bin/python /home/aiida/app/.venv/bin/verdi -p vm-psql daemon worker
    300 /home/aiida/app/.venv/bin/python /home/aiida/app/.venv/bin/verdi -p vm-psql daemon worker
   7000 /home/aiida/app/.venv/bin/python /home/aiida/app/.venv/bin/verdi -p vm-psql-old daemon worker
   8000 grep postgres
"""


@pytest.mark.parametrize(
    ("processes", "profile", "printed"),
    [
        (PROCESSES, "vm-psql", "postgresql_seconds: 940\nworker_seconds: 1200\n"),
        (PROCESSES, "vm-ps", "postgresql_seconds: 940\n"),
        (PROCESSES.replace("940", "      2", 1) + "  9400 /usr/bin/postmaster\n", "x", "postgresql_seconds: 9400\n"),
        ("      3 /sbin/init\n", "vm-psql", ""),
    ],
    ids=["both", "another profile", "two servers", "neither"],
)
def test_the_ages_of_database_and_worker(tmp_path: Path, processes: str, profile: str, printed: str) -> None:
    (tmp_path / "ps").write_text(f"#!/bin/sh\ncat <<'END'\n{processes}END\n", encoding="utf-8")
    (tmp_path / "ps").chmod(0o755)
    done = subprocess.run(
        ["sh", str(AGES), profile], env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == printed


def test_only_the_gate_s_own_worktree_is_put_right(tmp_path: Path) -> None:
    """In worktree mode the next gate starts with the files of the commit; in any other checkout nothing is touched."""
    repo, own = tmp_path / "app", tmp_path / "app" / ".git" / "promotion-gate-20261125T200000Z"
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@localhost", "-C"]
    subprocess.run(["git", "init", "-q", str(repo)], check=True)
    (repo / "uv.lock").write_text("1\n")
    (repo / ".gitignore").write_text(".venv/\n")
    subprocess.run([*git, str(repo), "add", "."], check=True)
    subprocess.run([*git, str(repo), "commit", "-qm", "x"], check=True)
    subprocess.run([*git, str(repo), "worktree", "add", "-q", "--detach", str(own)], check=True)
    for folder in (repo, own):
        (folder / "uv.lock").write_text("2\n")
        (folder / "log").write_text("x\n")
        (folder / ".venv").mkdir()
        (folder / ".venv" / "x").write_text("x\n")
    script = ROLES / "gate_common" / "files" / "own-worktree.sh"
    message = [
        subprocess.run([str(script)], cwd=at, capture_output=True, text=True, check=True).stdout for at in (repo, own)
    ]
    assert message == ["", "restored: uv.lock\nremoved: log\n"]
    assert [(at / "uv.lock").read_text() for at in (repo, own)] == ["2\n", "1\n"]
    assert [(at / "log").exists() for at in (repo, own)] == [True, False]
    assert (own / ".venv" / "x").exists()
