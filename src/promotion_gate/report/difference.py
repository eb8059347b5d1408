"""The differences between the decisions of two bundles: checks, limits, and what they are about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promotion_gate.base.escape import visible
from promotion_gate.base.model import CheckResult, Decision, Difference
from promotion_gate.base.typed import plain
from promotion_gate.report.checklist import text_of_differences

_ORDER = ("newly failing", "still failing", "fixed", "added", "dropped", "changed", "same")


@dataclass(frozen=True, slots=True)
class CheckChange:
    """One check in both bundles: its status, and its figure or what was observed; empty where a bundle lacks it."""

    id: str
    before: str
    after: str
    seen_before: str
    seen_after: str

    @property
    def kind(self) -> str:
        """`still failing`: it passes in neither bundle. `changed`: it passes in both, with another figure."""
        if not self.before or not self.after:
            return "dropped" if self.before else "added"
        passes = (self.before == "PASS", self.after == "PASS")
        if passes == (True, True):
            return "same" if self.seen_before == self.seen_after else "changed"
        return {(True, False): "newly failing", (False, True): "fixed", (False, False): "still failing"}[passes]


@dataclass(frozen=True, slots=True)
class BundleDifference:
    """Two decisions side by side. `moved` is what changed about their subject: old and new value by name."""

    before: Decision
    after: Decision
    checks: tuple[CheckChange, ...]
    moved: Mapping[str, tuple[str, str]]
    limits: tuple[Difference, ...]

    @property
    def worse(self) -> bool:
        """Whether something fails that passed before or did not exist."""
        return any(c.kind == "newly failing" or (c.kind == "added" and c.after != "PASS") for c in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """The output of `diff --json`."""
        return {
            "before": {"run_id": self.before.run_id, "decision": self.before.decision},
            "after": {"run_id": self.after.run_id, "decision": self.after.decision},
            "checks": [{"kind": check.kind, **plain(check)} for check in self.checks],
            "moved": {name: {"before": old, "after": new} for name, (old, new) in self.moved.items()},
            "limits": [{"kind": i.kind, "what": i.what, "before": i.shipped, "after": i.policy} for i in self.limits],
        }


def compared(before: Decision, after: Decision, limits: Sequence[Difference]) -> BundleDifference:
    """`limits`: how the checklist of the second bundle differs from that of the first."""
    old, new = ({check.id: check for gate in one.gates for check in gate.checks} for one in (before, after))
    checks = [
        CheckChange(name, _status(old.get(name)), _status(new.get(name)), _seen(old.get(name)), _seen(new.get(name)))
        for name in dict.fromkeys([*old, *new])
    ]
    subjects = {
        "commit": (before.commit, after.commit),
        "branch": (before.branch, after.branch),
        "VM": (before.vm.name, after.vm.name),
        "machine of the VM": (before.vm.fingerprint, after.vm.fingerprint),
        "machine of the workspace": (before.workspace.fingerprint, after.workspace.fingerprint),
        "ticket": (before.ticket, after.ticket),
        "operator": (before.operator, after.operator),
        "policy": (before.policy.sha256, after.policy.sha256),
    }
    moved = {name: (str(a or "unknown"), str(b or "unknown")) for name, (a, b) in subjects.items() if a != b}
    return BundleDifference(before, after, tuple(checks), moved, tuple(limits))


def _status(check: CheckResult | None) -> str:
    return "" if check is None else f"{check.status}{' (waived)' if check.waived else ''}"


def _seen(check: CheckResult | None) -> str:
    return "" if check is None else check.figure or check.observed


def text_of_difference(found: BundleDifference) -> Iterator[str]:
    """Lines for a terminal: what fails now comes first."""
    for letter, one in (("A", found.before), ("B", found.after)):
        yield f"{letter}  {visible(one.run_id)}  {one.decision:<7}  decided {one.decided_at}"
    for name, (old, new) in found.moved.items():
        yield f"{name}: {visible(old[:40])} -> {visible(new[:40])}"
    if found.limits:
        yield ""
        yield from (
            line.replace("The second checklist", "The checklist of B") for line in text_of_differences(found.limits)
        )
    by_kind = {kind: [check for check in found.checks if check.kind == kind] for kind in _ORDER}
    for kind in _ORDER[:-1]:
        if by_kind[kind]:
            yield ""
            yield f"{kind}:"
            yield from (line for check in by_kind[kind] for line in _lines(check))
    yield ""
    counts = [f"{len(checks)} {kind}" for kind, checks in by_kind.items() if checks]
    yield f"Checks: {', '.join(counts)}."


def _lines(check: CheckChange) -> Iterator[str]:
    if check.before == check.after == "PASS":
        yield f"  {check.id}: {visible(check.seen_before)} -> {visible(check.seen_after)}"
        return
    yield f"  {check.id}: {' -> '.join(filter(None, (check.before, check.after)))}"
    seen = {
        "A": check.seen_before if check.before != "PASS" else "",
        "B": check.seen_after if check.after != "PASS" else "",
    }
    if seen["A"] and seen["A"] == seen["B"]:
        yield f"    both: {visible(seen['A'])}"
        return
    yield from (f"    {letter}: {visible(text)}" for letter, text in seen.items() if text)
