"""The small process between the module and a command.

The module starts a supervisor for each command, and the supervisor starts the command. The supervisor is a "child
subreaper": whatever the command leaves behind, however it detached itself, becomes the supervisor's child. So the
descendants of a supervisor are exactly what its command started, and they can be found and killed. The module only
reads pipes, looks at the clock and sends signals; if a command kills its supervisor, the module notices.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from .processes import PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, descendants, prctl, process_table, send

KILL_SECONDS = 3.0  # a process that survives KILL for longer is stuck in the kernel


def supervise(
    argv: Sequence[str], directory: str, environment: Mapping[str, str], output: int, report: int
) -> NoReturn:
    """The whole supervisor: starts the command, reports how it went, and waits to be killed."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: end_own_family())
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # nothing is left behind when the module is killed
        started = time.monotonic_ns()
        try:
            child = subprocess.Popen(
                argv,
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            tell(report, {"error": why_not_started(error, argv, directory), "started": started})
            os._exit(0)
        os.close(output)
        tell(report, {"pid": child.pid, "started": started})
        wait_for(child.pid, report)
    finally:
        os._exit(0)


def wait_for(pid: int, report: int) -> NoReturn:
    """Reports the end of the command, then reaps what it left until this process is killed."""
    while True:
        try:
            ended, status = os.waitpid(-1, 0)
        except ChildProcessError:
            signal.pause()
            continue
        if ended == pid:
            tell(report, {"status": status, "ended": time.monotonic_ns()})


def tell(report: int, message: Mapping[str, Any]) -> None:
    """Sends one line of JSON to the module."""
    os.write(report, json.dumps(message).encode() + b"\n")


def end_own_family() -> NoReturn:
    """Kills repeatedly: a process may fork while it is being killed, and its child becomes ours."""
    until = time.monotonic() + KILL_SECONDS
    while time.monotonic() < until:
        family = descendants(os.getpid(), process_table())
        if not family:
            break
        send(signal.SIGKILL, family)
    os._exit(0)


def why_not_started(error: OSError | ValueError, argv: Sequence[str], directory: str) -> tuple[int | None, str]:
    """(exit status, message) as a shell reports a command that it cannot start; the status is None if cwd fails."""
    if not isinstance(error, OSError):  # a NUL byte in a word
        return None, str(error)
    reason = error.strerror or str(error)
    if error.filename == directory:
        return None, f"cannot enter the folder {directory}: {reason}"
    found = os.path.join(directory, argv[0])
    if error.errno != errno.ENOENT:
        return 126, f"{argv[0]}: {reason}"
    if os.sep in argv[0] and os.path.exists(found):
        return 127, f"{argv[0]}: the interpreter of its first line is not there"
    return 127, f"{argv[0]}: {reason if os.sep in argv[0] else 'command not found'}"
