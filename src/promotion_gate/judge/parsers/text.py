"""Removes what a terminal would hide before a tool's output is read.

The machine that prints is not trusted: escape sequences, overwritten lines and control characters must neither hide a
bad line nor make up a good one.
"""

from __future__ import annotations

import re

# ECMA-48 (and xterm for OSC): CSI sequences, the string sequences OSC/DCS/SOS/PM/APC up to BEL or ST, and
# the short two- or three-byte escapes; each also in its one-character (C1) form. A string sequence without an
# end is not a sequence: only its introducer is removed, so that it cannot swallow the lines after it.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    # No introducer within a string sequence; otherwise a series of them would take quadratic time.
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x90\x98\x9c-\x9f\r\n]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)
# Patterns look at this much of a line: a line may be as long as the whole output.
LONGEST = 1000
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def plain(text: str) -> str:
    """Return *text* without escape sequences and with ``\\n`` line endings.

    A lone carriage return ends a line: a terminal would overwrite what was there, but both are kept here. Other control
    characters become U+FFFD, so that they can never join two halves of a word.
    """
    text = _ESCAPES.sub("", text)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("\ufffd", text)


def lines(text: str) -> list[str]:
    """Return the lines of *text*, plain (see :func:`plain`), without trailing blanks."""
    return [line.rstrip(" \t") for line in plain(text).split("\n")]


# What shells and their start-up files print on stderr; it is not output of the command that was run.
_SHELL_NOISE = re.compile(
    r"(?:\S*/)?(?:ba|da|k|z|a)?sh: (?:line \d+: )?(?:warning: |cannot set terminal process group |no job control ).*"
    r"|(?:mesg: ttyname failed|stdin: is not a tty|tput: |manpath: can't set the locale|perl: warning: ).*"
)
# At exit, and where the log itself is already closed; atexit had its own wording until Python 3.9.
_IGNORED = re.compile(r"Exception ignored (?:in|on|while)\b.*|Error in atexit\._run_exitfuncs:|--- Logging error ---")
_TRACEBACK = "Traceback (most recent call last):"
# All lines of such a one are indented.
_GROUP_TRACEBACK = "  + Exception Group Traceback (most recent call last):"
# The exception at a traceback's end; "Critical: ..." and "Error: ..." are what verdi logs.
_RAISED = re.compile(r"(?!(?:Critical|Error):)[^\W\d][\w.]*(?::.*)?")
_CHAINED = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)


def is_shell_noise(line: str) -> bool:
    """Return whether a shell (not the command in it) printed the line, for example about a missing locale."""
    return bool(_SHELL_NOISE.fullmatch(line))


def without_ignored_exceptions(rows: list[str]) -> list[str]:
    """The lines without exceptions that Python itself ignored ("Exception ignored in: ..."), which are noise at exit.

    Each such line takes one traceback with it, chained ones included; whatever comes after that stays.
    """
    kept: list[str] = []
    position = 0
    while position < len(rows):
        if _IGNORED.fullmatch(rows[position]):
            position = _after_traceback(rows, position + 1)
        else:
            kept.append(rows[position])
            position += 1
    return kept


def _after_traceback(rows: list[str], position: int) -> int:
    while position < len(rows) and rows[position] in (_TRACEBACK, _GROUP_TRACEBACK):
        position += 1
        while position < len(rows) and (not rows[position] or rows[position][0].isspace()):
            position += 1
        if position < len(rows) and _RAISED.fullmatch(rows[position]):
            position += 1
        if position + 1 >= len(rows) or rows[position] or rows[position + 1] not in _CHAINED:
            break
        position += 3 if rows[position + 2 : position + 3] == [""] else 2
    return position


def number(digits: str) -> int | None:
    """Return the decimal number, or None if it is longer than any count, PID or job id that a tool prints."""
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else None


def last_line(text: str, limit: int = 300) -> str:
    """The last line that is not empty, bounded; most tools print the reason last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:limit] if lines else ""


# How a line that reports an error begins, as opposed to one that only contains such a word: `error: ...`,
# `sbatch: error: ...`, `Error [ERR_X]: ...`, an exception of Python or Node.js, a shell's `x: not found`, pnpm's
# ` ERR_PNPM_X`, npm's `npm error`, uv's ` × No solution`, pytest's `E   ...`, verdi's ` ✘ storage: ...`.
_REPORTS = re.compile(
    r"\s*(?:[\w./-]+: )?(?:error|fatal|critical|panic)\b[^:]{0,40}:\s*\S"
    r"|\s*(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception)\b[^:]{0,40}(?::|$)"
    r"|\S*: .*(?:not found|No such file or directory|Permission denied)$"
    r"|\s*(?:ERR_\w+|npm (?:error|ERR!)|×|✘)\s|E {2,}\S",
    re.IGNORECASE,
)
_SPEAKS_OF_ONE = re.compile(
    r"\b(?:error|fatal|critical|cannot|can't|could not|unable|fail(?:s|ed|ure)?|denied|refused|missing|not found|"
    r"no such|not installed|does not exist|timed out|invalid|unknown|no space left)\b|\w(?:Error|Exception)\b",
    re.IGNORECASE,
)
# Not a reason: a warning, advice (`error: If munged is up, ...`), a count of nothing, a line of a diff or of JSON.
_NO_REASON = re.compile(
    r"\s*(?:\w+: )?(?:warning|npm warn)\b|\s*(?:\w+: )?error: If |\s*[-+@{}\"]"
    r"|.*\b(?:0|no) (?:failed|failures?|errors?)\b",
    re.IGNORECASE,
)


def reason(text: str, limit: int = 300) -> str:
    """The line of a failed command's output that a person would quote, bounded.

    The first line that reports an error, else the first that mentions one, else the last: what follows an error is its
    consequences, and tools end with a summary, a hint or their version.
    """
    rows = [row[:LONGEST] for row in without_ignored_exceptions(lines(text)) if row.strip()]
    found = [row for row in rows if not _NO_REASON.match(row)]
    for wanted in (_REPORTS.match, _SPEAKS_OF_ONE.search):
        for row in found:
            if wanted(row):
                return row.strip()[:limit]
    return rows[-1].strip()[:limit] if rows else ""


def key_values(text: str) -> dict[str, str]:
    """Reads `key: value` lines, the format of this project's own probes; of a duplicate key the first value counts."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, separator, value = line.partition(": ")
        if separator and key.isascii() and key.translate({ord("_"): None, ord("-"): None}).isalnum():
            found.setdefault(key, value.strip())
    return found
