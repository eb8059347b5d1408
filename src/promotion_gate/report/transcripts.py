"""The evidence on the page: each file in a fold with the judged line marked, as much as there is room for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from markupsafe import Markup, escape

from promotion_gate.base.escape import harmless
from promotion_gate.base.model import Decision, Status
from promotion_gate.bundle.load import Bundle
from promotion_gate.report.judged_line import judged_line


@dataclass(frozen=True, slots=True)
class Transcript:
    """One evidence file. If not shown, `html` is None, `why` gives the reason, and its digest is listed."""

    anchor: str
    name: str
    sha256: str
    size: int
    html: Markup | None
    why: str = ""


def anchors(bundle: Bundle) -> dict[str, str]:
    """The anchor of each evidence file on the page: a number, as a name may hold anything."""
    return {name: f"file-{number}" for number, name in enumerate(sorted(bundle.index.files), 1)}


def transcripts(bundle: Bundle, decision: Decision, room: int) -> list[Transcript]:
    """All evidence files sorted by name, with `room` bytes of them shown; what explains a failure has priority."""
    judged = _judged(decision)
    found = {}
    for name in sorted(bundle.index.files, key=lambda name: (name not in judged, name)):
        shown, why = _shown(bundle, name, judged.get(name, {}), room)
        room -= len(shown.encode()) if shown is not None else 0
        found[name] = shown, why
    return [
        Transcript(anchor, name, bundle.index.files[name], len(bundle.content(name).data), *found[name])
        for name, anchor in anchors(bundle).items()
    ]


def _judged(decision: Decision) -> dict[str, dict[str, str]]:
    """By evidence file, what its failed checks observed, by check id. A folder has no lines to mark."""
    found: dict[str, dict[str, str]] = {}
    for gate in decision.gates:
        for check in gate.checks:
            if check.status is not Status.PASS:
                for name in check.evidence:
                    found.setdefault(name, {})[check.id] = check.observed
    return found


def _shown(bundle: Bundle, name: str, observed: Mapping[str, str], room: int) -> tuple[Markup | None, str]:
    content = bundle.content(name)
    if content.problem:
        return None, content.problem
    if len(content.data) > room:
        return None, "there was no room for it here"
    text = content.data.decode("utf-8", "replace")
    marked: dict[int, list[str]] = {}
    for check_id, what in observed.items():
        line = judged_line(what, text)
        if line is not None:
            marked.setdefault(line, []).append(check_id)
    html = Markup("\n").join(_lines(text, marked))
    return (html, "") if len(html.encode()) <= room else (None, "there was no room for it here")


def _lines(text: str, marked: Mapping[int, list[str]]) -> Iterator[Markup]:
    for number, line in enumerate(text.splitlines(), 1):
        shown = escape(harmless(line.expandtabs()))
        if number in marked:
            shown = Markup('<mark title="judged by {}">{}</mark>').format(", ".join(marked[number]), shown)
        yield shown
