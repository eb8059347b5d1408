"""Versions as tools print them, each read from the one line that is the tool's answer.

A line before it (corepack announcing a download, a warning with a number in it) is not taken for the version.
"""

from __future__ import annotations

import re

from promotion_gate.judge.parsers.text import lines

_BARE = r"v?(\d+(?:\.\d+)+[-+.\w]*)"

# tool -> the whole line; sources: the tools' own --version output.
_LINES = {
    "node": r"v(\d+(?:\.\d+)+[-+.\w]*)",  # node -v, 12 and newer
    "corepack": _BARE,  # corepack -v
    "pnpm": _BARE,  # pnpm -v
    "npm": _BARE,  # npm -v
    "uv": r"uv (\d\S*)(?: \(.*\))?",  # uv --version, 0.1 and newer: "uv 0.9.7 (abc 2025-10-30)"
    "python": r"Python (\d\S*)",  # python --version
    "git": r"git version (\d\S*)(?: \(.*\))?",
    "aiida-core": r"AiiDA version (\d\S*)",  # verdi --version, 2.x
    # psql --version, and server_version or version() as psql -At prints them
    "postgresql": (
        r"(?:(?:psql|postgres) \(PostgreSQL\) )?(\d+(?:(?:\.\d+)+|(?:devel|beta|rc)\d*))(?: \(.*\))?"
        r"|PostgreSQL (\d\S*) .*"
    ),
    "rabbitmq": rf"{_BARE}|RabbitMQ v?(\d\S*)",  # rabbitmqctl version, 3.8 and newer
    "slurm": r"slurm(?:-[a-z]+)? (\d\S*)",  # sinfo --version: "slurm 24.11.5", Debian "slurm-wlm 24.11.5"
}
_PATTERNS = {tool: re.compile(pattern, re.ASCII) for tool, pattern in _LINES.items()}

TOOLS = tuple(_LINES)


def version(tool: str, text: str) -> str | None:
    """Return the version that *tool* printed, None if no line (or an unknown tool's) says one."""
    pattern = _PATTERNS.get(tool)
    if pattern is None:
        return None
    for row in lines(text):
        if match := pattern.fullmatch(row.strip()):
            return next(group for group in match.groups() if group)
    return None


def numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, for comparing: "24.11.5-rc1" is (24, 11, 5); () if none."""
    match = re.match(r"\d{1,9}(?:\.\d{1,9})*", version, re.ASCII)
    return tuple(int(part) for part in match[0].split(".")) if match else ()
