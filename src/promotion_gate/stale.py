"""Kept evidence counts only while what it depends on is the same, and while it is young enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from promotion_gate.identity import Identity
from promotion_gate.times import parse_stamp

if TYPE_CHECKING:
    from promotion_gate.bundle import Bundle
    from promotion_gate.index import GateRecord

WORKSPACE_GATES = ("preflight", "sqlite_smoke", "contracts")
VM_GATES = ("vm_bootstrap", "slurm_smoke")
IdentityOf = Callable[["Bundle", str], Identity | None]


def stale_reason(bundle: Bundle, gate: str, identity_of: IdentityOf) -> str | None:
    """Why the evidence of a gate no longer counts, or None.

    A gate is compared with those that were run again since. The commit under judgement is the workspace's: gates 1, 2
    and 5 are held to one another, gates 3 and 4 to all. That the VM is at another commit is what gate 3 finds.
    """
    record = bundle.index.gates.get(gate)
    if record is None:
        return None
    too_old = _too_old(record, bundle.index.evaluated_at, bundle.index.settings)
    if too_old:
        return too_old
    if record.policy_sha256 != bundle.index.policy.get("sha256"):
        return "the policy has changed since this evidence was collected"
    mine = identity_of(bundle, gate)
    if mine is None:
        return None
    for other in WORKSPACE_GATES if gate in WORKSPACE_GATES else (*WORKSPACE_GATES, *VM_GATES):
        newer = bundle.index.gates.get(other)
        theirs = identity_of(bundle, other) if newer and newer.attempt > record.attempt else None
        if theirs is None:
            continue
        reason = changed(mine, theirs, same_machine=(gate in VM_GATES) == (other in VM_GATES))
        if reason:
            return reason
    return None


def changed(kept: Identity, current: Identity, same_machine: bool) -> str | None:
    """What differs between the state that evidence was collected on and the state now, or None."""
    if kept.content and current.content and kept.content != current.content:
        return f"the commit changed from {kept.commit} to {current.commit} since this evidence was collected"
    if same_machine and kept.fingerprint and current.fingerprint and kept.fingerprint != current.fingerprint:
        return "the machine is another one than when this evidence was collected (host key and machine id differ)"
    return None


def _too_old(record: GateRecord, evaluated_at: str | None, settings: Mapping[str, Any]) -> str | None:
    seconds = settings.get("evidence_max_age_seconds")
    ended, now = parse_stamp(record.ended), parse_stamp(evaluated_at or "")
    if ended is None or now is None:
        return "its time cannot be read"
    if isinstance(seconds, int) and now - ended > timedelta(seconds=seconds):
        return f"it was collected at {record.ended}, longer ago than promotion_evidence_max_age allows"
    return None
