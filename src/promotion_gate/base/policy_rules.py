"""What holds in a checklist as a whole: each gate is judged, names are plain and used once, `needs` go in no circle."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from promotion_gate.base.fields import nearest
from promotion_gate.base.names import policy_name_problem
from promotion_gate.base.policy import BUILT_IN, GatePolicy, Policy
from promotion_gate.base.yaml_lines import Path


def check_rules(policy: Policy) -> None:
    """Raises InputError with file, line, column and field for the first thing that does not hold."""
    for gate in policy.gates:
        _check_gate(policy, gate)
    _check_unique(policy)
    _check_needs(policy)


def _check_gate(policy: Policy, gate: GatePolicy) -> None:
    """What holds within one gate: something judges it, something proves it, and every name is a plain one."""
    if not gate.checks:
        raise policy.fail(f'the gate "{gate.name}" has no checks; it could never pass.', (*gate.path, "checks"))
    if not gate.evidence:
        raise policy.fail(
            f'the gate "{gate.name}" requires no evidence; nothing would prove it.', (*gate.path, "evidence")
        )
    for check in gate.checks:
        if check.waivable and gate.hosts == policy.subject:
            raise policy.fail(
                f'"{check.id}" cannot be waivable: checks of the group that the decision is about ({policy.subject}) '
                "never are.",
                (*check.path, "waivable"),
            )
    seen: list[str] = []
    for number, command in enumerate(gate.commands):
        place: Path = (*gate.path, "commands", number)
        if command.id in seen:
            raise policy.fail(f'duplicate command id "{command.id}".', (*place, "id"))
        if command.after is not None and command.after not in seen:
            hint = nearest(command.after, seen) or "."
            raise policy.fail(f'after: there is no earlier command "{command.after}"{hint}', (*place, "after"))
        seen.append(command.id)


def _named(gate: GatePolicy) -> Iterator[tuple[str, Path, str]]:
    """Every file name that a gate gives: the name, where it stands, and what it is."""
    for number, name in enumerate(gate.evidence):
        yield name, (*gate.path, "evidence", number), "evidence"
    for number, command in enumerate(gate.commands):
        yield command.file, (*gate.path, "commands", number, "file"), "file"
    yield gate.summary, (*gate.path, "summary"), "summary"
    if gate.notes is not None:
        yield gate.notes, (*gate.path, "notes"), "notes"


def _check_unique(policy: Policy) -> None:
    """Numbers, names, ids and files: each once, and a file belongs to one gate."""
    ids: dict[str, str] = {}
    numbers: set[int] = set()
    names: set[str] = set()
    owners: dict[str, tuple[str, str]] = {}
    for gate in policy.gates:
        if gate.id in numbers or gate.name in names:
            key = "id" if gate.id in numbers else "name"
            value = gate.id if key == "id" else gate.name
            raise policy.fail(f'duplicate gate {key} "{value}".', (*gate.path, key))
        numbers.add(gate.id)
        names.add(gate.name)
        for check in gate.checks:
            if check.id in ids:
                raise policy.fail(f'duplicate check id "{check.id}".', (*check.path, "id"))
            ids[check.id] = gate.name
        for name, path, what in _named(gate):
            _check_name(policy, name, path, what)
            # The transcripts of a gate's commands are its evidence, so these two may agree.
            owner = (gate.name, "transcript" if what in ("evidence", "file") else what)
            bare = name.rstrip("/").casefold()
            if owners.setdefault(bare, owner) != owner or (what == "evidence" and gate.evidence.count(name) > 1):
                raise policy.fail(f'{what}: the name "{name}" is used twice; each file has its own.', path)
    for gate in policy.gates:
        for word in BUILT_IN:
            if f"{gate.name}.{word}" in ids:
                entry = next(check for check in policy.checks() if check.id == f"{gate.name}.{word}")
                raise policy.fail(f'"{entry.id}" is the id of a built-in check; choose another.', (*entry.path, "id"))


def _check_name(policy: Policy, name: str, path: Path, what: str) -> None:
    problem = policy_name_problem(name, folder=what == "evidence")
    if problem is None and (what in ("summary", "notes")) != name.endswith(".md"):
        rendered = what in ("summary", "notes")
        problem = "must end in .md" if rendered else "must not end in .md (those are the gate's summaries)"
    if problem:
        raise policy.fail(f'{what}: "{name[:80]}" {problem}.', path)


def _check_needs(policy: Policy) -> None:
    """Each check that is needed exists, and no check needs itself, however far around."""
    needs = {check.id: check.needs for check in policy.checks()}
    built_in = {f"{gate.name}.{word}" for gate in policy.gates for word in BUILT_IN}
    for check in policy.checks():
        for number, needed in enumerate(check.needs):
            if needed not in needs and needed not in built_in:
                hint = nearest(needed, [*needs, *built_in]) or "."
                raise policy.fail(
                    f'{check.id} needs "{needed}", which is no check{hint}', (*check.path, "needs", number)
                )
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        circle = [str(name) for name in error.args[1]]
        first = next(check for check in policy.checks() if check.id == circle[0])
        raise policy.fail(f"needs go in a circle: {' > '.join(reversed(circle))}.", (*first.path, "needs")) from None
