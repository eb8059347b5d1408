"""Versions as the tools of gate 1 print them, each read only from the line that is the tool's answer.

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
    "uv": r"uv (\d\S*)(?: \(.*\))?",  # uv --version, 0.1 and newer: "uv 0.9.7 (abc 2025-10-30)"
}
TOOLS = tuple(_LINES)


def version(tool: str, text: str) -> str | None:
    """Return the version that *tool* printed, None if no line says one."""
    found = (re.fullmatch(_LINES[tool], row.strip(), re.ASCII) for row in lines(text))
    return next((match[1] for match in found if match), None)
