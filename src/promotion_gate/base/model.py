"""The words of a decision: statuses, checks, gates, and the decision itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

DECISION_SCHEMA = 1


class Status(StrEnum):
    """What a check found. Only PASS passes; the order here is the order of precedence in a gate."""

    INVALID = "INVALID"  # unreadable, of another run, or cut where it is judged
    STALE = "STALE"  # kept evidence that no longer counts
    MISSING = "MISSING"  # no or empty evidence
    FAIL = "FAIL"  # evidence read, threshold missed
    BLOCKED = "BLOCKED"  # the command could not do its work
    SKIPPED = "SKIPPED"  # not run: check mode or tags
    PASS = "PASS"


def combined(statuses: Iterable[Status]) -> Status:
    """The status of a gate: the first of the precedence that is present; MISSING where there is none."""
    present = set(statuses)
    return next((status for status in Status if status in present), Status.MISSING)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One threshold of the policy, judged. `details` feeds the rendered summaries, not the JSON record."""

    id: str
    title: str
    status: Status
    expected: str
    observed: str
    evidence: tuple[str, ...]
    unblock: str
    waived: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    # The id of the check whose failure kept this one from passing; `unblock` is its, then.
    cause: str | None = None
    replaced: tuple[Mapping[str, str], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "title": self.title,
            "status": str(self.status),
            "expected": self.expected,
            "observed": self.observed,
            "evidence": list(self.evidence),
            "unblock": self.unblock,
            "waived": self.waived,
            "warnings": list(self.warnings),
            "cause": self.cause,
            "replaced": [dict(item) for item in self.replaced],
        }


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate of the checklist with its checks; `duration_seconds` is the controller's, null if not run."""

    id: int
    name: str
    title: str
    attempt: int
    duration_seconds: float | None
    checks: tuple[CheckResult, ...]

    @property
    def status(self) -> Status:
        if not self.checks:
            return Status.MISSING
        unwaived = [check.status for check in self.checks if not check.waived]
        return combined(unwaived) if unwaived else Status.PASS

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "title": self.title,
            "status": str(self.status),
            "attempt": self.attempt,
            "duration_seconds": self.duration_seconds,
            "checks": [check.as_dict() for check in self.checks],
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """What the bundle proves. PROMOTE only if every gate passes and there is no objection."""

    run_id: str
    root_id: str
    attempt: int
    decided_at: str
    operator: str
    reviewer: str
    ticket: str
    commit: str | None
    branch: str | None
    vm: Mapping[str, str | None]
    policy: Mapping[str, str]
    risks: tuple[Mapping[str, str], ...]
    waivers: tuple[Mapping[str, Any], ...]
    not_judged: tuple[Mapping[str, str], ...]
    gates: tuple[GateResult, ...]
    objections: tuple[str, ...]
    rerun_command: str
    # How the checklist differs from the shipped one of its name; None where none is shipped.
    policy_differences: tuple[Mapping[str, str], ...] | None = None
    workspace_fingerprint: str | None = None
    masks: tuple[Mapping[str, Any], ...] = ()

    @property
    def decision(self) -> str:
        promote = self.gates and not self.objections
        promote = promote and all(gate.status is Status.PASS for gate in self.gates)
        return "PROMOTE" if promote else "HOLD"

    def gate(self, name: str) -> GateResult:
        return next(gate for gate in self.gates if gate.name == name)

    def as_dict(self) -> dict[str, Any]:
        """The content of promotion-decision.json."""
        return {
            "schema": DECISION_SCHEMA,
            "run_id": self.run_id,
            "root_id": self.root_id,
            "attempt": self.attempt,
            "decision": self.decision,
            "decided_at": self.decided_at,
            "operator": self.operator,
            "reviewer": self.reviewer,
            "ticket": self.ticket,
            "commit": self.commit,
            "branch": self.branch,
            "vm": dict(self.vm),
            "workspace": {"fingerprint": self.workspace_fingerprint},
            "policy": dict(self.policy),
            "policy_differences": _plain(self.policy_differences),
            "risks": [dict(risk) for risk in self.risks],
            "waivers": [dict(waiver) for waiver in self.waivers],
            "not_judged": [dict(item) for item in self.not_judged],
            "gates": [gate.as_dict() for gate in self.gates],
            "objections": list(self.objections),
            "rerun_command": self.rerun_command,
            "masks": [dict(mask) for mask in self.masks],
        }


def _plain(differences: tuple[Mapping[str, str], ...] | None) -> list[dict[str, str]] | None:
    return None if differences is None else [dict(item) for item in differences]
