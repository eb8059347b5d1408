"""Lines that are not an answer: what Python ignores when it exits, what shells print themselves, missing input."""

from __future__ import annotations

import pytest
import yaml
from bundles import PROJECT

from promotion_gate.judge.checks.sqlite import run_problem
from promotion_gate.judge.parsers import git
from promotion_gate.judge.parsers.trouble import could_not_work

POLICY = yaml.safe_load((PROJECT / "policies" / "aiida.yml").read_text(encoding="utf-8"))
[PATTERNS] = [
    check["limits"]["failure_patterns"]
    for gate in POLICY["gates"]
    for check in gate["checks"]
    if "failure_patterns" in check.get("limits", {})
]
TRACEBACK = 'Traceback (most recent call last):\n  File "/v/a.py", line 52, in __del__\n    x()\n'
CHAINED = f"\nDuring handling of the above exception, another exception occurred:\n\n{TRACEBACK}"


@pytest.mark.stranger("15.7", "Python's exit noise failed a smoke that passed")
@pytest.mark.parametrize(
    "noise",
    [
        f"Exception ignored in: <function A.__del__ at 0x1>\n{TRACEBACK}ImportError: sys.meta_path is None\n",
        f"Exception ignored in atexit callback: <function a at 0x1>\n{TRACEBACK}OSError: gone\n",
        f"Exception ignored on threading shutdown <module 'threading'>:\n{TRACEBACK}KeyboardInterrupt: \n",
        f"Exception ignored while calling deallocator <function a>:\n{TRACEBACK}KeyError: 'a'\n",
        f"Exception ignored in: <function A.__del__>\n{TRACEBACK}KeyError: 'a'\n{CHAINED}OSError: b\n",
        f"Exception ignored in: <a>\n{TRACEBACK}KeyError\nException ignored in: <b>\n{TRACEBACK}OSError: b\n",
        f"Error in atexit._run_exitfuncs:\n{TRACEBACK}OSError: gone\n",
        f'--- Logging error ---\n{TRACEBACK}ValueError: I/O operation on closed file.\nCall stack:\n  File "/v/a.py"\n'
        "Message: 'closing'\nArguments: ()\n",
        "Exception ignored in: <_io.TextIOWrapper name='<stdout>'>\nBrokenPipeError: [Errno 32] Broken pipe\n",
    ],
)
def test_exceptions_that_python_ignores_are_not_a_failure(noise: str) -> None:
    assert run_problem(0, "", f"smoke: passed\n{noise}", PATTERNS) is None
    assert run_problem(0, "", f"{noise}smoke: passed\n", PATTERNS) is None


@pytest.mark.parametrize(
    "end",
    [
        f"{TRACEBACK}KeyError: 1\n",
        f"Exception ignored in: <a>\n{TRACEBACK}KeyError: 1\n{TRACEBACK}KeyError: 2\n",
        f"Exception ignored in: <a>\nCritical: no\n{TRACEBACK}KeyError: 1\n",
        f"Exception ignored in: <a>\n{TRACEBACK}Critical: no\n",
        f"Exception ignored in: <a>\n{TRACEBACK}FAILED test_a.py::b\n",
        f"Exception in thread Thread-1:\n{TRACEBACK}KeyError: 1\n",
        f"Exception ignored in: <a>\n{TRACEBACK}KeyError\nError: no\n",
        f"x Exception ignored in: <a>\n{TRACEBACK}KeyError\n",
        f"Exception ignored in: <a>\n\n{TRACEBACK}KeyError\n",
        "SUBFAILED(i=1) tests/test_u.py::T::test_a - AssertionError: 1 == 1\n",
        "SUBFAILED[a b](i=1) tests/test_u.py::T::test_a - AssertionError: 1 == 1\n",
        "1 failed, 1 passed, 2 subtests passed in 3.10s\n",
        "2 subtests passed, 1 failed in 3.10s\n",
    ],
)
def test_one_ignored_exception_excuses_no_other(end: str) -> None:
    assert run_problem(0, "", f"smoke: passed\n{end}", PATTERNS)


NOISE = [
    "/bin/sh: warning: setlocale: LC_ALL: cannot change locale (C.UTF-8)",
    "bash: warning: setlocale: LC_ALL: cannot change locale (de_DE.UTF-8): No such file or directory",
    "sh: line 1: warning: here-document at line 1 delimited by end-of-file",
    "bash: warning: shell level (1000) too high, resetting to 1",
    "bash: cannot set terminal process group (-1): Inappropriate ioctl for device",
    "bash: no job control in this shell",
    "mesg: ttyname failed: Inappropriate ioctl for device",
    "stdin: is not a tty",
]


