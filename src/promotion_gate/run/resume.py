"""Resume: re-run what did not pass, into the same bundle; what passed is kept while it counts.

First act, before any host is connected to: the seal and the record of the decision move to attempts/NN/, and with them
the earlier decision is gone. Once the hosts were probed, the index says `open`, and the other records and the evidence
that is replaced follow. Killed anywhere in between, the bundle stays readable and decides nothing, and a resume ends
it. Only where the probes leave nothing to re-run, seal and record are put back as they were.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from promotion_gate.base.errors import BundleError, GateError, InputError
from promotion_gate.base.fields import Fields
from promotion_gate.base.files import make_folder, read_file, sha256, sync_folder, write_atomically
from promotion_gate.base.model import GateResult, Status
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
)
from promotion_gate.base.policy import GATE_NAMES, Policy
from promotion_gate.base.policy_reading import load_policy
from promotion_gate.base.times import stamp, utc_now
from promotion_gate.bundle.baseline import baselines_to_json, read_baseline_dir
from promotion_gate.bundle.history import is_sealed, newest_folder, newest_run, remove_unfinished
from promotion_gate.bundle.index import Attempt, Index, Probe, read_index, write_index
from promotion_gate.bundle.load import load_bundle
from promotion_gate.judge.decide import decide
from promotion_gate.judge.shipped import policy_record, shipped_checklist
from promotion_gate.prove.signoff import void_from_now
from promotion_gate.run.kinds import chosen_gates
from promotion_gate.run.lock import RunLock
from promotion_gate.run.masking import masked
from promotion_gate.run.plan import plan_of, set_by_operator
from promotion_gate.run.probing import probe_of

# What makes a decision; the seal goes first, since nobody is to believe what it has left.
REVOKED = (SUMS_FILE, DECISION_JSON, DECISION_MD, *RENDERED)


def plan_resume(root: Path, settings: dict[str, Any], policy_text: str, policy_name: str) -> dict[str, Any]:
    """Checks the choice of gates and revokes the decision; begin_resume() chooses, once both hosts were probed."""
    run = newest_run(root, str(settings["promotion_resume"]))
    read_baseline_dir(
        Path(settings["promotion_baseline_dir"]), root, utc_now()
    )  # what cannot be read is said before it is needed
    if settings["promotion_gates"] is not None:
        chosen_gates(settings["promotion_gates"])
    lock = RunLock(root, run.folder.name)
    try:
        _still_planned(run.folder, run.index.attempt)
        revoked = _revoke(run.folder, _archive(run.folder, run.index.attempt))
    except OSError as error:
        raise _not_reopened(run.folder, error) from None
    finally:
        lock.release()
    return {
        "bundle": str(run.folder),
        "run_id": run.folder.name,
        "attempt": run.index.attempt,
        "revoked": revoked,
        "gates": None,
        "settings": settings,
        "policy": {"text": policy_text, "name": policy_name},
        "said": "",
    }


def begin_resume(request: object) -> dict[str, Any]:
    """Chooses the gates to re-run and reopens the bundle.

    `request` has what plan_resume() returned as `plan`, and `probes`: the results of the probe, by host. Raises
    InputError where nothing is to be re-run.
    """
    fields = Fields(request, "the request of roles/gate_common", InputError)
    plan = Fields(fields.mapping("plan"), "the plan of the resume", InputError)
    probes = {
        str(host): probe_of(answer if isinstance(answer, Mapping) else {})
        for host, answer in fields.mapping("probes").items()
    }
    folder, settings = Path(plan.text("bundle")), plan.mapping("settings")
    policy = plan.mapping("policy")
    lock = RunLock(folder.parent, folder.name)  # the recorder takes it over; in between the attempt tells
    try:
        _still_planned(folder, plan.integer("attempt"))
        if not _has_begun(read_index(folder)):
            # A resume was killed while it reopened the bundle; once that is finished, it can be judged.
            reopen(folder, settings, policy["text"], policy["name"], (), probes)
        needed = rerun_reasons(folder, settings, sha256(policy["text"].encode()), probes)
        reasons, passed_over = _chosen(needed, settings["promotion_gates"])
        reasons = _with_preparation(reasons, load_policy(policy["text"], policy["name"]), settings)
        if not reasons and plan.boolean("revoked"):
            _restore(folder, _archive(folder, plan.integer("attempt")))
            raise InputError(
                f"Nothing of run {folder.name} needs a re-run: all gates passed and their evidence is fresh. Ask "
                f"`promotion-gate check {folder}` whether the decision still holds."
            )
        reopen(folder, settings, policy["text"], policy["name"], tuple(reasons), probes)
    except OSError as error:
        raise _not_reopened(folder, error) from None
    finally:
        lock.release()
    said = sentence(reasons) if reasons else "All gates had passed; what was cut off is the decision alone."
    return {
        "bundle": str(folder),
        "run_id": folder.name,
        "gates": [name for name in GATE_NAMES if name in reasons],
        "settings": settings,
        "roles": plan.mapping("roles"),
        "said": said + passed_over + void_from_now(folder),
    }


def _not_reopened(folder: Path, error: OSError) -> GateError:
    return GateError(f"The bundle {folder} cannot be reopened ({error.strerror}).")


def _chosen(needed: dict[str, str], choice: object) -> tuple[dict[str, str], str]:
    """The gates to re-run, and a sentence on those that promotion_gates leaves out although they need it."""
    if choice is None:
        return needed, ""
    chosen = {name: needed.get(name, "chosen with promotion_gates") for name in chosen_gates(choice)}
    left = ", ".join(str(GATE_NAMES.index(name) + 1) for name in needed if name not in chosen)
    return chosen, f" Not chosen, though the decision cannot be PROMOTE without them: {left}." if left else ""


def _with_preparation(reasons: dict[str, str], policy: Policy, settings: Mapping[str, Any]) -> dict[str, str]:
    """A temporary worktree is new in each attempt: the gate that prepares it runs before any other of its host."""
    if settings["workspace_checkout"] != "worktree" or not settings["workspace_prepare_commands"]:
        return reasons
    again = {gate.hosts for gate in policy.gates if gate.name in reasons}
    preparing = [gate for gate in policy.gates if any(check.check == "prepare" for check in gate.checks)]
    added = {gate.name for gate in preparing if gate.hosts in again} - reasons.keys()
    return {**reasons, **dict.fromkeys(added, "the temporary worktree has to be prepared again")}


def _still_planned(folder: Path, attempt: int) -> None:
    """Somebody else may have resumed the same run, or opened the next one, while both hosts were asked."""
    newest = newest_folder(folder.parent).name
    if newest != folder.name:
        raise GateError(
            f"Run {newest} was opened by somebody else a moment ago, and only the newest can be resumed: "
            f"{folder.name} has no decision any more."
        )
    found = read_index(folder).attempt
    if found != attempt:
        raise GateError(
            f"Run {folder.name} was resumed by somebody else a moment ago: attempt {found} is under way. Wait for it."
        )


def _has_begun(index: Index) -> bool:
    """Whether anything was recorded in the newest attempt: the recorder's first act is to note how it was called."""
    return index.state == "closed" or bool(index.run)


