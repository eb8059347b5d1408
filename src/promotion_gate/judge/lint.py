"""Notes on a checklist that a run accepts, for its author: it may not do what it appears to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from promotion_gate.base.expressions import reads_nothing
from promotion_gate.base.mistakes import Mistake
from promotion_gate.base.policy import CheckPolicy, CommandPolicy, GatePolicy, Policy
from promotion_gate.judge.checks.case import CHECKS

# A shell line that exits 0 whatever its main command does: `x || true`, `x; exit 0`, `x | tee log`, `x; rm -f t`.
_ALWAYS_0 = re.compile(
    r"(?:^|(?<!&)&|[;|\n])\s*(?:true|:|exit 0|echo\b[^;&|\n]*)\s*$"
    r"|(?<!\|)\|\s*(?:tee|wc|tail|head|cat|sort)\b[^;&|\n]*$|[;\n]\s*rm -\w*f\b[^;&|\n]*$"
)
# A group of digits only: its number is never negative.
_DIGITS = re.compile(r"\((\\d|\[0-9\])(\+|\{\d+(,\d*)?\})?\)")


def notes(policy: Policy) -> Iterator[Mistake]:
    """One sentence for each point worth a second look; a run refuses none of them."""
    for gate in policy.gates:
        commands = {command.id: command for command in gate.commands}
        for check in gate.checks:
            if check.waivable:
                yield Mistake((*check.path, "waivable"), f"{check.id} may be waived.")
            if check.check in CHECKS and CHECKS[check.check].optional:
                yield Mistake(check.path, f"{check.id} is not judged where an operator switches it off.")
            command = commands.get(str(check.limits.get("command")))
            if why := _never_fails(check, command):
                yield Mistake(check.path, f"{check.id} can never fail: {why}.")
        yield from _unread(gate)


def _never_fails(check: CheckPolicy, command: CommandPolicy | None) -> str:
    """Why a check always passes, as far as the checklist shows."""
    limits = check.limits
    if check.check == "command_succeeds" and command and not limits.get("status") and _ALWAYS_0.search(_line(command)):
        return f"`{_line(command)}` exits 0 whatever happens"
    if check.check == "duration_within" and command and _longest(limits) >= command.limit_seconds:
        return f"{command.id} is killed after {command.limit_seconds:g} s (limit_seconds), before it is too slow"
    if check.check in ("number_within", "json_value") and reads_nothing(str(limits.get("json", "@"))):
        return "its expression reads nothing of the output"
    digits = _DIGITS.search(str(limits.get("pattern", ""))) or str(limits.get("json", "")).startswith("length(")
    if check.check == "number_within" and digits and "max" not in limits and limits.get("min", 1) <= 0:
        return f"what it counts is never below {limits['min']:g}"
    return ""


def _longest(limits: Mapping[str, Any]) -> float:
    """How long a command may take under the limits of duration_within, in seconds; 0 for invalid limits."""
    if isinstance(most := limits.get("max_seconds"), (int, float)):
        return float(most)
    known_good, percent = limits.get("baseline_seconds"), limits.get("max_regression_percent")
    if isinstance(known_good, (int, float)) and isinstance(percent, int):
        return known_good * (100 + percent) / 100
    return 0.0


def _line(command: CommandPolicy) -> str:
    return command.run if isinstance(command.run, str) else " ".join(command.run)


def _unread(gate: GatePolicy) -> Iterator[Mistake]:
    """Commands of a gate without a role whose output no check looks at."""
    read = {str(value) for check in gate.checks for value in check.limits.values()}
    read |= {command_id for check in gate.checks for command_id in check.ran}
    for number, command in enumerate(gate.commands):
        if command.id not in read:
            place = (*gate.path, "commands", number)
            yield Mistake(place, f"nothing judges the command {command.id} of {gate.name}: {command.file} is unread.")
