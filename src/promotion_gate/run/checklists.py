"""The commands `policy lint`, `policy show` and `policy diff`, which read checklists without a run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from promotion_gate.base.errors import InputError
from promotion_gate.base.escape import harmless
from promotion_gate.base.mistakes import sentences
from promotion_gate.base.policy import Policy
from promotion_gate.base.policy_reading import policy_text
from promotion_gate.base.times import utc_now
from promotion_gate.base.yaml_lines import read_yaml
from promotion_gate.judge.checks.registry import registered
from promotion_gate.judge.lint import notes
from promotion_gate.judge.shipped import differences, examine_policy, read_policy
from promotion_gate.judge.waivers import check_waivers, expired
from promotion_gate.report.checklist import markdown_of_policy, text_of_differences, text_of_policy
from promotion_gate.run.places import role_mistakes
from promotion_gate.run.roles import role_folders, roles_of

DONE, REFUSED = 0, 2


def lint(options: argparse.Namespace) -> int:
    """Returns 2 if a run would refuse one of the checklists or the waivers, else 0; notes do not count."""
    refused = [path for path in options.files if not _linted(path, options.waivers)]
    return REFUSED if refused else DONE


def _linted(path: Path, waivers: Path | None) -> bool:
    try:
        examined, mistakes = examine_policy(policy_text(path), str(path))
    except InputError as error:
        _print(str(error).splitlines(), sys.stderr)
        return False
    policy = examined.policy
    roles, unknown = roles_of(policy, role_folders(path))
    mistakes.add_all(role_mistakes(policy, roles))
    wrong, remarks = _waivers(waivers, policy) if waivers is not None else ([], [])
    found = [*mistakes.sentences(), *wrong]
    _print(found, sys.stderr)
    if found:
        count = "1 mistake" if len(found) == 1 else f"{len(found)} mistakes"
        _print([f"{path}: {count}; a run refuses it."])
        return False
    counts = [(len(policy.gates), "gate"), (sum(1 for _ in policy.checks()), "check")]
    summary = ", ".join(f"{count} {what}{'s' if count != 1 else ''}" for count, what in counts)
    _print([f"{path}: {policy.name}, {summary}: no mistake found."])
    _print(f"  note: {note}" for note in (*sentences(policy.marks, notes(policy)), *remarks, *unknown))
    return True


def _waivers(path: Path, policy: Policy) -> tuple[list[str], list[str]]:
    """What a run would refuse in the promotion_waivers of a variables file, and the waivers that have expired."""
    data, marks = read_yaml(policy_text(path), str(path))
    found = data.get("promotion_waivers") if isinstance(data, Mapping) else None
    if not isinstance(found, list):
        raise InputError(f"{path}: there is no list promotion_waivers. Name the file of variables that sets it.")
    mistakes, good = [], []
    for number, entry in enumerate(found):
        place = marks.at(("promotion_waivers", number))
        try:
            good += [(place, waiver) for waiver in check_waivers([entry], policy, "")]
        except InputError as error:
            message = str(error).partition(", waiver 1")[2].removeprefix(": ")
            mistakes.append(f"{place}: waiver {number + 1}: {message}")
    over = expired([waiver for _, waiver in good], utc_now())
    return mistakes, [
        f"{place}: the waiver of {waiver['check']} expired on {waiver['expires']}; it counts for nothing."
        for place, waiver in good
        if waiver in over
    ]


def show(options: argparse.Namespace) -> int:
    policy = read_policy(policy_text(options.file), str(options.file))
    units = {(kind.name, limit.name): limit.unit for kind in registered().values() for limit in kind.limits}
    print(markdown_of_policy(policy, units) if options.markdown else text_of_policy(policy, units))
    return DONE


def diff(options: argparse.Namespace) -> int:
    before, after = (read_policy(policy_text(path), str(path)) for path in options.files)
    _print(text_of_differences(differences(after, before)))
    return DONE


def _print(lines: Iterable[str], file: Any = None) -> None:
    for line in lines:
        print(harmless(line), file=file or sys.stdout)
