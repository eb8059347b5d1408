"""Waiting for something that another process does: as long as a busy machine may need, and no longer than necessary."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_SECONDS = 120.0


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Returns as soon as `condition` holds. Raises AssertionError, which names `what`, if it never does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.02)
