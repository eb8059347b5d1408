"""What the identity program says about a checkout: by content, whatever git was told to ignore."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import bundles
import pytest

from promotion_gate.base.errors import InputError
from promotion_gate.judge.identity import Identity, identity
from promotion_gate.run.roots import check_holds_no_tracked_file

MODULES = str(bundles.PROJECT / "module_utils")
PROGRAM = f"import sys; sys.path.insert(0, {MODULES!r}); from promotion.identity import main; sys.exit(main())"
ROOT = "investigations/artifacts/gra-125"


def git(folder: Path, *words: str) -> str:
    config = ("user.name=A. Nyone", "user.email=anyone@example.org", "protocol.file.allow=always")
    options = [option for setting in config for option in ("-c", setting)]
    done = subprocess.run(["git", *options, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder: Path) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message=A change")
    return git(folder, "rev-parse", "HEAD")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    write(folder / "app.py", "print('application')\n")
    write(folder / "scripts" / "smoke.sh", "#!/bin/sh\necho passed\n")
    (folder / "scripts" / "smoke.sh").chmod(0o755)
    (folder / "link").symlink_to("app.py")
    commit(folder)
    return folder


def asked(folder: Path, *words: str, **environment: str) -> Identity:
    options = ["--part", "checkout", "--target-branch", "main", "--evidence", ROOT, "--baseline", f"{ROOT}/baseline"]
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM, *options, *words],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    found = identity(done.stdout)
    assert done.returncode == (1 if found.errors else 0), done.stdout
    return found


def clean(seen: Identity) -> bool:
    return (seen.changes, seen.modified, seen.untracked, seen.untracked_names) == ("none", (), "none", ())


def test_a_clean_checkout(checkout: Path) -> None:
    seen = asked(checkout)
    assert clean(seen)
    assert (seen.top_level, seen.branch, seen.commit) == (str(checkout), "main", seen.target_commit)
    assert clean(asked(checkout, "--evidence", "", "--baseline", ""))


def skip_worktree(folder: Path) -> None:
    git(folder, "update-index", "--skip-worktree", "app.py")
    write(folder / "app.py", "print('another application')\n")


def assume_unchanged(folder: Path) -> None:
    git(folder, "update-index", "--assume-unchanged", "app.py")
    write(folder / "app.py", "print('another application')\n")


def sparse(folder: Path) -> None:
    git(folder, "sparse-checkout", "set", "--no-cone", "/app.py", "/link")


def modes_ignored(folder: Path) -> None:
    git(folder, "config", "core.fileMode", "false")
    (folder / "scripts" / "smoke.sh").chmod(0o644)


def dates_trusted(folder: Path) -> None:
    times = (folder / "app.py").stat()
    git(folder, "config", "core.trustctime", "false")
    git(folder, "config", "core.checkStat", "minimal")
    write(folder / "app.py", "print('APPLICATION')\n")
    os.utime(folder / "app.py", ns=(times.st_atime_ns, times.st_mtime_ns))


def local_attributes(folder: Path) -> None:
    write(folder / ".git" / "info" / "attributes", "app.py filter=hide\n")
    git(folder, "config", "filter.hide.clean", "git show HEAD:app.py")
    write(folder / "app.py", "print('another application')\n")


def attributes_of_no_commit(folder: Path) -> None:
    """Rules for git's filters that are only in the working tree, where an exclude hides them."""
    write(folder / ".git" / "info" / "exclude", ".gitattributes\n")
    write(folder / "scripts" / ".gitattributes", "smoke.sh filter=hide\n")
    git(folder, "config", "filter.hide.clean", "git show HEAD:scripts/smoke.sh")
    write(folder / "scripts" / "smoke.sh", "#!/bin/sh\nexit 0\n")
    (folder / "scripts" / "smoke.sh").chmod(0o755)


def linked_folder(folder: Path) -> None:
    (folder / "scripts").rename(folder.parent / "elsewhere")
    (folder / "scripts").symlink_to("../elsewhere")


