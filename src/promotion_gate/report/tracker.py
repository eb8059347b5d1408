"""Hands follow-up-issue.md to the team's own tool: once per ticket and VM while that issue is open.

The decision is sealed before and stays what it is, whatever the tool does. What it answered stands beside the
bundle, in `<run id>.issue.json`. An issue is open until a later PROMOTE of the same ticket and VM.
"""

from __future__ import annotations

import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from promotion_gate.base.errors import BundleError, GateError, InputError
from promotion_gate.base.escape import visible
from promotion_gate.base.fields import Fields, nearest
from promotion_gate.base.files import read_file, read_json, to_json, write_atomically
from promotion_gate.base.model import AttemptNumber
from promotion_gate.base.names import ATTEMPTS, DECISION_JSON, FOLLOW_UP
from promotion_gate.base.redact import MASK, Redactor
from promotion_gate.base.times import stamp, utc_now
from promotion_gate.base.typed import Number, Stamp, plain, read
from promotion_gate.bundle.history import is_sealed, read_run
from promotion_gate.report.render import marker
from promotion_gate.report.tool import Answer, run_tool

CREATE, UPDATE = "promotion_issue_command", "promotion_issue_update_command"
_WORDS = ("file", "title", "ticket", "vm", "run_id")
PLACEHOLDERS: Mapping[str, tuple[str, ...]] = {CREATE: _WORDS, UPDATE: (*_WORDS, "issue")}
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_URL = re.compile(r"https?://[^\s<>\"']+")
MAX_ISSUE_LENGTH = 300
DEFAULT_SECONDS, MAX_SECONDS = 60, 86_400  # as the settings bound promotion_issue_limit_seconds

# When a record was decided: moments of one second are told apart by run and attempt.
Moment = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Handed:
    """What became of the issue, as one sentence; empty where no command is set. `failed`: the tool did not do it."""

    said: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class _Record:
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
        """The same for each run of a ticket on a VM: the issue stays one issue."""
        return f"Promotion gate HOLD: {visible(self.ticket)} on {visible(self.vm)}"


@dataclass(frozen=True, slots=True)
class _Issue:
    """An issue that a run has created; `name` is what the tool answered, None where that names nothing."""

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
    """What `<run id>.issue.json` holds."""

    schema: Literal[1] = 1
    run_id: str
    attempt: Annotated[AttemptNumber, "the attempt that `said` is about"]
    ticket: str
    vm: str
    marker: Annotated[str, "the first line of follow-up-issue.md, the same for each run of this ticket and VM"]
    issue: Annotated[str | None, "what the tool answered to the create command; null if that names no issue"]
    said: str
    calls: tuple[Call, ...]


# --- what an operator set -----------------------------------------------------------------------------------------


def check_issue_commands(settings: Mapping[str, Any]) -> None:
    """Raises InputError for an unknown placeholder, a secret in a command, or an update without a create."""
    for name, known in PLACEHOLDERS.items():
        words = _words(settings[name])
        for found in (found for word in words for found in _PLACEHOLDER.findall(word)):
            if found not in known:
                hint = nearest(found, known) or f"; there are {', '.join(f'{{{word}}}' for word in known)}."
                raise InputError(f"{name} has the unknown placeholder {{{found}}}{hint}")
        if Redactor().argv(words) != words:
            raise InputError(
                f"{name} holds what looks like a secret, and the index would show it. Give it to the tool through its "
                "own configuration or the environment."
            )
    if settings[UPDATE] and not settings[CREATE]:
        raise InputError(f"{UPDATE} is set without {CREATE}: there would never be an issue to update.")


def _words(command: object) -> list[str]:
    """The words of a command. Raises InputError for one that is none: a bundle's may be anything."""
    try:
        words = shlex.split(command) if isinstance(command, str) else command or ()
    except ValueError as error:
        raise InputError(f"This command for a tracker cannot be read ({error}): {str(command)[:120]}") from None
    if not isinstance(words, (list, tuple)):
        raise InputError(f"A command for a tracker is a string or a list of words, not {str(command)[:120]}.")
    return [str(word) for word in words]


# --- handing over -------------------------------------------------------------------------------------------------


def issue_file(bundle: Path) -> Path:
    folder = bundle.resolve()
    return folder.with_name(f"{folder.name}.issue.json")


@dataclass(frozen=True, slots=True)
class Commands:
    """The operator's own commands, and where they run. A bundle may come from a stranger: what it names is never run,
    and no tool is started in a folder that it names, as git and its like run what such a folder configures."""

    create: str | Sequence[str] | None = None
    update: str | Sequence[str] | None = None
    directory: Path = Path()

    def of(self, name: str) -> list[str]:
        return _words(self.create if name == CREATE else self.update)


