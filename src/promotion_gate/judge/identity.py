"""What a gate ran on: the machine, the checkout, the profile, the environment file, verdi's configuration.

Reads the output of module_utils/promotion/identity.py, which is the first and the last command of every gate's trip.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from promotion_gate.base.files import sha256
from promotion_gate.bundle.load import Bundle, once
from promotion_gate.judge.parsers.text import key_values

BEGIN, END = "identity", "identity_end"
REBOOTED = "the machine was rebooted"


@dataclass(frozen=True, slots=True)
class Identity:
    """What one probe reported; None or empty where it did not.

    `content` is the digest of the commit's files without evidence, so two commits that differ only in evidence are
    equal. `changes` is the digest of what on disk differs from the commit, `untracked` that of the other files' names,
    `none` if there are none. `revision` is the branch that was probed instead of the checkout (a temporary worktree is
    created from it later). `errors` says why a part could not be determined.
    """

    machine_id: str | None
    boot_id: str | None
    host_keys: tuple[str, ...]
    processor: str | None
    top_level: str | None
    commit: str | None
    revision: str | None
    branch: str | None
    target_commit: str | None
    content: str | None
    changes: str | None
    modified: tuple[str, ...]
    untracked: str | None
    untracked_names: tuple[str, ...]
    profile: str | None
    profile_digest: str | None
    env_file: str | None
    env_file_digest: str | None
    config_dir: str | None
    errors: Mapping[str, str]

    @property
    def fingerprint(self) -> str | None:
        """The SHA-256 of the machine id, or else of the host keys; None if neither is known."""
        known = self.machine_id or "\n".join(self.host_keys)
        return sha256(known.encode()) if known else None

    @property
    def timing_fingerprint(self) -> str | None:
        """The machine with its processor: timings are only compared between equal ones."""
        known = self.machine_id or next(iter(self.host_keys), None)
        return sha256(f"{known}\n{self.processor or ''}".encode()) if known else None

    @property
    def processors(self) -> int | None:
        """How many there are, if the host reported that."""
        found = re.search(r" x([0-9]{1,5}) ", f"{self.processor or ''} ")
        return int(found[1]) if found else None

    def unknown(self, parts: Iterable[str]) -> list[str]:
        """A phrase for each of the parts that was not reported."""
        known = {
            "machine": self.fingerprint,
            "checkout": self.content,
            "profile": self.profile,
            "env_file": self.env_file_digest,
            "config_dir": self.config_dir,
        }
        return [f"{_NAMES[part]}: {self.errors.get(part, 'it was not reported')}" for part in parts if not known[part]]


_NAMES = {
    "machine": "the machine",
    "checkout": "the checkout",
    "profile": "the profile",
    "env_file": "the environment file",
    "config_dir": "verdi's configuration folder",
}


@lru_cache(maxsize=256)
def identity(text: str) -> Identity:
    """Parses the probe's lines; what is missing is None. Each run of several hosts has the answers of all of them."""
    values = key_values(text)
    return Identity(
        machine_id=values.get("machine_id") or None,
        boot_id=values.get("boot_id") or None,
        host_keys=_names(values.get("host_keys")),
        processor=values.get("processor") or None,
        top_level=values.get("top_level") or None,
        commit=values.get("commit") or None,
        revision=values.get("revision") or None,
        branch=values.get("branch") or None,
        target_commit=values.get("target_commit") or None,
        content=values.get("content") or None,
        changes=values.get("changes") or None,
        modified=_names(values.get("modified")),
        untracked=values.get("untracked") or None,
        untracked_names=_names(values.get("untracked_names")),
        profile=values.get("profile") or None,
        profile_digest=values.get("profile_digest") or None,
        env_file=values.get("env_file") or None,
        env_file_digest=values.get("env_file_digest") or None,
        config_dir=values.get("config_dir") or None,
        errors={part: values[f"{part}_error"] for part in _NAMES if values.get(f"{part}_error")},
    )


def _names(text: str | None) -> tuple[str, ...]:
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return ()
    return tuple(map(str, found)) if isinstance(found, list) else ()


def gate_identity(bundle: Bundle, gate: str, which: str = BEGIN) -> Identity | None:
    """What a gate ran on when it began (or finished, END), from its own evidence; None if it left none."""
    return _gate_identity(bundle, gate, which)


