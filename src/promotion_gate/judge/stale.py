"""Evidence counts only while everything that it depends on is unchanged, and until it is too old.

The same rule serves decide(), for a bundle, and a resume before it begins, with what the hosts report now. The state of
a host is known from several observations: the probe when the run (or its resume) began, and the beginning and end of
each gate. In chronological order, each must agree with the one before; if one does not, all evidence from before it is
about something else.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from promotion_gate.base.policy import GatePolicy, gate_settings
from promotion_gate.base.times import MAX_CLOCK_SKEW, parse_stamp
from promotion_gate.bundle.index import GateRecord
from promotion_gate.bundle.load import Bundle, once
from promotion_gate.judge.checks.tracked import TRACKED
from promotion_gate.judge.identity import (
    BEGIN,
    END,
    Identity,
    changed_by_own_commands,
    commit_changed,
    difference,
    gate_identity,
    identity,
    rebooted,
    untracked_difference,
)


@dataclass(frozen=True, slots=True)
class Observation:
    """The state of a host at one moment; `gate` is None for the probe with which an attempt began."""

    attempt: int
    gate: GatePolicy | None
    which: str
    parts: tuple[str, ...]
    seen: Identity

    @property
    def label(self) -> str:
        return f"gate {self.gate.id}" if self.gate else f"the probe of attempt {self.attempt}"


def stale_reason(bundle: Bundle, gate: GatePolicy) -> str | None:
    """Why the evidence of a gate no longer counts, or None."""
    record, index = bundle.index.gates.get(gate.name), bundle.index
    if record is None:
        return None
    too_old = _too_old(record, index.evaluated_at, index.settings)
    if too_old:
        return too_old
    if record.policy_sha256 != index.policy.sha256:
        return "the policy has changed since this evidence was collected"
    for name, value in gate_settings(gate.name, index.settings).items():
        if record.settings.get(name) != value:
            return f"{name} has changed since this evidence was collected"
    planned = index.host_of(gate.name)
    if planned != record.host:
        return f"it was collected on {record.host}, but the gate's host is now {planned}"
    probe = index.probes.get(record.host)
    if record.attempt < index.attempt and (probe is None or probe.problem):
        return f"{record.host} did not report its identity"
    return _moved(bundle, gate, record) or _other_commit(bundle, gate, record)


def unknown_reason(bundle: Bundle, gate: GatePolicy) -> str | None:
    """Why a gate cannot pass: a part of its identity is unknown, or its own commands changed tracked files."""
    if gate.name not in bundle.index.gates:
        return None
    begin, end = gate_identity(bundle, gate.name), gate_identity(bundle, gate.name, END)
    for seen, when in ((begin, "when it began"), (end, "when it finished")):
        unknown = ["it was not recorded"] if seen is None else seen.unknown(gate.identity)
        if unknown:
            return f"what the gate ran on {when} is not known: {'; '.join(unknown)}"
    if any(check.check == TRACKED for check in gate.checks):
        return None  # a check of the gate names them
    changed = changed_by_own_commands(begin, end) if begin and end else None
    return f"tracked files changed while the gate ran: {changed}" if changed else None


@once
def observations(bundle: Bundle, host: str) -> tuple[Observation, ...]:
    """What is known about a host, oldest first."""
    index = bundle.index
    found = []
    for gate in bundle.policy.gates:
        record = index.gates.get(gate.name)
        if record and record.host == host:
            for which in (BEGIN, END):
                seen = gate_identity(bundle, gate.name, which)
                if seen:
                    found.append(Observation(record.attempt, gate, which, gate.identity, seen))
    probe = index.probes.get(host)
    if probe and not probe.problem:
        parts = {
            part: None for gate in bundle.policy.gates if index.host_of(gate.name) == host for part in gate.identity
        }
        found.insert(0, Observation(index.attempt, None, BEGIN, tuple(parts), identity(probe.output)))
    return tuple(sorted(found, key=lambda seen: seen.attempt))  # stable: within an attempt the order of the gates


def _moved(bundle: Bundle, gate: GatePolicy, record: GateRecord) -> str | None:
    """What changed on its host while the gate ran, or later."""
    chain = observations(bundle, record.host)
    began = next((n for n, seen in enumerate(chain) if seen.gate is gate), None)
    if began is None:
        return None
    reference = record.host == reference_host(bundle)
    # A reboot ends services: the daemon does not come back by itself. Files and tools stay.
    serves = gate.hosts == bundle.policy.subject
    for before, after in itertools.pairwise(chain[began:]):
        changed = _changed(before, after, reference) or (serves and rebooted(before.seen, after.seen))
        if changed and before.gate is not None and before.gate is after.gate:
            return f"while gate {before.gate.id} ran, {changed}"
        if changed and after.gate is None:
            return f"since {before.label} {changed}"
        if changed:
            return f"between {before.label} and {after.label} {changed}"
    return None


def _changed(before: Observation, after: Observation, reference: bool) -> str | None:
    """What differs between two consecutive observations of a host.

    Tracked files that a gate's own commands changed are a fault of that gate, which one of its checks names. What the
    VM has in addition to the files of the commit is its own business (for example the environment file), so untracked
    files are only compared on the host of the commit under judgement (`reference`).
    """
    parts = [part for part in before.parts if part in after.parts]
    own = before.gate is not None and before.gate is after.gate
    found = difference(before.seen, after.seen, parts, before.attempt == after.attempt, own)
    if found or own or not reference or "checkout" not in parts:
        return found
    return untracked_difference(before.seen, after.seen)


def _other_commit(bundle: Bundle, gate: GatePolicy, record: GateRecord) -> str | None:
    """Whether the commit under judgement changed after the evidence of a gate on another host was collected.

    A VM that is at another commit from the start is found by a check of gate 3.
    """
    kept, host = gate_identity(bundle, gate.name), reference_host(bundle)
    if kept is None or kept.content is None or host is None or host == record.host or "checkout" not in gate.identity:
        return None
    chain = [seen for seen in observations(bundle, host) if seen.seen.content]
    then = [seen for seen in chain if seen.attempt <= record.attempt]
    for later in (seen for seen in chain if seen.attempt > record.attempt):
        if later.seen.content == kept.content:
            continue
        if not then:
            return f"the commit on {host} is {later.seen.commit}, but this evidence is from {kept.commit}"
        if then[-1].seen.content != later.seen.content:
            return f"since {then[-1].label} {commit_changed(then[-1].seen, later.seen)}"
    return None


def reference_host(bundle: Bundle) -> str | None:
    """The host whose checkout is the commit under judgement: that of the first gate with a checkout."""
    first = next((gate for gate in bundle.policy.gates if "checkout" in gate.identity), None)
    return bundle.index.host_of(first.name) if first else None


def _too_old(record: GateRecord, evaluated_at: str | None, settings: Mapping[str, Any]) -> str | None:
    seconds = settings.get("evidence_max_age_seconds")
    ended, now = parse_stamp(record.ended), parse_stamp(evaluated_at or "")
    if ended is None or now is None:
        return "its time cannot be read"
    if ended - now > MAX_CLOCK_SKEW:
        return f"it was collected at {record.ended}, which is after the decision; the controller's clock was wrong"
    if isinstance(seconds, int) and now - ended > timedelta(seconds=seconds):
        return f"it was collected at {record.ended}, longer ago than promotion_evidence_max_age allows"
    return None
