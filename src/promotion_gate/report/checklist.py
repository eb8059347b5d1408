"""A checklist as people read it: gates, checks, limits, remedies."""

from __future__ import annotations

from collections.abc import Iterator

from promotion_gate.base.escape import harmless, visible
from promotion_gate.base.policy import CheckPolicy, GatePolicy, Policy
from promotion_gate.report.render import md, sentence


def text_of_policy(policy: Policy) -> str:
    """For a terminal."""
    return "\n".join(map(harmless, _text(policy)))


def _text(policy: Policy) -> Iterator[str]:
    yield f"{policy.name}: {visible(policy.title)}"
    for gate in policy.gates:
        yield ""
        yield f"gate {gate.id} {gate.name}: {visible(gate.title)}"
        yield f"  runs:     {_runs(gate)}"
        yield f"  evidence: {', '.join(gate.evidence)}"
        for check in gate.checks:
            yield f"  {check.id}: {visible(check.title)}{_marks(check)}"
            if check.limits:
                yield f"    limits:  {visible(_limits(check))}"
            for hint, remedy in check.unblock.items():
                yield f"    unblock: {'' if hint == 'default' else f'({hint}) '}{visible(remedy)}"


def markdown_of_policy(policy: Policy) -> str:
    """As one Markdown page."""
    return "\n".join(_markdown(policy))


def _markdown(policy: Policy) -> Iterator[str]:
    yield f"# Checklist {md(policy.name)}: {md(policy.title)}"
    for gate in policy.gates:
        yield f"\n## Gate {gate.id}: {md(gate.title)}\n\n{md(gate.name)} runs {md(_runs(gate))}.\n"
        yield f"Evidence: {md(', '.join(gate.evidence))}.\n"
        yield "| Check | What | Limits | To unblock |\n| --- | --- | --- | --- |"
        for check in gate.checks:
            remedy = " / ".join(sentence(text) for text in check.unblock.values()).replace("|", "\\|")
            yield f"| {md(check.id)} | {md(check.title + _marks(check))} | {md(_limits(check))} | {remedy} |"


def _runs(gate: GatePolicy) -> str:
    what = f"the role {gate.role}" if gate.role else f"{len(gate.commands)} commands"
    return f"{what} on {gate.hosts}" + (", with the machine to itself" if gate.alone else "")


def _marks(check: CheckPolicy) -> str:
    return (", of the spec" if check.spec else "") + (", may be waived" if check.waivable else "")


def _limits(check: CheckPolicy) -> str:
    return ", ".join(f"{name} {value}" for name, value in check.limits.items())
