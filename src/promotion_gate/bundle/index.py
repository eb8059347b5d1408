"""index.json: what was collected, where it is, and every input of the decision that is not evidence.

The recorder writes it, everything else reads it. Only the index is believed: header lines in a transcript are for
people, and what a VM prints can imitate them. Each field is defined only here: reading, writing and
docs/schema/index.schema.json follow from these types.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from promotion_gate.base.errors import BundleError
from promotion_gate.base.fields import Fields
from promotion_gate.base.files import read_json, to_json, write_atomically
from promotion_gate.base.model import AttemptNumber, Mask, PolicyRecord, Risk, Waiver
from promotion_gate.base.names import INDEX_FILE, MAP_FILE, evidence_name
from promotion_gate.base.typed import Name, Number, OptionalSha256, Sha256, Stamp, Text, Whole, plain, read

INDEX_SCHEMA: Literal[2] = 2

GateName = Annotated[str, Text("[a-z][a-z0-9_]*", "the name of a gate")]
Host = Annotated[str, Text(r"\S+", "the name of a host")]


class Run(TypedDict, total=False):
    """How the playbook was called, which the recorder notes first of all; empty until then."""

    recorder: str
    gate_version: str
    extra_vars: tuple[str, ...]
    check: bool
    selection: str
    playbook: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Previous:
    """The run before this one in the evidence root, and the digest of its newest seal."""

    run_id: str
    sha256: Sha256


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that a resume replaced, and the digest of its SHA256SUMS; empty if it was never sealed."""

    number: AttemptNumber
    sha256: OptionalSha256


@dataclass(frozen=True, slots=True)
class Planned:
    """One gate of the plan: on which inventory host it runs, in which wave, and whether promotion_gates chose it."""

    gate: GateName
    host: Host
    wave: Annotated[int, Number(1)]
    chosen: bool


@dataclass(frozen=True, slots=True)
class Probe:
    """What a host answered when the newest attempt began, or why it cannot be used.

    `kind` names the reason (`unreachable`, `no_checkout`, ..., `failed` for any other), `problem` is what was reported;
    both are empty for a host that can be used.
    """

    output: str
    kind: str
    problem: str


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a transcript. Times are the controller's, durations come from the target's monotonic clock."""

    gate: GateName
    id: str
    file: Name
    argv: tuple[str, ...]
    command: str
    host: str
    directory: str
    started: Stamp
    duration_ns: Annotated[Whole, "wall time by the target's monotonic clock"]
    limit_seconds: float
    environment_names: Annotated[
        tuple[str, ...], "what the command was given beyond the target's own environment and that of the env file"
    ]
    exit: int | None
    signal: int | None
    timed_out: bool
    left_running: bool
    truncated: bool
    offset: Annotated[Whole, "where the output begins in the file, in bytes"]
    length: Annotated[Whole, "of the output, in bytes"]
    not_run: Annotated[str | None, "why it was not run; null if it was"]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file brought back from the target; `size` is its size there, in bytes."""

    gate: GateName
    file: Name
    source: str
    size: Whole
    truncated: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """A file below an artifact that was not brought back, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class ArtifactSet:
    """One directory or file that a gate asked for: whether it existed, what was refused, and why."""

    gate: GateName
    source: str
    to: Name
    found: bool
    error: str | None
    truncated: bool
    refused: tuple[Refused, ...]


@dataclass(frozen=True, slots=True)
class GateRecord:
    """What is known about the trip(s) of one gate, besides its commands."""

    attempt: AttemptNumber
    host: str
    hostname: str
    user: str
    started: Stamp
    ended: Stamp
    duration_ns: Whole
    load_average: tuple[float, ...]
    load_average_after: tuple[float, ...]
    env_file: str | None
    env_file_error: str | None
    env_names: tuple[str, ...]
    objections: tuple[str, ...]
    policy_sha256: Sha256
    settings: Annotated[Mapping[str, Any], "the settings that this gate's evidence depends on, as they were"]


@dataclass(frozen=True, slots=True)
class Withheld:
    """Text that still showed a known secret after it was masked, and so was not written: its file, rule and digest."""

    file: str
    rule: str
    sha256: Sha256


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened instead of a result: an unreachable host, a failed or skipped task."""

    gate: GateName | None
    kind: Literal["unreachable", "failed", "skipped"]
    host: str
    task: str
    message: str


