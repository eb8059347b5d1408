"""The action gate_commands: the module on the target, unless the task only says something to the evidence callback."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action.normal import ActionModule as Normal

# Nothing runs anywhere for these: the callback hears of them as the task ends.
_TOLD = ("open", "close")


class ActionModule(Normal):
    """Spares the controller a process, and a module that is packed for it, where there is nothing to run."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        given = self._task.args
        if given.get("event") not in _TOLD:
            result: dict[str, Any] = super().run(tmp, task_vars)
            return result
        told = {name: given.get(name) for name in ("event", "gate", "bundle")}
        return {"changed": False, "gate_evidence": told}
