"""Rules for a checklist as a whole: each gate is judged, names are plain and unique, `needs` form no cycle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from promotion_gate.base.fields import nearest
from promotion_gate.base.mistakes import Mistake
from promotion_gate.base.names import policy_name_problem
from promotion_gate.base.policy import BUILT_IN, GatePolicy, Policy
from promotion_gate.base.yaml_lines import Path


def broken_rules(policy: Policy, known: bool) -> Iterator[Mistake]:
    """Every rule that is broken. `known`: every gate and check has its name, so that `needs` can be followed."""
    for gate in policy.gates:
        yield from _gate(policy, gate)
    yield from _numbers(policy)
    yield from _ids(policy)
    yield from _files(policy)
    if known:
        yield from _needs(policy)


def _gate(policy: Policy, gate: GatePolicy) -> Iterator[Mistake]:
    """Rules within one gate: it has checks and evidence, and `after` names an earlier command."""
    if not gate.checks:
        yield Mistake((*gate.path, "checks"), f'the gate "{gate.name}" has no checks; it could never pass.')
    if not gate.evidence:
        yield Mistake((*gate.path, "evidence"), f'the gate "{gate.name}" requires no evidence; nothing would prove it.')
    for check in gate.checks:
        if check.waivable and gate.hosts == policy.subject:
            yield Mistake(
                (*check.path, "waivable"),
                f'"{check.id}" cannot be waivable: checks of the group that the decision is about ({policy.subject}) '
                "never are.",
            )
    files = [command.file for command in gate.commands]
    for number, name in enumerate(gate.evidence if gate.commands else ()):
        if name not in files:
            hint = nearest(name, files) or f" (they write: {', '.join(dict.fromkeys(files))})."
            yield Mistake((*gate.path, "evidence", number), f'evidence: no command writes "{name}"{hint}')
    seen: list[str] = []
    for number, command in enumerate(gate.commands):
        place: Path = (*gate.path, "commands", number)
        if command.id in seen:
            yield Mistake((*place, "id"), f'duplicate command id "{command.id}".')
        if command.after is not None and command.after not in seen:
            hint = nearest(command.after, seen) or "."
            yield Mistake((*place, "after"), f'after: there is no earlier command "{command.after}"{hint}')
        seen.append(command.id)


def _named(gate: GatePolicy) -> Iterator[tuple[str, Path, str]]:
    """Every file name in a gate: the name, its place, and what it is."""
    for number, name in enumerate(gate.evidence):
        yield name, (*gate.path, "evidence", number), "evidence"
    for number, command in enumerate(gate.commands):
        yield command.file, (*gate.path, "commands", number, "file"), "file"
    yield gate.summary, (*gate.path, "summary"), "summary"
    if gate.notes is not None:
        yield gate.notes, (*gate.path, "notes"), "notes"


def _numbers(policy: Policy) -> Iterator[Mistake]:
    """Each gate has a unique number and name, and the numbers are in order: they say what runs first."""
    seen: set[int | str] = set()
    largest = 0
    for gate in policy.gates:
        if gate.id < largest:
            yield Mistake((*gate.path, "id"), f"gates must be in the order of their ids: {gate.id} is after {largest}.")
        largest = max(largest, gate.id)
        for key, value in (("id", gate.id), ("name", gate.name)):
            if value in seen:
                yield Mistake((*gate.path, key), f'duplicate gate {key} "{value}".')
            seen.add(value)


def _ids(policy: Policy) -> Iterator[Mistake]:
    """Each check has a unique id, which is not that of a built-in one."""
    built_in = {f"{gate.name}.{word}" for gate in policy.gates for word in BUILT_IN}
    seen: set[str] = set()
    for check in policy.checks():
        if check.id in built_in:
            yield Mistake((*check.path, "id"), f'"{check.id}" is the id of a built-in check; choose another.')
        if check.id in seen:
            yield Mistake((*check.path, "id"), f'duplicate check id "{check.id}".')
        seen.add(check.id)


def _files(policy: Policy) -> Iterator[Mistake]:
    """File names are plain and used once, and a file belongs to one gate."""
    owners: dict[str, tuple[str, str]] = {}
    for gate in policy.gates:
        for name, path, what in _named(gate):
            yield from _name(name, path, what)
            # The transcripts of a gate's commands are its evidence, so these two may agree.
            owner = (gate.name, "transcript" if what in ("evidence", "file") else what)
            bare = name.rstrip("/").casefold()
            if owners.setdefault(bare, owner) != owner or (what == "evidence" and gate.evidence.count(name) > 1):
                yield Mistake(path, f'{what}: the name "{name}" is used twice; each file needs its own.')


def _name(name: str, path: Path, what: str) -> Iterator[Mistake]:
    problem = policy_name_problem(name, folder=what == "evidence")
    if problem is None and (what in ("summary", "notes")) != name.endswith(".md"):
        rendered = what in ("summary", "notes")
        problem = "must end in .md" if rendered else "must not end in .md (those are the gate's summaries)"
    if problem:
        yield Mistake(path, f'{what}: "{name[:80]}" {problem}.')


def _needs(policy: Policy) -> Iterator[Mistake]:
    """Each check that is needed exists, and no check needs itself, directly or indirectly."""
    needs = {check.id: check.needs for check in policy.checks()}
    built_in = {f"{gate.name}.{word}" for gate in policy.gates for word in BUILT_IN}
    for check in policy.checks():
        for number, needed in enumerate(check.needs):
            if needed not in needs and needed not in built_in:
                hint = nearest(needed, [*needs, *built_in]) or "."
                yield Mistake(
                    (*check.path, "needs", number), f'{check.id} needs "{needed}", which is not a check{hint}'
                )
    while circle := _circle(needs):
        first = next(check for check in policy.checks() if check.id == circle[0])
        yield Mistake((*first.path, "needs"), f"needs form a cycle: {' > '.join(reversed(circle))}.")
        needs[circle[0]] = ()


def _circle(needs: Mapping[str, tuple[str, ...]]) -> list[str]:
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        return [str(name) for name in error.args[1]]
    return []
