"""What others rest on changes only with a word in the changelog (docs/interface.md)."""

from __future__ import annotations

import re

import bundles
import pytest
from interface import FILE, interface

CHANGELOG = bundles.PROJECT / "CHANGELOG.md"


def unreleased(changelog: str) -> str:
    """What the changelog says about the next release."""
    return re.split(r"^## \[", changelog, flags=re.M)[1]


def unannounced(released: list[str], now: list[str], announced: str) -> list[str]:
    """The lines that came, went or changed, and whose name the changelog does not have as code."""
    changed = {*released} ^ {*now}
    names = {line: line.partition(" = ")[0].split()[-1] for line in changed}
    return sorted(line for line, name in names.items() if not _is_named(name, announced))


def _is_named(name: str, announced: str) -> bool:
    return re.search(rf"`[^`]*(?<![\w-]){re.escape(name)}(?![\w-])[^`]*`", announced) is not None


def test_what_changed_since_the_last_release_is_in_the_changelog() -> None:
    released = FILE.read_text(encoding="utf-8").splitlines()
    lines = unannounced(released, interface(), unreleased(CHANGELOG.read_text(encoding="utf-8")))
    assert lines == [], "name each of these in CHANGELOG.md, under Unreleased, in back quotes (docs/interface.md)"


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("variable promotion_nothing", "promotion_nothing"),
        ("field index GateRecord nothing", "nothing"),
        ("limit duration_within max_nothing = a number from 0 to 1 s", "max_nothing"),
        ("option promotion-gate check --nothing", "--nothing"),
        ("file nothing.json", "nothing.json"),
    ],
)
def test_each_change_wants_its_name(line: str, name: str) -> None:
    lines = interface()
    for released, now in (([*lines, line], lines), (lines, [*lines, line])):
        assert unannounced(released, now, "- Something else changed.") == [line]
        assert unannounced(released, now, f"- `{name}` is gone.") == []


def test_another_exit_status_or_range_is_a_change() -> None:
    lines = interface()
    for start in ("exit promotion-gate check = ", "limit smoke_p95 max_regression_percent = "):
        other = [f"{start}other" if line.startswith(start) else line for line in lines]
        assert len(unannounced(lines, other, "")) == 2


def test_the_interface_has_one_of_each() -> None:
    for line in (
        "variable workspace_dir", "variable gate_slurm_smoke_submit_job", "file 02-sqlite-smoke-run1.log",
        "file promotion-decision.json", "field promotion-decision decision", "field index Command duration_ns",
        "check duration_within", "limit number_within max = a number from -1e+15 to 1e+15",
        "option promotion-gate check --max-age", "option promotion-gate policy lint --waivers",
        "exit promotion-gate check = 0 PROMOTE, 1 HOLD, 2 usage, 3 no valid decision",
    ):  # fmt: skip
        assert line in interface(), line
    assert not [line for line in interface() if line.startswith(("exit promotion-gate open", "variable __gate"))]
