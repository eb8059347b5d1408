"""The last lines of a run: a HOLD with one cause fits a screen, and a PROMOTE shows the numbers that decided it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bundles
import pytest

from promotion_gate.report.ending import Beside, ending
from promotion_gate.report.judged_line import judged_line
from promotion_gate.run.backstop import Backstop


def end_of(bundle: Path) -> list[str]:
    backstop = Backstop()
    backstop.arm()
    backstop.opened(bundle)
    backstop.closed()
    end = backstop.end()
    assert end is not None
    return end.text.splitlines()


def test_a_hold_with_one_cause_fits_a_screen_and_says_what_to_do(tmp_path: Path) -> None:
    bundle = bundles.hold_bundle(tmp_path)
    lines = end_of(bundle)
    assert len(lines) <= 24
    assert lines[0].startswith(f"HOLD  run {bundles.RUN_ID}, decided ")
    assert [line.split()[1] for line in lines[1:6]] == [
        *("preflight", "sqlite_smoke", "vm_bootstrap", "slurm_smoke", "contracts")
    ]
    begins = [line.partition(":")[0] for line in lines]
    wanted = ["expected", "observed", "evidence", "remedy", "bundle", "re-run"]
    assert [word for word in begins if word in wanted] == wanted
    evidence = next(line.split()[1] for line in lines if line.startswith("evidence:"))
    name, _, number = evidence.partition(":")
    judged = (bundle / name).read_text(encoding="utf-8").splitlines()[int(number) - 1]
    assert "DOWN" in judged, "the line that says so"
    assert not [line for line in lines if line.startswith("objection:")], "the table says which gates did not pass"


def test_a_promote_has_the_numbers_that_decided_it(tmp_path: Path) -> None:
    bundle = bundles.make_bundle(tmp_path)
    lines = end_of(bundle)
    assert lines[0].startswith("PROMOTE  run ")
    table = "\n".join(lines[1:6])
    for figure in ("p95 ", "1 worker", "aiida-vm idle", "passed"):
        assert figure in table
    assert all(len(line) <= 80 for line in lines[1:6])
    rest = {line.partition(":")[0]: line.partition(":")[2].strip() for line in lines[6:]}
    assert rest["commit"] == f"{bundles.COMMIT} on main"
    assert rest["verify"] == f"promotion-gate verify {bundle}"
    assert {"versions", "VM", "bundle"} <= set(rest)


def record(**fields: Any) -> dict[str, Any]:
    check = {
        "id": "disk.free", "title": "t", "status": "FAIL", "expected": "e", "observed": "o", "evidence": ["01.log"],
        "unblock": "u", "waived": False, "warnings": [], "cause": None, "replaced": [], "figure": "",
    }  # fmt: skip
    gate = {"id": 1, "name": "disk", "status": "FAIL", "duration_seconds": None, "checks": [{**check, **fields}]}
    return {
        "decision": "HOLD", "run_id": "r", "attempt": 2, "decided_at": "2026-01-01T00:00:00Z", "gates": [gate],
        "objections": ["Gate 1 did not pass: FAIL (disk.free).", "The clock ran backwards."], "waivers": [],
        "policy_differences": None, "rerun_command": "again", "not_judged": [],
    }  # fmt: skip


def test_what_the_table_does_not_say_is_reported() -> None:
    lines = ending(record(), Beside("b", issue="opened as #7")).splitlines()
    assert lines[0] == "HOLD  run r, attempt 2, decided 2026-01-01T00:00:00Z"
    assert "not run" in lines[1] and "1 of 1 checks did not pass" in lines[1]
    assert "objection: The clock ran backwards." in lines and "issue:    opened as #7" in lines
    assert "evidence: 01.log" in lines


def test_consequences_are_one_line_under_their_cause() -> None:
    held = record()
    followers = [{**held["gates"][0]["checks"][0], "id": f"disk.{name}", "cause": "disk.free"} for name in "ab"]
    held["gates"][0]["checks"] += followers
    lines = ending(held, Beside("b")).splitlines()
    assert "with it:  disk.a FAIL, disk.b FAIL" in lines
    assert sum(line.startswith("remedy:") for line in lines) == 1


def test_what_a_host_printed_cannot_move_the_cursor() -> None:
    shown = ending(record(observed="\x1b[2Jgone\nPROMOTE  run r"), Beside("b"))
    assert "\x1b" not in shown and "\nPROMOTE" not in shown


@pytest.mark.parametrize(
    ("observed", "line"),
    [
        ("daemon: The daemon is not running. (warning)", 3),
        ("RabbitMQ v4.0.5", 2),
        ("nothing of this kind", None),
        ("", None),
    ],
)
def test_the_line_of_a_transcript_that_was_judged(observed: str, line: int | None) -> None:
    text = "# exit: 0\n broker: RabbitMQ v4.0.5 @ amqp\n daemon: The daemon is not running.\n"
    assert judged_line(observed, text) == line
