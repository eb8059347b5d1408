"""Kinds of check that need no Python: a checklist names the command or artifact and the condition that must hold.

They obey the rules of all checks: a command that was not run, not recorded or truncated proves nothing, and absence is
only concluded from the whole output of a command that succeeded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from json import JSONDecodeError
from typing import Any

from promotion_gate.base.expressions import NoValue, search
from promotion_gate.base.files import parse_json
from promotion_gate.base.limits import Limit
from promotion_gate.base.model import Status
from promotion_gate.base.patterns import captured, first_match, groups
from promotion_gate.judge import masks
from promotion_gate.judge.checks.case import Case, Finding, Output, Unproven, check
from promotion_gate.judge.checks.hints import CUT, UNREAD, UNUSABLE
from promotion_gate.judge.checks.sqlite import regressed
from promotion_gate.judge.parsers.numbers import NUMBER, part_of

COMMAND = Limit("command", "command")
MOST = 10**15  # for example bytes
MOST_SECONDS = 86400


@check(
    "command_succeeds",
    "`{command}` exits 0",
    COMMAND,
    Limit("status", "whole", low=0, high=255, required=False),
)
def command_succeeds(case: Case) -> Finding:
    """The command exits 0, or with `status`."""
    wanted = case.limit("status") or 0
    output = case.command(case.limit("command"))
    if output.exit != wanted:
        raise Unproven(output.failure, f"`{output.record.command}` {output.how}", output.record.file)
    _ = output.whole
    return Finding(
        Status.PASS, output.ending, (output.record.file,), expected=f"`{output.record.command}` exits {wanted}"
    )


@check("output_matches", "the output of {command} matches `{pattern}`", COMMAND, Limit("pattern", "pattern"))
def output_matches(case: Case) -> Finding:
    """The command exits 0 and prints something that matches."""
    output = case.command(case.limit("command")).succeeded()
    line = first_match([case.limit("pattern")], output.plain)
    if line is None:
        raise Unproven(Status.FAIL, f"nothing in the output of `{output.record.command}` matches", output.record.file)
    return Finding(Status.PASS, line, (output.record.file,))


@check("output_lacks", "nothing in the output of {command} matches `{pattern}`", COMMAND, Limit("pattern", "pattern"))
def output_lacks(case: Case) -> Finding:
    """The command exits 0, prints nothing that matches, and its output is complete."""
    output = case.command(case.limit("command")).succeeded()
    line = first_match([case.limit("pattern")], output.plain)
    if line is not None:
        raise Unproven(Status.FAIL, line, output.record.file)
    _nothing_hidden(case, output)
    return Finding(Status.PASS, f"nothing in the output of `{output.record.command}` matches", (output.record.file,))


def _nothing_hidden(case: Case, output: Output) -> None:
    """Only the checklist knows which words would matter, so what a mask hides may be one of them.

    Where nothing was masked, three asterisks are what the tool printed.
    """
    masked = any(item.file == output.record.file for item in case.bundle.index.masks)
    if masked and masks.hides(output.whole):
        why = f"`{output.record.command}` printed masked text, which may be what is looked for"
        raise Unproven(Status.INVALID, why, output.record.file, masks.MASKED)


def _bounds_problem(limits: Mapping[str, Any]) -> str | None:
    """What is wrong with the combination of limits of number_within, as a sentence."""
    if ("pattern" in limits) == ("json" in limits):
        return "give either pattern or json: where the number is"
    if "pattern" in limits and groups(limits["pattern"]) != 1:
        return "pattern needs exactly one group, `(...)`, around the number"
    if "min" not in limits and "max" not in limits:
        return "give min, max or both; without a bound nothing could fail"
    if limits.get("min", -math.inf) > limits.get("max", math.inf):
        return "min is larger than max, so nothing could pass"
    return None


@check(
    "number_within",
    "the number in the output of {command} is within its bounds",
    COMMAND,
    Limit("pattern", "pattern", required=False),
    Limit("json", "expression", required=False),
    Limit("min", "number", "larger", low=-MOST, high=MOST, required=False),
    Limit("max", "number", "smaller", low=-MOST, high=MOST, required=False),
    Limit("unit", "word", required=False),
    together=_bounds_problem,
)
def number_within(case: Case) -> Finding:
    """Every number that the pattern or the expression finds in the output is within the bounds, inclusive."""
    output = case.command(case.limit("command")).succeeded()
    numbers = _numbers_of_json(case, output) if case.limit("json") else _numbers_of_text(case, output)
    if not numbers:
        raise Unproven(Status.MISSING, f"there is no such number in `{output.record.command}`", output.record.file)
    low, high, unit = case.limit("min"), case.limit("max"), f" {case.limit('unit')}" if case.limit("unit") else ""
    outside = [n for n in numbers if (low is not None and n < low) or (high is not None and n > high)]
    shown = ", ".join(f"{number:.15g}" for number in (outside or numbers)[:10]) + unit
    bounds = [f"at least {low:.15g}{unit}"] if low is not None else []
    bounds += [f"at most {high:.15g}{unit}"] if high is not None else []
    expected = f"{' and '.join(bounds)} in the output of `{output.record.command}`"
    status = Status.FAIL if outside else Status.PASS
    details = {"measured": (outside or numbers)[0], "at_least": low, "at_most": high}
    figure = _figure(shown, low, high, unit)
    return Finding(status, shown, (output.record.file,), expected=expected, figure=figure, details=details)


def _figure(shown: str, low: float | None, high: float | None, unit: str) -> str:
    bounds = [f">= {low:.15g}{unit}"] if low is not None else []
    bounds += [f"<= {high:.15g}{unit}"] if high is not None else []
    return f"{shown[:40]} ({', '.join(bounds)})"


def _numbers_of_text(case: Case, output: Output) -> list[float]:
    found = []
    for before, text, after in captured(case.limit("pattern"), output.plain):
        if not NUMBER.fullmatch(text.strip()) or not math.isfinite(number := float(text)):
            raise Unproven(Status.INVALID, f'"{text[:60]}" is not a number', output.record.file, UNREAD)
        if whole := part_of(before, text, after, case.limit("unit")):
            why = f'{text.strip()} is only part of what is in "{whole}"; let the pattern match all of it, with its unit'
            raise Unproven(Status.INVALID, why, output.record.file, UNREAD)
        found.append(number)
    _nothing_hidden(case, output)
    return found


def _numbers_of_json(case: Case, output: Output) -> list[float]:
    value = _picked(case, output)
    values = value if isinstance(value, list) else [] if value is None else [value]
    for item in values:
        if isinstance(item, bool) or not isinstance(item, (int, float)) or not abs(item) <= MOST:  # NaN is not
            why = f"{_shown(item)} is not a number up to {MOST:g}"
            raise Unproven(Status.INVALID, why, output.record.file, UNREAD)
    return [float(item) for item in values]


@check("json_value", "{json} in the JSON of {command} is {equals}", COMMAND, Limit("json", "expression"),
       Limit("equals", "value"))  # fmt: skip
def json_value(case: Case) -> Finding:
    """The expression yields exactly this value: a string is not a number, and true is not 1."""
    output = case.command(case.limit("command")).succeeded()
    value, wanted = _picked(case, output), case.limit("equals")
    if value is None:
        raise Unproven(Status.MISSING, f"{case.limit('json')} is not there", output.record.file)
    same = value == wanted and isinstance(value, bool) == isinstance(wanted, bool)
    expected = f"{case.limit('json')} of `{output.record.command}` is {_shown(wanted)}"
    return Finding(Status.PASS if same else Status.FAIL, _shown(value), (output.record.file,), expected=expected)


def _picked(case: Case, output: Output) -> Any:
    try:
        data = parse_json(output.whole)
    except (ValueError, RecursionError) as error:
        why = f"`{output.record.command}` did not print JSON: {_no_json(output.whole, error)}"
        raise Unproven(Status.INVALID, why, output.record.file, UNREAD) from None
    _nothing_hidden(case, output)
    try:
        return search(case.limit("json"), data)
    except NoValue as error:
        raise Unproven(Status.INVALID, f"{case.limit('json')}: {error}", output.record.file, UNREAD) from None


def _no_json(text: str, error: Exception) -> str:
    """Why a text is not JSON, in words that do not depend on the version of Python: a record is computed again."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if not isinstance(error, JSONDecodeError):
        return str(error)
    if re.search(r"\\x[0-9a-f]{2}", text):
        return "it has bytes that are not UTF-8"
    words = " ".join(text.split())
    return f'it begins with "{words[:40]}"' if words else "it is empty"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"a list of {len(value)}"
    return "an object" if isinstance(value, Mapping) else f'"{value[:200]}"' if isinstance(value, str) else str(value)


