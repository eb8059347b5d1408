"""The backstop: how a run ends. A run that promised a decision is a success only if its sealed record says PROMOTE.

Nothing that a play computes is trusted here: the record is read from disk, verified, and computed again from its
evidence. PROMOTE exists only as a decision file that seal() wrote.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

from promotion_gate.base.files import read_file
from promotion_gate.base.model import Decision, Status
from promotion_gate.base.names import SUMS_FILE
from promotion_gate.bundle.history import read_run
from promotion_gate.prove.verify import verify_bundle
from promotion_gate.report.ending import Beside, ending
from promotion_gate.report.issues import message_of
from promotion_gate.report.judged_line import judged_line


@dataclass(frozen=True, slots=True)
class End:
    """The final message of a run, and whether it decided PROMOTE: anything else must not look like success."""

    text: str
    promotes: bool
    bundle: Path | None = None
    decision: Decision | None = None
    problem: str = ""


_claims = itertools.count()


def claim() -> bool:
    """Whether this is the first call in this process: only one of several evidence callbacks may record."""
    return next(_claims) == 0


class Backstop:
    """Follows a run from the outside: armed, opened, closed, and whether the recorder met an error."""

    def __init__(self, alone: bool = True) -> None:
        """`alone`: whether the playbook has only this run; otherwise the re-run command is printed once for all."""
        self._alone = alone
        self._armed = False
        self._bundle: Path | None = None
        self._attempt = 0
        self._error: str | None = None
        self.is_closed = False

    @property
    def is_waiting(self) -> bool:
        """Whether a decision was promised and no run has been opened yet."""
        return self._armed and self._bundle is None

    def arm(self) -> None:
        self._armed = True

    def opened(self, bundle: Path) -> None:
        self._bundle, self._attempt, self.is_closed = bundle, read_run(bundle).index.attempt, False

    def closed(self) -> None:
        self.is_closed = True

    def failed(self, error: str) -> None:
        self._error = self._error or error

    def end(self) -> End | None:
        """How the run ended; None for a playbook that promised no decision and lost nothing."""
        if not self._armed and self._bundle is None and self._error is None:
            return None
        decision, problem = self._decision()
        if self._error:
            problem = f"the evidence recorder failed ({self._error}); evidence may be missing."
        lines = []
        if self._bundle and decision and (not problem or decision.decision == "HOLD"):
            lines.append(ending(decision.as_dict(), _beside(self._bundle, decision, self._alone)))
        if problem:
            lines.append(f"HOLD: {problem}")
        promotes = decision is not None and decision.decision == "PROMOTE" and not problem
        return End("\n".join(lines), promotes, self._bundle, decision, problem)

    def _decision(self) -> tuple[Decision | None, str]:
        """The decision that the evidence on disk gives, and why the sealed record is not valid; empty if it is."""
        if self._bundle is None:
            return None, "the deciding play did not run, and no bundle was opened."
        if not self.is_closed or not (self._bundle / SUMS_FILE).is_file():
            return None, f"the deciding play did not run; {self._bundle} has no decision."
        report = verify_bundle(self._bundle)
        decision = report.decision
        wrong = [f"{finding.name}: {finding.found}" for finding in report.findings if not finding.holds]
        if wrong or decision is None:
            return decision, f"the record in {self._bundle} does not verify ({'; '.join(wrong)})."
        if decision.attempt != self._attempt:
            return decision, f"the record in {self._bundle} is of attempt {decision.attempt}, not of this run."
        return decision, ""


def _beside(folder: Path, decision: Decision, alone: bool) -> Beside:
    """What readers want besides the record: the line of the evidence that shows each fault."""
    lines = {}
    for check in (check for gate in decision.gates for check in gate.checks):
        if check.status is not Status.PASS and check.evidence:
            text = read_file(folder / check.evidence[0]).data.decode("utf-8", "replace")
            number = judged_line(check.observed, text)
            if number:
                lines[check.id] = number
    return Beside(str(folder), lines, message_of(folder, decision.attempt), alone)
