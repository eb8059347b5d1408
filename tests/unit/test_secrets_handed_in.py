"""How secrets reach the module: none of them is in the target's journal, and nothing else is masked because of them."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from promotion import parameters
from test_gate_commands import ad_hoc, packed, trip

TOKEN = "Zq7-syslog-canary"
# Python reads it when it starts; what would go to the journal or the syslog of the host goes to a file.
LISTENER = """
import sys, types
from pathlib import Path

def write(*words):
    with Path({journal!r}).open("a") as stream:
        stream.write(" ".join(map(str, words)) + "\\n")

silent = lambda *args, **kwargs: None
sys.modules["systemd"] = None
sys.modules["syslog"] = types.SimpleNamespace(
    openlog=silent, syslog=write, LOG_PID=0, LOG_INFO=0, LOG_USER=0, LOG_NOTICE=0, LOG_ERR=0
)
"""


def listening_python(folder: Path, python: str = sys.executable) -> tuple[Path, Path]:
    """(an interpreter whose syslog goes to a file, that file)."""
    journal = folder / "journal"
    (folder / "listener").mkdir()
    (folder / "listener" / "sitecustomize.py").write_text(LISTENER.format(journal=str(journal)))
    wrapper = folder / "python3"
    wrapper.write_text(f'#!/bin/sh\nPYTHONPATH={folder}/listener exec {python} "$@"\n')
    wrapper.chmod(0o755)
    return wrapper, journal


def results(output: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output[output.index("{") : output.rindex("}") + 1])
    return found


@pytest.mark.slow
@pytest.mark.stranger("16.10", "without ansible.cfg a token of the environment stands in the VM's journal")
def test_no_secret_reaches_the_journal_of_the_target(tmp_path: Path) -> None:
    python, journal = listening_python(tmp_path)
    arguments = {
        "gate": "run",
        "secrets": packed({"X_TOKEN": TOKEN}),
        "commands": [{"id": "a", "file": "a.log", "run": "echo $X_TOKEN; exit 3"}],
    }
    status, output = ad_hoc(tmp_path, arguments, "-vvv", "-e", f"ansible_python_interpreter={python}")
    assert status == 0, output
    logged = journal.read_text()
    assert "commands=[" in logged and "NOT_LOGGING_PARAMETER" in logged, "the journal is looked at"
    for text in (logged, output):
        assert TOKEN not in text and base64.b64encode(TOKEN.encode()).decode()[:-4] not in text


@pytest.mark.slow
@pytest.mark.stranger("16.10", "a no_log dict makes Ansible mask each of its leaves, `1` or an exit status too")
def test_a_secret_that_looks_like_a_result_masks_no_result(tmp_path: Path) -> None:
    arguments = {
        "gate": "run",
        "secrets": packed({"A": "1", "DB_PASSWORD": "3", "B": "", "FLAG": "true"}),
        "commands": [{"id": "a", "file": "1.log", "run": "echo 1 2 3 true; exit 3", "limit_seconds": 31}],
    }
    status, output = ad_hoc(tmp_path, arguments)
    assert status == 0, output
    [command] = results(output)["gate_evidence"]["commands"]
    assert (command["exit"], command["output"], command["file"]) == (3, "1 2 3 true\n", "1.log")
    assert command["limit_seconds"] == 31


def test_what_is_handed_in_goes_before_the_role_s_own() -> None:
    command = {"run": "echo $A $B"}
    found = trip(command, environment={"A": "role", "B": "role"}, secrets=packed({"A": "operator"}))
    assert found["commands"][0]["output"] == "operator role\n"


@pytest.mark.parametrize(
    "value",
    ["not base64", "e30", base64.b64encode(b"[]").decode(), base64.b64encode(b'{"environment": []}').decode()],
    ids=["text", "cut", "list", "environment"],
)
def test_secrets_that_cannot_be_read_are_a_sentence(value: str) -> None:
    problem = parameters.problem_of({"commands": [], "max_output_bytes": 2048, "secrets": value})
    assert problem is not None and problem.startswith("secrets must be base64 of a JSON object")
