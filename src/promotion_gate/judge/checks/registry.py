"""Every check there is, and whether a policy names only those, with limits that they accept.

Another package adds checks with an entry point of the group `promotion_gate.checks`: a module whose import registers
them. It is imported only where a policy names a check that is not one of ours.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points

from promotion_gate.base.errors import InputError
from promotion_gate.base.fields import nearest
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
        except Exception as error:  # whatever a package of somebody else does
            raise InputError(
                f"The checks of {point.value} cannot be loaded: {error}. Correct or uninstall that package."
            ) from None


def registered() -> Mapping[str, Registered]:
    """All checks by the name that a policy uses."""
    return CHECKS


def check_policy(policy: Policy) -> Policy:
    """The policy itself, if its checks exist and its limits, hints and unblock sentences are what they accept.

    Raises InputError with file, line and column; with a sentence for each check that is wrong.
    """
    problems: list[InputError] = []
    for gate in policy.gates:
        judged: dict[tuple[str, str], str] = {}
        for entry in gate.checks:
            try:
                _check_entry(policy, entry, judged)
            except InputError as error:
                problems.append(error)
        if not problems and all(CHECKS[entry.check].optional for entry in gate.checks):
            names = ", ".join(entry.id for entry in gate.checks)
            problems.append(
                policy.fail(
                    f'the gate "{gate.name}" could never fail: what it checks ({names}) is judged only where an '
                    "operator asks for it. Add a check of something that is always there.",
                    (*gate.path, "checks"),
                )
            )
    if problems:
        raise InputError(*problems)
    return policy


def _check_entry(policy: Policy, entry: CheckPolicy, judged: dict[tuple[str, str], str]) -> None:
    known = _known(policy, entry)
    _check_limits(policy, entry, known)
    _check_unblock(policy, entry, known)
    # Two entries that judge the same leave something unjudged: most often a word was copied and not changed.
    what = (entry.check, repr(known.subject(entry.limits)))
    other = judged.setdefault(what, entry.id)
    if other != entry.id:
        raise policy.fail(
            f"{entry.id} judges the same as {other}; change what it judges or take it out.", (*entry.path, "limits")
        )


def _known(policy: Policy, entry: CheckPolicy) -> Registered:
    if entry.check not in CHECKS:
        load_others()
    if entry.check not in CHECKS:
        raise policy.fail(f'there is no check "{entry.check}"{nearest(entry.check, CHECKS)}', (*entry.path, "check"))
    return CHECKS[entry.check]


def _check_limits(policy: Policy, entry: CheckPolicy, known: Registered) -> None:
    names = [limit.name for limit in known.limits]
    for name in entry.limits:
        if name not in names:
            hint = nearest(name, names) or (f" (known: {', '.join(names)})." if names else " (it has none).")
            raise policy.fail(f'{entry.check} has no limit "{name}"{hint}', (*entry.path, "limits", name))
    for limit in known.limits:
        place = (*entry.path, "limits", limit.name)
        if limit.name not in entry.limits:
            if limit.required:
                raise policy.fail(f"{entry.id}: the limit {limit.name} is missing ({limit.wanted}).", place)
            continue
        problem = limit.problem(entry.limits[limit.name])
        if problem:
            raise policy.fail(f"{entry.id}: {limit.name} {problem}", place)
        said = entry.id.rpartition(".")[2]
        if said in limit.choices and said != entry.limits[limit.name]:
            raise policy.fail(f"{entry.id}: {limit.name} is {entry.limits[limit.name]}, its id says {said}.", place)
    problem = known.together(entry.limits)
    if problem:
        raise policy.fail(f"{entry.id}: {problem}.", (*entry.path, "limits"))


def _check_unblock(policy: Policy, entry: CheckPolicy, known: Registered) -> None:
    offered = WORDS | known.placeholders
    hints = known.hints | COMMON_HINTS
    for hint, sentence in entry.unblock.items():
        place = (*entry.path, "unblock", hint)
        if hint not in hints:
            shown = nearest(hint, hints) or f" (known: {', '.join(sorted(hints))})."
            raise policy.fail(f'{entry.check} gives no hint "{hint}"{shown}', place)
        for _, word, _, _ in string.Formatter().parse(sentence):
            if word is not None and word not in offered:
                raise policy.fail(f'unblock names "{word}", which is not known{nearest(word, offered) or "."}', place)