@dataclass(frozen=True, slots=True)
class Index:
    """The validated content of index.json.

    `files` maps each evidence file to its recorded SHA-256; `root_id` is the same in all runs of a root.
    """

    schema: Literal[2]
    run_id: str
    root_id: str
    state: Literal["open", "closed"]
    attempt: AttemptNumber
    opened_at: Stamp
    evaluated_at: Annotated[Stamp | None, "when collection closed; decided_at of the record; null exactly while open"]
    ticket: str
    operator: str
    reviewer: str
    risks: tuple[Risk, ...]
    waivers: tuple[Waiver, ...]
    settings: Annotated[
        Mapping[str, Any],
        "the effective settings of the run, secrets masked; a resume takes unset variables from here",
    ]
    policy: PolicyRecord
    baseline_sha256: Sha256 | None
    previous: Previous | None
    attempts: tuple[Attempt, ...]
    plan: Annotated[
        tuple[Planned, ...],
        "which gate runs on which inventory host, in which wave, and whether promotion_gates chose it",
    ]
    probes: Annotated[
        Mapping[str, Probe],
        "by inventory host: what it answered when the newest attempt began, or why it cannot be used",
    ]
    run: Run
    gates: Mapping[GateName, GateRecord]
    commands: tuple[Command, ...]
    artifacts: tuple[Artifact, ...]
    artifact_sets: tuple[ArtifactSet, ...]
    events: tuple[Event, ...]
    collector_errors: tuple[str, ...]
    withheld: Annotated[
        tuple[Withheld, ...],
        "what still showed a known secret after it was masked and was not written: any of it is an objection",
    ]
    files: Annotated[Mapping[Name, Sha256], "every evidence file with its SHA-256 as recorded"]
    masks: Annotated[tuple[Mask, ...], "how often which rule of the redaction masked something in which file"] = ()

    def command(self, gate: str, command_id: str) -> Command | None:
        """The command of that gate with that id; the newest if it is recorded more than once."""
        found = self.records(gate, command_id)
        return found[-1] if found else None

    def of_any_gate(self, command_id: str) -> Command | None:
        """The newest record of that id, whichever gate made it."""
        return next((item for item in reversed(self.commands) if item.id == command_id), None)

    def records(self, gate: str, command_id: str) -> tuple[Command, ...]:
        """All records with that id. An attempt of a gate makes one; with two it is unknown which one counts."""
        return tuple(item for item in self.commands if item.gate == gate and item.id == command_id)

    def recorded_files(self, gates: Container[str] | None = None) -> set[str]:
        """The files that commands and artifacts recorded, only those of `gates` if given."""
        found = {(item.gate, item.file) for item in self.commands} | {(item.gate, item.file) for item in self.artifacts}
        return {file for gate, file in found if gates is None or gate in gates}

    def awaits(self, gate: str) -> bool:
        """Whether the newest attempt collects a gate; what an earlier one collected is kept."""
        return gate not in self.gates or self.gates[gate].attempt == self.attempt

    def host_of(self, gate: str) -> str | None:
        """The inventory name of the host that the plan has for a gate."""
        return next((planned.host for planned in self.plan if planned.gate == gate), None)


def parse_index(data: object, where: str = INDEX_FILE) -> Index:
    """Turns the JSON of index.json into an Index. Raises BundleError naming the bad field."""
    number = Fields(data, where, BundleError).integer("schema")
    if number > INDEX_SCHEMA:
        raise BundleError(
            f"{where} has schema {number}; this gate reads up to {INDEX_SCHEMA}. Use a newer version of the gate."
        )
    if number != INDEX_SCHEMA:
        raise BundleError(
            f"{where} has schema {number}, which a pre-release wrote; this gate reads schema {INDEX_SCHEMA}. Run "
            "the gate again: a bundle of a pre-release decides nothing."
        )
    index = read(Index, data, where)
    if (index.state == "closed") != (index.evaluated_at is not None):
        raise BundleError(f"{where}: evaluated_at must be set in a closed index, and only there.")
    _check_files(index, where)
    return index


def _check_files(index: Index, where: str) -> None:
    """Each evidence file belongs to a command or an artifact, or is the gate's own map."""
    accounted = {evidence_name(name, where) for name in index.recorded_files()}
    for name in index.files:
        if name != MAP_FILE and evidence_name(name, where) not in accounted:
            raise BundleError(f'{where}: no command and no artifact accounts for the file "{name}".')


def read_index(folder: Path) -> Index:
    """The index of a bundle. Raises BundleError if it cannot be read."""
    return parse_index(read_json(folder / INDEX_FILE), str(folder / INDEX_FILE))


def write_index(folder: Path, index: Index) -> None:
    write_atomically(folder / INDEX_FILE, to_json(plain(index)))