@pytest.mark.stranger("15.7", "any line of a shell on stderr was drift, or a dirty worktree")
@pytest.mark.parametrize(
    "line", [*NOISE, "warning: in the working copy of 'a', LF will be replaced by CRLF", "+ git diff"]
)
def test_what_a_shell_prints_is_not_a_diff(line: str) -> None:
    assert not git.diff(f"{line}\n").differs


@pytest.mark.parametrize("line", NOISE)
def test_what_a_shell_prints_is_not_an_answer(line: str) -> None:
    assert git.commit(f"{line}\n{'a' * 40}\n") == "a" * 40


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("diff --git a/x b/x\nindex 1..2\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", 2),
        ("\x1b[1mdiff --git a/x b/x\x1b[m\n\x1b[31m-a\x1b[m\n", 1),
        ("diff --cc x\n++a\n", 1),
        ("diff --git a/x b/x\nold mode 100644\nnew mode 100755\n", 0),
        ("Binary files a/x and b/x differ\n", 0),
        ("* Unmerged path x\n", 0),
    ],
)
def test_a_diff_is_one_with_noise_around_it(text: str, changed: int) -> None:
    found = git.diff(f"{NOISE[0]}\n{text}")
    assert (found.differs, found.changed_lines) == (True, changed)


@pytest.mark.stranger("15.12", "a generator, package or script that is not there was a failure, not BLOCKED")
@pytest.mark.parametrize(
    "line",
    [
        "sh: 1: openapi-typescript: not found",
        "/bin/sh: 1: openapi-typescript: not found",
        "sh: line 1: openapi-typescript: command not found",
        "bash: line 1: pnpm: command not found",
        "/bin/sh: openapi-typescript: command not found",
        "zsh:1: command not found: pnpm",
        "env: ‘node’: No such file or directory",
        "/usr/bin/env: 'node': No such file or directory",
        "sh: 1: cannot open scripts/x.sh: No such file",
        "Error: spawn openapi-typescript ENOENT",
        " ERROR  spawn openapi-typescript ENOENT",
        "npm error code ENOENT",
        'Usage Error: Couldn\'t find a script name "generate" in the top-level',
        "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
        "node: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.28' not found (required by node)",
        ' ERR_PNPM_RECURSIVE_EXEC_FIRST_FAIL  Command "openapi-typescript" not found',
        " ERR_PNPM_NO_SCRIPT  Missing script: generate",
        ' ERR_PNPM_NO_IMPORTER_MANIFEST_FOUND  No package.json was found in "/srv/app/packages/api-client".',
        " ERR_PNPM_UNSUPPORTED_ENGINE  Unsupported environment (bad pnpm and/or Node.js version)",
        " WARN   Local package.json exists, but node_modules missing, did you mean to install?",
        "Error: Cannot find module 'openapi-typescript'",
        "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'x' imported from /srv/app/x.mjs",
        "npm ERR! could not determine executable to run",
        "error: Failed to spawn: `openapi`",
        "ModuleNotFoundError: No module named 'fastapi'",
        "/usr/bin/python3: No module named pytest",
        "python: can't open file '/srv/app/x.py': [Errno 2] No such file or directory",
    ],
)
def test_what_is_missing_is_not_a_failure_of_the_application(line: str) -> None:
    assert could_not_work(f"> generate\n\n{line}\n ELIFECYCLE  Command failed.\n")


@pytest.mark.parametrize(
    "line", ["404: schema not found", "-  description: job not found", "AssertionError: x: not found", "drift: a.json"]
)
def test_other_failures_are_failures(line: str) -> None:
    assert not could_not_work(f"{line}\n")


@pytest.mark.stranger("15.12", "Git's refusals (dubious ownership, lfs missing) were called no checkout")
@pytest.mark.parametrize(
    ("hint", "line"),
    [
        ("ownership", "fatal: detected dubious ownership in repository at '/srv/app'"),
        ("ownership", "fatal: unsafe repository ('/srv/app' is owned by someone else)"),
        ("lfs", "git-lfs filter-process: 1: git-lfs: not found"),
        ("lfs", "fatal: big.bin: smudge filter lfs failed"),
        ("lfs", "git: 'lfs' is not a git command. See 'git --help'."),
        ("damaged", "fatal: bad object HEAD"),
        ("damaged", "error: object file .git/objects/5a/bc is empty"),
        ("damaged", "fatal: index file corrupt"),
        (None, "fatal: not a git repository (or any of the parent directories): .git"),
    ],
)
def test_why_git_refuses_a_repository(hint: str | None, line: str) -> None:
    assert git.refusal(f"`git rev-parse` exited 128: {line}") == hint
