"""What an operator sees, on a pipe and on a terminal: each gate as it starts and ends, an end that fits a screen."""

from __future__ import annotations

import re
import termios
from collections.abc import Callable
from typing import Any, cast

import pexpect
import pytest
from ground import PROJECT, Ground, Run
from screen import Seen
from test_killed import LINGERS, WORKERS, going_on, kill_once
from waiting import PATIENCE_SECONDS, wait_until

OF_ANSIBLE = re.compile(r"^(?:PLAY|TASK|ok:|changed:|skipping:|fatal:|included:)", re.MULTILINE)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
RED = "\x1b[0;31m"


def drained(ground: Ground) -> dict[str, Any]:
    """A node that takes no jobs, and what re-runs gate 4 alone."""
    ground.say("sinfo", "sinfo/drained")
    ground.say("scontrol_nodes", "scontrol_nodes/drained")
    return ground.resumption("4")


class OnTerminal:
    """The gate on a pseudo-terminal, as a shell starts it: it is the terminal's foreground process group."""

    def __init__(self, ground: Ground, columns: int, *options: str, **extra: Any) -> None:
        self._ground = ground
        del ground.settings["ANSIBLE_NOCOLOR"]
        kept = {name: value for name, value in ground.environment().items() if name not in ("CI", "NO_COLOR")}
        program, *arguments = ground.command("promotion-gate.yml", *options, **extra)
        environment = {**kept, "TERM": "xterm-256color"}
        self._child = pexpect.spawn(
            program, arguments, cwd=PROJECT, env=environment, dimensions=(50, columns), timeout=PATIENCE_SECONDS
        )
        self._modes = termios.tcgetattr(self._child.child_fd)
        self.seen, self.shown = Seen(columns), ""

    def __enter__(self) -> OnTerminal:
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever failed, nothing is still running in the ground when it is restored."""
        self._child.close(force=True)
        wait_until(lambda: not going_on(self._ground), "the end of what was started")

    def until(self, holds: Callable[[list[str]], object], what: str) -> None:
        """Waits for the lines on the screen to be such that `holds`."""

        def there() -> object:
            more = self._look()
            assert more or holds(self.seen.lines), f"ended without {what}: {self.seen.text}"
            return holds(self.seen.lines)

        wait_until(there, what)

    def resize(self, columns: int) -> None:
        self._child.setwinsize(50, columns)
        self.seen.resize(columns)

    def interrupt(self) -> None:
        self._child.sendintr()

    def end(self) -> int | None:
        """The exit status; the terminal is as it was before."""
        wait_until(lambda: not self._look(), "the end of the run")
        assert termios.tcgetattr(self._child.child_fd) == self._modes
        self._child.close()
        assert not re.search(r"\x1b\[\?", self.shown), "no mode of the terminal was changed"
        assert "━" not in self.seen.text and "elapsed" not in self.seen.text, self.seen.text
        return cast("int | None", self._child.exitstatus)

    def _look(self) -> bool:
        """Reads what was written; whether there may be more."""
        try:
            part: bytes = self._child.read_nonblocking(65536, timeout=0.1)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.seen.feed(part)
        self.shown += part.decode("utf-8", "replace")
        return True


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
    """While a gate runs it is shown at the bottom of the screen; in the end only the plain lines are left."""
    held = decided.folder / "held"
    decided.hook("smoke", f"until [ -e {held} ]; do sleep 0.1; done\n")
    with OnTerminal(decided, columns, "--forks", forks, **drained(decided)) as terminal:
        terminal.until(lambda lines: re.fullmatch(r"4 slurm_smoke +━+╺?━* +\d+ of \d+ s", lines[-1]), "the block")
        assert re.fullmatch(r" +[\d.]+ s  elapsed", terminal.seen.lines[-3])
        terminal.resize(280 - columns)
        elapsed = terminal.seen.lines[-3]
        terminal.until(lambda lines: lines[-3] != elapsed and lines[-1].startswith("4 slurm_smoke"), "the block again")
        held.touch()
        assert terminal.end() == 2, terminal.seen.text
    before, end = progress_and_end(terminal.seen.text)
    failed = next(line for line in before if "gate 4 FAIL after " in line)
    assert "drained" in failed and "slurm_smoke.node" in "\n".join(before)
    assert re.search(f"{re.escape(RED)}[^\x1b]*gate 4 FAIL after ", terminal.shown)
    assert not OF_ANSIBLE.search(terminal.seen.text)
    assert len(end) <= 24
    assert sum(line.startswith("HOLD  run ") for line in end) == 1


def test_an_interrupted_run_says_where_it_is(decided: Ground) -> None:
    """^C while a gate runs: nothing keeps running, the screen is left clean, and the bundle can be resumed."""
    decided.hook("smoke", f"sleep {LINGERS}\n")
    with OnTerminal(decided, 80, **decided.resumption("4")) as terminal:
        terminal.until(lambda lines: lines[-1].startswith("4 slurm_smoke"), "the block")
        terminal.interrupt()
        assert terminal.end() not in (0, None), terminal.seen.text
        wait_until(lambda: not going_on(decided), "the end of what was started")
    shown = "".join(terminal.seen.text.split())  # a long line is folded in the middle of a word
    assert "Userinterruptedexecution" in shown and "isopenanddecidesnothing.Resumeitwith:" in shown
    assert not OF_ANSIBLE.search(terminal.seen.text)
    assert decided.outcome(99, "").decision is None


@pytest.mark.nightly
def test_a_worker_that_is_killed_leaves_the_screen_clean(decided: Ground) -> None:
    kill_once(decided, "smoke", "sleep 3\n" + WORKERS)
    with OnTerminal(decided, 80, **decided.resumption("4")) as terminal:
        assert terminal.end() not in (0, None), terminal.seen.text
        wait_until(lambda: not going_on(decided), "the end of what was started")
    assert "HOLD: a worker of this run was killed, so the run ends; resume it." in terminal.seen.lines
    assert "━" in terminal.shown, "the block stood there"


@pytest.mark.parametrize("way", ["-v", "default"])
def test_ansibles_own_view_is_shown_on_request(decided: Ground, way: str) -> None:
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
