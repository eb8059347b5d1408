"""The rows of the fault matrix and the table made of them.

A row is written before its test asserts anything, so that a false PROMOTE is listed and counted.
"""

from __future__ import annotations

import json
import platform
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
ROWS = PROJECT / ".demo" / "faults"
OUTCOMES = ROWS / "outcomes.json"
TABLE = PROJECT / "docs" / "fault-matrix.md"
PARTS = {
    "vm": "On the VM (real services)",
    "grown": "On a VM with the grown application (real services)",
    "workspace": "On the workspace",
    "bundle": "On the bundle",
    "controller": "On the controller",
    "healthy": "Healthy variants, which must promote",
}
# Of these the sentences' commands are pasted into a shell of the VM.
PASTED = ("vm", "grown")
TIME_CHECK = "sqlite_smoke.p95"
BY_COMMANDS, BY_A_PERSON, NOT_TRIED = "its commands", "a person", "-"


@dataclass(frozen=True, slots=True)
class Row:
    """What one fault led to. `decision` is PROMOTE, HOLD or none; `unblocked` says what brought the PASS back."""

    part: str
    fault: str
    wanted: str
    decision: str
    gate: str
    check: str
    status: str
    sentence: str
    unblocked: str = NOT_TRIED

    @property
    def for_time(self) -> bool:
        """A HOLD of a healthy VM for nothing but the time of the smoke: a loaded machine, counted apart."""
        return self.wanted == "PROMOTE" and self.decision == "HOLD" and self.check == TIME_CHECK


def row_of(
    part: str, fault: str, wanted: str, decision: Mapping[str, Any] | None, check_id: str = "", message: str = ""
) -> Row:
    """The row of a run: what its record says of `check_id`, or of the first check that did not pass.

    `decision` is promotion-decision.json, or None if there is none; then `message` is what the operator was shown.
    """
    if decision is None:
        return Row(part, fault, wanted, "none", "-", "-", "no decision", portable(message))
    gates = [dict(gate) for gate in decision["gates"]]
    failing = [(gate, check) for gate in gates for check in gate["checks"] if check["status"] != "PASS"]
    if wanted == "PROMOTE":  # what holds a healthy VM is its time only if nothing else does
        failing.sort(key=lambda item: item[1]["id"] == TIME_CHECK)
    named = [(gate, check) for gate, check in failing if check["id"] == check_id] or failing[:1]
    if named and not message:
        gate, check = named[0]
        return Row(
            part, fault, wanted, decision["decision"], str(gate["id"]), check["id"], check["status"],
            portable(check["observed"]),
        )  # fmt: skip
    objection = message or next(iter(decision["objections"]), "")
    gate_id = "6" if objection else "-"
    return Row(part, fault, wanted, decision["decision"], gate_id, "-", decision["decision"], portable(objection))


def portable(text: str) -> str:
    """A sentence without what belongs to this machine and this run: folders, host name, process ids, run ids."""
    for path, name in ((str(PROJECT), "CHECKOUT"), (tempfile.gettempdir(), "TMP"), (str(Path.home()), "HOME")):
        text = text.replace(path, name)
    text = re.sub(r"TMP/pytest-of-[^/ ]+/pytest-[^/ ]+/[^/ ]+/(g/)?", "TMP/", text)
    text = re.sub(r"TMP/[\w./-]*?/g/", "TMP/", text)
    if platform.node() not in ("", "localhost"):
        text = re.sub(rf"(?<![\w-]){re.escape(platform.node())}(?![\w-])", "HOST", text)
    text = re.sub(r"\bport \d+", "port N", text)
    text = re.sub(r"\b[0-9a-f]{40}\b", "COMMIT", text)
    text = re.sub(r"\bPID \d+", "PID N", text)
    text = re.sub(r"\b0x[0-9a-f]{6,}\b", "0x...", text)
    return re.sub(r"\b\d{8}T\d{6}Z?\b", "RUN", text)


