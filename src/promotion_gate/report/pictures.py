"""The drawings of the page: bars of measured numbers and the timeline of commands, as positions in a strip 1000 wide.

The strips stretch with the page and contain no text, so that labels stay readable on a narrow screen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from promotion_gate.base.model import CheckResult, Decision
from promotion_gate.base.times import epoch
from promotion_gate.bundle.index import Command, GateRecord, Index
from promotion_gate.bundle.load import Bundle

WIDTH = 1000
# Enough for any of our gates; in a run with more, only the commands that took longest are drawn.
MAX_DRAWN = 200
MAX_HISTORY = 8


@dataclass(frozen=True, slots=True)
class Block:
    """One rectangle of a strip. `kind` picks its colour, `note` is its tooltip."""

    left: int
    width: int
    kind: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Strip:
    """One line of a picture, with a label before it and a value after it."""

    label: str
    value: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """The commands of one attempt, gate by gate."""

    attempt: int
    started: str
    seconds: int
    strips: tuple[Strip, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class Smoke:
    """Timed runs against the known-good median and the limit, each of which is None if unknown."""

    runs: tuple[Strip, ...]
    history: tuple[Strip, ...]
    median: str | None
    limit: str | None


def bar(check: CheckResult) -> Strip | None:
    """A measured number against its limit; None for a check without a measurement."""
    measured = check.details.get("measured")
    most, least = check.details.get("at_most"), check.details.get("at_least")
    limit = most if most is not None else least
    if measured is None or limit is None:
        return None
    scale = _scale([measured, limit])
    kind = "good" if check.status == "PASS" else "bad"
    margin = (most - measured if most is not None else measured - limit) * 100 / limit if limit else 0.0
    blocks = (Block(0, scale(measured), kind), _line(scale(limit), "limit", "the limit"))
    side = "below" if most is not None else "above"
    value = f"{abs(margin):.0f} % {side if margin >= 0 else 'beyond'} the limit"
    return Strip("", value, blocks)


def smoke(bundle: Bundle, checks: Iterable[CheckResult]) -> Smoke | None:
    """The timed runs of a gate; None for one that timed nothing."""
    details = {name: value for check in checks for name, value in check.details.items()}
    runs = [run for run in details.get("runs", ()) if run["duration_ns"]]
    if not runs:
        return None
    median, limit, reference = details.get("median_ns"), details.get("limit_ns"), details.get("reference")
    known = [
        item
        for item in bundle.baselines
        if reference
        and (item.host_fingerprint, item.command_sha256) == (reference["host_fingerprint"], reference["command_sha256"])
    ][-MAX_HISTORY:]
    values = [run["duration_ns"] for run in runs] + [item.median_ns for item in known]
    scale = _scale([*values, *(value for value in (median, limit) if value)])
    lines = tuple(
        _line(scale(value), kind, note)
        for value, kind, note in ((median, "median", "the known-good median"), (limit, "limit", "the limit"))
        if value
    )

    def strip(label: str, value: int, kind: str) -> Strip:
        return Strip(label, _seconds(value), (Block(0, scale(value), kind), *lines))

    return Smoke(
        runs=tuple(
            strip(
                f"run {run['run']}",
                run["duration_ns"],
                "bad" if run["problem"] or (limit and run["duration_ns"] > limit) else "good",
            )
            for run in runs
        ),
        history=tuple(strip(f"{item.recorded_at[:10]} {item.source}", item.median_ns, "known") for item in known),
        median=_seconds(median) if median else None,
        limit=_seconds(limit) if limit else None,
    )


def timelines(index: Index, decision: Decision) -> tuple[Timeline, ...]:
    """One for each attempt that the evidence comes from: days may pass between two of them."""
    records = [(gate.id, gate.name, index.gates[gate.name]) for gate in decision.gates if gate.name in index.gates]
    return tuple(
        _timeline(index, attempt, [item for item in records if item[2].attempt == attempt])
        for attempt in sorted({record.attempt for _, _, record in records})
    )


def _timeline(index: Index, attempt: int, records: Sequence[tuple[int, str, GateRecord]]) -> Timeline:
    begin = min(epoch(record.started) for _, _, record in records)
    end = max(epoch(record.ended) for _, _, record in records)
    scale = _scale([max(1, end - begin)], headroom=1.0)
    strips, left_out = [], 0
    hosts = list(dict.fromkeys(record.host for _, _, record in sorted(records, key=lambda item: item[2].started)))
    for number, name, record in sorted(records, key=lambda item: (hosts.index(item[2].host), item[0])):
        commands = [item for item in index.commands if item.gate == name and item.not_run is None]
        drawn = sorted(commands, key=lambda item: -item.duration_ns)[:MAX_DRAWN]
        left_out += len(commands) - len(drawn)
        start = scale(max(0, epoch(record.started) - begin))
        whole = Block(start, max(3, scale(max(0, epoch(record.ended) - begin)) - start), "gate", "")
        blocks = tuple(_command(item, begin, scale) for item in sorted(drawn, key=lambda item: item.started))
        strips.append(Strip(f"gate {number} on {record.host}", f"{record.duration_ns / 1e9:.0f} s", (whole, *blocks)))
    started = min(record.started for _, _, record in records)
    return Timeline(attempt, started, max(1, end - begin), tuple(strips), left_out)


def _command(command: Command, begin: int, scale: _Scale) -> Block:
    left = min(WIDTH - 3, scale(max(0, epoch(command.started) - begin)))
    width = max(3, min(WIDTH - left, scale(command.duration_ns / 1e9)))
    how = f"exit {command.exit}" if command.exit is not None else f"signal {command.signal}"
    note = f"{command.id}: {command.duration_ns / 1e9:.2f} s, {'timed out' if command.timed_out else how}"
    return Block(left, width, "command" if command.exit == 0 else "ended", note)


@dataclass(frozen=True, slots=True)
class _Scale:
    largest: float

    def __call__(self, value: float) -> int:
        return max(0, min(WIDTH, round(value * WIDTH / self.largest)))


def _scale(values: Sequence[float], headroom: float = 1.08) -> _Scale:
    return _Scale(max(max(values), 1e-9) * headroom)


def _line(at: int, kind: str, note: str) -> Block:
    return Block(max(0, at - 2), 4, kind, note)


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e9:.2f} s"
