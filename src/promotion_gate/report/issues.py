"""The content of `<run id>.issue.json` beside a bundle: which issue is open, and what the team's tool answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from promotion_gate.base.errors import BundleError, GateError
from promotion_gate.base.escape import visible
from promotion_gate.base.fields import Fields
from promotion_gate.base.files import read_file, read_json, to_json, write_atomically
from promotion_gate.base.model import AttemptNumber
from promotion_gate.base.names import ATTEMPTS, DECISION_JSON, ISSUE, issue_file
from promotion_gate.base.typed import Number, Stamp, plain, read
from promotion_gate.report.render import marker

# When a record was decided; within one second, run and attempt distinguish records.
Moment = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Handed:
    """What happened to the issue, as one sentence; empty if no command is set. `failed`: the tool failed."""

    message: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """A decision, as far as a tracker is concerned."""

    run_id: str
    attempt: int
    decision: str
    decided_at: str
    ticket: str
    vm: str

    @property
    def moment(self) -> Moment:
        return (self.decided_at, self.run_id, self.attempt)

    @property
    def title(self) -> str:
        """The same for each run of a ticket on a VM, so there is only one issue."""
        return f"Promotion gate HOLD: {visible(self.ticket)} on {visible(self.vm)}"


@dataclass(frozen=True, slots=True)
class Issue:
    """An issue that a run created; `name` is the tool's answer, None if that does not name an issue."""

    created: Moment
    name: str | None


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the team's tool."""

    attempt: AttemptNumber
    decided_at: Stamp
    action: Literal["create", "update"]
    command: str
    started: Stamp
    duration_seconds: Annotated[float, Number(0)]
    exit: int | None
    timed_out: bool
    truncated: bool
    stdout: str
    stderr: str
    issue: str | None
    problem: Annotated[str, "why the tool did not do its work; empty if it did"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueRecord:
    """The content of `<run id>.issue.json`."""

    schema: Literal[1] = 1
    run_id: str
    attempt: Annotated[AttemptNumber, "the attempt that `said` is about"]
    ticket: str
    vm: str
    marker: Annotated[str, "the first line of follow-up-issue.md, the same for each run of this ticket and VM"]
    issue: Annotated[str | None, "what the tool answered to the create command; null if that names no issue"]
    said: str
    calls: tuple[Call, ...]


def written(bundle: Path, record: Record, issue: str | None, calls: tuple[Call, ...], handed: Handed) -> Handed:
    path = issue_file(bundle)
    content = IssueRecord(
        run_id=record.run_id,
        attempt=record.attempt,
        ticket=record.ticket,
        vm=record.vm,
        marker=marker(record.ticket, record.vm),
        issue=issue,
        said=handed.message,
        calls=calls,
    )
    try:
        write_atomically(path, to_json(plain(content)))
    except OSError as error:
        unknown = f"It could not be noted in {path} ({error.strerror}), so the next HOLD does not know of it."
        return Handed(f"{handed.message} {unknown}", True)
    return handed


def message_of(bundle: Path, attempt: object) -> str:
    """The message about the issue of this attempt; empty if there was none. Never raises."""
    try:
        record = _read(issue_file(bundle))
    except GateError:
        return ""
    return record.said if record.attempt == attempt else ""


def _read(path: Path) -> IssueRecord:
    return read(IssueRecord, read_json(path), str(path))


def record_of(folder: Path) -> Record:
    where = str(folder / DECISION_JSON)
    fields = Fields(read_json(folder / DECISION_JSON), where, BundleError)
    return Record(
        run_id=fields.text("run_id"),
        attempt=fields.integer("attempt"),
        decision=fields.text("decision"),
        decided_at=fields.text("decided_at"),
        ticket=fields.text("ticket"),
        vm=Fields(fields.mapping("vm"), where, BundleError).text("name", "unknown"),
    )


def calls_of(bundle: Path) -> tuple[Call, ...]:
    """The calls of this run so far."""
    path = issue_file(bundle)
    return () if read_file(path).problem == "is missing" else _read(path).calls


def open_issue(root: Path, record: Record) -> Issue | None:
    """The newest issue of this ticket and VM that no PROMOTE settled before this record.

    Raises BundleError for an *.issue.json that cannot be read: an issue may be open, and it must not be opened twice.
    """
    created = [issue for path in sorted(root.glob(f"*{ISSUE}")) for issue in _created(path, record)]
    if not created:
        return None
    newest = max(created, key=lambda issue: issue.created)
    settled = any(newest.created < promoted < record.moment for promoted in _promoted(root, record))
    return None if settled else newest


def _created(path: Path, record: Record) -> Iterator[Issue]:
    found = _read(path)
    if found.marker == marker(record.ticket, record.vm):
        created = [call for call in found.calls if call.action == "create" and not call.problem]
        yield from (Issue((call.decided_at, found.run_id, call.attempt), call.issue) for call in created)


def _promoted(root: Path, record: Record) -> Iterator[Moment]:
    """When this ticket and VM was promoted, including in earlier attempts: a later re-run does not reopen an issue."""
    for pattern in (f"*/{DECISION_JSON}", f"*/{ATTEMPTS}/*/{DECISION_JSON}"):
        for path in root.glob(pattern):
            try:
                found = record_of(path.parent)
            except BundleError:
                continue
            if found.decision == "PROMOTE" and (found.ticket, found.vm) == (record.ticket, record.vm):
                yield found.moment
