"""What Git prints: a diff, the name of an object."""

from __future__ import annotations

import re
from dataclasses import dataclass

from promotion_gate.judge.parsers.text import is_shell_noise, lines

_DIFF = re.compile(r"diff --(?:git|cc|combined) |(?:---|\+\+\+) \S|@@+ |Binary files .* differ$|\* Unmerged path ")
_OBJECT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Diff:
    """``git diff``: whether any file differs, and how many lines were added and removed."""

    differs: bool
    changed_lines: int


def diff(text: str) -> Diff:
    """Read ``git diff``; other lines (a shell's warning, Git's own about line endings) are ignored."""
    rows = lines(text)
    changed = sum(1 for row in rows if row[:1] in ("+", "-") and row[:3] not in ("+++", "---"))
    differs = any(_DIFF.match(row) for row in rows)
    return Diff(differs, changed if differs else 0)


# Why Git refuses an existing repository -> the hint for the remedy.
_REFUSALS = {
    "ownership": re.compile(r"detected dubious ownership in repository|unsafe repository \(", re.IGNORECASE),
    "lfs": re.compile(r"git-lfs|git lfs|\bsmudge filter lfs\b|'lfs' is not a git command", re.IGNORECASE),
    "damaged": re.compile(
        r"bad (?:object|tree|config)|object file .{0,200} is empty|loose object .{0,200} is corrupt"
        r"|index file (?:corrupt|smaller)|unable to read tree|unknown repository extension|expected .*repo version",
        re.IGNORECASE,
    ),
}


def refusal(text: str) -> str | None:
    """Return why Git refuses an existing repository: ownership, lfs or damaged; None for any other reason."""
    return next((hint for hint, pattern in _REFUSALS.items() if pattern.search(text)), None)


def commit(text: str) -> str | None:
    """Read ``git rev-parse HEAD``: the one full object name printed (SHA-1 or SHA-256), else None."""
    answers = [
        row for row in lines(text) if row and not row.startswith(("warning: ", "hint: ")) and not is_shell_noise(row)
    ]
    return answers[0] if len(answers) == 1 and _OBJECT.fullmatch(answers[0]) else None
