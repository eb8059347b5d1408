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


# The last line: `= 3 passed, 1 warning in 0.52s =`, with -q without the signs, with -qq not there at all.
_COUNT = (
    r"\d{1,9} (?:passed|failed|errors?|skipped|deselected|xfailed|xpassed|warnings?|reruns?|subtests \w+|"
    r"tests? collected)"
)
_SUMMARY = re.compile(rf"^(?:=+ )?((?:{_COUNT}, )*{_COUNT}|no tests ran) in \d[\d.]*s\b", re.MULTILINE)
# Of a plain wrapper, and what pytest prints for its tests as they end.
_PASSED = re.compile(r"\b\d+ passed\b")
_PROGRESS = re.compile(r"^(?:\S+\.py )?[.FEsxXRru,y-]*\.[.FEsxXRru,y-]*(?: +\[[^\]\n]*\])?$", re.MULTILINE)
_BAD = frozenset(("failed", "error", "errors", "skipped", "xfailed", "deselected"))


def doubt(text: str, cases: int) -> str:
    """Why a report of `cases` tests that all passed may not be the whole truth, as a phrase; empty if nothing says so.

    A command may run pytest twice: the report is that of the last run, and so is the exit status.
    """
    text = plain(text)
    found = _SUMMARY.findall(text)
    if len(found) > 1:
        return f"pytest printed {len(found)} summaries, and the report is that of the last run"
    if not found:
        hidden = _PROGRESS.search(text) and not _PASSED.search(text)
        return "pytest printed no summary (-qq hides it), so tests may have been left out" if hidden else ""
    counts = {word: int(count) for count, word in re.findall(r"(\d+) ([a-z ]+)", found[0])}
    listed = counts.get("passed", 0) + counts.get("xpassed", 0)
    wrong = listed > cases or not listed or _BAD & counts.keys()
    return f"pytest's summary says {found[0]}" if wrong else ""


def not_run(text: str, cases: int) -> str:
    """Why not every test of a run counts, as a phrase; empty if there is no sign of that.

    `text` is the terminal's output, `cases` how many the JUnit file has. With -q there is no count of what was
    collected, with -qq nothing at all (see doubt()).
    """
    text = plain(text)
    if found := _DESELECTED.search(text) or _LEFT_OUT.search(text):
        return f"{found[1]} deselected"
    if _STOPPED.search(text):
        return "pytest was stopped before all tests ran"
    collected = _COLLECTED.search(text)
    return f"{collected[1]} tests were collected, {cases} ran" if collected and int(collected[1]) > cases else ""