def replaced_object(folder: Path) -> None:
    was = git(folder, "rev-parse", "HEAD:app.py")
    write(folder / "app.py", "print('another application')\n")
    git(folder, "replace", was, git(folder, "hash-object", "-w", "app.py"))


def staged_alone(folder: Path) -> None:
    write(folder / "app.py", "print('another application')\n")
    git(folder, "add", "app.py")
    write(folder / "app.py", "print('application')\n")


def with_submodule(folder: Path) -> Path:
    library = folder.parent / "library"
    library.mkdir()
    git(library, "init", "--quiet", "--initial-branch=main")
    write(library / "library.py", "VALUE = 1\n")
    commit(library)
    git(folder, "submodule", "--quiet", "add", str(library), "lib")
    commit(folder)
    return library


def submodule_ignored(folder: Path) -> None:
    with_submodule(folder)
    git(folder, "config", "submodule.lib.ignore", "dirty")
    write(folder / "lib" / "library.py", "VALUE = 2\n")


def submodule_ignored_by_all(folder: Path) -> None:
    with_submodule(folder)
    git(folder, "config", "diff.ignoreSubmodules", "all")
    write(folder / "lib" / "library.py", "VALUE = 2\n")


def submodule_at_another_commit(folder: Path) -> None:
    library = with_submodule(folder)
    git(folder, "config", "submodule.lib.ignore", "all")
    write(library / "library.py", "VALUE = 3\n")
    other = commit(library)
    git(folder / "lib", "fetch", "--quiet")
    git(folder / "lib", "checkout", "--quiet", other)


def submodule_not_initialised(folder: Path) -> None:
    with_submodule(folder)
    git(folder, "submodule", "--quiet", "deinit", "--force", "lib")


HIDDEN = {
    "t10-skip-worktree": skip_worktree,
    "assume-unchanged": assume_unchanged,
    "sparse checkout": sparse,
    "modes ignored": modes_ignored,
    "dates trusted": dates_trusted,
    "attributes of this clone": local_attributes,
    "attributes that no commit has": attributes_of_no_commit,
    "a folder that is a link": linked_folder,
    "a replaced object": replaced_object,
    "staged, then undone on disk": staged_alone,
    "t07-submodule-ignore-dirty": submodule_ignored,
    "ignored by diff.ignoreSubmodules": submodule_ignored_by_all,
    "submodule at another commit": submodule_at_another_commit,
    "t09-submodule-uninit-vm": submodule_not_initialised,
}


@pytest.mark.stranger("15.2", "what git was told to pass over counts as clean and unmodified")
@pytest.mark.parametrize("hide", HIDDEN.values(), ids=HIDDEN)
def test_what_git_passes_over_is_seen(checkout: Path, hide: Callable[[Path], None]) -> None:
    hide(checkout)
    seen = asked(checkout)
    assert seen.changes != "none"
    assert seen.modified


@pytest.mark.stranger("15.2", "a file that is not tracked in a submodule whose changes git ignores")
def test_an_untracked_file_in_a_submodule_is_seen(checkout: Path) -> None:
    with_submodule(checkout)
    git(checkout, "config", "submodule.lib.ignore", "all")
    write(checkout / "lib" / "conftest.py", "")
    assert asked(checkout).untracked_names == ("lib/conftest.py",)


@pytest.mark.stranger("15.2", "GIT_DIR, GIT_WORK_TREE and their like make git judge another repository")
@pytest.mark.parametrize(
    "name", ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"]
)
def test_the_environment_cannot_name_another_repository(checkout: Path, tmp_path: Path, name: str) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet", "--initial-branch=main")
    commit(other)
    write(checkout / "app.py", "print('another application')\n")
    values = {
        "GIT_DIR": ".git",
        "GIT_WORK_TREE": "",
        "GIT_INDEX_FILE": ".git/index",
        "GIT_OBJECT_DIRECTORY": ".git/objects",
    }
    seen = asked(checkout, **{name: str(other / values.get(name, ".git"))})
    assert seen.commit == git(checkout, "rev-parse", "HEAD")
    assert seen.modified == ("app.py (modified)",)


