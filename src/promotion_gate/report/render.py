"""Renders a Decision into the files that people read. Output only: nothing here is ever read back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import quote

import jinja2

from promotion_gate.base.escape import harmless, visible
from promotion_gate.base.files import to_json
from promotion_gate.base.model import Decision, GateResult, Status, beside_gates
from promotion_gate.base.names import BASELINE_FILE, DECISION_JSON, DECISION_MD, FOLLOW_UP, PAGE
from promotion_gate.base.policy import GatePolicy, own_files
from promotion_gate.base.times import took
from promotion_gate.bundle.load import Bundle
from promotion_gate.report.machines import machine_files
from promotion_gate.report.outcomes import by_cause
from promotion_gate.report.page import load_page_templates, page

# An underscore inside a word is literal, so snake_case stays readable.
_MARKDOWN = re.compile(r"([\\`*{}\[\]<>#|~&$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
_BARE_LINK = re.compile(r"(https?|ftp|www)([:.])", re.I | re.ASCII)  # what GitHub makes a link even without brackets
# What a tracker turns into a mention or a link to another issue: @name, #12, GH-12.
_CALL = re.compile(r"([@#]++|\bGH-(?=[0-9]))", re.I | re.ASCII)
MAX_LINKS = 3
_BLANKS = re.compile(r"\s+")
_LINE_END = re.compile(r"[ \t]*[\r\n]+[ \t]*")
_LIST = re.compile(r"^([0-9]{1,9}(?=[.)](?: |$))|(?=[-+=]))")  # what starts a list or underlines a heading


def md(text: object) -> str:
    """Text that Markdown shows verbatim: what a VM prints is data, never a link, a heading, HTML or a mention."""
    return _LIST.sub(r"\1\\", _plain(visible(text)))


def _plain(text: str) -> str:
    # Every second piece is a sign; the character after it starts the next piece.
    pieces = _CALL.split(text)
    return "".join(
        _sign(piece, pieces[number + 1][:1]) if number % 2 else _escaped(piece) for number, piece in enumerate(pieces)
    )


def _escaped(text: str) -> str:
    return _BARE_LINK.sub(r"\1\\\2", _MARKDOWN.sub(r"\\\1", text))


def _sign(sign: str, behind: str) -> str:
    """A sign that would mention somebody becomes code: trackers find it in the shown text, backslash or not."""
    if sign.endswith("-"):
        return f"{sign[:-1]}`-`"
    calls = behind not in ("", " ") if "@" in sign else behind.isascii() and behind.isdigit()
    return f"`{sign}`" if calls else _escaped(sign)


def code(text: object) -> str:
    """Text as a code span, verbatim, whatever back quotes it contains."""
    shown = visible(text)
    quotes = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    blank = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{quotes}{blank}{shown}{blank}{quotes}" if shown else ""


def cell(text: object) -> str:
    """Text as code in a table; a `|` would end the cell even in code, so text with one is escaped."""
    return code(text) if "|" not in str(text) else md(text)


def told(text: object) -> str:
    """One of our sentences that may quote a host: plain words stay as they are, back-quoted parts become code, and
    text that would need escapes becomes code as a whole."""
    if "`" in str(text):
        return sentence(text)
    plain = md(text)
    return plain if "\\" not in plain and "`" not in plain else cell(text)


def linked(names: Sequence[str]) -> str:
    """Links to evidence files, from a page beside them; if there are many, only the first ones."""
    links = [f"[{cell(_short(name))}](./{quote(name)})" for name in names[:MAX_LINKS]]
    more = f" and {len(names) - MAX_LINKS} more" if len(names) > MAX_LINKS else ""
    return f"{', '.join(links)}{more}"


def _short(name: str) -> str:
    """A long path, shortened to its beginning and end."""
    first, *between, last = name.split("/") if "/" in name else ("", name)
    return f"{first}/.../{last}" if between else name


def fenced(text: object) -> str:
    """A command as a fenced block: verbatim, whatever spaces and back quotes it contains."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", str(text))), default=0))
    shown = "".join(part if part in ("\n", "\t") else harmless(part) for part in re.split("([\n\t])", str(text)))
    return f"{fence}\n{shown}\n{fence}"


def sentence(text: object) -> str:
    """An unblock sentence: its back-quoted commands stay code, verbatim; the rest is escaped."""
    parts = str(text).strip().split("`")
    if len(parts) % 2 == 0:
        return md(text)
    return "".join(_command(part) if number % 2 else _prose(part, number > 0) for number, part in enumerate(parts))


def _command(text: str) -> str:
    return f"`{harmless(_LINE_END.sub(' ', text))}`"


def _prose(text: str, behind_command: bool) -> str:
    """A part of a sentence; the spaces at its ends stay."""
    shown = _plain(harmless(_BLANKS.sub(" ", text)))
    return f" {shown}" if behind_command and shown.startswith("`") else shown  # else two back quotes would be one sign


def marker(ticket: str, vm: str) -> str:
    """The first line of a follow-up issue, the same for each run of a ticket on a VM: trackers can search for it."""
    return f"<!-- promotion-gate: ticket={quote(ticket, safe='')} vm={quote(vm, safe='')} -->"


