"""The runs that a playbook records into: one, or one for each host that gets a decision.

What goes wrong in one run counts against that run alone, unless it cannot be attributed to any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promotion_gate.base.errors import GateError
from promotion_gate.base.escape import described
from promotion_gate.bundle.fleet import fleet_root_of
from promotion_gate.bundle.index import Probe
from promotion_gate.bundle.recorder import Recorder
from promotion_gate.report.render import load_templates
from promotion_gate.run.backstop import Backstop, End
from promotion_gate.run.fleet_end import end_of_fleet
from promotion_gate.run.lock import RunLock
from promotion_gate.run.opening import abandon
from promotion_gate.run.probing import probe_of, record_probes

# Who is told that a recorder failed, besides the bundle.
Report = Callable[[str, Exception], None]


@dataclass(slots=True)
class _Followed:
    """One run; without a recorder its bundle stays as an earlier run left it."""

    bundle: Path
    recorder: Recorder | None
    backstop: Backstop

    @property
    def records(self) -> bool:
        return self.recorder is not None and not self.backstop.is_closed


def _hosts(run: _Followed) -> set[str]:
    return {planned.host for planned in run.recorder.index.plan} if run.recorder else set()


class Following:
    """Follows the runs of one playbook from the outside, to their end."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._runs: dict[Path, _Followed] = {}
        self._locks: dict[Path, RunLock] = {}
        self._fleet: Path | None = None
        self._answers: dict[str, Probe] = {}  # of hosts, not recorded yet
        self._none = Backstop()  # messages from before a run is open

    @property
    def is_waiting(self) -> bool:
        """Whether a decision was promised and no run has been opened yet."""
        return self._none.is_waiting and not self._runs

    def arm(self) -> None:
        self._none.arm()

    def open(self, bundle: Path, called: Mapping[str, Any], known: Iterable[str]) -> bool:
        """Starts recording into a bundle; returns whether it is the first. Raises GateError if another was faster."""
        first = not self._runs
        self._fleet = fleet_root_of(bundle) or self._fleet
        try:
            for root in filter(None, (self._fleet, bundle.parent)):
                if root not in self._locks:
                    self._locks[root] = RunLock(root, bundle.name)
        except GateError:
            # Another run was faster, and nothing may be added to it.
            for opened in self._fleet.glob(f"*/{bundle.name}") if self._fleet else [bundle]:
                abandon(opened)
            raise
        self._follow(bundle, Recorder(bundle, called, known))
        return first

    def close(self, bundle: Path) -> bool:
        """Ends collecting into a bundle; returns whether it was the last that was collected into.

        A bundle that was not opened, or is closed already, stays as it is.
        """
        if not self._runs:
            return False  # a bundle that was not opened here is not ours
        self.record_probes()
        if not any(run.backstop.is_closed for run in self._runs.values()):
            with suppress(Exception):  # whoever renders finds out why
                load_templates()
        run = self._runs.get(bundle) or self._follow(bundle)
        if not run.records:
            run.backstop.closed()
            return False
        self._each([run], lambda recorder: recorder.close())
        run.backstop.closed()
        return not self._recording()

    def trip(self, evidence: Mapping[str, Any], host: str, known: Iterable[str]) -> Path | None:
        """Records the result of a gate into each bundle that waits for it; returns one of them."""
        self.record_probes()
        taking = self._awaiting(str(evidence.get("gate")), host)
        self._each(taking or self._of(host), lambda recorder: recorder.trip(evidence, host, known))
        return taking[0].bundle if taking else None

    def event(self, kind: str, gate: str | None, host: str, task: str, message: str) -> None:
        self.record_probes()
        taking = self._awaiting(gate, host) if gate else []
        self._each(taking or self._of(host), lambda recorder: recorder.event(kind, gate, host, task, message))

    def probe(self, host: str, result: Mapping[str, Any]) -> None:
        """Takes the answer of a host; record_probes() records it."""
        self._answers[host] = probe_of(result)

    def record_probes(self) -> None:
        """Each bundle records all hosts: they determine which gates disturb one another and which names are aliases.

        All answers at once, as the next task starts: with each answer in each bundle, a run would write its indexes as
        often as the square of its number of hosts.
        """
        answers, self._answers = self._answers, {}
        if answers:
            self._each(self._recording(), lambda recorder: record_probes(recorder, answers))

    def failed(self, error: str) -> None:
        """Something went wrong that belongs to no single run: it counts against all that are still collected into.

        Where everything has been collected, it counts against all of them.
        """
        self._none.failed(error)
        for run in self._recording() or self._runs.values():
            run.backstop.failed(error)
            if run.recorder and run.records:
                with suppress(Exception):  # the backstop has it
                    run.recorder.error(error)

    def end(self) -> End | None:
        """How the runs ended; None for a playbook that promised no decision and lost nothing."""
        if not self._runs:
            return self._none.end()
        ends = [end for run in self._runs.values() if (end := run.backstop.end())]
        # Whatever became of fleet.json: several runs are promoted only if each of them is.
        root = self._fleet or (next(iter(self._runs)).parent.parent if len(self._runs) > 1 else None)
        return end_of_fleet(root, ends) if root else ends[0]

    def _follow(self, bundle: Path, recorder: Recorder | None = None) -> _Followed:
        run = self._runs[bundle] = _Followed(bundle, recorder, Backstop(alone=self._fleet is None))
        run.backstop.opened(bundle)
        return run

    def _recording(self) -> list[_Followed]:
        return [run for run in self._runs.values() if run.records]

    def _of(self, host: str) -> list[_Followed]:
        """The runs that a host is part of; all of them for a host that is not in any plan, such as this machine.

        Only those that are still collected into: what happens later is no evidence.
        """
        mine = [run for run in self._runs.values() if host in _hosts(run)]
        return [run for run in mine or self._runs.values() if run.records]

    def _awaiting(self, gate: str, host: str) -> list[_Followed]:
        """The runs of a host whose newest attempt collects a gate; the others keep that of an earlier one."""
        return [run for run in self._of(host) if run.recorder and run.recorder.index.awaits(gate)]

    def _each(self, runs: Iterable[_Followed], action: Callable[[Recorder], None]) -> None:
        for run in runs:
            assert run.recorder is not None
            try:
                action(run.recorder)
            except Exception as error:
                message = described(error)
                run.backstop.failed(message)
                self._report(message, error)
                with suppress(Exception):  # the backstop has it
                    run.recorder.error(message)
