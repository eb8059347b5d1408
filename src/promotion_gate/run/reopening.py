"""Reopens a bundle for a resume: revokes its decision, and moves away what is collected again."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from promotion_gate.base.files import make_folder, read_file, sha256, sync_folder, write_atomically
from promotion_gate.base.names import (
    ATTEMPTS,
    BASELINE_FILE,
    DECISION_JSON,
    DECISION_MD,
    INDEX_FILE,
    POLICY_FILE,
    RENDERED,
    SHIPPED_POLICY_FILE,
    SUMS_FILE,
    envelope_file,
)
from promotion_gate.base.policy import own_files
from promotion_gate.base.policy_reading import load_policy
from promotion_gate.base.times import utc_now
from promotion_gate.bundle.baseline import baselines_to_json, read_baseline_dir
from promotion_gate.bundle.history import is_sealed, remove_unfinished
from promotion_gate.bundle.index import Attempt, Index, Probe, read_index, write_index
from promotion_gate.judge.ownership.map import shipped_text
from promotion_gate.judge.shipped import policy_record, shipped_checklist
from promotion_gate.run.masking import masked
from promotion_gate.run.plan import set_by_operator

# The files that make a decision. The seal goes first, so that nobody trusts the rest.
REVOKED = (SUMS_FILE, DECISION_JSON, DECISION_MD, *RENDERED)


def reopen(
    folder: Path,
    settings: Mapping[str, Any],
    policy_text: str,
    policy_name: str,
    gates: Collection[str],
    probes: Mapping[str, Probe],
) -> None:
    """Opens the bundle again, without evidence of the given gates.

    An attempt that was opened but has nothing recorded yet is opened again under the same number.
    """
    known = read_baseline_dir(Path(settings["promotion_baseline_dir"]), folder.parent, utc_now())
    baselines = baselines_to_json(known)  # before anything moves
    policy, index = load_policy(policy_text, policy_name), read_index(folder)
    shipped = shipped_checklist(policy.name)
    again = {*gates, *({planned.gate for planned in index.plan} - {gate.name for gate in policy.gates})}
    kept = kept_settings(index.settings, settings, again)
    number = index.attempt if has_begun(index) else index.attempt - 1
    archive = archive_of(folder, number)
    if has_begun(index):
        revoke(folder, archive)  # the bundle may have been sealed again during the probes
        index = replace(index, attempts=(*index.attempts, Attempt(number, _digest_of_seal(archive))))
        for name in _inputs(folder):  # rewritten below
            write_atomically(archive / name, read_file(folder / name).data)
    index = replace(
        _without(index, again, own_files(policy.checks())),
        state="open",
        evaluated_at=None,
        attempt=number + 1,
        baseline_sha256=sha256(baselines.encode()),
        **set_by_operator(policy, kept, policy_record(policy_name, policy_text, shipped), probes),
        probes=probes,
        run={},
    )
    write_index(folder, index)
    remove_unfinished(folder, index.files)
    _sweep(folder, archive, keep=set(index.files))
    _write_inputs(folder, policy_text, shipped, baselines, own_files(policy.checks()))


def has_begun(index: Index) -> bool:
    """Whether anything was recorded in the newest attempt: the recorder first notes how the playbook was called."""
    return index.state == "closed" or bool(index.run)


def kept_settings(before: Mapping[str, Any], settings: Mapping[str, Any], gates: Collection[str]) -> dict[str, Any]:
    """The settings for the index. aiida_vm_first_run keeps its value while the evidence that depends on it is kept."""
    kept = masked(settings)
    depending = {gate for gate, names in settings["gate_settings"].items() if "aiida_vm_first_run" in names}
    if not depending & set(gates):
        kept["aiida_vm_first_run"] = before.get("aiida_vm_first_run", False)
    return kept


def _inputs(folder: Path) -> list[str]:
    """The inputs of a decision that exist and that a resume rewrites."""
    names = (INDEX_FILE, POLICY_FILE, SHIPPED_POLICY_FILE, BASELINE_FILE)
    return [name for name in names if os.path.lexists(folder / name)]


def archive_of(folder: Path, attempt: int) -> Path:
    return folder / ATTEMPTS / f"{attempt:02d}"


def revoke(folder: Path, archive: Path) -> bool:
    """Moves the seal and the record of the decision away; returns whether the bundle was sealed.

    The first rename ends the earlier decision.
    """
    sealed = is_sealed(folder)
    make_folder(archive)
    _move(_revoked(folder, archive))
    return sealed


def restore(folder: Path, archive: Path) -> None:
    """Undoes revoke(), the seal last."""
    _move([(there, here) for here, there in reversed(_revoked(folder, archive))])
    for made in (archive, archive.parent):
        if not any(made.iterdir()):
            made.rmdir()


def _revoked(folder: Path, archive: Path) -> list[tuple[Path, Path]]:
    """What a revoked decision takes out of the bundle, and to where: records, and the signed statement beside it."""
    envelope = envelope_file(folder)
    return [*((folder / name, archive / name) for name in REVOKED), (envelope, archive / envelope.name)]


def _move(pairs: Iterable[tuple[Path, Path]]) -> None:
    for source, target in pairs:
        if os.path.lexists(source):
            source.replace(target)
            sync_folder(target.parent)
            sync_folder(source.parent)


def _digest_of_seal(archive: Path) -> str:
    """The digest of an attempt's seal, an empty string if it was never sealed."""
    sums = read_file(archive / SUMS_FILE)
    return "" if sums.problem else sha256(sums.data)


