"""The history of an evidence root, as lines for a terminal and as one page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import jinja2

from promotion_gate.base.escape import harmless, visible
from promotion_gate.bundle.overview import History, Row

_BARS = "▁▂▃▄▅▆▇█"
MOST_BARS = 60


def text_of_history(history: History, last: int | None = None) -> Iterator[str]:
    """A line for each run, oldest first, and a summary; with `last` only the newest runs."""
    shown = history.runs[-last:] if last else history.runs
    width = max([16, *(len(visible(row.run_id)) for row in shown)])
    yield f"{'Run':<{width}}  {'Decision':<8}  {'Gates':>8}  {'Smoke':>8}  Why"
    for row in shown:
        took, smoke = _seconds(row.seconds), _seconds(_slowest(row))
        line = f"{visible(row.run_id):<{width}}  {row.decision or '-':<8}  {took:>8}  {smoke:>8}  {visible(_why(row))}"
        yield line.rstrip()
    yield ""
    yield from _sums(history)
    for problem in history.problems:
        yield f"The chain does not hold: {visible(problem)}"


def text_of_hosts(histories: Sequence[History]) -> Iterator[str]:
    """The newest run of each host of an evidence root of several, one line per host."""
    hosts = [visible(Path(history.root).name) for history in histories]
    newest = [history.runs[-1] for history in histories]
    width = max([4, *map(len, hosts)])
    run_width = max([10, *(len(visible(row.run_id)) for row in newest)])
    yield f"{'Host':<{width}}  {'Runs':>4}  {'Newest run':<{run_width}}  {'Decision':<8}  Why"
    for host, history, row in zip(hosts, histories, newest, strict=True):
        run = f"{visible(row.run_id):<{run_width}}  {row.decision or '-':<8}"
        yield f"{host:<{width}}  {len(history.runs):>4}  {run}  {visible(_why(row))}".rstrip()
    yield ""
    for history in histories:
        for problem in history.problems:
            yield f"The chain of {visible(Path(history.root).name)} does not hold: {visible(problem)}"
    yield f"All runs of a host: promotion-gate history {harmless(histories[0].root)}"


def _sums(history: History) -> Iterator[str]:
    counts = Counter(row.decision or "without a decision" for row in history.runs)
    parts = [f"{counts[kind]} {kind}" for kind in ("PROMOTE", "HOLD", "without a decision") if counts[kind]]
    yield f"{len(history.runs)} run{'s' if len(history.runs) > 1 else ''}: {', '.join(parts)}."
    if often := _often(history.runs):
        yield "Most frequent causes: " + ", ".join(f"{visible(name)} ({count})" for name, count in often) + "."
    if times := smoke_times(history.runs):
        bars = _sparkline(times[-MOST_BARS:])
        yield f"Slowest smoke of each run, {_seconds(min(times))} to {_seconds(max(times))}: {bars}"


def _why(row: Row) -> str:
    """A short reason for a HOLD or a missing decision; for a PROMOTE only whether it took several attempts."""
    parts = [row.note] if row.note else []
    parts += [", ".join(row.causes[:3]) + (f" and {len(row.causes) - 3} more" if len(row.causes) > 3 else "")]
    parts += [f"{row.objections} objection{'s' if row.objections > 1 else ''}"] if row.objections else []
    parts += [f"attempt {row.attempt}"] if row.attempt > 1 else []
    return "; ".join(filter(None, parts))


def _often(rows: Sequence[Row]) -> list[tuple[str, int]]:
    return Counter(cause.partition(" ")[0] for row in rows for cause in row.causes).most_common(5)


def _slowest(row: Row) -> float | None:
    """The slowest smoke run: of three runs it is the p95, which gate 2 judges."""
    return max(row.smoke_ns) / 1e9 if row.smoke_ns else None


def smoke_times(rows: Sequence[Row]) -> list[float]:
    """The slowest smoke of each run that has one, in seconds, oldest first."""
    return [seconds for row in rows if (seconds := _slowest(row)) is not None]


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.2f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def _sparkline(times: Sequence[float]) -> str:
    low, high = min(times), max(times)
    return "".join(_BARS[round((time - low) / (high - low) * 7) if high > low else 0] for time in times)


def page_of_history(history: History) -> str:
    """One self-contained HTML page, newest run first; everything from a bundle is escaped."""
    rows = [
        {"run": row, "why": visible(_why(row)), "took": _seconds(row.seconds), "smoke": _seconds(_slowest(row))}
        for row in reversed(history.runs)
    ]
    times = smoke_times(history.runs)
    span = {"low": _seconds(min(times, default=None)), "high": _seconds(max(times, default=None))}
    sums = list(_sums(history))[:2]
    return _template().render(history=history, rows=rows, sums=sums, points=_points(times), **span)


def _points(times: Sequence[float]) -> str:
    """The line of an SVG of 600 by 100: times on the vertical axis, runs on the horizontal one."""
    low, high = min(times, default=0.0), max(times, default=0.0)
    step = 600 / max(1, len(times) - 1)
    return " ".join(
        f"{number * step:.1f},{95 - ((time - low) / (high - low) if high > low else 0) * 90:.1f}"
        for number, time in enumerate(times)
    )


@cache
def _template() -> jinja2.Template:
    loader = jinja2.PackageLoader("promotion_gate.report", "templates")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["visible"] = visible
    return environment.get_template("history.html.j2")
