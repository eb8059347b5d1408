"""Progress of a run as it happens: the evidence callback reports it, the view on the terminal listens.

A watcher only displays: an exception in one does not affect the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from promotion_gate.base.errors import GateError
from promotion_gate.base.model import CheckResult, Status
from promotion_gate.base.names import ATTEMPTS
from promotion_gate.base.times import stamp, utc_now
from promotion_gate.bundle.history import is_sealed, run_folders
from promotion_gate.bundle.index import read_index
from promotion_gate.bundle.load import load_bundle
from promotion_gate.judge.decide import decide

# How many earlier runs are searched for the time of a gate.
_EARLIER = 5
# Statuses that a gate reaches by itself; others may be due to a gate that has not finished yet.
_SEEN = (Status.FAIL, Status.BLOCKED)


class Watcher(Protocol):
    def opened(self, bundle: Path) -> None:
        """A run was opened, or opened again, in this folder."""

    def recorded(self, bundle: Path, gate: str, host: str) -> None:
        """The evidence of a gate is on disk."""

    def closed(self) -> None:
        """Everything is recorded; the decision is next."""

    def ending(self) -> None:
        """The run ends here and now: the next output is the last."""

    def ended(self) -> None:
        """The evidence callback has printed how the run ended."""


WATCHERS: list[Watcher] = []


def decides(playbook: Any) -> bool:
    """Whether a playbook promises a decision."""
    return any("promotion_gate_decides" in play.get_vars() for play in playbook.get_plays())


def planned(task: Any) -> Mapping[str, Any] | None:
    """The entry of the plan that a task belongs to: the loop item of roles/gate_common/tasks/wave.yml."""
    found = task.get_vars().get("gate_common_planned")
    return found if isinstance(found, Mapping) else None


def is_deciding(task: Any) -> bool:
    """Whether a task belongs to the role that closes, decides and seals: what goes wrong in it is not evidence.

    Tasks of a gate are evidence, whatever its role is called.
    """
    role = str(task._role.get_name() if task._role else "")
    return planned(task) is None and role.rpartition(".")[2] == "gate_decision"


def tell(action: Callable[[Watcher], None]) -> None:
    for watcher in WATCHERS:
        try:
            action(watcher)
        except Exception:
            continue


def judged_so_far(folder: Path, gate: str) -> tuple[Status, CheckResult | None]:
    """The status of a gate that has finished in a run that has not, and the check that decided it; None for a PASS.

    It is only for display: the decision is made when all evidence is there.
    """
    bundle = load_bundle(folder)
    now = stamp(utc_now())
    result = decide(replace(bundle, index=replace(bundle.index, state="closed", evaluated_at=now))).gate(gate)
    failed = [check for check in result.checks if check.status is not Status.PASS and not check.waived]
    seen = [check for check in failed if check.status in _SEEN]
    decided = [check for check in seen if not check.cause] or seen or failed
    return result.status, decided[0] if decided else None


def left_behind(bundles: Sequence[Path]) -> Iterator[str]:
    """What is told of the bundles of a run whose end was not shown."""
    left = [bundle for bundle in bundles if not is_sealed(bundle)]
    for bundle in bundles:
        if bundle not in left:
            yield f"HOLD: the decision was not shown; ask: promotion-gate check {bundle}"
    for bundle in left:
        resume = " Resume it with: -e promotion_resume=latest" if bundle == left[-1] else ""
        yield f"HOLD: interrupted; {bundle} is open and decides nothing.{resume}"


def last_times(folder: Path) -> dict[str, float]:
    """By gate, the seconds that it took when it last ran, in this run or the newest ones before it."""
    found: dict[str, float] = {}
    attempts = sorted((folder / ATTEMPTS).glob("[0-9]*"))
    earlier = [run for run in run_folders(folder.parent) if run != folder]
    for run in [folder, *reversed([*earlier[-_EARLIER:], *attempts])]:
        with suppress(GateError):  # an unreadable run is skipped
            for gate, record in read_index(run).gates.items():
                found.setdefault(gate, record.duration_ns / 1e9)
    return found
