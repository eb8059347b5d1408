"""The words of a decision: statuses, checks, gates, and the decision itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Literal, TypedDict

from promotion_gate.base.typed import UNRECORDED, Number, Sha256, Stamp, plain, recorded

DECISION_SCHEMA: Literal[1] = 1
# How often a run may be resumed; a seal is kept of each attempt.
MAX_ATTEMPTS = 999
AttemptNumber = Annotated[int, Number(1, MAX_ATTEMPTS)]


class Status(StrEnum):
    """What a check found. Only PASS passes; the order here is the order of precedence in a gate."""

    INVALID = "INVALID"  # unreadable, of another run, or cut where it is judged
    STALE = "STALE"  # kept evidence that no longer counts
    MISSING = "MISSING"  # evidence missing or empty
    FAIL = "FAIL"  # evidence read, threshold missed
    BLOCKED = "BLOCKED"  # the command could not do its work
    SKIPPED = "SKIPPED"  # not run: check mode or tags
    PASS = "PASS"


def combined(statuses: Iterable[Status]) -> Status:
    """The status of a gate: the most serious one present; MISSING if there is none."""
    present = set(statuses)
    return next((status for status in Status if status in present), Status.MISSING)


class Risk(TypedDict):
    """A known risk and what was done about it."""

    risk: str
    mitigation: str


class Waiver(TypedDict):
    """A check that a person answers for, for a limited time."""

    check: str
    reason: str
    owner: str
    ticket: str
    expires: str


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """The checklist of the run: where it was read from, its digest, and that of the shipped one of the same name."""

    path: str
    sha256: Sha256
    shipped_sha256: Sha256 | None = None


@dataclass(frozen=True, slots=True)
class Mask:
    """How often a redaction rule masked something in a file."""

    rule: str
    file: str
    count: Annotated[int, Number(1)]


@dataclass(frozen=True, slots=True)
class Replaced:
    """A command other than the checklist's: what the checklist says, and what ran."""

    command: str
    meant: str
    ran: str


DifferenceKind = Literal["dropped", "added", "tighter", "looser", "changed"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between a checklist and the shipped one of the same name."""

    kind: DifferenceKind
    what: str
    shipped: str
    policy: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One threshold of the policy, judged. `details` is only for the rendered summaries."""

    id: str
    title: str
    status: Status
    expected: str
    observed: str
    evidence: tuple[str, ...]
    unblock: str
    waived: bool = False
    details: Mapping[str, Any] = field(default_factory=dict, metadata=UNRECORDED)
    warnings: tuple[str, ...] = ()
    cause: Annotated[str | None, "the check whose failure kept this one from passing; unblock it first"] = None
    replaced: tuple[Replaced, ...] = ()
    figure: Annotated[str, "the number that decided, with its limit, in a few words; empty where there is none"] = ""


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate of the checklist with its checks; `duration_seconds` is the controller's, null if not run."""

    id: int
    name: str
    title: str
    attempt: AttemptNumber
    duration_seconds: float | None
    checks: tuple[CheckResult, ...]

    @property
    @recorded
    def status(self) -> Status:
        if not self.checks:
            return Status.MISSING
        unwaived = [check.status for check in self.checks if not check.waived]
        return combined(unwaived) if unwaived else Status.PASS


_NAMES_A_GATE = re.compile(r"Gate [0-9]+ did not pass: ")


def did_not_pass(gate: GateResult, checks: str) -> str:
    """The objection that names a gate which did not pass."""
    return f"Gate {gate.id} did not pass: {gate.status} ({checks})."


def beside_gates(objections: Iterable[str]) -> tuple[str, ...]:
    """The objections without those of did_not_pass(): the checks of those gates say it already."""
    return tuple(text for text in objections if not _NAMES_A_GATE.match(text))


class JudgedWaiver(Waiver):
    """A waiver with its state."""

    state: Literal["applied", "unneeded", "expired", "refused"]


@dataclass(frozen=True, slots=True)
class NotJudged:
    """A check that the operator switched off."""

    id: str
    title: str
    reason: str


@dataclass(frozen=True, slots=True)
class Machine:
    """The VM: its inventory name, and the fingerprint of the machine; null where it is not known."""

    name: str | None
    fingerprint: str | None


@dataclass(frozen=True, slots=True)
class Workspace:
    """The machine that gates 1, 2 and 5 ran on."""

    fingerprint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the bundle proves, as promotion-decision.json has it. PROMOTE only if every gate passes and there is no
    objection."""

    schema: Literal[1] = DECISION_SCHEMA
    run_id: str
    root_id: str
    attempt: AttemptNumber
    decided_at: Stamp
    operator: str
    reviewer: str
    ticket: str
    commit: str | None
    branch: str | None
    vm: Machine
    workspace: Workspace
    versions: Annotated[Mapping[str, str], "of the components on the VM, as it reported them"]
    policy: PolicyRecord
    policy_differences: Annotated[
        tuple[Difference, ...] | None, "from the shipped checklist of its name; null where none is shipped"
    ]
    risks: tuple[Risk, ...]
    waivers: tuple[JudgedWaiver, ...]
    not_judged: tuple[NotJudged, ...]
    gates: tuple[GateResult, ...]
    objections: tuple[str, ...]
    rerun_command: str
    masks: Annotated[tuple[Mask, ...], "how often which rule of the redaction masked something in which file"]

    @property
    @recorded
    def decision(self) -> Literal["PROMOTE", "HOLD"]:
        promote = self.gates and not self.objections
        promote = promote and all(gate.status is Status.PASS for gate in self.gates)
        return "PROMOTE" if promote else "HOLD"

    def gate(self, name: str) -> GateResult:
        return next(gate for gate in self.gates if gate.name == name)

    def as_dict(self) -> dict[str, Any]:
        """The content of promotion-decision.json."""
        content: dict[str, Any] = plain(self)
        return content
