"""The end of a run on the terminal: a table with the number that decided each gate, the causes, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from promotion_gate.base.escape import harmless, visible
from promotion_gate.base.model import beside_gates
from promotion_gate.base.times import took
from promotion_gate.report.progress import COLUMNS
from promotion_gate.report.show import against_shipped, blocks_of, followers_of, waiver_line


@dataclass(frozen=True, slots=True)
class Beside:
    """What the ending shows besides the record: where the bundle is, the evidence line that each check judged, what
    became of the follow-up issue, and whether to print the re-run command here."""

    bundle: str
    lines: Mapping[str, int] = field(default_factory=dict)
    issue: str = ""
    again: bool = True


def ending(record: Mapping[str, Any], beside: Beside) -> str:
    """A promotion-decision.json as the last lines of its run; text from a host or a tool is made harmless."""
    return "\n".join(map(harmless, _lines(record, beside)))


def _lines(record: Mapping[str, Any], beside: Beside) -> Iterator[str]:
    yield f"{record['decision']}  run {visible(record['run_id'])}{_attempt(record)}, decided {record['decided_at']}"
    yield from _table(record["gates"])
    yield from _causes(record, beside)
    yield from _remarks(record)
    if record["decision"] == "PROMOTE":
        yield from _promoted(record)
    yield f"bundle:   {beside.bundle}"
    if beside.issue:
        yield f"issue:    {visible(beside.issue)}"
    if record["decision"] == "PROMOTE":
        yield f"verify:   promotion-gate verify {beside.bundle}"
    elif beside.again:
        yield f"re-run:   {record['rerun_command']}"  # verbatim, to be pasted


def _attempt(record: Mapping[str, Any]) -> str:
    return f", attempt {record['attempt']}" if record["attempt"] > 1 else ""


def _table(gates: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    width = max((len(gate["name"]) for gate in gates), default=0)
    for gate in gates:
        time = took(gate["duration_seconds"])
        start = f"{gate['id']:>4}  {gate['name']:<{width}}  {gate['status']:<8}{time:>9}"
        yield f"{start}  {_figures(gate['checks'], COLUMNS - len(start) - 2)}".rstrip()


def _figures(checks: Sequence[Mapping[str, Any]], room: int) -> str:
    """The numbers that decided a gate, as many as fit; if it did not pass, how many of its checks did not."""
    failed = sum(1 for check in checks if check["status"] != "PASS")
    if failed:
        return f"{failed} of {len(checks)} checks did not pass"
    shown = ""
    for figure in (visible(check.get("figure", "")) for check in checks):
        longer = f"{shown}, {figure}" if shown and figure else shown or figure
        if len(longer) <= room:
            shown = longer
    return shown


def _causes(record: Mapping[str, Any], beside: Beside) -> Iterator[str]:
    followers = followers_of(record)
    for gate in record["gates"]:
        blocks = blocks_of(gate["checks"])
        for check in gate["checks"]:
            alike = blocks.get(check["id"])
            if not alike:
                continue
            waived = ", waived" if check["waived"] else ""
            yield ""
            yield f"gate {gate['id']}, {check['status']}{waived}: {visible(check['title'])} ({visible(check['id'])})"
            yield f"expected: {visible(check['expected'])}"
            yield f"observed: {visible(check['observed'])}"
            if check["evidence"]:
                yield f"evidence: {_evidence(check, beside)}"
            yield f"remedy:   {visible(check['unblock'])}"
            because = [*alike[1:], *(name for check_id in alike for name in followers.get(check_id, ()))]
            if because:
                yield f"with it:  {visible(', '.join(because))}"
    yield ""


def _evidence(check: Mapping[str, Any], beside: Beside) -> str:
    line = beside.lines.get(check["id"])
    first, *more = check["evidence"]
    named = f"{first}:{line}" if line else first
    return visible(named + (f" and {len(more)} more" if more else ""))


def _remarks(record: Mapping[str, Any]) -> Iterator[str]:
    for gate in record["gates"]:
        for check in gate["checks"]:
            for item in check.get("replaced", ()):
                yield f"replaced: {visible(check['id'])} ran `{visible(item['ran'])}` for `{visible(item['meant'])}`"
            for warning in check.get("warnings", ()):
                yield f"warning:  {visible(warning)}"
    for objection in beside_gates(record["objections"]):
        yield f"objection: {visible(objection)}"
    for waiver in record["waivers"]:
        yield f"waiver:   {visible(waiver_line(waiver))}"
    yield from (f"policy:   {line}" for line in against_shipped(record))


def _promoted(record: Mapping[str, Any]) -> Iterator[str]:
    if record["versions"]:
        listed = ", ".join(f"{name} {version}" for name, version in sorted(record["versions"].items()))
        yield f"versions: {visible(listed)}"
    yield f"commit:   {visible(record['commit'])} on {visible(record['branch'])}"
    yield f"VM:       {visible(record['vm']['name'])}, fingerprint {visible(record['vm']['fingerprint'])}"
    for item in record["not_judged"]:
        yield f"not judged: {visible(item['id'])}, {visible(item['reason'])}"
