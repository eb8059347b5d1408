"""Kept evidence counts only while what it depends on is the same, and while it is young enough.

The one rule for it: decide() asks it of a bundle, and a resume asks it before it begins, with what both hosts say now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from promotion_gate.base.policy import VM_GATES, WORKSPACE_GATES, gate_settings
from promotion_gate.base.times import MAX_CLOCK_SKEW, parse_stamp
from promotion_gate.bundle.index import GateRecord
from promotion_gate.bundle.load import Bundle
from promotion_gate.judge.identity import Identity, identity

IdentityOf = Callable[[Bundle, str], Identity | None]


def stale_reason(bundle: Bundle, gate: str, identity_of: IdentityOf) -> str | None:
    """Why the evidence of a gate no longer counts, or None."""
    record, index = bundle.index.gates.get(gate), bundle.index
    if record is None:
        return None
    too_old = _too_old(record, index.evaluated_at, index.settings)
    if too_old:
        return too_old
    if record.policy_sha256 != index.policy.get("sha256"):
        return "the policy has changed since this evidence was collected"
    for name, value in gate_settings(gate, index.settings).items():
        if record.settings.get(name) != value:
            return f"{name} is set to something else than when this evidence was collected"
    return _moved(bundle, gate, record.attempt, identity_of)


def _moved(bundle: Bundle, gate: str, attempt: int, identity_of: IdentityOf) -> str | None:
    """What has become of commit and machine since."""
    kept = identity_of(bundle, gate)
    for group, later in _later(bundle, gate, attempt, identity_of):
        if kept is None or kept.content is None:
            return "it does not say which commit and machine it was collected on"
        reason = _changed(kept, later, gate in VM_GATES, group)
        if reason:
            return reason
    return None


def _later(bundle: Bundle, gate: str, attempt: int, identity_of: IdentityOf) -> Iterator[tuple[str, Identity]]:
    """What is known of either host after the evidence of `gate`: what it said when the newest resume began, and gates
    that were run again since.

    The commit under judgement is the workspace's: gates 1, 2 and 5 are held to it, gates 3 and 4 to both hosts. That
    the VM is at another commit from the start is what gate 3 finds.
    """
    own = "aiida_vm" if gate in VM_GATES else "workspace"
    if attempt < bundle.index.attempt:
        yield own, said_now(bundle.index.probes, own)
        before, now = identity_of(bundle, "preflight"), said_now(bundle.index.probes, "workspace")
        if own == "aiida_vm" and before and before.content != now.content:
            yield "workspace", now
    for other in WORKSPACE_GATES if own == "workspace" else (*WORKSPACE_GATES, *VM_GATES):
        newer = bundle.index.gates.get(other)
        theirs = identity_of(bundle, other) if newer and newer.attempt > attempt else None
        if theirs and theirs.content:
            yield ("aiida_vm" if other in VM_GATES else "workspace"), theirs


def said_now(probes: Mapping[str, str], group: str) -> Identity:
    """What the host of a group answered when the newest resume began; nothing is known of one that did not."""
    return identity(str(probes.get(group) or ""))


def _changed(kept: Identity, later: Identity, on_vm: bool, group: str) -> str | None:
    """What differs between what evidence was collected on and a later state of its own or the other host, or None."""
    same_machine = on_vm == (group == "aiida_vm")
    if later.content is None:
        # The workspace's own gates say so; the VM's have nothing to be compared with.
        return f"{'the VM' if on_vm else 'the workspace host'} did not say what it is now" if same_machine else None
    if kept.content != later.content:
        return f"the commit changed from {kept.commit} to {later.commit} since this evidence was collected"
    if not same_machine:
        return None
    if kept.fingerprint != later.fingerprint:
        return "the machine is another one than when this evidence was collected (host key and machine id differ)"
    if on_vm and kept.env_file != later.env_file:
        return "the environment file was written anew since this evidence was collected"
    pairs = [(kept.changes, later.changes)]
    if not on_vm:  # what the VM has beside the files of the commit is its own: the environment file, for one
        pairs.append((kept.untracked, later.untracked))
    if any(before and now and before != now for before, now in pairs):
        return "what is not committed is something else than when this evidence was collected"
    return None


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
