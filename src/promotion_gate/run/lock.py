"""One run at a time in an evidence root: an advisory lock that dies with the process that holds it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import stat
from pathlib import Path
from typing import IO

from promotion_gate.base.errors import GateError
from promotion_gate.base.times import stamp, utc_now

LOCK_FILE = ".promotion-gate.lock"


class RunLock:
    """Holds the lock of an evidence root until the process exits (the kernel releases it, even after SIGKILL).

    Forked workers hold it too; the programs that they execute do not. See orphans.
    """

    def __init__(self, root: Path, run_id: str) -> None:
        self._stream = _locked(root)
        entry = {"run": run_id, "host": platform.node(), "pid": os.getpid(), "start": stamp(utc_now())}
        self._stream.seek(0)
        self._stream.truncate()
        self._stream.write(json.dumps(entry) + "\n")
        self._stream.flush()

    def release(self) -> None:
        self._stream.close()


def check_free(root: Path) -> None:
    """Raises GateError naming run, host, pid and start of a run that is in progress in this evidence root."""
    _locked(root).close()


def _locked(root: Path) -> IO[str]:
    import fcntl  # only runs need it: a machine without it can still verify and check

    path = root / LOCK_FILE
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "it is not a regular file")
    except OSError as error:
        raise GateError(
            f"The lock {path} cannot be opened ({error.strerror}). It belongs to the account that created it: run the "
            "gate as that one; or remove the file, if nobody runs the gate in this evidence root."
        ) from None
    stream = os.fdopen(descriptor, "r+", encoding="utf-8")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with stream:
            holder = _holder(stream)
        raise GateError(f"Another run is under way in {root}: {holder}. Wait for it, or end it first.") from None
    except OSError as error:
        stream.close()
        raise GateError(f"{path} cannot be locked ({error.strerror}); its file system must support flock.") from None
    return stream


def _holder(stream: IO[str]) -> str:
    """Who wrote the lock's entry; a run that has just taken the lock may not have written it yet."""
    entry: object = None
    with contextlib.suppress(ValueError):
        entry = json.loads(stream.read())
    known = entry if isinstance(entry, dict) else {}
    run, host, pid, start = (known.get(key, "?") for key in ("run", "host", "pid", "start"))
    return f"run {run} on {host}, pid {pid}, started {start}"