def _without(index: Index, gates: set[str], own: Iterable[str]) -> Index:
    """The index without the evidence of `gates`; without any evidence if all gates are run again.

    Recorded files of the promotion gate itself stay; missing ones of `own`, which the checklist reads, are added.
    """
    afresh = gates >= {planned.gate for planned in index.plan}
    files = index.recorded_files(gates)
    return replace(
        index,
        commands=tuple(item for item in index.commands if item.gate not in gates),
        artifacts=tuple(item for item in index.artifacts if item.gate not in gates),
        artifact_sets=tuple(item for item in index.artifact_sets if item.gate not in gates),
        events=tuple(item for item in index.events if not afresh and item.gate not in gates),
        collector_errors=() if afresh else index.collector_errors,
        masks=tuple(item for item in index.masks if not afresh and item.file not in files),
        withheld=tuple(item for item in index.withheld if not afresh and item.file not in files),
        gates={name: gate for name, gate in index.gates.items() if name not in gates},
        files=dict.fromkeys(own, sha256(shipped_text().encode()))
        | {name: digest for name, digest in index.files.items() if name not in files},
    )


def _sweep(folder: Path, archive: Path, keep: set[str]) -> None:
    """Moves everything that the open index does not name to attempts/NN/: records, seal and replaced evidence."""
    stay = {INDEX_FILE, POLICY_FILE, SHIPPED_POLICY_FILE, BASELINE_FILE, ATTEMPTS}
    for path in sorted(folder.iterdir()):
        if path.name in stay or path.name in keep:
            continue
        if path.is_dir() and not path.is_symlink():
            _sweep_folder(path, folder, archive, keep)
        else:
            make_folder(archive)
            path.replace(archive / path.name)


def _sweep_folder(path: Path, folder: Path, archive: Path, keep: set[str]) -> None:
    for inner in sorted(path.rglob("*"), reverse=True):
        name = inner.relative_to(folder).as_posix()
        if inner.is_dir() and not inner.is_symlink():
            if not any(inner.iterdir()):
                inner.rmdir()
        elif name not in keep:
            make_folder((archive / name).parent)
            inner.replace(archive / name)
    if not any(path.iterdir()):
        path.rmdir()


def _write_inputs(folder: Path, policy_text: str, shipped: str | None, baselines: str, own: Iterable[str]) -> None:
    write_atomically(folder / POLICY_FILE, policy_text)
    if shipped is None:
        (folder / SHIPPED_POLICY_FILE).unlink(missing_ok=True)
    else:
        write_atomically(folder / SHIPPED_POLICY_FILE, shipped)
    write_atomically(folder / BASELINE_FILE, baselines)
    for name in own:
        if not os.path.lexists(folder / name):
            write_atomically(folder / name, shipped_text())