@check(
    "artifact_present",
    "{artifact} was brought back and is not empty",
    Limit("artifact", "path"),
    Limit("min_bytes", "whole", "larger", low=1, high=10**9, unit="bytes", required=False),
)
def artifact_present(case: Case) -> Finding:
    """The file was brought back from the host and has at least `min_bytes` bytes, 1 if that is not set."""
    name, wanted = case.limit("artifact"), case.limit("min_bytes") or 1
    found = [item for item in case.bundle.index.artifacts if item.gate == case.gate.name and item.file == name]
    if not found:
        # Raises with the reason if the gate asked for nothing, or could not.
        if case.artifact_set(name.partition("/")[0]).truncated:
            raise Unproven(Status.INVALID, f"{name} was not brought back, and not everything was", hint=CUT)
        raise Unproven(Status.MISSING, f"{name} was not brought back")
    size = len(case.file(name))
    if size < wanted and any(item.truncated for item in found):
        raise Unproven(Status.INVALID, f"{name} was too large and was truncated to {size} bytes", name, CUT)
    expected = f"{name} with at least {wanted} bytes"
    status = Status.PASS if size >= wanted else Status.FAIL
    return Finding(status, f"{size} bytes", (name,), expected=expected)


def _time_problem(limits: Mapping[str, Any]) -> str | None:
    """What is wrong with the combination of limits of duration_within, as a sentence."""
    known_good = ("baseline_seconds" in limits, "max_regression_percent" in limits)
    if any(known_good) == ("max_seconds" in limits) or any(known_good) != all(known_good):
        return "give either max_seconds, or baseline_seconds (the known-good time) with max_regression_percent"
    return None


