"""The recorder: turns what the callback sees into transcripts and index.json, immediately and redacted.

It writes only into an open bundle. All time stamps are the controller's; the target reports durations and offsets
of its monotonic clock, so a VM with a wrong clock does no harm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from promotion_gate.base.errors import BundleError
from promotion_gate.base.fields import Fields
from promotion_gate.base.files import read_file, sha256, write_atomically
from promotion_gate.base.model import Mask
from promotion_gate.base.names import INDEX_FILE, evidence_name
from promotion_gate.base.policy import gate_settings
from promotion_gate.base.redact import Redactor
from promotion_gate.base.times import MAX_CLOCK_SKEW, parse_stamp, stamp, utc_now
from promotion_gate.base.typed import read
from promotion_gate.bundle.growing import WITHHELD, IndexFile, Search
from promotion_gate.bundle.index import (
    Artifact,
    ArtifactSet,
    Command,
    Event,
    GateRecord,
    Index,
    Planned,
    Probe,
    Refused,
    Run,
    Withheld,
    read_index,
)
from promotion_gate.bundle.transcript import header

MAX_ARTIFACTS = 1000
# Computes the plan from the settings and the probes.
Planner = Callable[[Mapping[str, Any], Mapping[str, Probe]], tuple[Planned, ...]]


class Recorder:
    """Records into one bundle. Raises BundleError if the bundle is not open or a result does not belong to it."""

    def __init__(self, folder: Path, run: Mapping[str, Any] | None = None, known: Iterable[str] = ()) -> None:
        """`run`: how the playbook was called; `known`: the secret values that the operator's variables have."""
        self.folder = folder
        self._known: set[str] = set()  # masked everywhere, searched for in all that is written, never stored
        self._redactor = Redactor()
        self._search = Search(self._redactor.remains)
        self._file = IndexFile(folder)
        self._index = read_index(folder)
        if self._index.state != "open":
            raise BundleError(f"{folder} is closed; nothing is recorded into a closed bundle.")
        self._know(known, {})
        if run is not None:
            listed = ("extra_vars", "options")
            words = {name: [self._redactor.text(str(entry)) for entry in run.get(name, ())] for name in listed}
            called = read(Run, {**self._index.run, **run, **words}, "how the playbook was called")
            self._index = replace(self._index, run=called)
        self._save()

    @property
    def index(self) -> Index:
        return self._index

    def trip(self, result: Mapping[str, Any], host: str, known: Iterable[str] = ()) -> None:
        """Records what one trip of the module gate_commands brought back from `host` (its inventory name).

        `known` are the secret values that it was given: masked, and searched for in all that is written from now on.
        """
        fields = Fields(result, "the module's result", BundleError)
        self._know(known, fields.mapping("host"))
        gate = fields.text("gate")
        self._host_runs_gate(gate, host)
        ended = utc_now()
        trip_ns = fields.integer("trip_ns", 0)
        began = ended - timedelta(microseconds=trip_ns / 1000)
        self._gate(gate, fields, host, began, ended, trip_ns)
        self._commands(gate, fields.sequence("commands"), host, began)
        for artifact_set in fields.sequence("artifacts"):
            self._artifacts(gate, Fields(artifact_set, "an artifact of the module's result", BundleError))
        self._save()

    def probes(self, answers: Mapping[str, Probe], planned: Planner) -> None:
        """Records by host what it answered before the first gate, or why it is unusable, and the plan that follows."""
        probes = {**self._index.probes, **answers}
        self._index = replace(self._index, probes=probes, plan=planned(self._index.settings, probes))
        self._save()

    def event(self, kind: str, gate: str | None, host: str, task: str, message: str) -> None:
        """Records that something happened instead of a result (unreachable, failed, skipped)."""
        text = self._redactor.text(" ".join(message.split()))[:2000]
        event = read(Event, {"kind": kind, "gate": gate, "host": host, "task": task, "message": text}, "an event")
        self._index = replace(self._index, events=(*self._index.events, event))
        self._save()

    def error(self, message: str) -> None:
        """Records that the recorder itself failed, which becomes an objection."""
        errors = (*self._index.collector_errors, self._redactor.text(message)[:2000])
        self._index = replace(self._index, collector_errors=errors)
        self._save()

    def close(self) -> None:
        """Ends collection: from now on the bundle can be decided. `evaluated_at` is the time of the decision.

        A clock that was corrected by a little meanwhile must not make the run end before it was opened.
        """
        now, opened = utc_now(), parse_stamp(self._index.opened_at)
        if opened and timedelta(0) < opened - now <= MAX_CLOCK_SKEW:
            now = opened
        self._index = replace(self._index, state="closed", evaluated_at=stamp(now))
        self._save()

    def _save(self) -> None:
        shown: list[str] = []
        self._index = self._search.cleaned(self._index, shown)
        for text in shown:
            self._withhold(INDEX_FILE, text)
        self._file.write(self._index)

    def _withhold(self, name: str, text: str, rule: str = "known value", digest: str = "") -> None:
        digest = digest or sha256(text.encode("utf-8", "replace"))
        self._index = replace(self._index, withheld=(*self._index.withheld, Withheld(name, rule, digest)))

    def _kept(self, name: str, found: Fields, key: str) -> str:
        """The text of a command or of an artifact as it is written into that file."""
        before = Counter(self._redactor.masks)
        text = self._redactor.text(found.text(key, ""))
        masks = Counter({str(rule): int(count) for rule, count in (found.raw("masks") or {}).items()})
        self._count(name, masks + (Counter(self._redactor.masks) - before))
        withheld = found.raw("withheld")
        if isinstance(withheld, Mapping):
            self._withhold(name, "", str(withheld.get("rule")), str(withheld.get("sha256")))
        elif self._redactor.remains(text):
            self._withhold(name, text)
            return WITHHELD
        return text

    def _count(self, name: str, masks: Mapping[str, int]) -> None:
        """Adds to the list of masks: which rule masked how much in which file."""
        listed = Counter({(mask.rule, mask.file): mask.count for mask in self._index.masks})
        listed.update({(rule, name): count for rule, count in masks.items()})
        masked = tuple(Mask(rule, file, count) for (rule, file), count in sorted(listed.items()))
        self._index = replace(self._index, masks=masked)

    def _know(self, values: Iterable[str], machine: Mapping[str, Any]) -> None:
        """As on the target, a secret that equals the name of something is an objection, not a mask over that name."""
        names = {value for value in [*self._index.settings.values(), *machine.values()] if isinstance(value, str)}
        unknown = set(values) - names - self._known
        if not unknown:
            return
        self._known |= unknown
        masks, self._redactor = self._redactor.masks, Redactor(self._known)
        self._redactor.masks.update(masks)
        self._search = Search(self._redactor.remains)

    def _host_runs_gate(self, gate: str, host: str) -> None:
        """The result comes from the host and names its gate: no host may forge the evidence of another."""
        if not any(planned.gate == gate and planned.host == host for planned in self._index.plan):
            raise BundleError(
                f"{host} returned results of the gate {gate}, which does not run there; none of them were recorded."
            )

    def _gate(self, gate: str, fields: Fields, host: str, began: datetime, ended: datetime, trip_ns: int) -> None:
        machine = Fields(fields.mapping("host"), "host of the module's result", BundleError)
        env_file = Fields(fields.mapping("env_file"), "env_file of the module's result", BundleError)
        record = GateRecord(
            attempt=self._index.attempt,
            host=host,
            hostname=machine.text("hostname", ""),
            user=machine.text("user", ""),
            started=stamp(began),
            ended=stamp(ended),
            duration_ns=trip_ns,
            load_average=machine.numbers("load_average"),
            load_average_after=machine.numbers("load_average_after"),
            env_file=env_file.optional_text("path"),
            env_file_error=env_file.optional_text("error"),
            env_names=env_file.texts("names"),
            objections=tuple(map(self._redactor.text, fields.texts("objections"))),
            policy_sha256=self._index.policy.sha256,
            settings=gate_settings(gate, self._index.settings),
        )
        earlier = self._index.gates.get(gate)
        if earlier and earlier.attempt == record.attempt:
            record = replace(
                record,
                started=earlier.started,
                duration_ns=earlier.duration_ns + record.duration_ns,
                objections=earlier.objections + record.objections,
                load_average=earlier.load_average,
                env_file=record.env_file or earlier.env_file,
                env_file_error=record.env_file_error or earlier.env_file_error,
                env_names=record.env_names or earlier.env_names,
            )
        self._index = replace(self._index, gates={**self._index.gates, gate: record})

    def _commands(self, gate: str, given: Sequence[object], host: str, began: datetime) -> None:
        """The commands of a trip: each transcript is written once, with all that belongs to it."""
        transcripts: dict[str, bytearray] = {}
        records = []
        try:
            for item in given:
                command = Fields(item, "a command of the module's result", BundleError)
                name = evidence_name(command.text("file"), "the module's result")
                if name not in transcripts:
                    transcripts[name] = bytearray(self._written(name))
                records.append(self._command(gate, command, host, began, name, transcripts[name]))
        finally:  # what came before one that cannot be read is evidence
            self._index = replace(self._index, commands=(*self._index.commands, *records))
            for name, data in transcripts.items():
                self._write(name, bytes(data))

    def _command(
        self, gate: str, command: Fields, host: str, began: datetime, name: str, transcript: bytearray
    ) -> Command:
        """The record of one command, whose output is added to its transcript."""
        output = self._kept(name, command, "output").encode("utf-8", "replace")
        record = Command(
            gate=gate,
            id=command.text("id"),
            file=name,
            argv=tuple(map(self._redactor.text, command.texts("argv"))),
            command=self._redactor.text(command.text("command")),
            host=host,
            directory=command.text("chdir", ""),
            started=stamp(began + timedelta(microseconds=command.integer("start_ns", 0) / 1000)),
            duration_ns=command.integer("duration_ns", 0),
            limit_seconds=command.number("limit_seconds", 0),
            environment_names=command.texts("environment_names"),
            exit=command.integer("exit") if command.has("exit") else None,
            signal=command.integer("signal") if command.has("signal") else None,
            timed_out=command.boolean("timed_out", False),
            left_running=command.boolean("left_running", False),
            truncated=command.boolean("truncated", False),
            offset=0,
            length=len(output),
            not_run=command.optional_text("not_run"),
        )
        above = header(record, command.text("encoding", "utf-8"), command.integer("total_bytes", len(output)))
        transcript += (b"\n" if transcript else b"") + above.encode("utf-8", "replace")
        record = replace(record, offset=len(transcript))
        transcript += output + (b"" if output.endswith(b"\n") or not output else b"\n")
        return record

    def _artifacts(self, gate: str, found: Fields) -> None:
        to = evidence_name(found.text("to"), "the module's result")
        source = self._redactor.text(found.text("from", ""))
        refused = [entry for entry in found.sequence("refused") if isinstance(entry, Mapping)]
        kept: list[Artifact] = []
        for entry in found.sequence("files"):
            file = Fields(entry, f"an artifact below {to}", BundleError)
            path = file.text("path", "")
            try:
                name = evidence_name(f"{to}/{path}" if path else to, "an artifact")
                if len(kept) >= MAX_ARTIFACTS:
                    raise BundleError(f"there are more than {MAX_ARTIFACTS} files")
            except BundleError as error:
                refused.append({"path": path, "reason": str(error)})
                continue
            self._write(name, self._kept(name, file, "content").encode("utf-8", "replace"))
            kept.append(Artifact(gate, name, source, file.integer("size", 0), file.boolean("truncated", False)))
        whole = ArtifactSet(
            gate=gate,
            source=source,
            to=to,
            found=found.boolean("found", False),
            error=found.optional_text("error"),
            truncated=found.boolean("truncated", False),
            refused=tuple(
                Refused(str(entry.get("path", ""))[:500], str(entry.get("reason", ""))[:500]) for entry in refused
            ),
        )
        index = self._index
        self._index = replace(index, artifacts=(*index.artifacts, *kept), artifact_sets=(*index.artifact_sets, whole))

    def _written(self, name: str) -> bytes:
        """What this attempt has written into a transcript so far; a file that nobody recorded does not count."""
        return read_file(self.folder / name).data if name in self._index.files else b""

    def _write(self, name: str, data: bytes) -> None:
        write_atomically(self.folder / name, data)
        self._index = replace(self._index, files={**self._index.files, name: sha256(data)})