@pytest.mark.stranger("15.2", "core.worktree of a clone names another folder")
def test_a_folder_that_is_not_the_top_level_is_refused(checkout: Path, tmp_path: Path) -> None:
    assert "is not the top level" in asked(checkout / "scripts").errors["checkout"]
    (tmp_path / "elsewhere").mkdir()
    git(checkout, "config", "core.worktree", str(tmp_path / "elsewhere"))
    assert "is not the top level" in asked(checkout).errors["checkout"]


def test_line_endings_that_gitattributes_ask_for_are_not_a_change(checkout: Path) -> None:
    write(checkout / ".gitattributes", "*.py text eol=crlf\n")
    commit(checkout)
    write(checkout / "app.py", "print('application')\r\n")
    assert clean(asked(checkout))
    write(checkout / "app.py", "print('another')\r\n")
    assert asked(checkout).modified == ("app.py (modified)",)


def test_every_other_change_is_named(checkout: Path) -> None:
    (checkout / "link").unlink()
    (checkout / "link").symlink_to("scripts")
    (checkout / "scripts" / "smoke.sh").unlink()
    write(checkout / "new.py", "")
    git(checkout, "add", "new.py")
    write(checkout / "ä\nb.py", "")
    seen = asked(checkout)
    assert seen.modified == ("link (modified)", "new.py (added)", "scripts/smoke.sh (missing)")
    assert seen.untracked_names == ("ä\nb.py",)
    assert asked(checkout).changes == seen.changes
    write(checkout / "new.py", "changed")
    assert asked(checkout, "--evidence", "").changes == seen.changes  # in the index it is the same
    git(checkout, "add", "new.py")
    assert asked(checkout).changes != seen.changes


def test_git_takes_no_lock(checkout: Path) -> None:
    (checkout / ".git" / "index.lock").touch()
    os.utime(checkout / "app.py")
    assert clean(asked(checkout))


# --- evidence in the checkout -----------------------------------------------------------------------------------


def run_folder(folder: Path) -> None:
    for name in ("index.json", "policy.yml", "01-preflight.log"):
        write(folder / name, "{}\n")


@pytest.mark.stranger("14.2", "a file beside the runs of an evidence root counts as evidence")
def test_only_what_the_gate_writes_is_left_out(checkout: Path) -> None:
    root = checkout / ROOT
    run_folder(root / "20261124T002930Z")
    run_folder(root / "aiida-vm" / "20261124T002930Z")
    for name in (
        "baseline/20261124T002930Z-promote.json",
        "baseline/20261124T002930Z-recorded-2.json",
        "baseline/.unfinished-y",
        ".promotion-gate.lock",
        ".unfinished-x/index.json",
        "20261124T002930Z.signoff.json",
    ):
        write(root / name, "{}\n")
    assert clean(asked(checkout))
    others = (
        "baseline/20261124T002930Z-promote.py",
        "baseline/sub/x.json",
        "baseline/x.json",
        "conftest.py",
        "notes.signoff.json",
    )
    for name in others:
        write(root / name, "")
    assert asked(checkout).untracked_names == tuple(f"{ROOT}/{name}" for name in others)


@pytest.mark.stranger("14.2", "evidence of another ticket makes gate 1 dirty")
def test_roots_of_other_tickets_are_left_out(checkout: Path) -> None:
    run_folder(checkout / "investigations" / "artifacts" / "gra-99" / "20261124T002930Z")
    assert clean(asked(checkout))
    write(checkout / "investigations" / "artifacts" / "notes.py", "")
    assert asked(checkout).untracked_names == ("investigations/artifacts/notes.py",)


