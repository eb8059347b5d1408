"""index.json: what was collected, where it lies, and every input of the decision that is not evidence.

The recorder writes it, everything else reads it. Only the index is believed: header lines in a transcript are
for people, and what a VM prints can imitate them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from promotion_gate.base.errors import BundleError
from promotion_gate.base.fields import Fields
from promotion_gate.base.names import INDEX_FILE, MAP_FILE, evidence_name

INDEX_SCHEMA = 2
# How often a run may be resumed; a seal is kept of each attempt.
MAX_ATTEMPTS = 999


@dataclass(frozen=True, slots=True)
class Planned:
    """One gate of the plan: on which inventory host it runs, in which wave, and whether promotion_gates chose it."""

    gate: str
    host: str
    wave: int
    chosen: bool


@dataclass(frozen=True, slots=True)
class Probe:
    """What a host answered when the newest attempt began, or why it cannot be used.

    `kind` names the reason (`unreachable`, `no_checkout`, ..., `failed` for one without a name), `problem` is what was
    reported; both are empty for a host that can be used.
    """

    output: str
    kind: str
    problem: str


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a transcript. Times are the controller's, durations come from the target's monotonic clock."""

    gate: str
    id: str
    file: str
    argv: tuple[str, ...]
    shown: str
    host: str
    directory: str
    started: str
    duration_ns: int
    limit_seconds: float
    environment_names: tuple[str, ...]
    exit: int | None
    signal: int | None
    timed_out: bool
    left_running: bool
    truncated: bool
    offset: int
    length: int
    not_run: str | None


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file brought back from the target; `size` is what it had there, in bytes."""

    gate: str
    file: str
    source: str
    size: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class ArtifactSet:
    """One directory or file that a gate asked for: was it there, and what was refused, and why."""

    gate: str
    source: str
    to: str
    found: bool
    error: str | None
    truncated: bool
    refused: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class GateRecord:
    """What is known of one gate's trip(s) beside its commands."""

    attempt: int
    host: str
    hostname: str
    user: str
    started: str
    ended: str
    duration_ns: int
    load_average: tuple[float, ...]
    load_average_after: tuple[float, ...]
    env_file: str | None
    env_file_error: str | None
    env_names: tuple[str, ...]
    objections: tuple[str, ...]
    policy_sha256: str
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Mask:
    """How often a rule of the redaction masked something in a file."""

    rule: str
    file: str
    count: int


@dataclass(frozen=True, slots=True)
class Withheld:
    """Text that still showed a known secret after it was masked, and so was not written: its file, rule and digest."""

    file: str
    rule: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened instead of a result: a host unreachable, a task that failed or was skipped."""

    gate: str | None
    kind: str
    host: str
    task: str
    message: str


@dataclass(frozen=True, slots=True)
class Index:
    """The whole of index.json, checked.

    `files` maps each evidence file to its SHA-256 as it was recorded; `root_id` is the same in all runs of a root.
    """

    run_id: str
    root_id: str
    state: str
    attempt: int
    opened_at: str
    evaluated_at: str | None
    ticket: str
    operator: str
    reviewer: str
    risks: tuple[Mapping[str, str], ...]
    waivers: tuple[Mapping[str, Any], ...]
    settings: Mapping[str, Any]
    policy: Mapping[str, str]
    baseline_sha256: str | None
    previous: Mapping[str, str] | None
    attempts: tuple[Mapping[str, Any], ...]
    plan: tuple[Planned, ...]
    probes: Mapping[str, Probe]
    run: Mapping[str, Any]
    gates: Mapping[str, GateRecord]
    commands: tuple[Command, ...]
    artifacts: tuple[Artifact, ...]
    artifact_sets: tuple[ArtifactSet, ...]
    events: tuple[Event, ...]
    collector_errors: tuple[str, ...]
    masks: tuple[Mask, ...]
    withheld: tuple[Withheld, ...]
    files: Mapping[str, str]

    def command(self, gate: str, command_id: str) -> Command | None:
        """The command of that gate with that id; the newest where it is recorded more than once."""
        found = self.records(gate, command_id)
        return found[-1] if found else None

    def records(self, gate: str, command_id: str) -> tuple[Command, ...]:
        """All records of that id. An attempt of a gate makes one; of two, nobody can say which one counts."""
        return tuple(item for item in self.commands if item.gate == gate and item.id == command_id)

    def host_of(self, gate: str) -> str | None:
        """The inventory name of the host that the plan has for a gate."""
        return next((planned.host for planned in self.plan if planned.gate == gate), None)


def parse_index(data: object, where: str = INDEX_FILE) -> Index:
    """Turns the JSON of index.json into an Index. Raises BundleError naming the bad field."""
    fields = Fields(data, where, BundleError)
    schema = fields.integer("schema")
    if schema > INDEX_SCHEMA:
        raise BundleError(f"{where} has schema {schema}; this gate reads up to {INDEX_SCHEMA}. Use the newer gate.")
    if schema != INDEX_SCHEMA:
        raise BundleError(
            f"{where} has schema {schema}, which a pre-release wrote; this gate reads schema {INDEX_SCHEMA}. Run "
            "the gate again: a bundle of a pre-release decides nothing."
        )
    state = fields.text("state")
    if state not in ("open", "closed"):
        raise BundleError(f'{where}: state must be open or closed, not "{state}".')
    evaluated_at = fields.optional_text("evaluated_at")
    if (state == "closed") != (evaluated_at is not None):
        raise BundleError(f"{where}: evaluated_at must stand exactly in a closed index.")
    gates = {
        str(name): _gate(Fields(value, f"{where}: gates.{name}", BundleError))
        for name, value in fields.mapping("gates").items()
    }
    run = fields.below("run")
    for name in ("extra_vars", "options"):
        run.texts(name)  # they are printed as words of a command
    commands, artifacts = fields.each("commands", _command), fields.each("artifacts", _artifact)
    attempt = fields.integer("attempt")
    if not 0 < attempt <= MAX_ATTEMPTS:
        raise BundleError(f"{where}: attempt must be from 1 to {MAX_ATTEMPTS}, not {attempt}.")
    return Index(
        run_id=fields.text("run_id"),
        root_id=fields.text("root_id"),
        state=state,
        attempt=attempt,
        opened_at=fields.text("opened_at"),
        evaluated_at=evaluated_at,
        ticket=fields.text("ticket"),
        operator=fields.text("operator"),
        reviewer=fields.text("reviewer"),
        risks=tuple(fields.sequence("risks")),
        waivers=tuple(fields.sequence("waivers")),
        settings=fields.mapping("settings"),
        policy=fields.mapping("policy"),
        baseline_sha256=fields.optional_text("baseline_sha256"),
        previous=fields.mapping("previous") or None,
        attempts=tuple(fields.sequence("attempts")),
        plan=fields.each("plan", _planned),
        probes={
            str(host): _probe(Fields(value, f"{where}: probes.{host}", BundleError))
            for host, value in fields.mapping("probes").items()
        },
        run=fields.mapping("run"),
        gates=gates,
        commands=commands,
        artifacts=artifacts,
        artifact_sets=fields.each("artifact_sets", _artifact_set),
        events=fields.each("events", _event),
        collector_errors=fields.texts("collector_errors"),
        masks=fields.each("masks", _mask),
        withheld=fields.each("withheld", _withheld),
        files=_files(fields, {*(c.file for c in commands), *(a.file for a in artifacts)}),
    )


def _files(fields: Fields, accounted: set[str]) -> dict[str, str]:
    """The evidence files with their digests: each belongs to a command or an artifact, or is the gate's own map."""
    files = {}
    for name, digest in fields.mapping("files").items():
        if name != MAP_FILE and evidence_name(str(name), fields.where) not in accounted:
            raise BundleError(f'{fields.where}: no command and no artifact accounts for the file "{name}".')
        files[str(name)] = str(digest)
    return files