def _nanoseconds(value: int | None) -> str:
    return "-" if value is None else f"{value / 1e9:.3f} s"


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("promotion_gate.report"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        trim_blocks=False,
        keep_trailing_newline=True,
    )
    environment.filters.update(md=md, code=code, cell=cell, told=told, linked=linked, fenced=fenced, sentence=sentence)
    environment.filters.update(duration=took, nanoseconds=_nanoseconds)
    macros = environment.get_template("macros.j2").module
    for name in (
        "check_item",
        "check_table",
        "waived_checks",
        "names",
        "consequences",
        "replaced_commands",
        "decided_by",
    ):
        environment.globals[name] = getattr(macros, name)
    return environment


def load_templates() -> None:
    """Compiles the templates, which takes longer than rendering: processes that are forked afterwards have them."""
    environment = _environment()
    for name in environment.list_templates(filter_func=lambda name: name.endswith(".md.j2")):
        environment.get_template(name)
    load_page_templates()


def render(bundle: Bundle, decision: Decision) -> dict[str, str]:
    """Every rendered file of a bundle by its name; follow-up-issue.md only on HOLD."""
    environment = _environment()
    told = _told(decision)
    waived = [check for gate in decision.gates for check in gate.checks if check.waived]
    files = {DECISION_JSON: to_json(decision.as_dict()), **machine_files(bundle, decision)}
    files[PAGE] = page(bundle, decision)
    warnings = [warning for gate in decision.gates for check in gate.checks for warning in check.warnings]
    files[DECISION_MD] = _tidy(
        environment.get_template("promotion-decision.md.j2").render(
            decision=decision, waived=waived, warnings=warnings, **told
        )
    )
    for policy, gate in zip(bundle.policy.gates, decision.gates, strict=True):
        files[policy.summary] = _summary(environment, bundle, decision, gate, told)
        if policy.notes:
            files[policy.notes] = _notes(environment, policy, gate)
    if decision.decision == "HOLD":
        files[FOLLOW_UP] = _tidy(
            environment.get_template("follow-up-issue.md.j2").render(
                decision=decision,
                marker=marker(decision.ticket, decision.vm.name or "unknown"),
                failing=[gate for gate in decision.gates if gate.status is not Status.PASS],
                waived=waived,
                objections=beside_gates(decision.objections),  # a gate that did not pass is listed with its checks
                evidence=_evidence(bundle, decision),
                **told,
            )
        )
    return files


def job_summary(decision: Decision) -> str:
    """The decision as a section of a larger Markdown page, for example the summary of a CI job."""
    template = _environment().get_template("job-summary.md.j2")
    return _tidy(template.render(decision=decision, objections=beside_gates(decision.objections), **_told(decision)))


def _told(decision: Decision) -> dict[str, Any]:
    """What the macros of the templates look up: checks by id, and by cause its consequences."""
    causes = {check.id: check for gate in decision.gates for check in gate.checks}
    replaced = [check for check in causes.values() if check.replaced]
    return {"causes": causes, "followers": by_cause(decision), "replaced": replaced}


def _evidence(bundle: Bundle, decision: Decision) -> list[tuple[str, str]]:
    """The evidence files of the gates that did not pass, with their digests as they were recorded."""
    failing = [gate for gate in decision.gates if gate.status is not Status.PASS]
    checks = [check for gate in failing for check in bundle.policy.gate(gate.name).checks]
    names = bundle.index.recorded_files([gate.name for gate in failing]) | own_files(checks)
    files = {name: digest for name, digest in bundle.index.files.items() if name in names}
    if bundle.index.baseline_sha256 and any(check.check == "smoke_baseline" for check in checks):
        files[BASELINE_FILE] = bundle.index.baseline_sha256
    return sorted(files.items())


def _summary(
    environment: jinja2.Environment,
    bundle: Bundle,
    decision: Decision,
    gate: GateResult,
    told: Mapping[str, Any],
) -> str:
    record = bundle.index.gates.get(gate.name)
    timing = _timing(gate, record.load_average if record else (), record.load_average_after if record else ())
    return _tidy(
        environment.get_template("summary.md.j2").render(
            decision=decision,
            gate={
                "id": gate.id,
                "title": gate.title,
                "status": gate.status,
                "attempt": gate.attempt,
                "duration_seconds": gate.duration_seconds,
                "checks": gate.checks,
                "warnings": [warning for check in gate.checks for warning in check.warnings],
            },
            record=record,
            timing=timing,
            **told,
        )
    )


def _timing(gate: GateResult, before: tuple[float, ...], after: tuple[float, ...]) -> dict[str, Any] | None:
    """The content of the timing table, from the check details of a gate with timed runs; None for other gates."""
    merged: dict[str, Any] = {}
    for check in gate.checks:
        merged.update(check.details)
    if "runs" not in merged:
        return None
    times = sorted(run["duration_ns"] for run in merged["runs"] if run["duration_ns"] is not None)
    merged.setdefault("p95_ns", None)
    merged.setdefault("reference", None)
    merged["times"] = times
    if times:
        merged.update(min=times[0], median=times[(len(times) - 1) // 2], max=times[-1])
    for name, load in (("load_before", before), ("load_after", after)):
        merged[name] = ", ".join(f"{value:.2f}" for value in load) or "not known"
    return merged


def _notes(environment: jinja2.Environment, policy: GatePolicy, gate: GateResult) -> str:
    check = next((check for check in gate.checks if "ownership" in check.details), None)
    judged = check or next((check for check in gate.checks if check.id.endswith(".ownership")), None)
    return _tidy(
        environment.get_template("boundary-notes.md.j2").render(
            check=judged, details=check.details if check else None, summary=policy.summary
        )
    )


def _tidy(text: str) -> str:
    """At most one empty line in a row, and one newline at the end."""
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