@pytest.mark.stranger(
    "14.2", "promotion_evidence_root=<checkout>/scripts makes modified scripts clean, another commit equal"
)
@pytest.mark.parametrize("words", [["--evidence", "scripts"], ["--baseline", "scripts"]], ids=lambda words: words[0])
def test_a_root_that_holds_files_of_the_application_hides_none(checkout: Path, words: list[str]) -> None:
    before = asked(checkout, *words)
    write(checkout / "scripts" / "smoke.sh", "#!/bin/sh\nexit 1\n")
    (checkout / "scripts" / "smoke.sh").chmod(0o755)
    assert asked(checkout, *words).modified == ("scripts/smoke.sh (modified)",)
    write(checkout / "scripts" / "more.json", "{}\n")
    assert asked(checkout, *words).untracked_names == ("scripts/more.json",)
    commit(checkout)
    assert asked(checkout, *words).content != before.content


def test_commits_that_differ_only_in_evidence_have_the_same_content(checkout: Path) -> None:
    before = asked(checkout)
    run_folder(checkout / ROOT / "20261124T002930Z")
    commit(checkout)
    after = asked(checkout)
    assert (after.content, after.commit != before.commit, clean(after)) == (before.content, True, True)
    write(checkout / ROOT / "20261124T002930Z" / "index.json", "changed\n")
    assert clean(asked(checkout))


# --- the VM's own parts -----------------------------------------------------------------------------------------


def parts(folder: Path, *words: str, **environment: str) -> Identity:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIIDA_")}
    options = [word for part in ("machine", "profile", "env_file", "config_dir") for word in ("--part", part)]
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM, *options, *words],
        cwd=folder,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return identity(done.stdout)


def test_the_environment_file_is_known_by_its_content(tmp_path: Path) -> None:
    write(tmp_path / "vm.env", "AIIDA_PROFILE=vm-psql\nPASSWORD=secret\n")
    first = parts(tmp_path, "--env-file", "vm.env")
    os.utime(tmp_path / "vm.env", (0, 0))
    assert parts(tmp_path, "--env-file", "vm.env").env_file_digest == first.env_file_digest is not None
    write(tmp_path / "vm.env", "AIIDA_PROFILE=vm-psql\nPASSWORD=Secret\n")
    assert parts(tmp_path, "--env-file", "vm.env").env_file_digest != first.env_file_digest


def test_the_configuration_folder_and_the_profile(tmp_path: Path) -> None:
    write(tmp_path / "b" / ".aiida" / "config.json", json.dumps({"profiles": {"vm-psql": {"storage": 1}}}))
    seen = parts(tmp_path, AIIDA_PATH=f"{tmp_path}/a:{tmp_path}/b", AIIDA_PROFILE="vm-psql")
    assert (seen.config_dir, seen.profile) == (f"{tmp_path}/b/.aiida", "vm-psql")
    relative = parts(tmp_path, AIIDA_CONFIG_DIR="b", AIIDA_PROFILE="vm-psql")
    assert (relative.config_dir, relative.profile_digest) == (seen.config_dir, seen.profile_digest)
    write(tmp_path / "b" / ".aiida" / "config.json", json.dumps({"profiles": {"vm-psql": {"storage": 2}}}))
    assert parts(tmp_path, "--config-dir", "b/.aiida", AIIDA_PROFILE="vm-psql").profile_digest != seen.profile_digest
    assert parts(tmp_path, AIIDA_PATH=str(tmp_path), AIIDA_PROFILE="other").profile_digest == "none"


