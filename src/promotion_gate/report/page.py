"""report.html: the decision as one page to forward. It needs no network or script, and is made from the bundle alone.

Whatever a template prints is escaped twice: first what a reader would not see, then HTML, by Jinja.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup, escape

from promotion_gate import __version__
from promotion_gate.base.escape import harmless, visible
from promotion_gate.base.model import CheckResult, Decision, JudgedWaiver, Status, beside_gates
from promotion_gate.bundle.load import Bundle
from promotion_gate.report.outcomes import by_cause
from promotion_gate.report.pictures import bar, smoke, timelines
from promotion_gate.report.transcripts import anchors, transcripts

MAX_BYTES = 900_000
# The space that the list of files needs besides their text, and the end of the page.
_ROOM_OF_A_FILE, _ROOM_OF_THE_END = 600, 1000
# Longer values are only in the record: they would push everything else off the page.
MAX_TEXT = 4000


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the checklist was judged, and how much of that passed."""

    judged: int
    passed: int
    checks: int
    gates_passed: int
    gates: int


def page(bundle: Bundle, decision: Decision) -> str:
    """The page. Transcripts fill the remaining space; those that do not fit are named by digest."""
    environment = _environment()
    files = anchors(bundle)
    rest: str = environment.get_template("report.html.j2").render(_view(bundle, decision, files))
    room = MAX_BYTES - len(rest.encode()) - _ROOM_OF_A_FILE * len(files) - _ROOM_OF_THE_END
    shown = transcripts(bundle, decision, max(0, room))
    return rest + environment.get_template("report-transcripts.html.j2").render(files=shown)


def load_page_templates() -> None:
    environment = _environment()
    for name in environment.list_templates(filter_func=lambda name: name.startswith("report")):
        environment.get_template(name)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("promotion_gate.report"),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(marked_up=_marked_up, exact=_exact, duration=_duration, link=_link)
    environment.tests["passed"] = _passed
    return environment


def _finalize(value: object) -> object:
    """Applied to every expression of a template: a value becomes one bounded line with nothing invisible in it."""
    if isinstance(value, Markup | int | float):
        return value
    text = visible(value)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]} ... ({len(text) - MAX_TEXT} more characters)"


def _marked_up(text: str) -> Markup:
    """A sentence of the checklist: its back-quoted commands are code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(visible(text))
    return Markup("").join(
        Markup("<code>{}</code>").format(_exact(part)) if number % 2 else escape(harmless(part.replace("\n", " ")))
        for number, part in enumerate(parts)
    )


def _exact(text: str) -> Markup:
    """A command to be pasted: its spaces stay."""
    return escape(harmless(text.replace("\n", " ")))


def _link(name: str) -> Markup:
    """A file of the bundle as a relative URL: never a scheme, whatever its name."""
    return Markup("./") + quote(name)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "not run"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"


def _passed(check: CheckResult) -> bool:
    return check.status is Status.PASS


def _view(bundle: Bundle, decision: Decision, files: dict[str, str]) -> dict[str, Any]:
    index = bundle.index
    checks = {check.id: check for gate in decision.gates for check in gate.checks}
    causes = [check for check in checks.values() if check.status is not Status.PASS and not check.cause]
    return {
        "decision": decision,
        "reason": _reason(decision, causes),
        "objections": beside_gates(decision.objections),
        "coverage": _coverage(decision),
        "covered": [check.details["covered"] for check in checks.values() if "covered" in check.details],
        "gates": sorted(decision.gates, key=lambda gate: (gate.status is Status.PASS, gate.id)),
        "hosts": {gate.name: index.host_of(gate.name) for gate in decision.gates},
        "bars": {name: bar(check) for name, check in checks.items()},
        "causes": [check for check in causes if not check.waived],
        "followers": by_cause(decision),
        "gate_of": {check.id: gate for gate in decision.gates for check in gate.checks},
        "files": files,
        "smokes": [(gate, found) for gate in decision.gates if (found := smoke(bundle, gate.checks))],
        "timelines": timelines(index, decision),
        "attempts": index.attempts,
        "waivers": [(waiver, _days_left(waiver, decision)) for waiver in decision.waivers],
        "masks": _masks(decision),
        "warnings": [(check.id, text) for check in checks.values() for text in check.warnings],
        "replaced": [(check.id, item) for check in checks.values() for item in check.replaced],
        "tool_version": index.run.get("gate_version", __version__),
        "index_sha256": bundle.index_sha256,
        "opened_at": index.opened_at,
        "signed": bool(index.settings.get("promotion_signing_key")),
    }


def _reason(decision: Decision, causes: list[CheckResult]) -> str:
    """The reason in one sentence."""
    if decision.decision == "PROMOTE":
        return f"All {len(decision.gates)} gates passed, and nothing else stands against the promotion."
    failed = [str(gate.id) for gate in decision.gates if gate.status is not Status.PASS]
    first = next((check for check in causes if not check.waived), None)
    if first is None:
        return next(iter(decision.objections), "The evidence does not prove a PROMOTE.")
    which = f"Gate {failed[0]}" if len(failed) == 1 else f"Gates {', '.join(failed[:-1])} and {failed[-1]}"
    return f"{which} did not pass. First to unblock: {first.title}. Observed: {first.observed.rstrip('.')}."


def _coverage(decision: Decision) -> Coverage:
    statuses = [check.status for gate in decision.gates for check in gate.checks]
    return Coverage(
        judged=sum(status in (Status.PASS, Status.FAIL) for status in statuses),
        passed=statuses.count(Status.PASS),
        checks=len(statuses) + len(decision.not_judged),
        gates_passed=sum(gate.status is Status.PASS for gate in decision.gates),
        gates=len(decision.gates),
    )


def _days_left(waiver: JudgedWaiver, decision: Decision) -> int | None:
    """Days from the decision to the expiry date; None for an unreadable date, which has no effect."""
    try:
        return (date.fromisoformat(waiver["expires"][:10]) - date.fromisoformat(decision.decided_at[:10])).days
    except ValueError:
        return None


def _masks(decision: Decision) -> list[tuple[str, int, int]]:
    """By rule: how often it masked something and in how many files."""
    found: dict[str, list[int]] = {}
    for mask in decision.masks:
        found.setdefault(mask.rule, []).append(mask.count)
    return [(rule, sum(counts), len(counts)) for rule, counts in sorted(found.items())]