def record(row: Row) -> None:
    """Writes the row of a test; one of an earlier run of the same test is replaced."""
    path = ROWS / row.part / (re.sub(r"[^a-z0-9]+", "-", row.fault.lower()).strip("-") + ".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(row), indent=1) + "\n", encoding="utf-8")


def rows() -> list[Row]:
    """Every row on disk, in the order of the parts."""
    found = [Row(**json.loads(path.read_text(encoding="utf-8"))) for path in sorted(ROWS.glob("*/*.json"))]
    return sorted(found, key=lambda row: (list(PARTS).index(row.part), row.gate, row.fault))


def note(test: str, outcome: str) -> None:
    """Keeps how a test ended: passed, failed or skipped; what a phase of it found bad stays."""
    known = outcomes()
    if known.get(test) in (None, "not run", "passed") or outcome == "failed":
        _keep({**known, test: outcome})


def forget(tests: Iterable[str]) -> None:
    """Tests that are about to run have not passed yet."""
    _keep({**outcomes(), **dict.fromkeys(tests, "not run")})


def _keep(known: Mapping[str, str]) -> None:
    ROWS.mkdir(parents=True, exist_ok=True)
    OUTCOMES.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def outcomes() -> dict[str, str]:
    """How each test of the matrix ended, by its id."""
    return dict(json.loads(OUTCOMES.read_text(encoding="utf-8"))) if OUTCOMES.exists() else {}


def render(found: Sequence[Row], versions: str, tests: int) -> str:
    """docs/fault-matrix.md, once all `tests` passed. `versions` says what the VM ran, in one sentence."""
    return "\n".join([*_head(found, versions, tests), *_tables(found)]) + "\n"


def _head(found: Sequence[Row], versions: str, tests: int) -> Iterator[str]:
    faults = [row for row in found if row.wanted == "HOLD"]
    healthy = [row for row in found if row.wanted == "PROMOTE"]
    tried = [row for row in faults if row.part in PASTED]
    yield "# The fault matrix"
    yield ""
    yield "Each fault is injected by itself, a few two at a time; its row is written from the record of the run, before"
    yield "a test judges it."
    yield "Faults are injected after a promoted run, and the gates that they touch re-run; the first run of a VM, and"
    yield "each whose fault may cut the connection, is a run of all gates. Limits on time are wider than the shipped"
    yield "ones, because the machine does other work meanwhile: 400 instead of 25 % for the smoke, 90 or 180 s instead"
    yield f"of 60 for a verdi command. `make faults` rewrites this page, and only if every test passed. {versions}"
    yield ""
    yield "| Count | |"
    yield "| --- | --- |"
    yield f"| tests, all passed, none skipped | {tests} |"
    yield f"| faults injected | {len(faults)} |"
    yield f"| **false PROMOTE** | **{_count(row.decision == 'PROMOTE' for row in faults)}** |"
    yield f"| healthy variants | {len(healthy)} |"
    yield f"| **false HOLD** | **{_count(row.decision != 'PROMOTE' and not row.for_time for row in healthy)}** |"
    yield f"| HOLD of a healthy VM for time alone (a loaded machine) | {_count(row.for_time for row in healthy)} |"
    yield (
        f"| faults of the VM that the commands of the unblock sentence repaired, pasted as printed "
        f"| {_count(row.unblocked == BY_COMMANDS for row in tried)} of {len(tried)} |"
    )
    by_a_person = _count(row.unblocked == BY_A_PERSON for row in tried)
    yield f"| faults of the VM repaired by a person (who knows a password, or has access) | {by_a_person} |"


def _count(values: Iterable[bool]) -> int:
    return sum(1 for value in values if value)


def _tables(found: Sequence[Row]) -> Iterator[str]:
    for part, title in PARTS.items():
        mine = [row for row in found if row.part == part]
        if not mine:
            continue
        pasted = part in PASTED
        yield ""
        yield f"## {title}"
        yield ""
        yield "| Fault | Decision | Gate | Check | Status | Sentence |" + (" Repaired by |" if pasted else "")
        yield "| --- | --- | --- | --- | --- | --- |" + (" --- |" if pasted else "")
        for row in mine:
            cells = [row.fault, row.decision, row.gate, row.check, row.status, row.sentence]
            cells += [row.unblocked] if pasted else []
            yield "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(text: str) -> str:
    line = " ".join(text.split())
    return (line if len(line) <= 300 else line[:297] + "...").replace("|", "\\|").replace("<", "&lt;")
