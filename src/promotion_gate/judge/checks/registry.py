"""All checks, and whether a policy names only those, with limits that they accept.

Another package adds checks with an entry point of the group `promotion_gate.checks`: a module whose import registers
them. It is imported only if a policy names a check that is not one of ours.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import entry_points

from promotion_gate.base.errors import InputError
from promotion_gate.base.fields import closest, nearest
from promotion_gate.base.limits import Limit
from promotion_gate.base.mistakes import FileMistakes, Mistake
from promotion_gate.base.policy import CheckPolicy, Policy
from promotion_gate.judge.by_hand import WORDS
from promotion_gate.judge.checks import contracts, daemon, generic, preflight, slurm, sqlite, tracked, vm  # noqa: F401 (importing registers)
from promotion_gate.judge.checks.case import CHECKS, COMMON_HINTS, Registered

GROUP = "promotion_gate.checks"


@cache
def load_others() -> None:
    """Imports the checks of other packages. Raises InputError for one that cannot be imported."""
    for point in entry_points(group=GROUP):
        try:
            point.load()
        except Exception as error:  # another package may raise anything
            raise InputError(
                f"The checks of {point.value} cannot be loaded: {error}. Correct or uninstall that package."
            ) from None


def registered() -> Mapping[str, Registered]:
    """All checks by the name that a policy uses."""
    return CHECKS


def check_policy(policy: Policy) -> Policy:
    """The policy itself, if its checks exist and accept its limits, hints and unblock sentences.

    Raises InputError with file, line and column, one sentence per mistake.
    """
    FileMistakes(policy.marks, unusable(policy)).stop()
    return policy


def unusable(policy: Policy) -> Iterator[Mistake]:
    """What the checks do not accept in a policy."""
    for gate in policy.gates:
        judged: dict[tuple[str, str], str] = {}
        for entry in gate.checks:
            yield from _entry(entry, judged)
        if gate.checks and all(entry.check in CHECKS and CHECKS[entry.check].optional for entry in gate.checks):
            names = ", ".join(entry.id for entry in gate.checks)
            yield Mistake(
                (*gate.path, "checks"),
                f'the gate "{gate.name}" could never fail: what it checks ({names}) is judged only where an '
                "operator asks for it. Add a check that is always judged.",
            )


def _entry(entry: CheckPolicy, judged: dict[tuple[str, str], str]) -> Iterator[Mistake]:
    if entry.check not in CHECKS:
        load_others()
    known = CHECKS.get(entry.check)
    if known is None:
        sentence = f'there is no check "{entry.check}"{nearest(entry.check, CHECKS) or "."}'
        yield Mistake((*entry.path, "check"), sentence)
        return
    yield from _limits(entry, known)
    yield from _unblock(entry, known)
    # Two entries that judge the same: usually one was copied and not changed, so something is not judged.
    what = (entry.check, repr(known.subject(entry.limits)))
    other = judged.setdefault(what, entry.id)
    if other != entry.id:
        sentence = f"{entry.id} judges the same as {other}; change what it judges, or remove it."
        yield Mistake((*entry.path, "limits"), sentence)


def _limits(entry: CheckPolicy, known: Registered) -> Iterator[Mistake]:
    names = [limit.name for limit in known.limits]
    place = (*entry.path, "limits")
    meant: set[str | None] = set()  # a misspelt limit is not reported as missing as well
    for name in entry.limits:
        if name not in names:
            hint = nearest(name, names) or (f" (known: {', '.join(names)})." if names else " (it has none).")
            meant.add(closest(name, names))
            yield Mistake((*place, name), f'{entry.check} has no limit "{name}"{hint}')
    problems = {
        limit.name: problem
        for limit in known.limits
        if not (limit.name in meant and limit.name not in entry.limits)
        if (problem := _limit_problem(entry, limit))
    }
    yield from (Mistake((*place, name), problem) for name, problem in problems.items())
    if not problems and not meant and (problem := known.together(entry.limits)):
        yield Mistake(place, f"{entry.id}: {problem}.")


def _limit_problem(entry: CheckPolicy, limit: Limit) -> str | None:
    if limit.name not in entry.limits:
        return f"{entry.id}: the limit {limit.name} is missing ({limit.wanted})." if limit.required else None
    problem = limit.problem(entry.limits[limit.name])
    if problem:
        return f"{entry.id}: {limit.name} {problem}"
    named = entry.id.rpartition(".")[2]
    if named in limit.choices and named != entry.limits[limit.name]:
        return f"{entry.id}: {limit.name} is {entry.limits[limit.name]}, its id says {named}."
    return None


def _unblock(entry: CheckPolicy, known: Registered) -> Iterator[Mistake]:
    offered = WORDS | known.placeholders
    hints = known.hints | COMMON_HINTS
    for hint, sentence in entry.unblock.items():
        place = (*entry.path, "unblock", hint)
        if hint not in hints:
            shown = nearest(hint, hints) or f" (known: {', '.join(sorted(hints))})."
            yield Mistake(place, f'{entry.check} gives no hint "{hint}"{shown}')
        for word in _words(sentence):
            if word not in offered:
                yield Mistake(place, f'unblock names "{word}", which is not known{nearest(word, offered) or "."}')


def _words(sentence: str) -> list[str]:
    """The words in braces; none for a sentence with a stray brace, which was refused while reading."""
    try:
        return [word for _, word, _, _ in string.Formatter().parse(sentence) if word is not None]
    except ValueError:
        return []
