"""What pytest prints of tests that did not run: a JUnit file does not list them, and the exit status may be 0.

Source: pytest 6 to 9.2, ``src/_pytest/terminal.py`` (report_collect, build_summary_stats_line), ``src/_pytest/main.py``
(pytest.exit), and pytest-xdist 2 to 3.8 (``dsession.py``).
"""

from __future__ import annotations

import re

from promotion_gate.judge.parsers.text import plain

_DESELECTED = re.compile(r"^(?:=+ )?(?:\d+ [\w ]+, )*([1-9]\d{0,8}) deselected\b.* in \d", re.MULTILINE)
_LEFT_OUT = re.compile(r"^collected \d+ items?.* / ([1-9]\d{0,8}) deselected\b", re.MULTILINE)
_COLLECTED = re.compile(r"^(?:collected |\d+ workers? \[)(\d{1,9}) items?\]?\s*$", re.MULTILINE)
_STOPPED = re.compile(
    r"^!+ (?:_pytest\.outcomes\.Exit|KeyboardInterrupt|stopping after|xdist\.dsession\.)", re.MULTILINE
)


def not_run(text: str, cases: int) -> str:
    """Why not every test of a run counts, as a phrase; empty if there is no sign of that.

    `text` is the terminal's output, `cases` how many the JUnit file has. With -q there is no count of what was
    collected, with -qq nothing at all.
    """
    text = plain(text)
    if found := _DESELECTED.search(text) or _LEFT_OUT.search(text):
        return f"{found[1]} deselected"
    if _STOPPED.search(text):
        return "pytest was stopped before all tests ran"
    collected = _COLLECTED.search(text)
    return f"{collected[1]} tests were collected, {cases} ran" if collected and int(collected[1]) > cases else ""
