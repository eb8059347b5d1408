"""How a check is written: a small function from a Case to a Finding, registered under the name the policy uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from promotion_gate.base.limits import Limit
from promotion_gate.base.model import Replaced, Status
from promotion_gate.base.policy import CheckPolicy, GatePolicy
from promotion_gate.bundle.index import ArtifactSet, Command, GateRecord
from promotion_gate.bundle.load import Bundle
from promotion_gate.judge import masks
from promotion_gate.judge.checks.hints import CUT, UNUSABLE
from promotion_gate.judge.checks.not_run import host_trouble, why_skipped
from promotion_gate.judge.parsers.text import plain, reason
from promotion_gate.judge.parsers.trouble import could_not_work


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check function returns.

    `hint` picks the unblock sentence of the policy, `values` fill it in; `details` are plain data for the summaries;
    `covered` says for the page how many of how many of what were good.
    `because` is the id of the check whose failure prevented this one; `not_run` says why nothing was run.
    """

    status: Status
    observed: str
    evidence: tuple[str, ...] = ()
    expected: str | None = None
    hint: str = "default"
    values: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    because: str = ""
    not_run: str = ""
    # The commands that were replaced, as the checklist allows.
    replaced: tuple[Replaced, ...] = ()
    # The number that decided, with its limit, in a few words, short enough for a table of gates.
    figure: str = ""


class Unproven(Exception):
    """The evidence for a check is missing or unusable; carries the status and the sentence."""

    def __init__(
        self,
        status: Status,
        observed: str,
        file: str | None = None,
        hint: str = "default",
        *,
        because: str = "",
        not_run: str = "",
        **values: str,
    ) -> None:
        super().__init__(observed)
        evidence = (file,) if file else ()
        self.finding = Finding(status, observed, evidence, hint=hint, values=values, because=because, not_run=not_run)


class SwitchedOff(Exception):
    """The operator switched the check off; the text says how. It is listed as not judged, never as passed."""


@dataclass(frozen=True, slots=True)
class Output:
    """A command's record and what it printed."""

    record: Command
    text: str

    @property
    def exit(self) -> int | None:
        return self.record.exit

    @property
    def ending(self) -> str:
        """How it finished, in words: `exited 2`, `was killed by signal 9`."""
        if self.record.exit is not None:
            return f"exited {self.record.exit}"
        return f"was killed by signal {self.record.signal}" if self.record.signal else "did not end"

    @property
    def failure(self) -> Status:
        """What a failure of the command means: BLOCKED if its tool is missing or could not work, else FAIL."""
        return Status.BLOCKED if self.exit in (126, 127) or could_not_work(self.text) else Status.FAIL

    @property
    def how(self) -> str:
        """How it finished, and the reason in its output: `exited 2: error: ...`."""
        why = reason(self.text)
        return f"{self.ending}: {why}" if why else self.ending

    @property
    def whole(self) -> str:
        """The output if it was not truncated. The absence of a line may only be concluded from this."""
        if self.record.truncated:
            raise Unproven(
                Status.INVALID,
                f"the output of `{self.record.command}` was too large and was truncated; it cannot be judged",
                self.record.file,
                CUT,
            )
        return self.text

    @property
    def plain(self) -> str:
        """The whole output without colours and carriage returns, which would hide a line from a pattern."""
        return plain(self.whole)

    def succeeded(self, hint: str = "default") -> Output:
        """Itself if it exited 0 with its whole output; a tool that is missing or could not work is BLOCKED."""
        if self.exit == 0:
            _ = self.whole
            return self
        raise Unproven(self.failure, f"`{self.record.command}` {self.how}", self.record.file, hint)