def hand_over(bundle: Path, commands: Commands) -> Handed:
    """Creates or updates the issue of a sealed HOLD with the operator's commands.

    Raises BundleError for a bundle without a sealed decision, InputError where the bundle names another command than
    the operator.
    """
    record, index = _record(bundle), read_run(bundle).index
    if not is_sealed(bundle):
        raise BundleError(f"{bundle} is not sealed: there is no decision, so there is no issue to hand over.")
    for name in PLACEHOLDERS:
        _check_own(bundle, name, _words(index.settings.get(name)), commands.of(name))
    if not commands.create or index.run.get("check"):  # a rehearsal opens no issue
        return Handed()
    try:
        earlier = _open_issue(bundle.resolve().parent, record)
        calls = _calls(bundle)
    except BundleError as error:
        return Handed(f"No issue was handed over, because it cannot be seen whether one is open: {error}", True)
    if record.decision == "PROMOTE":
        return _settled(bundle, record, earlier, calls)
    if any(call.attempt == record.attempt and not call.problem for call in calls):
        return Handed(f"The issue of run {record.run_id}, attempt {record.attempt}, was handed over before.")
    return _call(bundle, record, index.settings, commands, earlier, calls)


def _check_own(bundle: Path, name: str, named: list[str], own: list[str]) -> None:
    if named and named != own:
        option = "--command" if name == CREATE else "--update-command"
        yours = shlex.join(own) or "none"
        raise InputError(
            f"{bundle} names as {name}: {shlex.join(named)} - yours is: {yours}. A bundle may come from anywhere, so "
            f"its command is not run. If it is your own, give it with {option}."
        )


def _settled(bundle: Path, record: _Record, earlier: _Issue | None, calls: tuple[Call, ...]) -> Handed:
    if earlier is None:
        return Handed()
    said = f"This PROMOTE settles the follow-up issue {earlier.name or ''}".rstrip() + "; close it in the tracker."
    return _written(bundle, record, earlier.name, calls, Handed(said))


def _call(
    bundle: Path,
    record: _Record,
    settings: Mapping[str, Any],
    commands: Commands,
    earlier: _Issue | None,
    calls: tuple[Call, ...],
) -> Handed:
    name = UPDATE if earlier else CREATE
    words = commands.of(name)
    issue = earlier.name if earlier else None
    if earlier and not words:
        said = f"The follow-up issue {issue or ''}".rstrip() + f" is open already, with its earlier text: set {UPDATE}."
        return _written(bundle, record, issue, calls, Handed(said))
    if earlier and issue is None and any("{issue}" in word for word in words):
        unnamed = "The open follow-up issue cannot be updated: the tool's answer did not name it."
        return _written(bundle, record, issue, calls, Handed(f"{unnamed} {_by_hand(bundle, commands)}", True))
    started = stamp(utc_now())
    filled, answer = _run(bundle, record, issue, words, commands.directory, settings)
    if not earlier and not answer.problem:
        issue = _named(answer)
    call = Call(
        attempt=record.attempt,
        decided_at=record.decided_at,
        action="update" if earlier else "create",
        command=Redactor().text(shlex.join(filled)),
        started=started,
        duration_seconds=answer.duration_seconds,
        exit=answer.exit,
        timed_out=answer.timed_out,
        truncated=answer.truncated,
        stdout=answer.stdout,
        stderr=answer.stderr,
        issue=issue,
        problem=answer.problem,
    )
    said = _said(bundle, record, name, commands, answer, issue)
    return _written(bundle, record, issue, (*calls, call), Handed(said, bool(answer.problem)))


def _run(
    bundle: Path,
    record: _Record,
    issue: str | None,
    words: Sequence[str],
    directory: Path,
    settings: Mapping[str, Any],
) -> tuple[list[str], Answer]:
    """Runs the command with a copy of the file: a tool that edits what it is given must not break the seal."""
    limit = settings.get("promotion_issue_limit_seconds")
    seconds = limit if isinstance(limit, int) and 0 < limit <= MAX_SECONDS else DEFAULT_SECONDS
    with tempfile.TemporaryDirectory(prefix="promotion-gate-") as folder:
        file = Path(folder) / FOLLOW_UP
        values = {"file": str(file), "title": record.title, "ticket": record.ticket, "vm": record.vm}
        values |= {"run_id": record.run_id, "issue": issue or ""}
        filled = [_PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), word) for word in words]
        try:
            shutil.copyfile(bundle / FOLLOW_UP, file)
        except OSError as error:
            return filled, Answer(f"was not run: {FOLLOW_UP} cannot be copied ({error.strerror})")
        options = [word for word, made in zip(words, filled, strict=True) if word[:1] != "-" and made[:1] == "-"]
        if options:
            return filled, Answer(f"was not run: {options[0]} is filled in by an option, which the tool would obey")
        return filled, run_tool(filled, directory, seconds)


