"""Runs one of the team's own tools so that it cannot hold up the gate: no input, a time limit, bounded output."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from promotion_gate.base.redact import Redactor, secrets_of

MAX_OUTPUT_BYTES = 64 * 1024
_GRACE_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a tool. `problem` says why it failed; it is empty if the tool exited 0 in time."""

    problem: str
    exit: int | None = None
    timed_out: bool = False
    truncated: bool = False
    stdout: str = ""
    stderr: str = ""
    duration_seconds: float = 0.0


class _Reader(threading.Thread):
    """Keeps the head of a stream and discards the rest, so that the tool never blocks on output."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._kept = bytearray()
        self.truncated = False
        self.start()

    def run(self) -> None:
        with self._stream:
            while chunk := os.read(self._stream.fileno(), 65536):
                room = MAX_OUTPUT_BYTES - len(self._kept)
                self._kept += chunk[:room]
                self.truncated = self.truncated or len(chunk) > room

    def text(self) -> str:
        """The head as text; if it was cut, without its last line, which could contain half a secret."""
        text = bytes(self._kept).decode("utf-8", "replace")
        return text.rpartition("\n")[0] if self.truncated else text


def run_tool(words: Sequence[str], directory: Path, limit_seconds: int) -> Answer:
    """Runs a command without a shell, in its own session. Never raises for what the tool does.

    When the time limit is reached, the whole process group is killed. Output is redacted; secrets from our own
    environment, which the tool inherits, are masked wherever they appear.
    """
    started = time.monotonic()
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    try:
        process = subprocess.Popen(
            list(words), cwd=directory, stdin=nothing, stdout=pipe, stderr=pipe, start_new_session=True
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return Answer(f"could not be started ({reason})")
    assert process.stdout is not None and process.stderr is not None
    readers = [_Reader(process.stdout), _Reader(process.stderr)]
    in_time = False
    try:
        in_time = _ended(process, limit_seconds)
    finally:
        if not in_time:
            _end_group(process)
    status = process.wait()
    for reader in readers:
        reader.join(_GRACE_SECONDS)  # a process that the tool left behind may hold the stream open
    redactor = Redactor(value for _, value in secrets_of(os.environ))
    stdout, stderr = (redactor.text(reader.text()) for reader in readers)
    problem = "" if in_time else f"timed out after {limit_seconds} s and was killed"
    if in_time and status != 0:
        problem = f"exited {status}" if status > 0 else f"was killed by signal {-status}"
    return Answer(
        problem=problem,
        exit=status if in_time and status >= 0 else None,
        timed_out=not in_time,
        truncated=any(reader.truncated for reader in readers),
        stdout=stdout,
        stderr=stderr,
        duration_seconds=round(time.monotonic() - started, 3),
    )


def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Waits for the exit without reaping the process: until it is reaped, its group id cannot be reused."""
    deadline = time.monotonic() + seconds
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    _ended(process, _GRACE_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