@dataclass(frozen=True, slots=True)
class Case:
    """What a check may look at: the bundle, its gate, its own limits.

    `word` replaces the masks that hide something. `masked` collects the files with such masks, and whether the command
    exited non-zero: then its failure does not depend on its output.
    """

    bundle: Bundle
    gate: GatePolicy
    check: CheckPolicy
    word: str | None = None
    masked: dict[str, bool] = field(default_factory=dict)

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.bundle.index.settings

    @property
    def record(self) -> GateRecord | None:
        return self.bundle.index.gates.get(self.gate.name)

    def limit(self, name: str) -> Any:
        """A limit of the checklist, with the type that the check declared; None for an optional one that is not set."""
        return self.check.limits.get(name)

    def ran(self, command_id: str) -> bool:
        """Whether the gate recorded this command at all, run or not."""
        return self.bundle.index.command(self.gate.name, command_id) is not None

    def command(self, command_id: str, timeout_hint: str = "default") -> Output:
        """The command's output, if it finished and its transcript is what was recorded.

        Raises Unproven: BLOCKED for a host or command that could not do its work, MISSING, INVALID, SKIPPED.
        """
        record = self.bundle.index.command(self.gate.name, command_id)
        if record is None:
            raise self._no_record(command_id)
        if (count := len(self.bundle.index.records(self.gate.name, command_id))) > 1:
            why = f"`{record.command}` ({command_id}) is recorded {count} times; it is not known which of them counts"
            raise Unproven(Status.INVALID, why, record.file, UNUSABLE)
        if record.not_run is not None:
            skipped = record.not_run.startswith("check mode")
            unset = " is not set " in record.not_run
            raise Unproven(
                Status.SKIPPED if skipped else Status.BLOCKED,
                f"`{record.command}` was not run: {record.not_run}",
                record.file,
                "unset" if unset else "default",
                not_run=record.not_run,
            )
        text = self._slice(record)
        if record.timed_out:
            raise Unproven(
                Status.BLOCKED,
                f"`{record.command}` timed out after {record.limit_seconds:g} s and was killed",
                record.file,
                timeout_hint,
            )
        if record.left_running:
            raise Unproven(Status.FAIL, f"`{record.command}` left processes running; they were killed", record.file)
        return Output(record, text)

    def file(self, name: str) -> bytes:
        """The bytes of a recorded evidence file. Raises Unproven where it is missing, replaced or changed."""
        if any(item.file == name for item in self.bundle.index.withheld):
            raise Unproven(Status.INVALID, f"{name} contained a secret, so part of it was withheld", name, UNUSABLE)
        content = self.bundle.content(name)
        if content.problem:
            status = Status.MISSING if content.problem == "is missing" else Status.INVALID
            hint = "default" if status is Status.MISSING else UNUSABLE
            raise Unproven(status, f"{name} {content.problem}", name, hint)
        return content.data

    def text(self, name: str) -> str:
        """The text of a recorded evidence file that is not a command's output."""
        return self._seen(name, self.file(name).decode("utf-8", "replace"))

    def artifact_set(self, to: str) -> ArtifactSet:
        found = [s for s in self.bundle.index.artifact_sets if s.gate == self.gate.name and s.to == to]
        if not found:
            raise self._no_record(to)
        if len(found) > 1:
            why = f"{to} is recorded {len(found)} times; it is not known which of them counts"
            raise Unproven(Status.INVALID, why, hint=UNUSABLE)
        return found[0]

    def _slice(self, record: Command) -> str:
        data = self.file(record.file)
        if record.offset + record.length > len(data):
            raise Unproven(Status.INVALID, f"{record.file} is shorter than the index says", record.file, UNUSABLE)
        text = data[record.offset : record.offset + record.length].decode("utf-8", "replace")
        return self._seen(record.file, text, record.exit != 0)

    def _seen(self, file: str, text: str, failed: bool = False) -> str:
        if self.word is not None:
            return masks.taken_for(text, self.word)
        if masks.hides(text):
            self.masked[file] = failed and self.masked.get(file, True)
        return text

    def _no_record(self, what: str) -> Unproven:
        """Why a gate has no record of something: unreachable, failed, not selected, or simply missing."""
        trouble = host_trouble(self.bundle, self.gate.name)
        if trouble:
            return Unproven(Status.BLOCKED, f"nothing was run: {trouble.message}", not_run=trouble.message)
        skipped = why_skipped(self.bundle.index, self.gate.name)
        if skipped:
            return Unproven(Status.SKIPPED, skipped, not_run=skipped)
        return Unproven(
            Status.MISSING, f"there is no record of {what}", not_run="" if self.record else "the gate left no record"
        )


Function = Callable[[Case], Finding]


@dataclass(frozen=True, slots=True)
class Registered:
    """A kind of check: its limits, the hints that it gives, and the words that it offers to unblock sentences.

    An `optional` one passes, or is not judged, unless an operator asks for it. `together` says what is wrong with a
    combination of limits that are each valid.
    """

    name: str
    function: Function
    expected: str
    limits: tuple[Limit, ...]
    hints: frozenset[str]
    placeholders: frozenset[str]
    optional: bool
    together: Callable[[Mapping[str, Any]], str | None]
    # What it needs besides the evidence of its own gate; a role that is used alone does not have that.
    beyond: str = ""

    def subject(self, limits: Mapping[str, Any]) -> dict[str, Any]:
        """The limits that say what is judged, as opposed to how strictly."""
        return {limit.name: limits.get(limit.name) for limit in self.limits if limit.tighter is None}


# The hints that every check may give besides its own.
COMMON_HINTS = frozenset(["default"])
CHECKS: dict[str, Registered] = {}


def check(
    name: str,
    expected: str,
    *limits: Limit,
    hints: str = "",
    placeholders: str = "",
    optional: bool = False,
    together: Callable[[Mapping[str, Any]], str | None] = lambda _: None,
    beyond: str = "",
) -> Callable[[Function], Function]:
    """Registers a check. `expected` is a sentence in which {limit} and {setting} names are filled in.

    `hints` are the unblock sentences that it chooses from besides `default`, as words in one string, and so are
    `placeholders`.
    """

    def register(function: Function) -> Function:
        if name in CHECKS:
            raise ValueError(f'there is a check "{name}" already')
        words, offered = frozenset(hints.split()), frozenset(placeholders.split())
        CHECKS[name] = Registered(name, function, expected, limits, words, offered, optional, together, beyond)
        return function

    return register
