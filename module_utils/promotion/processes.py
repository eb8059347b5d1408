"""The processes of this machine, as Linux lists them, and signals to them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

Table = Mapping[int, "tuple[int, str]"]  # pid -> (parent, state)


def prctl(option: int, value: int) -> None:
    """Sets a Linux process option; on other systems there is only the process group."""
    try:
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        pass


def process_table() -> Table:
    """Every process, from /proc; empty where there is no /proc."""
    table = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as stream:
                    state, parent = stream.read().rsplit(b")", 1)[1].split()[:2]
            except (OSError, IndexError, ValueError):
                continue
            table[int(name)] = (int(parent), state.decode())
    return table


def is_childless(pid: int) -> bool:
    """Whether a single-threaded process has no children, not even zombies; False if the kernel does not list them."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as stream:
            return not stream.read(1)
    except OSError:
        return False


def descendants(root: int, table: Table) -> set[int]:
    """All living descendants of a process."""
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in table.items():
        children.setdefault(parent, []).append(pid)
    found, front = set(), [root]
    while front:
        for pid in children.get(front.pop(), []):
            if pid not in found:
                found.add(pid)
                front.append(pid)
    return {pid for pid in found if table[pid][1] != "Z"}


def send(number: int, pids: Iterable[int], group: int | None = None) -> None:
    """Sends a signal to processes and to a group; those that are already gone do not matter."""
    if group:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
