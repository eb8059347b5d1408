"""Commands while they run: their pipes, their time limits, and the termination of everything that they started.

The only sign on the target that the connection was cut or the controller's process was killed is that the other end of
standard output is closed. This is checked for, and everything is terminated then: the next run must not measure the
leftovers of this one.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import selectors
import signal
import sys
import time
from collections.abc import Mapping, Sequence

from .processes import Table, descendants, is_childless, process_table, send
from .supervisor import KILL_SECONDS, supervise
from .text import Capture

GRACE_SECONDS = 2.0  # between TERM and KILL
PIPE_SECONDS = 1.0  # how long a child may hold the pipe after its parent has exited
SETTLE_SECONDS = 0.3  # how long short-lived leftovers of a command may take to exit by themselves
TICK_SECONDS = 0.02

SUPERVISORS: set[int] = set()
ALLOWED: set[int] = set()  # what may run: children from before the first command, daemons that may remain


class Running:
    """One command from its start to its end, in phases: run, drain the pipe, settle, TERM, KILL, over."""

    def __init__(
        self,
        argv: Sequence[str],
        directory: str,
        environment: Mapping[str, str],
        limit_seconds: float,
        kill_leftovers: bool,
        max_bytes: int,
    ) -> None:
        self.limit_seconds, self.kill_leftovers = limit_seconds, kill_leftovers
        self.capture = Capture(max_bytes)
        self.pid: int | None = None
        self.status: int | None = None
        self.ended: int | None = None
        self.problem: str | None = None
        self.exit_status: int | None = None  # of a command that could not be started
        self.timed_out = self.left_running = self.lost = False
        self.messages = b""
        self.started = time.monotonic_ns()
        self.phase, self.until = "run", self.started + int(limit_seconds * 1e9)
        self.output, output = os.pipe()
        self.report, report = os.pipe()
        self.supervisor = os.fork()
        if self.supervisor == 0:
            os.close(self.output)
            os.close(self.report)
            supervise(argv, directory, environment, output, report)
        os.close(output)
        os.close(report)
        self.pipes = {self.output, self.report}
        for descriptor in self.pipes:
            os.set_blocking(descriptor, False)

    def read(self, descriptor: int) -> bool:
        """Reads what is in a pipe; False at end of file, when the pipe is to be closed."""
        try:
            data = os.read(descriptor, 1 << 18)
        except BlockingIOError:
            return True
        if descriptor == self.output:
            self.capture.add(data)
        else:
            self.messages += data
            self.take_messages()
        if not data and descriptor == self.report and self.ended is None and self.problem is None:
            self.lost = True
        return bool(data)

    def close(self, descriptor: int) -> None:
        if descriptor in self.pipes:
            self.pipes.discard(descriptor)
            os.close(descriptor)

    def take_messages(self) -> None:
        while b"\n" in self.messages:
            line, self.messages = self.messages.split(b"\n", 1)
            message = json.loads(line)
            self.started = message.get("started", self.started)
            self.pid = message.get("pid", self.pid)
            self.status = message.get("status", self.status)
            self.ended = message.get("ended", self.ended)
            if "error" in message:
                self.exit_status, self.problem = message["error"]
                self.ended = time.monotonic_ns()

    def go(self, phase: str, seconds: float) -> None:
        self.phase, self.until = phase, time.monotonic_ns() + int(seconds * 1e9)

    def step(self) -> None:
        """Proceeds from phase to phase as far as possible without waiting."""
        steps = {
            "run": self.step_run,
            "drain": self.step_drain,
            "settle": self.step_settle,
            "term": self.step_term,
            "kill": self.step_kill,
        }
        before = None
        while self.phase in steps and self.phase != before:
            before = self.phase
            steps[before](time.monotonic_ns() >= self.until)

    def step_run(self, late: bool) -> None:
        if self.lost:
            self.terminate()
        elif self.ended is not None:
            self.go("drain", PIPE_SECONDS)
        elif late:
            self.timed_out = True
            self.terminate()

    def step_drain(self, late: bool) -> None:
        if late or self.output not in self.pipes:
            self.go("settle" if self.kill_leftovers else "over", SETTLE_SECONDS)

    def step_settle(self, late: bool) -> None:
        if not self.family():
            self.go("over", 0)
        elif late:
            self.left_running = True
            self.terminate()

    def step_term(self, late: bool) -> None:
        if self.gone():
            self.go("over", 0)
        elif late:
            self.go("kill", KILL_SECONDS)

    def step_kill(self, late: bool) -> None:
        """Kills repeatedly: a process may fork while it is being killed."""
        if late or self.gone():
            self.go("over", 0)
        else:
            send(signal.SIGKILL, self.family(), self.group())

    def gone(self) -> bool:
        return (self.ended is not None or self.lost) and not self.family()

    def terminate(self) -> None:
        send(signal.SIGTERM, self.family(), self.group())
        self.go("term", GRACE_SECONDS)

    def group(self) -> int | None:
        """The command's process group; once the command has been reaped, its number may belong to another process."""
        return self.pid if self.ended is None and not self.lost else None

    def family(self) -> set[int]:
        """The processes that the command has running. The children of a killed supervisor have become ours."""
        if not self.lost and is_childless(self.supervisor):
            return set()  # nearly always so, and it saves reading every process of the machine
        table = process_table()
        if not table:
            return {self.pid} if self.pid and self.ended is None else set()
        if not self.lost:
            return descendants(self.supervisor, table)
        collect_orphans(table)
        ours = {pid for pid, (parent, _) in table.items() if parent == os.getpid()} - SUPERVISORS - ALLOWED
        return {pid for pid in ours if table[pid][1] != "Z"}.union(*(descendants(pid, table) for pid in ours))

    def finish(self) -> None:
        """Kills the supervisor; a daemon that may remain goes on without it."""
        for _ in range(16):  # what is still in the pipe; a remaining daemon may go on writing
            if self.output not in self.pipes or not self.read(self.output):
                break
        if not self.kill_leftovers and not self.lost:
            ALLOWED.update(self.family())
        for descriptor in list(self.pipes):
            self.close(descriptor)
        SUPERVISORS.discard(self.supervisor)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.supervisor, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.supervisor, 0)

    def exit_and_signal(self) -> tuple[int | None, int | None]:
        """(exit status, signal). One of them is None; both are if the command's end was not seen."""
        if self.problem is not None:
            return self.exit_status, None
        if self.status is None:
            return None, None
        if os.WIFSIGNALED(self.status):
            return None, os.WTERMSIG(self.status)
        return os.WEXITSTATUS(self.status), None

    def why_not_run(self) -> str | None:
        """Why the exit status means nothing, or None."""
        if self.problem is not None and self.exit_status is None:
            return self.problem
        if self.lost:
            return "it killed its supervisor, so its exit status is unknown; what it left running was killed"
        return None


