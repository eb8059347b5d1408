"""The checklists that come with this package, and how another one of the same name differs from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

from promotion_gate.base.files import sha256
from promotion_gate.base.limits import Limit
from promotion_gate.base.mistakes import FileMistakes, Mistake
from promotion_gate.base.model import Difference, DifferenceKind, PolicyRecord
from promotion_gate.base.names import POLICY_FILE
from promotion_gate.base.policy import CheckPolicy, CommandPolicy, Examined, GatePolicy, Policy, all_named
from promotion_gate.base.policy_reading import examine, load_policy
from promotion_gate.base.times import parse_duration
from promotion_gate.base.typed import plain
from promotion_gate.judge.checks.case import CHECKS
from promotion_gate.judge.checks.registry import unusable


def shipped_checklist(name: str) -> str | None:
    """The text of the shipped checklist of that name, or None. `name` is a plain word, as load_policy() requires."""
    path = resources.files("promotion_gate").joinpath("policies", f"{name}.yml")
    return path.read_text(encoding="utf-8") if path.is_file() else None


def shipped_policy(name: str) -> Policy | None:
    text = shipped_checklist(name)
    return (
        None if text is None else load_policy(text, POLICY_FILE)
    )  # the name of the copy in a bundle, so that it is parsed once


def read_policy(text: str, name: str) -> Policy:
    """A policy file's text as a Policy that a run accepts.

    Its checks exist, their limits are valid, and if it has the name of a shipped checklist it contains all of the spec.
    Raises InputError with file, line, column and field, one sentence per mistake.
    """
    examined, mistakes = examine_policy(text, name)
    return examined.sound(mistakes)


def examine_policy(text: str, name: str) -> tuple[Examined, FileMistakes]:
    """The same as far as the text can be read, with everything that a run would refuse.

    Raises InputError if it is not a checklist of this schema at all.
    """
    examined = examine(text, name)
    mistakes = examined.mistakes
    mistakes.add_all(unusable(examined.policy))
    # If a name is wrong, the intended one is not reported as missing as well.
    named = all_named(mistakes) and not any(mistake.path[-1] in ("name", "id") for mistake in mistakes.found)
    if named and text != shipped_checklist(examined.policy.name):
        shipped = shipped_policy(examined.policy.name)
        mistakes.add_all(_lacking(examined.policy, shipped) if shipped else ())
    return examined, mistakes


def policy_record(path: str, text: str, shipped: str | None) -> PolicyRecord:
    """The record of a policy: where it was read from, its digest, and that of the shipped one of the same name."""
    return PolicyRecord(path, sha256(text.encode()), None if shipped is None else sha256(shipped.encode()))


def check_spec(policy: Policy, shipped: Policy) -> None:
    """Checks that a policy with the name of a shipped checklist contains what that one marks as the spec's.

    Raises InputError with a sentence for everything that is missing.
    """
    FileMistakes(policy.marks, _lacking(policy, shipped)).stop()


def _lacking(policy: Policy, shipped: Policy) -> Iterator[Mistake]:
    gates = {gate.name: gate for gate in policy.gates}
    checks = {check.id: (gate, check) for gate in policy.gates for check in gate.checks}
    also = f"a checklist named {shipped.name} holds all of the spec. Put it back, or give the checklist another name."
    for wanted in shipped.gates:
        gate = gates.get(wanted.name)
        if gate is None:
            yield Mistake(("gates",), f"the gate {wanted.name} is missing; {also}")
            continue
        for key in ("id", "role", "hosts"):
            if getattr(gate, key) != getattr(wanted, key):
                yield Mistake((*gate.path, key), f"{key} of {wanted.name} must be {getattr(wanted, key)}; {also}")
        for name in wanted.evidence:
            if name not in gate.evidence:
                yield Mistake((*gate.path, "evidence"), f"the evidence {name} of {wanted.name} is missing; {also}")
        for check in wanted.checks:
            if check.spec:
                yield from _lacking_check(gate, check, checks.get(check.id), also)


def _lacking_check(
    gate: GatePolicy, wanted: CheckPolicy, found: tuple[GatePolicy, CheckPolicy] | None, also: str
) -> Iterator[Mistake]:
    if found is None or found[0] is not gate:
        yield Mistake((*gate.path, "checks"), f"the check {wanted.id} of {gate.name} is missing; {also}")
        return
    check = found[1]
    if check.check != wanted.check:
        yield Mistake((*check.path, "check"), f"{wanted.id} must be the check {wanted.check}; {also}")
        return
    for name, value in CHECKS[wanted.check].subject(wanted.limits).items():
        # An optional limit without a value leaves open what is judged; a team may set it.
        if value and check.limits.get(name) != value:
            yield Mistake((*check.path, "limits", name), f"{name} of {wanted.id} must be {value}; {also}")


def differences(policy: Policy, shipped: Policy) -> tuple[Difference, ...]:
    """What a checklist drops, adds, tightens, loosens or changes, in the order of the shipped one."""
    return tuple(_differences(policy, shipped))


def _differences(policy: Policy, shipped: Policy) -> Iterator[Difference]:
    if policy.subject != shipped.subject:
        yield Difference("changed", "subject", shipped.subject, policy.subject)
    yield from _flag("same_machine", shipped.same_machine, policy.same_machine, tighter=False)
    yield from _versions(shipped.supported_versions, policy.supported_versions)
    yield from _max_age(shipped.max_age, policy.max_age)
    mine, theirs = ({gate.name: gate for gate in one.gates} for one in (policy, shipped))
    for name, gate in theirs.items():
        if name in mine:
            yield from _gate(mine[name], gate)
        else:
            yield Difference("dropped", f"gate {name}", gate.title, "")
    yield from (
        Difference("added", f"gate {name}", "", gate.title) for name, gate in mine.items() if name not in theirs
    )


def _flag(what: str, shipped: bool, mine: bool, tighter: bool) -> Iterator[Difference]:
    if shipped != mine:
        kind: DifferenceKind = "tighter" if mine is tighter else "looser"
        yield Difference(kind, what, str(shipped).lower(), str(mine).lower())


def _versions(shipped: Mapping[str, str], mine: Mapping[str, str]) -> Iterator[Difference]:
    for name in dict.fromkeys([*shipped, *mine]):
        if shipped.get(name) != mine.get(name):
            kind: DifferenceKind = "tighter" if name not in shipped else "looser" if name not in mine else "changed"
            yield Difference(kind, f"supported_versions {name}", shipped.get(name, ""), mine.get(name, ""))


def _max_age(shipped: str | None, mine: str | None) -> Iterator[Difference]:
    bounds = [None if age is None else parse_duration(age, "max_age") for age in (shipped, mine)]
    if bounds[0] != bounds[1]:
        tighter = bounds[0] is None or (bounds[1] is not None and bounds[1] < bounds[0])
        yield Difference("tighter" if tighter else "looser", "max_age", shipped or "", mine or "")


def _names(
    what: str, shipped: tuple[str, ...], mine: tuple[str, ...], kinds: tuple[DifferenceKind, DifferenceKind]
) -> Iterator[Difference]:
    yield from (Difference(kinds[0], what, name, "") for name in shipped if name not in mine)
    yield from (Difference(kinds[1], what, "", name) for name in mine if name not in shipped)


def _gate(mine: GatePolicy, shipped: GatePolicy) -> Iterator[Difference]:
    what = f"gate {shipped.name}"
    yield from _commands(f"{what} command", mine.commands, shipped.commands)
    for key in ("id", "role", "hosts"):
        if getattr(mine, key) != getattr(shipped, key):
            yield Difference("changed", f"{what} {key}", _shown(getattr(shipped, key)), _shown(getattr(mine, key)))
    yield from _flag(f"{what} alone", shipped.alone, mine.alone, tighter=True)
    yield from _names(f"{what} identity", shipped.identity, mine.identity, ("looser", "tighter"))
    yield from _names(f"{what} evidence", shipped.evidence, mine.evidence, ("dropped", "added"))
    checks = {check.id: check for check in mine.checks}
    for check in shipped.checks:
        if check.id in checks:
            yield from _check(checks[check.id], check)
        else:
            yield Difference("dropped", check.id, check.title, "")
    there = {check.id for check in shipped.checks}
    yield from (Difference("added", check.id, "", check.title) for check in mine.checks if check.id not in there)


def _commands(what: str, mine: tuple[CommandPolicy, ...], shipped: tuple[CommandPolicy, ...]) -> Iterator[Difference]:
    now, before = ({command.id: command for command in one} for one in (mine, shipped))
    for name in dict.fromkeys([*before, *now]):
        old, new = before.get(name), now.get(name)
        if old is None or new is None:
            lines = [_shown(command.run) if command else "" for command in (old, new)]
            yield Difference("added" if old is None else "dropped", f"{what} {name}", *lines)
        elif old != new:
            words = [{**plain(command)} for command in (old, new)]
            for key in words[0]:
                if words[0][key] != words[1][key]:
                    yield Difference("changed", f"{what} {name} {key}", _shown(words[0][key]), _shown(words[1][key]))


def _check(mine: CheckPolicy, shipped: CheckPolicy) -> Iterator[Difference]:
    if mine.check != shipped.check:
        yield Difference("changed", f"{shipped.id} check", shipped.check, mine.check)
        return
    for limit in CHECKS[mine.check].limits if mine.check in CHECKS else ():
        old, new = shipped.limits.get(limit.name), mine.limits.get(limit.name)
        if old != new or isinstance(old, bool) != isinstance(new, bool):
            yield from _limit(f"{shipped.id} {limit.name}", limit, old, new)
    if mine.ran != shipped.ran:
        kind: DifferenceKind = "looser" if not mine.ran else "tighter" if not shipped.ran else "changed"
        yield Difference(kind, f"{shipped.id} ran", _shown(shipped.ran), _shown(mine.ran))
    yield from _flag(f"{shipped.id} replaceable", shipped.replaceable, mine.replaceable, tighter=False)
    yield from _flag(f"{shipped.id} waivable", shipped.waivable, mine.waivable, tighter=False)


def _limit(what: str, limit: Limit, old: Any, new: Any) -> Iterator[Difference]:
    if limit.tighter == "more":
        yield from _names(what, tuple(old or ()), tuple(new or ()), ("looser", "tighter"))
        return
    if limit.tighter is None:
        yield Difference("changed", what, _shown(old), _shown(new))
        return
    if old is None or new is None:
        yield Difference("tighter" if old is None else "looser", what, _shown(old), _shown(new))
        return
    tighter = new > old if limit.tighter == "larger" else new < old if limit.tighter == "smaller" else None
    if tighter is None:
        tighter = new is (limit.tighter == "true")
    yield Difference("tighter" if tighter else "looser", what, _shown(old), _shown(new))


def _shown(value: Any) -> str:
    """A value of a checklist, short enough for a table."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: ""}[value]
    if isinstance(value, Mapping):
        value = "; ".join(f"{name}: {_shown(item)}" for name, item in value.items())
    elif isinstance(value, (list, tuple)):
        value = ", ".join(map(_shown, value))
    text = str(value)
    return text if len(text) <= 200 else text[:197] + "..."
