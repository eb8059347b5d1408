"""One demo command at a time in a checkout."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator

from demo.console import say
from demo.paths import DEMO


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Two at once would build the same image or write the same workspace twice."""
    DEMO.mkdir(exist_ok=True)
    with (DEMO / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another demo command is at work in this checkout; waiting for it to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