def told(folder: Path, configured: str, **environment: str) -> tuple[int, str]:
    """What the gates that call verdi are told about its directory."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIIDA_")}
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM, "--verdi-folder", configured],
        cwd=folder,
        env={**kept, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_the_folder_that_verdi_is_given_is_the_one_of_the_identity(tmp_path: Path) -> None:
    write(tmp_path / "b" / ".aiida" / "config.json", "{}")
    here = f"{tmp_path}/b"
    both = f"source: AIIDA_PATH\naiida_path: {tmp_path}/a:{here}\nconfig: {here}/.aiida\n"
    assert told(tmp_path, "", AIIDA_PATH=f"{tmp_path}/a:{here}") == (0, both)
    relative = f"source: AIIDA_CONFIG_DIR\naiida_path: {here}\nconfig: {here}/.aiida\n"
    assert told(tmp_path, "", AIIDA_CONFIG_DIR="./b/") == (0, relative)
    itself = f"source: aiida_vm_config_dir\naiida_path: {here}/.aiida\nconfig: {here}/.aiida\n"
    assert told(tmp_path, "b/.aiida", AIIDA_PATH="/elsewhere") == (0, itself)
    assert parts(tmp_path, "--config-dir", "b/.aiida").config_dir == f"{here}/.aiida"


def test_without_a_folder_or_a_configuration_in_it_verdi_is_not_called(tmp_path: Path) -> None:
    assert told(tmp_path, "")[0] == 3
    status, output = told(tmp_path, "", AIIDA_PATH="~/none", HOME=str(tmp_path))
    assert status == 4 and f"there is no configuration in {tmp_path}/none/.aiida (AIIDA_PATH)" in output


def test_what_is_not_known_is_reported(tmp_path: Path) -> None:
    seen = parts(tmp_path, "--env-file", "vm.env")
    assert seen.machine_id or seen.host_keys
    assert set(seen.errors) == {"profile", "env_file"}
    assert "No such file" in seen.errors["env_file"]
    assert len(seen.unknown(("machine", "checkout", "profile", "env_file", "config_dir"))) == 3
    assert seen.config_dir == "none", "that nothing names the folder is known, and a check of its own"
    assert "not a git repository" in asked(tmp_path).errors["checkout"]


def test_a_crash_is_reported_as_the_part_that_is_not_known(tmp_path: Path) -> None:
    write(tmp_path / "config" / ".aiida" / "config.json", "[" * 100_000)
    seen = parts(tmp_path, "--profile", "vm", "--config-dir", "config")
    assert "RecursionError" in seen.errors["profile"]
    assert seen.machine_id or seen.host_keys


def test_the_head_of_a_branch_can_be_asked_for_from_another(checkout: Path) -> None:
    """With a temporary worktree nobody looks at what is checked out."""
    at_main = asked(checkout)
    git(checkout, "switch", "--quiet", "--create", "fix")
    write(checkout / "app.py", "print('another application')\n")
    commit(checkout)
    write(checkout / "notes.txt", "")
    seen = asked(checkout, "--revision", "main")
    assert (seen.commit, seen.content, seen.revision) == (at_main.commit, at_main.content, "main")
    assert (seen.changes, seen.untracked) == (None, None)


def test_a_detached_head_has_no_branch(checkout: Path) -> None:
    git(checkout, "switch", "--quiet", "--detach", "HEAD")
    seen = asked(checkout)
    assert seen.branch is None and seen.commit == seen.target_commit


@pytest.mark.stranger("14.2", "an evidence root that holds tracked files is accepted")
def test_an_evidence_root_with_files_of_the_application_is_refused(checkout: Path) -> None:
    run_folder(checkout / ROOT / "20261124T002930Z")
    write(checkout / ROOT / "baseline" / "20261124T002930Z-promote.json", "{}\n")
    commit(checkout)
    check_holds_no_tracked_file(str(checkout / ROOT), str(checkout))
    check_holds_no_tracked_file("/srv/evidence", str(checkout))
    for root, named in ((checkout / "scripts", "smoke.sh"), (checkout, "app.py"), (checkout / ROOT, "notes.md")):
        write(checkout / ROOT / "notes.md", "")
        git(checkout, "add", "--all")
        with pytest.raises(InputError, match=rf"holds files of the application \(.*{named}"):
            check_holds_no_tracked_file(str(root), str(checkout))
