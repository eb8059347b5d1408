"""The findings of verify, as a report for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from promotion_gate.base.escape import visible
from promotion_gate.base.model import Decision
from promotion_gate.base.typed import UNRECORDED, plain

UNSIGNED = "there is none"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked: its name, whether it holds, what was found, and what to do if it does not hold."""

    name: str
    holds: bool
    found: str
    advice: str = field(default="", metadata=UNRECORDED)


@dataclass(frozen=True, slots=True)
class Printed:
    """A report as `verify --json` prints it."""

    bundle: str
    verified: bool
    decision: Literal["PROMOTE", "HOLD"] | None
    signer: str | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """The result of verify. `decision` is what the evidence gives, None if that cannot be determined."""

    bundle: str
    findings: tuple[Finding, ...]
    decision: Decision | None = None
    signer: str | None = None
    # The age after which `check` no longer accepts a decision; None if the checklist sets no limit.
    max_age: str | None = None

    @property
    def checklist(self) -> str:
        """The finding about the checklist; empty if there is none."""
        return next((finding.found for finding in self.findings if finding.name == "checklist"), "")

    @property
    def holds(self) -> bool:
        return self.holds_but("")

    def holds_but(self, name: str) -> bool:
        """Whether all findings except this one hold."""
        return bool(self.findings) and all(finding.holds or finding.name == name for finding in self.findings)

    @property
    def problem(self) -> str:
        """The first finding that does not hold, as one sentence; empty if all hold."""
        bad = [finding for finding in self.findings if not finding.holds]
        return f"{bad[0].name}: {bad[0].found}" if bad else ""

    @property
    def advice(self) -> str:
        """What to do about that finding, as one sentence; empty if there is nothing particular to do."""
        return next((finding.advice for finding in self.findings if not finding.holds), "")

    @property
    def signed(self) -> str:
        """Who signed SHA256SUMS, in words; empty if it is not signed or the signature does not hold."""
        found = next((f for f in self.findings if f.name == "signature" and f.holds), None)
        return "" if found is None or found.found.startswith(UNSIGNED) else found.found

    def as_dict(self) -> dict[str, Any]:
        decision = self.decision.decision if self.decision else None
        content: dict[str, Any] = plain(Printed(self.bundle, self.holds, decision, self.signer, self.findings))
        return content

    def lines(self) -> Iterator[str]:
        for finding in self.findings:
            yield f"{'ok' if finding.holds else 'FAILED':<7} {visible(finding.name)}: {visible(finding.found)}"
        what = f", the decision is {self.decision.decision}" if self.decision and self.holds else ""
        yield f"{'VERIFIED' if self.holds else 'NOT VERIFIED'} {visible(self.bundle)}{what}"
        if self.advice:
            yield f"  next: {visible(self.advice)}"