def _planned(fields: Fields) -> Planned:
    return Planned(fields.text("gate"), fields.text("host"), fields.integer("wave"), fields.boolean("chosen"))


def _probe(fields: Fields) -> Probe:
    return Probe(fields.text("output", ""), fields.text("kind", ""), fields.text("problem", ""))


def _gate(fields: Fields) -> GateRecord:
    return GateRecord(
        attempt=fields.integer("attempt"),
        host=fields.text("host"),
        hostname=fields.text("hostname", ""),
        user=fields.text("user", ""),
        started=fields.text("started"),
        ended=fields.text("ended"),
        duration_ns=fields.integer("duration_ns"),
        load_average=tuple(fields.sequence("load_average")),
        load_average_after=tuple(fields.sequence("load_average_after")),
        env_file=fields.optional_text("env_file"),
        env_file_error=fields.optional_text("env_file_error"),
        env_names=fields.texts("env_names"),
        objections=fields.texts("objections"),
        policy_sha256=fields.text("policy_sha256"),
        settings=fields.mapping("settings"),
    )


def _command(fields: Fields) -> Command:
    offset, length, duration = fields.integer("offset"), fields.integer("length"), fields.integer("duration_ns")
    if min(offset, length, duration) < 0:
        raise BundleError(f"{fields.where}: offset, length and duration_ns must not be negative.")
    limit = fields.raw("limit_seconds")
    if not isinstance(limit, (int, float)):
        raise BundleError(f"{fields.where}: limit_seconds must be a number.")
    return Command(
        gate=fields.text("gate"),
        id=fields.text("id"),
        file=evidence_name(fields.text("file"), fields.where),
        argv=fields.texts("argv"),
        shown=fields.text("command"),
        host=fields.text("host"),
        directory=fields.text("directory", ""),
        started=fields.text("started"),
        duration_ns=duration,
        limit_seconds=float(limit),
        environment_names=fields.texts("environment_names"),
        exit=fields.integer("exit") if fields.has("exit") else None,
        signal=fields.integer("signal") if fields.has("signal") else None,
        timed_out=fields.boolean("timed_out"),
        left_running=fields.boolean("left_running"),
        truncated=fields.boolean("truncated"),
        offset=offset,
        length=length,
        not_run=fields.optional_text("not_run"),
    )


def _artifact(fields: Fields) -> Artifact:
    return Artifact(
        gate=fields.text("gate"),
        file=evidence_name(fields.text("file"), fields.where),
        source=fields.text("source"),
        size=fields.integer("size"),
        truncated=fields.boolean("truncated"),
    )


def _artifact_set(fields: Fields) -> ArtifactSet:
    refused = tuple(
        (str(item.get("path", "")), str(item.get("reason", "")))
        for item in fields.sequence("refused")
        if isinstance(item, Mapping)
    )
    return ArtifactSet(
        gate=fields.text("gate"),
        source=fields.text("source"),
        to=fields.text("to"),
        found=fields.boolean("found"),
        error=fields.optional_text("error"),
        truncated=fields.boolean("truncated"),
        refused=refused,
    )


def _mask(fields: Fields) -> Mask:
    return Mask(fields.text("rule"), fields.text("file"), fields.integer("count"))


def _withheld(fields: Fields) -> Withheld:
    return Withheld(fields.text("file"), fields.text("rule"), fields.text("sha256"))


def _event(fields: Fields) -> Event:
    return Event(
        gate=fields.optional_text("gate"),
        kind=fields.text("kind"),
        host=fields.text("host", ""),
        task=fields.text("task", ""),
        message=fields.text("message", ""),
    )
