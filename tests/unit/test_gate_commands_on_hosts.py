"""The module as a host sees it: on its oldest and newest Python, through the real Ansible, with hostile leftovers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from promotion.artifacts import MAX_ENTRIES
from promotion.text import Capture
from test_gate_commands import ROOT, alive, env_file, marker, one, trip

__all__ = ["marker"]  # the fixture
pytestmark = pytest.mark.slow  # processes that are started, waited for and killed

PLAY = """
- name: Run the module
  hosts: all
  gather_facts: false
  tasks:
    - name: Run commands
      gate_commands:
        gate: run
        chdir: /
        secrets: "{{ {'environment': {'DB_PASSWORD': 'hunter2hunter2'}} | to_json | b64encode }}"
        commands:
          - {id: secret, file: a.log, run: 'echo $DB_PASSWORD; exit 3'}
          - {id: hangs, file: a.log, run: [sleep, "MARKER"], limit_seconds: 0.5, group: g}
          - {id: beside, file: a.log, run: '(setsid sh -c "sleep 1; echo late" &); sleep 2; echo ok', group: g}
          - {id: daemon, file: a.log, run: '(setsid sh -c "trap : TERM; sleep MARKER; sleep MARKER" >/dev/null 2>&1 &)'}
          - {id: kills, file: a.log, run: 'sleep MARKER & kill -9 $PPID; sleep MARKER'}
          - {id: huge, file: a.log, run: 'head -c 20000000 /dev/zero'}
        artifacts: [{from: etc/passwd, to: passwd}]
      register: result
    - name: Keep the result
      ansible.builtin.copy:
        content: "{{ result.gate_evidence | to_json }}"
        dest: "{{ out }}"
        mode: "0600"
      vars: {ansible_python_interpreter: "{{ ansible_playbook_python }}"}
"""


def interpreters() -> dict[str, str]:
    """The Pythons of this machine that a target may have, by version; the one that runs this is always there."""
    found = {"this": sys.executable}
    folders = [*os.environ.get("PATH", "").split(os.pathsep), *map(str, Path.home().glob(".pyenv/versions/*/bin"))]
    for version in ("3.9", "3.13"):
        for folder in folders:
            path = Path(folder) / f"python{version}"
            if version not in found and path.exists() and works(path, version):
                found[version] = str(path)
    return found


def works(path: Path, version: str) -> bool:
    """Whether it is that Python and no launcher of one that is not installed."""
    done = subprocess.run(
        [path, "-c", "import sys; print(*sys.version_info[:2], sep='.')"], capture_output=True, text=True
    )
    return done.stdout.strip() == version


@pytest.mark.slow
@pytest.mark.parametrize("version", ["this", "3.9", "3.13"])
def test_a_play_on_this_python(version: str, tmp_path: Path, marker: str) -> None:
    python = interpreters().get(version)
    if not python:
        pytest.skip(f"there is no Python {version} on this machine")
    (tmp_path / "play.yml").write_text(PLAY.replace("MARKER", marker))
    how = ["-vvv", "-i", "localhost,", "-c", "local"]
    variables = ["-e", f"ansible_python_interpreter={python}", "-e", f"out={tmp_path}/out.json"]
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "play.yml", *how, *variables],
        cwd=tmp_path,
        env={
            **os.environ,
            "ANSIBLE_LIBRARY": str(ROOT / "library"),
            "ANSIBLE_MODULE_UTILS": str(ROOT / "module_utils"),
            "ANSIBLE_NOCOLOR": "1",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "hunter2" not in done.stdout + done.stderr, "-vvv shows no secret, also none that was handed in"
    evidence = json.loads((tmp_path / "out.json").read_text())
    by_id = {command["id"]: command for command in evidence["commands"]}
    assert (by_id["secret"]["exit"], by_id["secret"]["output"]) == (3, "***\n")
    assert by_id["hangs"]["timed_out"]
    assert (by_id["beside"]["exit"], by_id["beside"]["output"]) == (0, "late\nok\n")
    assert (by_id["daemon"]["exit"], by_id["daemon"]["left_running"]) == (0, True)
    assert by_id["kills"]["exit"] is None
    assert by_id["kills"]["not_run"]
    assert (by_id["huge"]["exit"], by_id["huge"]["truncated"]) == (0, True)
    assert evidence["artifacts"][0]["files"][0]["path"] == ""
    assert not alive(marker)


def test_every_exit_status_is_its_command_s_own() -> None:
    """Orphans end while commands end: collecting them must never take a command's own status."""
    commands = [{"run": f"(true &) ; (exit 9 &) ; exit {number}", "group": f"g{number % 3}"} for number in range(1, 31)]
    found = trip(*sorted(commands, key=lambda command: str(command["group"])))["commands"]
    assert sorted(command["exit"] for command in found) == list(range(1, 31))


@pytest.mark.slow
def test_a_command_that_stops_its_parent_ends_within_its_limit(marker: str) -> None:
    found = one(f"echo x; kill -STOP $PPID; sleep {marker}", limit_seconds=0.5)
    assert found["timed_out"]
    assert found["exit"] is None


def test_a_tree_deeper_than_python_follows_is_bounded_and_removed() -> None:
    dig = "import os\nos.chdir(os.environ['PROMOTION_SCRATCH'])\nfor _ in range(2500): os.mkdir('d'); os.chdir('d')\n"
    found = trip({"run": [sys.executable, "-c", dig]}, artifacts=[{"from": "{scratch}/d", "to": "x"}])
    assert (found["commands"][0]["exit"], found["artifacts"][0]["truncated"]) == (0, True)
    assert not Path(found["artifacts"][0]["from"]).parent.exists()


def test_a_folder_of_very_many_files_is_bounded(tmp_path: Path) -> None:
    for number in range(MAX_ENTRIES + 5):
        (tmp_path / str(number)).touch()
    found = trip({"run": "true"}, chdir=str(tmp_path.parent), artifacts=[{"from": tmp_path.name, "to": "x"}])
    assert (len(found["artifacts"][0]["files"]), found["artifacts"][0]["truncated"]) == (200, True)


def test_a_set_uid_file_comes_back_as_text_alone(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("x")
    (tmp_path / "tool").chmod(0o6755)
    entry = trip({"run": "true"}, artifacts=[{"from": str(tmp_path), "to": "x"}])["artifacts"][0]["files"][0]
    assert sorted(entry) == ["content", "encoding", "kept", "masks", "path", "size", "truncated", "withheld"]


def test_a_device_is_not_opened() -> None:
    assert trip({"run": "true"}, artifacts=[{"from": "/dev/zero", "to": "x"}])["artifacts"][0]["refused"] == [
        {"path": "", "reason": "it is not a regular file"}
    ]


def test_a_secret_that_is_not_utf8_is_masked_where_it_is_escaped(tmp_path: Path) -> None:
    path = env_file(tmp_path, "X_PASSWORD=$'ab\\\\c\\xff\\xfe12345'\n")
    found = trip({"run": 'printf "%s\\n" "$X_PASSWORD"'}, env_file=path)["commands"][0]
    assert (found["output"], found["encoding"]) == ("***\n", "utf-8+backslash")


def test_a_capture_is_bounded_in_memory() -> None:
    capture = Capture(1 << 20)
    for _ in range(200):
        capture.add(b"x" * (1 << 20))
        assert len(capture.head) + len(capture.tail) <= 4 << 20
    assert capture.total == 200 << 20
