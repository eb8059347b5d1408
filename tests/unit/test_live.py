"""The block at the foot of a terminal: what is written meanwhile is never torn or lost, and it cannot fail a run."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import sys
import termios
import threading
from collections.abc import Iterator, Sequence
from typing import TextIO

import pytest
from screen import Seen

from promotion_gate.report.live import Foot, drawn, wanted
from promotion_gate.report.progress import Gate, Progress, Row

ROWS = [
    Row("here", "sqlite_smoke", 2, 14.2, 32.0),
    Row("vm", "vm_bootstrap", 3, 14.2, 12.0),
    Row("here", "contracts", None, None, 17.0),
    Row("other", "a" * 60, 7, 3.0, None),
]
TERMINAL = {"TERM": "xterm-256color"}


class Terminal:
    """A pseudo-terminal: `out` is the program's end of it."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.main, other = pty.openpty()
        self.out: TextIO = open(other, "w", encoding="utf-8", buffering=1)  # noqa: SIM115, PTH123
        self.seen = Seen(columns, rows)
        self.resize(columns, rows)

    def resize(self, columns: int, rows: int = 24) -> None:
        self.look()
        fcntl.ioctl(self.main, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.seen.resize(columns, rows)

    def look(self) -> list[str]:
        os.set_blocking(self.main, False)
        try:
            while part := os.read(self.main, 65536):
                self.seen.feed(part)
        except BlockingIOError:
            pass
        return self.seen.lines

    def close(self) -> None:
        self.out.close()
        os.close(self.main)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    found = Terminal()
    yield found
    found.close()


def foot_of(terminal: Terminal) -> Foot:
    return Foot(terminal.out, terminal.out, threading.RLock())


def plain(lines: Sequence[str]) -> list[str]:
    return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]


@pytest.mark.parametrize("columns", [60, 79])
def test_both_hosts_are_shown_side_by_side_with_their_bars(columns: int) -> None:
    lines = plain(drawn(ROWS[:3], 24.34, columns))
    assert all(len(line) <= columns for line in lines) and lines[0] == "   24.3 s  elapsed"
    beside = columns >= 76
    assert any(re.fullmatch(r"here +vm *", line) for line in lines) == beside
    text = "\n".join(lines)
    assert re.search(r"2 sqlite_smoke ━+╺?━+ +14 of 32 s", text) and re.search(r"3 vm_bootstrap ━+ +14 of 12 s", text)
    assert re.search(r"contracts +waits +17 s", text)
    assert any("…" in line for line in plain(drawn(ROWS, 1.0, columns))), "a long name is cut"


@pytest.mark.parametrize(
    ("environment", "columns", "is_wanted"),
    [
        (TERMINAL, 80, True),
        (TERMINAL, 60, True),
        (TERMINAL, 59, False),
        ({"TERM": "dumb"}, 80, False),
        ({}, 80, False),
        ({**TERMINAL, "NO_COLOR": "1"}, 80, False),
        ({**TERMINAL, "CI": "true"}, 80, False),
    ],
    ids=str,
)
def test_it_is_for_a_terminal_alone(
    terminal: Terminal, environment: dict[str, str], columns: int, is_wanted: bool
) -> None:
    terminal.resize(columns)
    assert wanted(terminal.out, environment) is is_wanted
    assert not wanted(io.StringIO(), environment)


