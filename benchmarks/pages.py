"""docs/benchmark.md: each script replaces the part between two marks; the prose around it is written by hand."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "benchmark.md"


def put(name: str, text: str) -> None:
    """Replaces the part between the marks of `name`."""
    page = PAGE.read_text(encoding="utf-8")
    part = f"<!-- {name} -->\n{text.strip()}\n<!-- end of {name} -->"
    new, count = re.subn(f"<!-- {name} -->.*<!-- end of {name} -->", lambda _: part, page, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"{PAGE} has {count} parts `{name}`.")
    PAGE.write_text(new, encoding="utf-8")


def printed(name: str, lines: Iterable[str], write: bool) -> list[str]:
    """Prints each line as soon as it is measured, then writes the part `name` if asked to; returns the lines."""
    found = []
    for line in lines:
        found.append(line)
        print(line, flush=True)
    if write:
        put(name, "\n".join(found))
    return found
