"""What an operator sees, on a pipe and on a terminal: each gate as it starts and ends, an end that fits a screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
from typing import Any

import pytest
from ground import Ground, Run

OF_ANSIBLE = re.compile(r"^(?:PLAY|TASK|ok:|changed:|skipping:|fatal:|included:)", re.MULTILINE)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
RED, GREEN = "\x1b[0;31m", "\x1b[0;32m"


def drained(ground: Ground) -> dict[str, Any]:
    """A node that takes no jobs, and what re-runs gate 4 alone."""
    ground.say("sinfo", "sinfo/drained")
    ground.say("scontrol_nodes", "scontrol_nodes/drained")
    return ground.resumption("4")


def on_a_terminal(ground: Ground, columns: int, *options: str, **extra: Any) -> tuple[int, str]:
    """The gate on a pseudo-terminal of so many columns: its exit status and what it showed."""
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = ground.start("promotion-gate.yml", *options, stdout=other, **extra)
    os.close(other)
    shown = b""
    try:
        while part := os.read(main, 65536):
            shown += part
    except OSError:  # how the end of a terminal is told once nobody has it open
        pass
    finally:
        os.close(main)
    return process.wait(timeout=60), shown.decode("utf-8").replace("\r\n", "\n")


def progress_and_end(text: str) -> tuple[list[str], list[str]]:
    """The lines before the decision, and those from it on."""
    lines = text.splitlines()
    end = next(number for number, line in enumerate(lines) if re.match("(?:PROMOTE|HOLD)  run ", COLOUR.sub("", line)))
    return lines[:end], lines[end:]


def test_a_promote_shows_each_gate_as_it_starts_and_ends_and_nothing_of_ansible(promoted: Run) -> None:
    assert not OF_ANSIBLE.search(promoted.output), promoted.output
    before, end = progress_and_end(promoted.output)
    assert all(len(line) <= 80 for line in before)
    text = "\n".join(before)
    for number, host in ((1, "here"), (2, "here"), (3, "vm"), (4, "vm"), (5, "here")):
        started, ended = text.index(f"gate {number} starts on {host}: "), text.index(f"gate {number} PASS after ")
        assert started < ended
    assert text.index("gate 1 PASS") < text.index("gate 2 starts"), "the hosts of a workspace run in order"
    assert [line.split()[1] for line in end[1:6]] == [
        *("preflight", "sqlite_smoke", "vm_bootstrap", "slurm_smoke", "contracts")
    ]
    assert "p95 " in end[2] and any(line.startswith("verify:   promotion-gate verify ") for line in end)


@pytest.mark.parametrize(("columns", "forks"), [(80, "1"), (200, "50")])
def test_a_hold_on_a_terminal_says_at_once_what_did_not_pass(decided: Ground, columns: int, forks: str) -> None:
    del decided.settings["ANSIBLE_NOCOLOR"]
    status, shown = on_a_terminal(decided, columns, "--forks", forks, **drained(decided))
    assert status == 2, shown
    before, end = progress_and_end(shown)
    failed = next(line for line in before if "gate 4 FAIL after " in line)
    assert RED in failed and "drained" in failed and GREEN not in failed
    assert not OF_ANSIBLE.search(COLOUR.sub("", shown)) and "slurm_smoke.node" in "\n".join(before)
    assert len(end) <= 24
    assert sum(COLOUR.sub("", line).startswith("HOLD  run ") for line in end) == 1


@pytest.mark.parametrize("way", ["-v", "default"])
def test_ansibles_own_view_is_there_for_who_asks_for_it(decided: Ground, way: str) -> None:
    options = ["-v"] if way == "-v" else []
    if way == "default":
        decided.settings["ANSIBLE_STDOUT_CALLBACK"] = "default"
    run = decided.gate(*options, **drained(decided))
    assert run.status == 2
    assert OF_ANSIBLE.search(run.output) and "PLAY RECAP" in run.output
    assert len(re.findall("^HOLD  run ", run.output, re.MULTILINE)) == 1
    assert run.output.rindex("PLAY RECAP") < run.output.rindex("HOLD  run "), "the decision is the end"


def test_what_must_be_corrected_is_one_line_each_and_nothing_else(ground: Ground) -> None:
    run = ground.gate(promotion_reviewr="x", aiida_vm_fist_run=True)
    assert run.status == 2
    mistakes = [line for line in run.output.splitlines() if "There is no variable" in line]
    assert len(mistakes) == 2 and not OF_ANSIBLE.search(run.output)
    assert run.output.rstrip().endswith("HOLD: the deciding play did not run, and no bundle was opened.")
