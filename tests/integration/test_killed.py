"""SIGKILL of the real ansible-playbook, its workers, its connection: nothing is decided, and a resume finishes it.

A recorded tool kills when it is called, so the moment is always the same. tests/unit/test_kill_points.py has the
moments between any two writes; here it is about processes: nothing of a killed run goes on, and its lock is free.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ground import Ground, Run
from waiting import wait_until

from promotion_gate.__main__ import main
from promotion_gate.prove.verify import verify_bundle, verify_history

COMMANDS = ("check", "verify", "show", "decide")
LINGERS = f"4321.{os.getpid()}"  # seconds that a tool sleeps once it has killed; nobody else sleeps them

# What a tool runs: a shell script below the module, its connection and a worker. The lock names ansible-playbook.
FIND = """main=$(sed -n 's/.*"pid": \\([0-9]*\\).*/\\1/p' {root}/.promotion-gate.lock)\n"""
LITTER = "echo half >>docs/half-written.md\n"
PLAYBOOK = FIND + 'kill -9 "$main"\n'
WORKERS = FIND + 'kill -9 $(ps -o pid= --ppid "$main")\n'
# The client and its master, by the folder of this ground in their command lines.
SSH = "kill -9 $(pgrep -f '^ssh.*{ground}/')\n"
SSHD = """
pid=$$
until [ "$pid" -le 1 ]; do
  case $(cat "/proc/$pid/comm") in sshd*) kill -9 "$pid"; break ;; esac
  pid=$(sed 's/.*) . \\([0-9]*\\) .*/\\1/' "/proc/$pid/stat")
done
"""
# Stands before the real ssh-keygen on PATH; what is signed in the end names the record, the first trial does not.
KEYGEN = """#!/bin/sh
for last; do :; done
if grep -q promotion-decision.json "$last" 2>/dev/null; then sh {answers}/seal.hook; fi
exec {keygen} "$@"
"""


def kill_once(ground: Ground, tool: str, script: str, lingers: str = LINGERS) -> None:
    """When the tool is called first, `script` kills; then the tool hangs, as one does that waits for something."""
    mark = ground.folder / f"killed-{tool}"
    done = script.format(root=ground.evidence, ground=ground.folder)
    ground.hook(tool, f"[ ! -e {mark} ] || exit 0\ntouch {mark}\n{done}sleep {lingers}\n")


def keygen_that_kills(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> str:
    """A key to sign with, and an ssh-keygen on PATH that has a hook like a tool: in the middle of the sealing."""
    keygen = shutil.which("ssh-keygen")
    assert keygen
    folder = ground.folder / "keygen-bin"
    folder.mkdir()
    shim = folder / "ssh-keygen"
    shim.write_text(KEYGEN.format(answers=ground.folder / "answers", keygen=keygen), encoding="utf-8")
    shim.chmod(0o755)
    subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(ground.folder / "key")], check=True)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    # ssh-keygen runs in its own session; it is not killed with anything and exits by itself.
    kill_once(ground, "seal", PLAYBOOK, lingers="2")
    return str(ground.folder / "key")


def going_on(ground: Ground) -> list[str]:
    """Processes of a run in this ground: tools, module, workers, ssh. Its idle SSH master is none."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode("utf-8", "replace").replace("\0", " ")
        except OSError:
            continue
        if (str(ground.folder) in words or f"sleep {LINGERS}" in words) and "[mux]" not in words:
            found.append(f"{path.parent.name} {words[:200]}")
    return found


def assert_nothing_goes_on(ground: Ground) -> None:
    wait_until(lambda: not going_on(ground), "nothing of the killed run goes on")


def assert_no_decision(ground: Ground) -> None:
    bundle = ground.bundles()[-1]
    assert {name: main([name, str(bundle)]) for name in COMMANDS} == {"check": 3, "verify": 1, "show": 3, "decide": 3}
    assert verify_history(ground.evidence).holds


def assert_promoted(ground: Ground, run: Run) -> None:
    assert run.status == 0, run.output
    assert len(ground.bundles()) == 1
    bundle = ground.bundles()[-1]
    report = verify_bundle(bundle)
    assert report.holds, report.problem
    assert {name: main([name, str(bundle)]) for name in COMMANDS} == dict.fromkeys(COMMANDS, 0)


@pytest.mark.nightly
@pytest.mark.parametrize(
    "tools",
    [("sqlite", "verdi_status"), ("node", "sqlite", "verdi_status", "smoke", "generate")],
    ids=["in-two-gates", "in-each-gate"],
)
def test_killed_again_and_again(ground: Ground, monkeypatch: pytest.MonkeyPatch, tools: tuple[str, ...]) -> None:
    """A first run that is killed in its gates and in the sealing; each resume keeps what had passed."""
    for tool in tools:
        kill_once(ground, tool, LITTER + PLAYBOOK)
    # The temporary worktree that a killed run leaves must not be the one of its resume.
    ground.variables["workspace_checkout"] = "worktree"
    ground.variables["workspace_prepare_commands"] = [["mkdir", "-p", "packages/api-client/node_modules"]]
    key = keygen_that_kills(ground, monkeypatch)
    run = ground.gate(promotion_signing_key=key)
    kills = 0
    while run.status == -9:
        kills += 1
        assert_nothing_goes_on(ground)
        assert_no_decision(ground)
        run = ground.gate(promotion_resume="latest")
    assert_promoted(ground, run)
    # Gate 5 runs beside gates 3 and 4, so one kill may hit two of them.
    assert kills >= min(len(tools) + 1, 5)
    assert {path.name for path in ground.folder.glob("killed-*")} == {f"killed-{tool}" for tool in (*tools, "seal")}
    assert run.attempts()["sqlite_smoke"] < max(run.attempts().values()), "gate 2 was kept"
    assert verify_bundle(ground.bundles()[-1], require_signature=True).holds


def test_a_re_run_of_a_promote_that_is_killed(decided: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in gate 4, then in the sealing: the earlier PROMOTE is gone until a resume gets through."""
    kill_once(decided, "smoke", PLAYBOOK)
    key = keygen_that_kills(decided, monkeypatch)
    chosen = {**decided.resumption("4"), "promotion_signing_key": key}
    for gates in (chosen, {"promotion_resume": "latest"}):
        assert decided.gate(**gates).status == -9
        assert_nothing_goes_on(decided)
        assert_no_decision(decided)
    run = decided.gate(promotion_resume="latest")
    assert_promoted(decided, run)
    attempts = run.attempts()
    assert attempts.pop("slurm_smoke") == 3
    assert set(attempts.values()) == {1}, "what had passed was kept"
    assert "All gates had passed" in run.words


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("tool", "script"),
    [("verdi_status", SSH), ("smoke", SSHD), ("verdi_status", WORKERS), ("node", WORKERS)],
    ids=["ssh-in-gate-3", "sshd-in-gate-4", "worker-in-gate-3", "worker-in-gate-1"],
)
def test_a_part_that_is_killed(decided: Ground, tool: str, script: str) -> None:
    """Without its connection or a worker the re-run of a PROMOTE does not promote, and leaves nothing running."""
    kill_once(decided, tool, script)
    run = decided.again({"node": "1", "verdi_status": "3", "smoke": "4"}[tool])
    assert run.status > 0, run.output
    assert main(["check", str(decided.bundles()[-1])]) in (1, 3)
    assert_nothing_goes_on(decided)
    assert_promoted(decided, decided.gate(promotion_resume="latest"))
