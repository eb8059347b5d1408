"""Whatever a run starts stops with it, and a run stops when it loses something that it cannot continue without.

Ansible's workers outlive an ansible-playbook that is killed: they wait for their task, keep the run's lock (it is
inherited, so it correctly shows that part of the run is still active) and keep the VM busy for nothing. Conversely, its
strategy `free` waits forever for a worker that was killed, for example by the kernel when memory runs out.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing.process
import os
import signal

from promotion_gate.run.watching import tell

_PR_SET_PDEATHSIG = 1


def tie_children_to_us() -> None:
    """From now on the kernel sends TERM to every process that this one forks as soon as this one dies.

    A worker passes it on to its group, including the connection. Linux only; elsewhere a killed run's tasks end by
    themselves.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is None:
        return
    parent = os.getpid()

    def note_parent() -> None:
        nonlocal parent
        parent = os.getpid()

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the kernel was told
            os._exit(1)

    os.register_at_fork(before=note_parent, after_in_child=tie)


def end_with_killed_children() -> None:
    """From now on a worker that is killed interrupts this process, as ^C does; the bundle stays open."""

    def look(_number: int, _frame: object) -> None:
        # No public list still has the children that exited.
        for child in list(getattr(multiprocessing.process, "_children", ())):
            if child.exitcode == -signal.SIGKILL:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                with contextlib.suppress(OSError):
                    os.killpg(child.pid, signal.SIGTERM)  # its connection
                tell(lambda watcher: watcher.ending())
                os.write(2, b"HOLD: a worker of this run was killed, so the run ends; resume it.\n")
                raise KeyboardInterrupt

    signal.signal(signal.SIGCHLD, look)