@check(
    "duration_within",
    "{command} exits 0 in time",
    COMMAND,
    Limit("max_seconds", "number", "smaller", low=0.001, high=MOST_SECONDS, unit="s", required=False),
    Limit("baseline_seconds", "number", "smaller", low=0.001, high=MOST_SECONDS, unit="s", required=False),
    Limit("max_regression_percent", "whole", "smaller", low=0, high=500, unit="percent", required=False),
    together=_time_problem,
)
def duration_within(case: Case) -> Finding:
    """The command exits 0 within the limit, by the monotonic clock of its host.

    A known-good time is compared as in gate 2: in integers, and equality is not a regression.
    """
    output = case.command(case.limit("command")).succeeded()
    taken, file = output.record.duration_ns, output.record.file
    if taken <= 0:
        raise Unproven(Status.INVALID, f"`{output.record.command}` has no wall time", file, UNUSABLE)
    percent = case.limit("max_regression_percent")
    known_good = round((case.limit("max_seconds") if percent is None else case.limit("baseline_seconds")) * 1e9)
    too_long = regressed(taken, known_good, percent or 0)
    longest = known_good * (100 + (percent or 0)) / 100e9
    expected = f"`{output.record.command}` exits 0 within {longest:g} s"
    seconds = f"{taken / 1e9:.3f} s"
    if percent is not None:
        expected += f" (the known-good {known_good / 1e9:g} s + {percent} %)"
        seconds += f", {(taken - known_good) * 100 / known_good:+.1f} % against the known-good time"
    status, figure = Status.FAIL if too_long else Status.PASS, f"{taken / 1e9:.2f} of {longest:g} s"
    details = {"measured": taken / 1e9, "at_most": longest}
    return Finding(status, seconds, (file,), expected=expected, figure=figure, details=details)