def rerun_reasons(
    folder: Path, settings: Mapping[str, Any], policy_sha256: str, probes: Mapping[str, Probe]
) -> dict[str, str]:
    """Which gates must be re-run, and why: those that would not pass if nothing was run again.

    A bundle that cannot be judged any more is re-run whole, and so is one that met an error of no gate.
    """
    try:
        bundle = load_bundle(folder)
    except (BundleError, InputError) as error:
        return dict.fromkeys(GATE_NAMES, f"the bundle cannot be judged ({error})")
    index = replace(
        bundle.index,
        state="closed",
        evaluated_at=stamp(utc_now()),
        attempt=bundle.index.attempt + 1,
        settings=_kept_settings(bundle.index.settings, settings, gates=()),
        policy=replace(bundle.index.policy, sha256=policy_sha256),
        plan=plan_of(bundle.policy, settings),
        probes=probes,
    )
    decision = decide(replace(bundle, index=index))
    reasons = {gate.name: _why(gate) for gate in decision.gates if gate.status is not Status.PASS}
    # It may be evidence that was lost, and nobody can say of which gate.
    of_no_gate = _of_no_gate(bundle.index)
    if of_no_gate:
        return dict.fromkeys(GATE_NAMES, f"something went wrong that belongs to no gate ({of_no_gate.rstrip('.')})")
    if not reasons and decision.objections:
        return dict.fromkeys(GATE_NAMES, f"there are objections, the first: {decision.objections[0].rstrip('.')}")
    return reasons


def _of_no_gate(index: Index) -> str:
    """The first thing that went wrong and belongs to no gate; an empty text where there is none."""
    events = [f"{event.task} on {event.host}: {event.message}" for event in index.events if event.gate is None]
    return next(iter([*index.collector_errors, *events]), "")


def _why(gate: GateResult) -> str:
    check = next(check for check in gate.checks if check.status is gate.status and not check.waived)
    return check.observed if check.status is Status.STALE else f"it was {gate.status}"


