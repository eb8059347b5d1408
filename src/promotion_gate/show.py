"""The decision as the terminal shows it: one screen, the cause and the next step of every HOLD."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from promotion_gate.render import visible


def text_of(record: Mapping[str, Any]) -> str:
    """A promotion-decision.json as lines for a terminal; what came from a VM is made harmless."""
    return "\n".join(_lines(record))


def _lines(record: Mapping[str, Any]) -> Iterator[str]:
    yield f"Gate  {'Status':<8} {'Time':>8}  Title"
    for gate in record["gates"]:
        seconds = gate["duration_seconds"]
        time = f"{seconds:.1f} s" if seconds is not None else "not run"
        yield f"{gate['id']:>4}  {gate['status']:<8} {time:>8}  {visible(gate['title'])}"
    for gate in record["gates"]:
        for check in gate["checks"]:
            if check["status"] != "PASS":
                waived = ", waived" if check["waived"] else ""
                yield ""
                yield f"gate {gate['id']}: {check['status']}{waived} {visible(check['title'])} ({check['id']})"
                yield f"  expected: {visible(check['expected'])}"
                yield f"  observed: {visible(check['observed'])}"
                yield f"  unblock:  {visible(check['unblock'])}"
            for warning in check.get("warnings", ()):
                yield f"  warning:  {visible(warning)}"
    for objection in record["objections"]:
        yield f"objection: {visible(objection)}"
    yield ""
    yield f"{record['decision']}  run {visible(record['run_id'])}, decided {record['decided_at']}"
    if record["decision"] == "HOLD":
        yield f"re-run:  {visible(record['rerun_command'])}"
