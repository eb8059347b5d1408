"""Hands follow-up-issue.md to the team's own tool: once per ticket and VM while that issue is open.

The decision is sealed before that and does not change, whatever the tool does. The tool's answer is kept beside the
bundle, in `<run id>.issue.json`. An issue is open until a later PROMOTE of the same ticket and VM.
"""

from __future__ import annotations

import re
import shlex
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promotion_gate.base.errors import BundleError, InputError
from promotion_gate.base.escape import visible
from promotion_gate.base.fields import nearest
from promotion_gate.base.names import FOLLOW_UP, issue_file
from promotion_gate.base.redact import MASK, Redactor
from promotion_gate.base.times import stamp, utc_now
from promotion_gate.bundle.history import is_sealed, read_run
from promotion_gate.report.issues import (
    Call,
    Handed,
    Issue,
    Record,
    calls_of,
    open_issue,
    record_of,
    written,
)
from promotion_gate.report.tool import Answer, run_tool

CREATE, UPDATE = "promotion_issue_command", "promotion_issue_update_command"
_WORDS = ("file", "title", "ticket", "vm", "run_id")
PLACEHOLDERS: Mapping[str, tuple[str, ...]] = {CREATE: _WORDS, UPDATE: (*_WORDS, "issue")}
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_URL = re.compile(r"https?://[^\s<>\"']+")
MAX_ISSUE_LENGTH = 300
DEFAULT_SECONDS, MAX_SECONDS = 60, 86_400  # the maximum that the settings allow for promotion_issue_limit_seconds


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
    """The words of a command. Raises InputError if it is not a command: a bundle's may be anything."""
    try:
        words = shlex.split(command) if isinstance(command, str) else command or ()
    except ValueError as error:
        raise InputError(f"This command for a tracker cannot be read ({error}): {str(command)[:120]}") from None
    if not isinstance(words, (list, tuple)):
        raise InputError(f"A command for a tracker is a string or a list of words, not {str(command)[:120]}.")
    return [str(word) for word in words]


# --- handing over -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Commands:
    """The operator's own commands, and where they run. A bundle may come from a stranger: commands that it names are
    never run, and no tool is started in a folder that it names, because git and similar tools run what a folder
    configures."""

    create: str | Sequence[str] | None = None
    update: str | Sequence[str] | None = None
    directory: Path = Path()

    def of(self, name: str) -> list[str]:
        return _words(self.create if name == CREATE else self.update)


def hand_over(bundle: Path, commands: Commands) -> Handed:
    """Creates or updates the issue of a sealed HOLD with the operator's commands.

    Raises BundleError for a bundle without a sealed decision, and InputError if the bundle names a different command
    than the operator.
    """
    record, index = record_of(bundle), read_run(bundle).index
    if not is_sealed(bundle):
        raise BundleError(f"{bundle} is not sealed: there is no decision, so there is no issue to hand over.")
    for name in PLACEHOLDERS:
        _check_own(bundle, name, _words(index.settings.get(name)), commands.of(name))
    if not commands.create or index.run.get("check"):  # a rehearsal opens no issue
        return Handed()
    try:
        earlier = open_issue(bundle.resolve().parent, record)
        calls = calls_of(bundle)
    except BundleError as error:
        return Handed(f"No issue was handed over, because it cannot be seen whether one is open: {error}", True)
    if record.decision == "PROMOTE":
        return _settled(bundle, record, earlier, calls)
    if any(call.attempt == record.attempt and not call.problem for call in calls):
        message = f"The issue of run {record.run_id}, attempt {record.attempt}, has already been handed over"
        return Handed(f"{message}; to hand it over again, remove {issue_file(bundle)} first.")
    return _call(bundle, record, index.settings, commands, earlier, calls)


def _check_own(bundle: Path, name: str, named: list[str], own: list[str]) -> None:
    if named and named != own:
        option = "--command" if name == CREATE else "--update-command"
        yours = shlex.join(own) or "none"
        raise InputError(
            f"{bundle} names as {name}: {shlex.join(named)} - yours is: {yours}. A bundle may come from anywhere, so "
            f"its command is not run. If it is your own, give it with {option}."
        )


def _settled(bundle: Path, record: Record, earlier: Issue | None, calls: tuple[Call, ...]) -> Handed:
    if earlier is None:
        return Handed()
    message = f"This PROMOTE settles the follow-up issue {earlier.name or ''}".rstrip() + "; close it in the tracker."
    return written(bundle, record, earlier.name, calls, Handed(message))


def _call(
    bundle: Path,
    record: Record,
    settings: Mapping[str, Any],
    commands: Commands,
    earlier: Issue | None,
    calls: tuple[Call, ...],
) -> Handed:
    name = UPDATE if earlier else CREATE
    words = commands.of(name)
    issue = earlier.name if earlier else None
    if earlier and not words:
        message = (
            f"The follow-up issue {issue or ''}".rstrip() + f" is open already, with its earlier text: set {UPDATE}."
        )
        return written(bundle, record, issue, calls, Handed(message))
    if earlier and issue is None and any("{issue}" in word for word in words):
        unnamed = "The open follow-up issue cannot be updated: the tool's answer did not name it."
        return written(bundle, record, issue, calls, Handed(f"{unnamed} {_by_hand(bundle, commands)}", True))
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
    message = _message(bundle, record, name, commands, answer, issue)
    return written(bundle, record, issue, (*calls, call), Handed(message, bool(answer.problem)))


def _run(
    bundle: Path,
    record: Record,
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
    """The name of the issue: the URL in the last line of the tool's stdout, else that whole line."""
    lines = answer.stdout.split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    url = _URL.search(last)
    name = url[0] if url else last
    harmless = name == visible(name) and not name.startswith("-") and MASK not in name
    return name if name and harmless and len(name) <= MAX_ISSUE_LENGTH and not answer.truncated else None


def _message(bundle: Path, record: Record, name: str, commands: Commands, answer: Answer, issue: str | None) -> str:
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
