"""The built-in check of a gate's evidence: the files that the checklist names exist and are what was recorded."""

from __future__ import annotations

from promotion_gate.base.model import CheckResult, Status, combined
from promotion_gate.base.policy import GatePolicy, own_files
from promotion_gate.bundle.load import CHANGED, Bundle
from promotion_gate.judge.checks.not_run import host_trouble, why_skipped
from promotion_gate.judge.objections import clones
from promotion_gate.judge.timing import timing_warnings


def evidence_check(bundle: Bundle, gate: GatePolicy) -> CheckResult:
    """The spec's "evidence bundle is complete" for one gate: each named file is there, recorded, and not empty."""
    problems: list[tuple[Status, str]] = []
    for name in gate.evidence:
        names = [file for file in bundle.index.files if file.startswith(name)] if name.endswith("/") else [name]
        if not names:
            problems.append((Status.MISSING, f"{name} contains no file"))
        may_be_empty = name.endswith("/")  # a tool may leave empty files in a folder of its own
        problems += [problem for file in names if (problem := _file_problem(bundle, file, may_be_empty))]
    mine = bundle.index.recorded_files([gate.name]) | own_files(gate.checks)
    named = tuple(gate.evidence)
    recorded = [file for file in bundle.index.files if file in mine and not _named(file, named)]
    problems += [problem for file in recorded if (problem := _file_problem(bundle, file))]
    skipped = why_skipped(bundle.index, gate.name)
    trouble = host_trouble(bundle, gate.name) if gate.name not in bundle.index.gates else None
    if all(status is Status.MISSING for status, _ in problems):
        if trouble:
            problems = [(Status.BLOCKED, f"nothing was run: {trouble.message}")]
        elif skipped:
            problems = [(Status.SKIPPED, skipped)]
    status = combined(status for status, _ in problems) if problems else Status.PASS
    return CheckResult(
        id=f"{gate.name}.evidence",
        title="The evidence of this gate is complete",
        status=status,
        expected="present, not empty and as recorded: " + ", ".join(gate.evidence),
        observed="; ".join(dict.fromkeys(text for _, text in problems)) or "complete",
        evidence=gate.evidence,
        unblock="" if status is Status.PASS else f"Re-run gate {gate.id} so that the evidence is collected again.",
        warnings=(*clones(bundle, gate), *timing_warnings(bundle, gate)),
    )


def _named(file: str, evidence: tuple[str, ...]) -> bool:
    return any(file.startswith(name) if name.endswith("/") else file == name for name in evidence)


def _file_problem(bundle: Bundle, name: str, may_be_empty: bool = False) -> tuple[Status, str] | None:
    content = bundle.content(name)
    if content.problem not in ("", CHANGED):
        return (Status.MISSING if content.problem == "is missing" else Status.INVALID), f"{name} {content.problem}"
    if not content.data.strip() and not may_be_empty:
        return Status.MISSING, f"{name} is empty"
    return (Status.INVALID, f"{name} {CHANGED}") if content.problem else None
