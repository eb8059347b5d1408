"""A checklist for people: gates, checks, limits and remedies; and what another version of it changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from promotion_gate.base.escape import harmless, visible
from promotion_gate.base.model import Difference
from promotion_gate.base.policy import CheckPolicy, CommandPolicy, GatePolicy, Policy
from promotion_gate.report.render import code, md, sentence

# The unit of a limit, by the kind of check and the name of the limit.
Units = Mapping[tuple[str, str], str]


def text_of_policy(policy: Policy, units: Units) -> str:
    """For a terminal."""
    return "\n".join(map(harmless, _text(policy, units)))


def _text(policy: Policy, units: Units) -> Iterator[str]:
    yield f"{policy.name}: {visible(policy.title)}"
    yield from (f"  {name}: {visible(value)}" for name, value in _frame(policy))
    for gate in policy.gates:
        yield ""
        yield f"gate {gate.id} {gate.name}: {visible(gate.title)}"
        yield f"  runs:     {_runs(gate)}"
        yield from (f"    {visible(_command(command))}" for command in gate.commands)
        yield f"  evidence: {', '.join(gate.evidence)}"
        for check in gate.checks:
            yield ""
            yield f"  {check.id}: {visible(check.title)}{_marks(check)}"
            for name, value in check.limits.items():
                lines = _value(value, units.get((check.check, name), ""))
                yield f"    {name}: {visible(lines[0])}" if len(lines) == 1 else f"    {name}:"
                yield from (f"      {visible(line)}" for line in lines if len(lines) > 1)
            yield from (f"    if it does not pass{_when(hint)}: {visible(to_do)}" for hint, to_do in _remedies(check))


def markdown_of_policy(policy: Policy, units: Units) -> str:
    """As one Markdown page."""
    return "\n".join(_markdown(policy, units))


def _markdown(policy: Policy, units: Units) -> Iterator[str]:
    yield f"# Checklist {code(policy.name)}: {md(policy.title)}\n"
    yield from (f"- {name}: {sentence(value)}" for name, value in _frame(policy))
    for gate in policy.gates:
        yield f"\n## Gate {gate.id}: {md(gate.title)}\n\n{code(gate.name)} runs {md(_runs(gate))}.\n"
        yield from (f"- {code(_command(command))}" for command in gate.commands)
        yield f"{'' if not gate.commands else chr(10)}Evidence: {', '.join(map(code, gate.evidence))}.\n"
        yield "| Check | What must hold | Limits |\n| --- | --- | --- |"
        for check in gate.checks:
            limits = "<br>".join(
                f"{code(name)}: {', '.join(map(code, _value(value, units.get((check.check, name), ''))))}"
                for name, value in check.limits.items()
            )
            yield f"| {_cell(code(check.id))} | {md(check.title + _marks(check))} | {_cell(limits)} |"
        yield "\nIf a check does not pass:\n"
        for check in gate.checks:
            yield from (f"- {code(check.id)}{_when(hint)}: {sentence(to_do)}" for hint, to_do in _remedies(check))


def _cell(text: str) -> str:
    """In a table, even a bar inside a code span ends the cell."""
    return text.replace("|", "\\|")


def _frame(policy: Policy) -> Iterator[tuple[str, str]]:
    """The lines that apply to all gates."""
    yield "decides about", f"each host of the group {policy.subject}"
    bounds = [f"{name} {wanted}" for name, wanted in policy.supported_versions.items()]
    yield "supported versions", "; ".join(bounds) or "any"
    yield "a decision counts for", policy.max_age or "any time, unless `check --max-age` says how long"
    if policy.same_machine:
        yield "workspace and VM", "may be one machine"


def _runs(gate: GatePolicy) -> str:
    count = len(gate.commands)
    what = f"the role {gate.role}" if gate.role else "1 command" if count == 1 else f"{count} commands"
    return f"{what} on {gate.hosts}" + (", with the machine to itself" if gate.alone else "")


def _command(command: CommandPolicy) -> str:
    line = command.run if isinstance(command.run, str) else " ".join(command.run)
    return f"{command.id}: {line} (at most {command.limit_seconds:g} s, into {command.file})"


def _marks(check: CheckPolicy) -> str:
    return (" (of the spec)" if check.spec else "") + (" (may be waived)" if check.waivable else "")


def _value(value: Any, unit: str) -> list[str]:
    """The lines of one limit: one per entry for a list."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [str(item) for item in value] or ["none"]
    shown = {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
    return [f"{shown} {unit}" if unit else shown]


def _remedies(check: CheckPolicy) -> Iterator[tuple[str, str]]:
    """What to do, by the hint of the check, with the general advice last."""
    yield from sorted(check.unblock.items(), key=lambda item: item[0] == "default")


def _when(hint: str) -> str:
    return "" if hint == "default" else f" ({hint.replace('_', ' ')})"


def text_of_differences(found: Sequence[Difference]) -> Iterator[str]:
    """What another checklist changes, one line each. Looser ones come first: a reviewer looks for them."""
    order = ("looser", "dropped", "changed", "added", "tighter")
    for item in sorted(found, key=lambda item: order.index(item.kind)):
        yield f"{item.kind:<8} {visible(_difference(item))}"
    if not found:
        yield "No difference in what is judged."
        return
    counts = {kind: sum(1 for item in found if item.kind == kind) for kind in order}
    yield f"The second checklist: {', '.join(f'{count} {kind}' for kind, count in counts.items() if count)}."


def _difference(item: Difference) -> str:
    if item.kind in ("dropped", "added"):
        return f"{item.what}: {item.shipped or item.policy}"
    if item.shipped and item.policy:
        return f"{item.what}: was {item.shipped}, is now {item.policy}"
    return f"{item.what}: no longer {item.shipped}" if item.shipped else f"{item.what}: now also {item.policy}"