def start(
    argv: Sequence[str],
    directory: str,
    environment: Mapping[str, str],
    limit_seconds: float,
    kill_leftovers: bool = True,
    max_bytes: int = 1 << 20,
) -> Running:
    """Starts one command under its supervisor."""
    command = Running(argv, directory, environment, limit_seconds, kill_leftovers, max_bytes)
    SUPERVISORS.add(command.supervisor)
    return command


def collect_orphans(table: Table) -> None:
    """Reaps zombies that a killed supervisor has left to this process."""
    for pid, (parent, state) in table.items():
        if parent == os.getpid() and state == "Z" and pid not in SUPERVISORS:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def nobody_listens() -> bool:
    """Whether the other end of standard output is closed, so that there is nobody to return the result to."""
    poll = select.poll()
    poll.register(1, 0)  # 0: the kernel reports the end of a pipe or socket without being asked
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def run_together(commands: Sequence[Running]) -> None:
    """Waits for commands that run side by side, within their limits, and kills what they must not leave behind.

    If nobody listens any longer, it kills the commands at once and then exits.
    """
    with selectors.DefaultSelector() as selector:
        for command in commands:
            for descriptor in command.pipes:
                selector.register(descriptor, selectors.EVENT_READ, command)
        while any(command.phase != "over" for command in commands):
            quiet = all(command.phase in ("run", "over") for command in commands)
            for key, _ in selector.select(0.2 if quiet else TICK_SECONDS):
                if not key.data.read(key.fd):
                    # In this order: supervisors started later have a copy of the pipe, so that closing it here does not
                    # end its registration, and epoll would report it without pause until the last command is over.
                    selector.unregister(key.fd)
                    key.data.close(key.fd)
            alone = nobody_listens()
            for command in commands:
                if alone and command.phase in ("run", "drain", "settle"):
                    command.terminate()
                command.step()
    for command in commands:
        command.finish()
    if nobody_listens():
        sys.exit(1)  # as on TERM; this also removes the scratch directory