@once
def _gate_identity(bundle: Bundle, gate: str, which: str) -> Identity | None:
    probe = bundle.index.command(gate, which)
    if probe is None or probe.exit not in (0, 1) or probe.truncated or probe.timed_out:
        return None
    text = bundle.output(gate, which)
    found = None if text is None else identity(text)
    # It exits 1 where it says of a part why it is unknown; without that it was cut off.
    return None if found and probe.exit and not found.errors else found


def same_machine(one: Identity, other: Identity) -> bool:
    """Whether two probes ran on the same machine: by its id, or else by a common host key."""
    if one.machine_id and other.machine_id:
        return one.machine_id == other.machine_id
    return bool(set(one.host_keys) & set(other.host_keys))


def difference(
    before: Identity, after: Identity, parts: Iterable[str], same_attempt: bool, own: bool = False
) -> str | None:
    """What changed on a host, as a phrase; None if nothing did.

    Between attempts a machine may have been rebooted (but see rebooted()), and HEAD may be another commit with the same
    content. `own` means that the two are the beginning and the end of one gate: which tracked files its commands
    changed is checked separately, and a first run creates the profile. A part that is unknown in both makes no
    difference; such a gate does not pass anyway.
    """
    wanted = set(parts)
    found: str | None = None
    if "machine" in wanted:
        found = _machine(before, after, same_attempt)
    if not found and "checkout" in wanted:
        found = _checkout(before, after, same_attempt, own)
    if not found and "profile" in wanted:
        found = _profile(before, after, own)
    if not found and "env_file" in wanted:
        found = _env_file(before, after)
    if not found and "config_dir" in wanted and before.config_dir != after.config_dir:
        found = f"verdi's configuration folder changed from {before.config_dir} to {after.config_dir}"
    return found


def _machine(before: Identity, after: Identity, same_attempt: bool) -> str | None:
    if before.fingerprint is None and after.fingerprint is None:
        return None
    if not same_machine(before, after):
        return "it is a different machine (neither its machine id nor a host key is the same)"
    return REBOOTED if same_attempt and before.boot_id != after.boot_id else None


def rebooted(before: Identity, after: Identity) -> str | None:
    """A phrase for a machine that was rebooted between two moments, if both boots are known."""
    return REBOOTED if before.boot_id and after.boot_id and before.boot_id != after.boot_id else None


def _checkout(before: Identity, after: Identity, same_attempt: bool, own: bool) -> str | None:
    if before.content is None and after.content is None:
        return None
    if before.content != after.content or (same_attempt and before.commit != after.commit):
        return commit_changed(before, after)
    if before.revision or after.revision:
        return None
    if before.top_level != after.top_level:
        return f"the checkout changed from {before.top_level} to {after.top_level}"
    if before.branch != after.branch:
        return f"the branch changed from {before.branch or 'a detached HEAD'} to {after.branch or 'a detached HEAD'}"
    if before.changes != after.changes and not own:
        return f"tracked files changed: {_listed(before.modified, after.modified)}"
    return None


def commit_changed(before: Identity, after: Identity) -> str:
    """A phrase for a checkout that was at another commit."""
    return f"the commit changed from {before.commit or 'an unknown one'} to {after.commit or 'an unknown one'}"


def _profile(before: Identity, after: Identity, own: bool) -> str | None:
    if before.profile != after.profile:
        return f"the profile changed from {before.profile} to {after.profile}"
    made = own and before.profile_digest == "none"
    same = made or before.profile_digest == after.profile_digest
    return None if same else f"what verdi's configuration says of the profile {after.profile} changed"


def _env_file(before: Identity, after: Identity) -> str | None:
    if before.env_file != after.env_file:
        return f"the environment file changed from {before.env_file} to {after.env_file}"
    same = before.env_file_digest == after.env_file_digest
    return None if same else f"the content of the environment file {after.env_file} changed"


def changed_by_own_commands(begin: Identity, end: Identity) -> str | None:
    """The tracked files that changed between the begin and the end of one gate, or None."""
    return None if begin.changes == end.changes else _listed(begin.modified, end.modified)


def _listed(before: tuple[str, ...], after: tuple[str, ...]) -> str:
    """The names in which two lists differ; all of them if only the content of the same files differs."""
    names = sorted(set(before) ^ set(after)) or sorted(set(after))
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def untracked_difference(before: Identity, after: Identity) -> str | None:
    """Which untracked files appeared or disappeared, as a phrase; None if none did."""
    if before.revision or after.revision or before.untracked == after.untracked:
        return None
    return f"files that are not tracked changed: {_listed(before.untracked_names, after.untracked_names)}"
