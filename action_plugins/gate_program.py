"""The action gate_program: the command promotion-gate on the controller, within Ansible.

A separate process would load the package again, although Ansible has already loaded it for its callbacks.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Sequence
from typing import Any

from ansible.plugins.action import ActionBase

_MISSING = (
    "The Python that runs Ansible ({}) has no package promotion_gate. Run `pip install -e '.[ansible]'` in the gate's "
    "checkout, or install its wheel, with that Python, then run again."
)


class ActionModule(ActionBase):
    """Returns the exit status and what was printed, under the same names as the action command."""

    _requires_connection = False
    _VALID_ARGS = frozenset(("arguments", "stdin"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        arguments = [str(word) for word in self._task.args["arguments"]]
        try:
            status, stdout, stderr = _called(arguments, str(self._task.args.get("stdin") or ""))
        except ImportError:
            return {"failed": True, "rc": 2, "stdout": "", "stderr": "", "msg": _MISSING.format(sys.executable)}
        return {"changed": True, "failed": status != 0, "rc": status, "stdout": stdout, "stderr": stderr}


def _called(arguments: Sequence[str], stdin: str) -> tuple[int, str, str]:
    """The exit status, and what was printed to stdout and stderr. The process does nothing else at the same time."""
    from promotion_gate.__main__ import main

    stdout, stderr, own = io.StringIO(), io.StringIO(), sys.stdin
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        sys.stdin = io.StringIO(stdin)
        try:
            status = main(arguments)
        except SystemExit as end:  # raised by argparse for arguments that no command has
            status = end.code if isinstance(end.code, int) else 2
        finally:
            sys.stdin = own
    return status, stdout.getvalue().strip("\n"), stderr.getvalue().strip("\n")
