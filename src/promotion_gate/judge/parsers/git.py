"""What Git prints: ``status --porcelain`` (v1, with or without ``-z``), the branch, the commit.

Source: git-status(1), "Porcelain Format Version 1", and git-config(1), core.quotePath; Git 2.25 and newer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from promotion_gate.judge.parsers.text import is_shell_noise, lines

_CODE = re.compile(r"[ MTADRCU?!]{2}")
_OBJECT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ESCAPE = re.compile(r'\\([0-7]{3}|[abtnvfr"\\])')
_ESCAPED = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of ``git status``: its two-letter code, the path, and where it was renamed or copied from."""

    code: str
    path: str
    original: str | None = None

    @property
    def tracked(self) -> bool:
        """Say whether Git tracks the file (neither untracked nor ignored)."""
        return self.code not in ("??", "!!")


@dataclass(frozen=True, slots=True)
class GitStatus:
    """``git status --porcelain``; what could not be read is in ``unreadable``, and then nothing is clean."""

    entries: tuple[Entry, ...]
    unreadable: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Say whether nothing was listed but ignored files, and everything could be read."""
        return not self.unreadable and all(entry.code == "!!" for entry in self.entries)

    @property
    def modified(self) -> tuple[str, ...]:
        """Tracked paths that differ, staged or not."""
        return tuple(entry.path for entry in self.entries if entry.tracked)

    @property
    def untracked(self) -> tuple[str, ...]:
        """Paths that Git does not know."""
        return tuple(entry.path for entry in self.entries if entry.code == "??")


def status(text: str) -> GitStatus:
    """Read ``git status --porcelain`` (v1); a text with NUL in it is taken as that of ``-z``.

    Paths are returned as they are, control characters included: escape them where they are shown.
    """
    return _status_z(text) if "\0" in text else _status_lines(text)


def _status_z(text: str) -> GitStatus:
    entries: list[Entry] = []
    unreadable: list[str] = []
    *fields, rest = text.split("\0")
    if rest:
        unreadable.append(rest)
    items = iter(fields)
    for item in items:
        code, path = item[:2], item[3:]
        if not _is_entry(item):
            unreadable.append(item)
        elif "R" in code or "C" in code:
            original = next(items, None)
            entries.append(Entry(code, path, original))
        else:
            entries.append(Entry(code, path))
    return GitStatus(tuple(entries), tuple(unreadable))


def _status_lines(text: str) -> GitStatus:
    entries: list[Entry] = []
    unreadable: list[str] = []
    for row in text.split("\n"):
        # That a configuration file cannot be read says nothing of the worktree; that a folder cannot be, does.
        if not row or row.startswith(("## ", "warning: unable to access ")) or is_shell_noise(row):
            continue
        if not _is_entry(row):
            unreadable.append(row)
            continue
        code, path = row[:2], row[3:]
        original: str | None = None
        if "R" in code or "C" in code:
            before, arrow, after = path.partition(" -> ")
            original, path = (_unquoted(before), after) if arrow else (None, path)
        entries.append(Entry(code, _unquoted(path), original))
    return GitStatus(tuple(entries), tuple(unreadable))


def _is_entry(item: str) -> bool:
    return len(item) > 3 and item[2] == " " and bool(_CODE.fullmatch(item[:2])) and item[:2] != "  "


def _unquoted(path: str) -> str:
    """Undo core.quotePath: ``"a\\303\\244.txt"`` in quotes, its bytes as octal escapes."""
    if len(path) < 2 or not path.startswith('"') or not path.endswith('"'):
        return path
    raw = bytearray()
    last = 0
    inner = path[1:-1]
    for match in _ESCAPE.finditer(inner):
        raw += inner[last : match.start()].encode("utf-8", "surrogatepass")
        raw.append(_ESCAPED[match[1]] if match[1] in _ESCAPED else int(match[1], 8) & 0xFF)
        last = match.end()
    raw += inner[last:].encode("utf-8", "surrogatepass")
    return raw.decode("utf-8", "backslashreplace")


# git diff begins with one of these lines for every file that differs, whatever its options for paths and colours.
_DIFF = re.compile(r"diff --(?:git|cc|combined) |(?:---|\+\+\+) \S|@@+ |Binary files .* differ$|\* Unmerged path ")


@dataclass(frozen=True, slots=True)
class Diff:
    """``git diff``: whether any file differs, and how many lines were added and removed."""

    differs: bool
    changed_lines: int


def diff(text: str) -> Diff:
    """Read ``git diff``; lines that are no diff (a shell's warning, Git's own about line endings) count as nothing."""
    rows = lines(text)
    changed = sum(1 for row in rows if row[:1] in ("+", "-") and row[:3] not in ("+++", "---"))
    differs = any(_DIFF.match(row) for row in rows)
    return Diff(differs, changed if differs else 0)


# Why Git refuses a repository that is there -> the hint of the remedy.
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
    """Say why Git refuses a repository that is there: ownership, lfs or damaged; None for another reason."""
    return next((hint for hint, pattern in _REFUSALS.items() if pattern.search(text)), None)


def commit(text: str) -> str | None:
    """Read ``git rev-parse HEAD``: the one full object name printed (SHA-1 or SHA-256), else None."""
    return _single([row for row in _answers(text) if _OBJECT.fullmatch(row)], _answers(text))


def branch(text: str) -> str | None:
    """Read ``git branch --show-current`` or ``git rev-parse --abbrev-ref HEAD``.

    None if HEAD is detached (nothing, or "HEAD") or anything but one branch name is printed.
    """
    answers = _answers(text)
    names = [row for row in answers if row != "HEAD" and _is_branch(row)]
    return _single(names, answers)


def _answers(text: str) -> list[str]:
    return [
        row for row in lines(text) if row and not row.startswith(("warning: ", "hint: ")) and not is_shell_noise(row)
    ]


def _single(wanted: list[str], answers: list[str]) -> str | None:
    return wanted[0] if len(wanted) == 1 == len(answers) else None


def _is_branch(name: str) -> bool:
    """A name that git-check-ref-format(1) allows (its main rules)."""
    forbidden = re.search(r"[\s~^:?*\[\\\x00-\x20\x7f\ufffd]|\.\.|@\{|//|/\.", name)
    return not forbidden and not name.startswith(("-", "/", ".")) and not name.endswith(("/", ".", ".lock"))
