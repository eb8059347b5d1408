"""Who and what a gate ran on: the commit, the content of the tree, and the machine.

Reads the output of roles/gate_common/files/identity.sh, which every gate runs first.
"""

from __future__ import annotations

from dataclasses import dataclass

from promotion_gate.base.files import sha256
from promotion_gate.judge.parsers.text import key_values


@dataclass(frozen=True, slots=True)
class Identity:
    """`content` digests the tracked tree without the evidence folder: two commits that differ only there are equal.

    `changes` and `untracked` digest what is not committed (tracked files; names of others), `none` if nothing is, None
    where it was not asked for; `env_file` is when the VM's environment file was written, and its size.
    `fingerprint` is the SHA-256 of the machine id and the SSH host key, `timing_fingerprint` of the machine id
    (else the host key) and the processor; None where neither id nor key is known.
    """

    commit: str | None
    branch: str | None
    target_commit: str | None
    content: str | None
    changes: str | None
    untracked: str | None
    env_file: str | None
    fingerprint: str | None
    timing_fingerprint: str | None


def identity(text: str) -> Identity:
    """Parses the probe's lines; what is not there is None."""
    values = key_values(text)
    machine = "\n".join(f"{key}={values[key]}" for key in ("machine_id", "host_key") if values.get(key))
    # Timings belong to a machine and its processor; a host key may come and go with an SSH server.
    timed_on = values.get("machine_id") or values.get("host_key")
    timing = f"{timed_on}\n{values.get('processor', '')}"
    return Identity(
        commit=values.get("commit") or None,
        branch=values.get("branch") or None,
        target_commit=values.get("target_commit") or None,
        content=values.get("content") or None,
        changes=values.get("changes") or None,
        untracked=values.get("untracked") or None,
        env_file=values.get("env_file") or None,
        fingerprint=sha256(machine.encode()) if machine else None,
        timing_fingerprint=sha256(timing.encode()) if timed_on else None,
    )
