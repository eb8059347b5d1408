"""One demo command at a time in a checkout."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator

from demo.console import say
from demo.paths import DEMO


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Two at the same time would build the same image or write the same workspace."""
    DEMO.mkdir(exist_ok=True)
    with (DEMO / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another demo command is running in this checkout; waiting for it to finish")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