def test_without_rich_there_are_plain_lines(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert not wanted(terminal.out, TERMINAL)


def test_output_scrolls_above_the_block_and_no_part_of_it_is_left(terminal: Terminal) -> None:
    foot = foot_of(terminal)
    terminal.out.write("first\n")
    assert foot.show(lambda columns: ["foot 1", "foot 2"])
    terminal.out.write("[WARNING]: one\nand its second line\n")
    assert terminal.look() == ["first", "[WARNING]: one", "and its second line", "foot 1", "foot 2"]
    assert foot.show(lambda columns: ["foot 3"])
    print("last", file=terminal.out)
    assert terminal.look()[-2:] == ["last", "foot 3"]
    foot.close()
    print("end", file=terminal.out)
    assert terminal.look() == ["first", "[WARNING]: one", "and its second line", "last", "end"]
    assert not foot.show(lambda columns: ["foot 4"]), "a thread that comes late draws nothing"
    assert "foot 4" not in terminal.look()


def test_a_line_that_is_not_at_its_end_is_left_alone(terminal: Terminal) -> None:
    """A question to a person; the block comes back with the next line."""
    foot = foot_of(terminal)
    foot.show(lambda columns: ["foot"])
    terminal.out.write("Password: ")
    foot.show(lambda columns: ["foot"])
    assert terminal.look() == ["Password:"]
    terminal.out.write("\nthanks\n")
    terminal.out.write("")
    assert terminal.look() == ["Password:", "thanks", "foot"]


def test_many_threads_lose_and_tear_no_line(terminal: Terminal) -> None:
    foot = foot_of(terminal)
    reader_ended = threading.Event()

    def read() -> None:
        while not reader_ended.is_set():
            terminal.look()

    def write(name: str) -> None:
        for number in range(100):
            terminal.out.write(f"line {name}{number}\n")

    reader = threading.Thread(target=read)
    reader.start()
    writers = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in writers:
        thread.start()
    while any(thread.is_alive() for thread in writers):
        foot.show(lambda columns: plain(drawn(ROWS, 1.0, columns)))
    foot.close()
    reader_ended.set()
    reader.join()
    assert sorted(terminal.look()) == sorted(f"line {name}{number}" for name in "abc" for number in range(100))


def test_a_terminal_may_change_its_size(terminal: Terminal) -> None:
    foot = foot_of(terminal)
    widths: list[int] = []

    def lines(columns: int) -> list[str]:
        widths.append(columns)
        return ["x" * columns, *(f"row {number}" for number in range(15))]

    terminal.out.write("first\n")
    for columns in (80, 200, 100, 70, 59, 80):
        terminal.resize(columns)
        assert foot.show(lines)
        assert terminal.look()[0] == "first"
        assert ("row 14" in terminal.look()) == (columns >= 60)
    assert widths == [79, 79, 79, 69, 79]
    foot.close()
    assert terminal.look() == ["first"]


@pytest.mark.parametrize(("rows", "at_most"), [(9, 0), (12, 10), (24, 20)])
def test_a_block_that_is_too_high_is_cut(rows: int, at_most: int) -> None:
    terminal = Terminal(80, rows)
    foot = foot_of(terminal)
    terminal.out.write("first\n")
    assert foot.show(lambda columns: [f"row {number}" for number in range(20)])
    shown = terminal.look()
    assert shown[0] == "first" and len(shown) == 1 + at_most
    assert (shown[-1] == "  ...") == (at_most == 10)
    foot.close()
    assert terminal.look() == ["first"]
    terminal.close()


@pytest.mark.parametrize("fault", [ValueError, OSError, RecursionError, ImportError])
def test_what_cannot_be_drawn_costs_the_block_alone(terminal: Terminal, fault: type[Exception]) -> None:
    def broken(columns: int) -> list[str]:
        raise fault

    foot = foot_of(terminal)
    foot.show(lambda columns: ["foot"])
    assert not foot.show(broken)
    terminal.out.write("the run goes on\n")
    assert terminal.look() == ["the run goes on"]


def test_a_terminal_that_is_gone_costs_the_block_alone() -> None:
    terminal = Terminal()
    foot = foot_of(terminal)
    os.close(terminal.main)
    assert not foot.show(lambda columns: ["foot"])
    with pytest.raises(OSError):
        terminal.out.write("as without it\n")
    with pytest.raises(OSError):
        terminal.out.close()


def test_a_forked_process_writes_as_before(terminal: Terminal) -> None:
    """A worker that Ansible forks while the block is shown."""
    foot = foot_of(terminal)
    foot.show(lambda columns: ["foot"])
    pid = os.fork()
    if pid == 0:
        terminal.out.write("of a worker\n")
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert terminal.look() == ["foot", "of a worker"]


def test_the_rows_are_what_runs_and_what_waits() -> None:
    now = 0.0
    progress = Progress(lambda text, tone: None, lambda: now)
    progress.opened("r", 1, {"a": 3.0})
    progress.wait_for([("vm", "a"), ("vm", "b"), ("here", "c")])
    assert [(row.name, row.seconds) for row in progress.rows()] == [("a", None), ("b", None), ("c", None)]
    progress.started(Gate(1, "a", "A", "vm"))
    now = 2.0
    assert progress.rows()[0] == Row("vm", "a", 1, 2.0, 3.0)
    progress.ended("a", "vm", "PASS")
    progress.broken(Gate(2, "b", "B", "vm"), "unreachable")
    assert [row.name for row in progress.rows()] == ["c"]