def sentence(reasons: Mapping[str, str]) -> str:
    """Why which gates are run again, each reason once."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        by_reason.setdefault(reason, []).append(str(GATE_NAMES.index(name) + 1))
    parts = []
    for reason, numbers in by_reason.items():
        word = "gate" if len(numbers) == 1 else "gates"
        parts.append(f"{reason}, so {word} {', '.join(numbers)} {'is' if len(numbers) == 1 else 'are'} run again")
    text = "; ".join(parts)
    return text[:1].upper() + text[1:] + "."


def reopen(
    folder: Path,
    settings: Mapping[str, Any],
    policy_text: str,
    policy_name: str,
    gates: Collection[str],
    probes: Mapping[str, Probe],
) -> None:
    """Makes the bundle an open one in which the given gates have no evidence.

    An attempt that was opened and in which nothing was recorded yet is opened once more, under the same number.
    """
    known = read_baseline_dir(Path(settings["promotion_baseline_dir"]), folder.parent, utc_now())
    baselines = baselines_to_json(known)  # before anything moves
    policy = load_policy(policy_text, policy_name)
    shipped = shipped_checklist(policy.name)
    again = set(gates)
    index = read_index(folder)
    kept = _kept_settings(index.settings, settings, again)
    number = index.attempt if _has_begun(index) else index.attempt - 1
    archive = _archive(folder, number)
    if _has_begun(index):
        _revoke(folder, archive)  # what was sealed again while the hosts were asked
        index = replace(index, attempts=(*index.attempts, Attempt(number, _digest_of_seal(archive))))
        for name in _inputs(folder):  # written anew below
            write_atomically(archive / name, read_file(folder / name).data)
    index = replace(
        _without(index, again),
        state="open",
        evaluated_at=None,
        attempt=number + 1,
        baseline_sha256=sha256(baselines.encode()),
        **set_by_operator(policy, kept, policy_record(policy_name, policy_text, shipped)),
        probes=probes,
        run={},
    )
    write_index(folder, index)
    remove_unfinished(folder, index.files)
    _sweep(folder, archive, keep=set(index.files))
    _write_inputs(folder, policy_text, shipped, baselines)


def _write_inputs(folder: Path, policy_text: str, shipped: str | None, baselines: str) -> None:
    write_atomically(folder / POLICY_FILE, policy_text)
    if shipped is None:
        (folder / SHIPPED_POLICY_FILE).unlink(missing_ok=True)
    else:
        write_atomically(folder / SHIPPED_POLICY_FILE, shipped)
    write_atomically(folder / BASELINE_FILE, baselines)


def _kept_settings(before: Mapping[str, Any], settings: Mapping[str, Any], gates: Collection[str]) -> dict[str, Any]:
    """The settings for the index. That a run is the first on its VM is true of gate 3's evidence while it is kept."""
    kept = masked(settings)
    if "vm_bootstrap" not in gates:
        kept["aiida_vm_first_run"] = before.get("aiida_vm_first_run", False)
    return kept


def _inputs(folder: Path) -> list[str]:
    """The inputs of a decision that are written anew by a resume and that are there."""
    names = (INDEX_FILE, POLICY_FILE, SHIPPED_POLICY_FILE, BASELINE_FILE)
    return [name for name in names if os.path.lexists(folder / name)]


def _archive(folder: Path, attempt: int) -> Path:
    return folder / ATTEMPTS / f"{attempt:02d}"


def _revoke(folder: Path, archive: Path) -> bool:
    """Moves the seal and the record of the decision away; whether the bundle was sealed.

    The first rename ends the earlier decision.
    """
    sealed = is_sealed(folder)
    make_folder(archive)
    _move(REVOKED, folder, archive)
    return sealed


def _restore(folder: Path, archive: Path) -> None:
    """Undoes _revoke(), the seal last."""
    _move(reversed(REVOKED), archive, folder)
    for made in (archive, archive.parent):
        if not any(made.iterdir()):
            made.rmdir()


def _move(names: Iterable[str], source: Path, target: Path) -> None:
    for name in names:
        if os.path.lexists(source / name):
            (source / name).replace(target / name)
            sync_folder(target)
            sync_folder(source)


def _digest_of_seal(archive: Path) -> str:
    """The digest of an attempt's seal, an empty string if it was never sealed."""
    sums = read_file(archive / SUMS_FILE)
    return "" if sums.problem else sha256(sums.data)


def _without(index: Index, gates: set[str]) -> Index:
    """The index without what was collected of `gates`, and of no gate if all are run again."""
    afresh = gates == set(GATE_NAMES)
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
        files={name: digest for name, digest in index.files.items() if name not in files},
    )


def _sweep(folder: Path, archive: Path, keep: set[str]) -> None:
    """Moves everything that the open index does not name to attempts/NN/: records, seal, replaced evidence."""
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