def _named(answer: Answer) -> str | None:
    """What names the issue: the URL in the last line that the tool printed to its output, else that whole line."""
    lines = answer.stdout.split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    url = _URL.search(last)
    name = url[0] if url else last
    harmless = name == visible(name) and not name.startswith("-") and MASK not in name
    return name if name and harmless and len(name) <= MAX_ISSUE_LENGTH and not answer.truncated else None


def _said(bundle: Path, record: _Record, name: str, commands: Commands, answer: Answer, issue: str | None) -> str:
    if answer.problem:
        lines = [line for line in (answer.stderr or answer.stdout).split("\n") if line.strip()]
        why = f" ({visible(lines[-1])[:200]})" if lines else ""
        look = f" Look first whether it did it all the same: {record.ticket}, {record.vm}." if answer.timed_out else ""
        return f"{name} {answer.problem}{why}; the decision stands. {_by_hand(bundle, commands)}{look}"
    if name == UPDATE:
        return f"The follow-up issue {issue or ''}".rstrip() + " was updated."
    if issue is None:
        return f"The follow-up issue was created, but the tool's answer names none; see {issue_file(bundle)}."
    return f"The follow-up issue was created: {issue}"


def _by_hand(bundle: Path, commands: Commands) -> str:
    options = [("--command", commands.of(CREATE)), ("--update-command", commands.of(UPDATE))]
    options += [("--directory", [str(commands.directory)])] if commands.directory != Path() else []
    words = [word for option, own in options if own for word in (option, shlex.join(own))]
    again = shlex.join(["promotion-gate", "issue", str(bundle), *words])
    return f"Hand over {bundle / FOLLOW_UP} yourself, or again with: {again}"


# --- what stands beside the bundles -------------------------------------------------------------------------------


def _written(bundle: Path, record: _Record, issue: str | None, calls: tuple[Call, ...], handed: Handed) -> Handed:
    path = issue_file(bundle)
    content = IssueRecord(
        run_id=record.run_id,
        attempt=record.attempt,
        ticket=record.ticket,
        vm=record.vm,
        marker=marker(record.ticket, record.vm),
        issue=issue,
        said=handed.said,
        calls=calls,
    )
    try:
        write_atomically(path, to_json(plain(content)))
    except OSError as error:
        unknown = f"It could not be noted in {path} ({error.strerror}), so the next HOLD does not know of it."
        return Handed(f"{handed.said} {unknown}", True)
    return handed


def said_of(bundle: Path, attempt: object) -> str:
    """What was said of the issue of this attempt; empty where nothing was. Never raises."""
    try:
        record = _read(issue_file(bundle))
    except GateError:
        return ""
    return record.said if record.attempt == attempt else ""


def _read(path: Path) -> IssueRecord:
    return read(IssueRecord, read_json(path), str(path))


def _record(folder: Path) -> _Record:
    where = str(folder / DECISION_JSON)
    fields = Fields(read_json(folder / DECISION_JSON), where, BundleError)
    return _Record(
        run_id=fields.text("run_id"),
        attempt=fields.integer("attempt"),
        decision=fields.text("decision"),
        decided_at=fields.text("decided_at"),
        ticket=fields.text("ticket"),
        vm=Fields(fields.mapping("vm"), where, BundleError).text("name", "unknown"),
    )


def _calls(bundle: Path) -> tuple[Call, ...]:
    """The calls of this run so far."""
    path = issue_file(bundle)
    return () if read_file(path).problem == "is missing" else _read(path).calls


def _open_issue(root: Path, record: _Record) -> _Issue | None:
    """The newest issue of this ticket and VM that no PROMOTE has settled before this record.

    Raises BundleError for an *.issue.json that cannot be read: an issue may be open, and it must not be opened twice.
    """
    created = [issue for path in sorted(root.glob("*.issue.json")) for issue in _created(path, record)]
    if not created:
        return None
    newest = max(created, key=lambda issue: issue.created)
    settled = any(newest.created < promoted < record.moment for promoted in _promoted(root, record))
    return None if settled else newest


def _created(path: Path, record: _Record) -> Iterator[_Issue]:
    found = _read(path)
    if found.marker == marker(record.ticket, record.vm):
        created = [call for call in found.calls if call.action == "create" and not call.problem]
        yield from (_Issue((call.decided_at, found.run_id, call.attempt), call.issue) for call in created)


def _promoted(root: Path, record: _Record) -> Iterator[Moment]:
    """When this ticket and VM was promoted, in earlier attempts too: a later re-run does not open an issue again."""
    for pattern in (f"*/{DECISION_JSON}", f"*/{ATTEMPTS}/*/{DECISION_JSON}"):
        for path in root.glob(pattern):
            try:
                found = _record(path.parent)
            except BundleError:
                continue
            if found.decision == "PROMOTE" and (found.ticket, found.vm) == (record.ticket, record.vm):
                yield found.moment
