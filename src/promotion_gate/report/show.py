"""The decision as the terminal shows it: one screen, the cause and the next step of every HOLD."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from promotion_gate.base.escape import harmless, visible
from promotion_gate.base.times import took

_WAIVER_HINTS = {
    "unneeded": ", the check passes or was not judged; remove it",
    "expired": ", it counts for nothing; fix the check, or renew it",
    "refused": " by the policy, it counts for nothing; remove it",
}


def text_of(record: Mapping[str, Any], issue: str = "") -> str:
    """A promotion-decision.json as lines for a terminal; text from a VM or a tool is made harmless.

    `issue` is the message about the follow-up issue.
    """
    issue_line = [f"issue:   {visible(issue)}"] if issue else []
    return "\n".join(harmless(line) for line in [*_lines(record), *issue_line])


_STATUS = re.compile(r"^( *[0-9]+  |gate [0-9]+: |)(PASS|FAIL|MISSING|INVALID|BLOCKED|STALE|SKIPPED|PROMOTE|HOLD)\b")
_GREEN, _RED, _YELLOW = "\x1b[32m", "\x1b[31m", "\x1b[33m"
_COLOURS = {"PASS": _GREEN, "PROMOTE": _GREEN, "FAIL": _RED, "HOLD": _RED}


def coloured(text: str) -> str:
    """Colours the status at the start of our own lines; text from a VM comes after it and stays as it is."""
    return "\n".join(
        _STATUS.sub(lambda found: f"{found[1]}{_COLOURS.get(found[2], _YELLOW)}{found[2]}\x1b[0m", line)
        for line in text.split("\n")
    )


def text_of_checks(chosen: Mapping[str, Any]) -> str:
    """Gates with all of the given checks, including the passed ones."""
    return "\n".join(harmless(line) for gate in chosen["gates"] for line in _gate(gate))


def _gate(gate: Mapping[str, Any]) -> Iterator[str]:
    time = took(gate["duration_seconds"])
    yield f"gate {gate['id']}: {gate['status']} {visible(gate['title'])} ({time}, attempt {gate['attempt']})"
    for check in gate["checks"]:
        yield ""
        waived = ", waived" if check["waived"] else ""
        yield f"gate {gate['id']}: {check['status']}{waived} {visible(check['title'])} ({check['id']})"
        yield f"  expected: {visible(check['expected'])}"
        yield f"  observed: {visible(check['observed'])}"
        yield from (f"  {name}:{' ' * (9 - len(name))}{visible(text)}" for name, text in _more(check) if text)


def _more(check: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "figure", check.get("figure", "")
    yield "evidence", ", ".join(check["evidence"])
    yield "because", check.get("cause") or ""
    yield "unblock", check["unblock"]
    yield from (("warning", warning) for warning in check.get("warnings", ()))
    yield from (("replaced", f"`{item['ran']}` for `{item['meant']}`") for item in check.get("replaced", ()))


def _lines(record: Mapping[str, Any]) -> Iterator[str]:
    yield f"Gate  {'Status':<8} {'Time':>8}  Title"
    for gate in record["gates"]:
        time = took(gate["duration_seconds"])
        yield f"{gate['id']:>4}  {gate['status']:<8} {time:>8}  {visible(gate['title'])}"
    followers = followers_of(record)
    for gate in record["gates"]:
        blocks = blocks_of(gate["checks"])
        for check in gate["checks"]:
            alike = blocks.get(check["id"])
            if alike:
                waived = ", waived" if check["waived"] else ""
                yield ""
                yield f"gate {gate['id']}: {check['status']}{waived} {visible(check['title'])} ({check['id']})"
                yield f"  expected: {visible(check['expected'])}"
                yield f"  observed: {visible(check['observed'])}"
                yield f"  unblock:  {visible(check['unblock'])}"
                if alike[1:]:
                    yield f"  so are:   {visible(', '.join(alike[1:]))}"
                because = [name for check_id in alike for name in followers.get(check_id, ())]
                if because:
                    yield f"  because of it: {visible(', '.join(because))}"
            for item in check.get("replaced", ()):
                yield f"  replaced: {visible(check['id'])} ran `{visible(item['ran'])}` for `{visible(item['meant'])}`"
            for warning in check.get("warnings", ()):
                yield f"  warning:  {visible(warning)}"
    for objection in record["objections"]:
        yield f"objection: {visible(objection)}"
    for waiver in record["waivers"]:
        yield f"waiver: {visible(waiver_line(waiver))}"
    yield from (f"checklist: {line}" for line in against_shipped(record))
    yield ""
    yield f"{record['decision']}  run {visible(record['run_id'])}, decided {record['decided_at']}"
    if record["decision"] == "HOLD":
        yield f"re-run:  {record['rerun_command']}"  # verbatim, to be pasted


def blocks_of(checks: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """What is shown for a gate: checks with the same reason and remedy, grouped under the first of them."""
    found: dict[tuple[object, ...], list[str]] = {}
    for check in checks:
        if check["status"] != "PASS" and not check.get("cause"):
            found.setdefault(tuple(check[key] for key in ("status", "waived", "observed", "unblock")), []).append(
                check["id"]
            )
    return {alike[0]: alike for alike in found.values()}


def followers_of(record: Mapping[str, Any]) -> dict[str, list[str]]:
    """By cause, its consequences; for an unusable host only how many checks of which gate."""
    found: dict[str, list[str]] = {}
    for gate in record["gates"]:
        caused = [check for check in gate["checks"] if check.get("cause")]
        for cause in dict.fromkeys(check["cause"] for check in caused):
            kept = [check for check in caused if check["cause"] == cause]
            names = [f"{check['id']} {check['status']}" for check in kept]
            of_host = cause.endswith(".host")
            found.setdefault(cause, []).extend([f"{len(kept)} checks of gate {gate['id']}"] if of_host else names)
    return found


def against_shipped(record: Mapping[str, Any]) -> Iterator[str]:
    """One line if the checklist is not as it was shipped."""
    changes = record.get("policy_differences") or ()
    if changes:
        named = "; ".join(f"{item['kind']} {item['what']}" for item in changes)
        yield f"differs from the shipped one: {visible(named)}"


def waiver_line(waiver: Mapping[str, Any]) -> str:
    """What became of a waiver, and what to do about it."""
    what = f"{waiver['check']}, by {waiver['owner']} until {waiver['expires']} ({waiver['ticket']}): {waiver['reason']}"
    return f"{waiver['state']}{_WAIVER_HINTS.get(waiver['state'], '')}: {what}"
