"""The view on the terminal: what the gates do, in plain lines, and Ansible's own output only with -v."""

from __future__ import annotations

DOCUMENTATION = """
name: gates
type: stdout
short_description: Shows the progress of the promotion gate
description:
  - A line as each gate starts and ends, with what did not pass, and one every 30 s while it runs.
  - On a terminal of 60 columns or more the gates that run and wait stand below these lines, with bars against their
    last times, unless the environment has NO_COLOR or CI.
  - With -v, and for playbooks that promise no decision, it is the callback default.
  - The end of a run is printed by the callback evidence, which works with any stdout callback.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
"""

import atexit
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible.plugins.callback.default import CallbackModule as Default

from promotion_gate.base.escape import visible
from promotion_gate.base.names import DECISION_JSON
from promotion_gate.bundle.index import read_index
from promotion_gate.judge.parsers.failures import failure_text
from promotion_gate.report.live import Foot, drawn, wanted
from promotion_gate.report.progress import Gate, Progress, Tone
from promotion_gate.run.watching import WATCHERS, decides, is_deciding, judged_so_far, last_times, left_behind, planned

_COLORS = {Tone.PLAIN: None, Tone.GOOD: C.COLOR_OK, Tone.BAD: C.COLOR_ERROR}
_TICK_SECONDS = 1.0
# The ending also says that a run did not decide PROMOTE, and why.
_VERDICT = ("assert", "fail")


class CallbackModule(Default):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "gates"

    def __init__(self) -> None:
        super().__init__()
        self._progress: Progress | None = None
        self._foot: Foot | None = None
        self._bundles: list[Path] = []
        self._ended = threading.Event()

    # --- calls from the evidence callback ---

    def opened(self, bundle: Path) -> None:
        if self._progress:
            self._bundles.append(bundle)
            index = read_index(bundle)
            if len(self._bundles) == 1:
                self._progress.opened(index.run_id, index.attempt, last_times(bundle), index.settings.get("fleet", ()))
            due = [item for item in index.plan if item.chosen and item.gate not in index.gates]
            self._progress.wait_for((item.host, item.gate) for item in due)

    def recorded(self, bundle: Path, gate: str, host: str) -> None:
        if self._progress:
            status, check = judged_so_far(bundle, gate)
            self._progress.ended(gate, host, status, f"{check.observed} ({check.id})" if check else "")

    def closed(self) -> None:
        if self._progress:
            self._progress.step("all evidence is there; deciding")

    def ending(self) -> None:
        self._ended.set()
        if self._foot:
            self._foot.close()
            self._foot = None

    def ended(self) -> None:
        self._bundles.clear()

    # --- calls from Ansible ---

    def v2_playbook_on_start(self, playbook: Any) -> None:
        if not decides(playbook) or self._display.verbosity > 0:
            super().v2_playbook_on_start(playbook)
            return
        self._progress = Progress(self._say, time.monotonic)
        atexit.register(self._left)
        if wanted(sys.stdout, os.environ) and not C.ANSIBLE_NOCOLOR:
            # Ansible's own lock: its holder writes, prompts, or starts a worker.
            self._foot = Foot(sys.stdout, sys.stderr, self._display._lock)
        self._progress.step("checking what was set")
        WATCHERS.append(self)
        # Ansible starts its workers while it holds the lock that a line is written under.
        threading.Thread(target=self._tick, name="progress", daemon=True).start()

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        if self._progress is None:
            super().v2_runner_on_start(host, task)
            return
        if task.action.rpartition(".")[2] != "gate_commands":
            return
        entry = planned(task)
        if entry:
            self._progress.started(_gate(entry, host))
        elif task.args.get("event") == "probe":
            self._progress.step(f"asking {host.get_name()} what it is")

    def v2_runner_on_ok(self, result: Any) -> None:
        if self._progress is None:
            super().v2_runner_on_ok(result)
        elif result.task.action.rpartition(".")[2] == "debug" and result.result.get("msg"):
            # Messages of debug tasks are for people: why a resume re-runs a gate, what happened to the issue.
            self._progress.step(str(result.result["msg"]))
        elif result.task.action.rpartition(".")[2] == "gate_program" and is_deciding(result.task):
            word, _, record = str(result.result.get("stdout")).partition(" ")
            if Path(record).name == DECISION_JSON:
                self._progress.decided(Path(record).parents[1].name, word)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        if self._progress is None:
            super().v2_runner_on_failed(result, ignore_errors)
        elif not ignore_errors and not _is_verdict(result.task):
            self._broken(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        if self._progress is None:
            super().v2_runner_on_unreachable(result)
        else:
            self._broken(result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self.ending()
        if self._progress is None:
            super().v2_playbook_on_stats(stats)
        else:
            self._display.display("")

    def _broken(self, result: Any) -> None:
        entry = planned(result.task)
        if self._progress and entry:
            self._progress.broken(_gate(entry, result.host), failure_text(result.result))
        elif self._progress:
            # One sentence for each thing to correct; they name commands, so they are not wrapped.
            command = "rc" in result.result  # its message, if any, only says that it failed
            message = failure_text(result.result) if command else str(result.result.get("msg") or "no message")
            for line in message.splitlines():
                self._say(visible(line), Tone.BAD)

    def _left(self) -> None:
        """Called at exit. If the run was interrupted or the evidence callback failed, the decision was not shown."""
        self.ending()
        for line in left_behind(self._bundles):
            self._say(line, Tone.BAD)

    def _say(self, text: str, tone: Tone) -> None:
        self._display.display(text, color=_COLORS[tone])

    def _tick(self) -> None:
        while not self._ended.wait(_TICK_SECONDS):
            if self._progress and not self._live(self._progress):
                self._progress.tick()

    def _live(self, progress: Progress) -> bool:
        """Whether the running gates are shown at the bottom of the terminal."""
        foot, rows = self._foot, progress.rows()
        return foot is not None and foot.show(lambda columns: drawn(rows, progress.elapsed, columns) if rows else [])


def _gate(entry: Mapping[str, Any], host: Any) -> Gate:
    return Gate(entry["id"], entry["name"], entry["title"], host.get_name())


def _is_verdict(task: Any) -> bool:
    return is_deciding(task) and task.action.rpartition(".")[2] in _VERDICT


def _quiet(name: str) -> Any:
    """A hook of the default callback that is called only if its output is what is shown."""
    shown = getattr(Default, name)

    def hook(self: CallbackModule, *args: Any, **kwargs: Any) -> None:
        if self._progress is None:
            shown(self, *args, **kwargs)

    return hook


for _name in [name for name in vars(Default) if name.startswith("v2_") and name not in vars(CallbackModule)]:
    setattr(CallbackModule, _name, _quiet(_name))
