"""Every check there is, and whether a policy names only those."""

from __future__ import annotations

import string
from collections.abc import Mapping

from promotion_gate.base.errors import InputError
from promotion_gate.base.fields import nearest
from promotion_gate.base.policy import COMMON_PLACEHOLDERS, CheckPolicy, Policy, load_policy, located
from promotion_gate.judge.checks import contracts, preflight, slurm, sqlite, vm  # noqa: F401 (importing registers)
from promotion_gate.judge.checks.case import CHECKS, Registered


def registered() -> Mapping[str, Registered]:
    """All checks by the name that a policy uses."""
    return CHECKS


def check_policy(policy: Policy, text: str, name: str) -> Policy:
    """The policy itself, if its checks exist and its unblock sentences name only what they offer.

    Raises InputError with file and line.
    """
    try:
        for number, gate in enumerate(policy.gates):
            for place, entry in enumerate(gate.checks):
                _check_entry(entry, f"{name}: gates[{number}]: checks[{place}]")
    except InputError as error:
        raise located(error, text, name) from None
    return policy


def read_policy(text: str, name: str) -> Policy:
    """A policy file's text as a Policy whose checks exist. Raises InputError with file, line and field."""
    return check_policy(load_policy(text, name), text, name)


def _check_entry(entry: CheckPolicy, where: str) -> None:
    known = registered()
    if entry.check not in known:
        raise InputError(f'{where}: there is no check "{entry.check}"{nearest(entry.check, known)}')
    offered = COMMON_PLACEHOLDERS | known[entry.check].placeholders
    for sentence in entry.unblock.values():
        for _, word, _, _ in string.Formatter().parse(sentence):
            if word is not None and word not in offered:
                raise InputError(f'{where}: unblock names "{word}", which is not known{nearest(word, offered)}')
