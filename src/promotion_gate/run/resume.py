"""Resume: re-runs what did not pass, into the same bundle; what passed is kept while it counts.

Before connecting to any host, a resume moves the seal and the record of the decision to attempts/NN/, which revokes the
earlier decision. After the probes, the index says `open`, and the other records and the evidence to be replaced are
moved too. If it is killed anywhere in between, the bundle stays readable and decides nothing, and another resume
finishes it. Only if the probes leave nothing to re-run are seal and record put back as they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from promotion_gate.base.errors import BundleError, GateError, InputError
from promotion_gate.base.fields import Fields
from promotion_gate.base.files import sha256
from promotion_gate.base.model import GateResult, Status
from promotion_gate.base.policy import Policy
from promotion_gate.base.policy_reading import load_policy
from promotion_gate.base.times import stamp, utc_now
from promotion_gate.bundle.baseline import read_baseline_dir
from promotion_gate.bundle.index import Index, Probe, read_index
from promotion_gate.bundle.load import load_bundle
from promotion_gate.bundle.newest import newest_folder, newest_run
from promotion_gate.judge.decide import decide
from promotion_gate.prove.signoff import void_from_now
from promotion_gate.run.lock import RunLock
from promotion_gate.run.plan import plan_of
from promotion_gate.run.probing import probe_of
from promotion_gate.run.reopening import archive_of, has_begun, kept_settings, reopen, restore, revoke


def plan_resume(root: Path, settings: dict[str, Any], policy_text: str, policy_name: str) -> dict[str, Any]:
    """Checks the choice of gates and revokes the decision; begun() chooses after the hosts were probed."""
    run = newest_run(root, str(settings["promotion_resume"]))
    read_baseline_dir(
        Path(settings["promotion_baseline_dir"]), root, utc_now()
    )  # reports what cannot be read before it is needed
    lock = RunLock(root, run.folder.name)
    try:
        _still_planned(run.folder, run.index.attempt)
        # If a resume was killed while reopening the bundle, the seal was the first file to go.
        revoked = has_begun(run.index) and revoke(run.folder, archive_of(run.folder, run.index.attempt))
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
        "message": "",
    }


def answered(fields: Fields) -> dict[str, Probe]:
    """What each host answered."""
    answers = fields.mapping("probes")
    return {str(host): probe_of(item if isinstance(item, Mapping) else {}) for host, item in answers.items()}


def begun(planned: Mapping[str, Any], probes: Mapping[str, Probe]) -> dict[str, Any] | None:
    """A run of plan_resume() with the gates that it re-runs; None, with the run unchanged, if it needs none."""
    plan = Fields(planned, "the plan of the resume", InputError)
    folder, settings, policy = Path(plan.text("bundle")), plan.mapping("settings"), plan.mapping("policy")
    lock = RunLock(folder.parent, folder.name)  # the recorder takes it over; until then the attempt number tells
    try:
        _still_planned(folder, plan.integer("attempt"))
        if not has_begun(read_index(folder)):
            # An earlier resume was killed while reopening the bundle. Once that is finished, the bundle can be judged.
            reopen(folder, settings, policy["text"], policy["name"], (), probes)
        checklist = load_policy(policy["text"], policy["name"])
        needed = rerun_reasons(folder, settings, checklist, sha256(policy["text"].encode()), probes)
        reasons, passed_over = _chosen(needed, settings, checklist)
        if not reasons and plan.boolean("revoked"):
            restore(folder, archive_of(folder, plan.integer("attempt")))
            return None
        reopen(folder, settings, policy["text"], policy["name"], tuple(reasons), probes)
    except OSError as error:
        raise _not_reopened(folder, error) from None
    finally:
        lock.release()
    why = sentence(reasons, checklist) if reasons else "All gates had passed; what was cut off is the decision alone."
    chosen = [gate.name for gate in checklist.gates if gate.name in reasons]
    return {**planned, "gates": chosen, "message": why + passed_over + void_from_now(folder)}


def _not_reopened(folder: Path, error: OSError) -> GateError:
    return GateError(f"The bundle {folder} cannot be reopened ({error.strerror}).")


def _chosen(needed: dict[str, str], settings: Mapping[str, Any], policy: Policy) -> tuple[dict[str, str], str]:
    """The gates to re-run, and a sentence on those that promotion_gates leaves out although they need it."""
    choice = settings["promotion_gates"]
    chosen = needed if choice is None else {name: needed.get(name, "chosen with promotion_gates") for name in choice}
    left = ", ".join(str(policy.gate(name).id) for name in needed if name not in chosen)
    left_out = f" Not chosen, though the decision cannot be PROMOTE without them: {left}." if left else ""
    return _with_preparation(chosen, policy, settings), left_out


def _with_preparation(reasons: dict[str, str], policy: Policy, settings: Mapping[str, Any]) -> dict[str, str]:
    """A temporary worktree is new in each attempt, so the gate that prepares it runs before any other on its host."""
    if settings["workspace_checkout"] != "worktree" or not settings["workspace_prepare_commands"]:
        return reasons
    again = {gate.hosts for gate in policy.gates if gate.name in reasons}
    preparing = [gate for gate in policy.gates if any(check.check == "prepare" for check in gate.checks)]
    added = {gate.name for gate in preparing if gate.hosts in again} - reasons.keys()
    return {**reasons, **dict.fromkeys(added, "the temporary worktree has to be prepared again")}


def _still_planned(folder: Path, attempt: int) -> None:
    """Somebody else may have resumed the same run, or opened the next one, during the probes."""
    newest = newest_folder(folder.parent).name
    if newest != folder.name:
        raise GateError(
            f"Run {newest} was opened by somebody else a moment ago, and only the newest can be resumed: "
            f"{folder.name} no longer has a decision."
        )
    found = read_index(folder).attempt
    if found != attempt:
        raise GateError(
            f"Run {folder.name} was resumed by somebody else a moment ago: attempt {found} is under way. Wait for it."
        )


def rerun_reasons(
    folder: Path, settings: Mapping[str, Any], policy: Policy, policy_sha256: str, probes: Mapping[str, Probe]
) -> dict[str, str]:
    """Which gates must be re-run, and why: those that would not pass if nothing was run again.

    All gates are re-run if the bundle can no longer be judged or has an error that belongs to no gate.
    """
    everything = [gate.name for gate in policy.gates]
    try:
        bundle = load_bundle(folder)
    except (BundleError, InputError) as error:
        return dict.fromkeys(everything, f"the bundle cannot be judged ({error})")
    index = replace(
        bundle.index,
        state="closed",
        evaluated_at=stamp(utc_now()),
        attempt=bundle.index.attempt + 1,
        settings=kept_settings(bundle.index.settings, settings, gates=()),
        policy=replace(bundle.index.policy, sha256=policy_sha256),
        plan=plan_of(bundle.policy, settings, probes),
        probes=probes,
    )
    decision = decide(replace(bundle, index=index))
    passed = {gate.name: gate.status is Status.PASS for gate in decision.gates}
    why = {gate.name: _why(gate) for gate in decision.gates if not passed[gate.name]}
    reasons = {name: why.get(name, "the checklist has it now") for name in everything if not passed.get(name)}
    # Evidence may have been lost, of an unknown gate.
    of_no_gate = _of_no_gate(bundle.index)
    if of_no_gate:
        return dict.fromkeys(everything, f"something went wrong that belongs to no gate ({of_no_gate.rstrip('.')})")
    if not reasons and decision.objections:
        return dict.fromkeys(everything, f"there are objections, the first: {decision.objections[0].rstrip('.')}")
    return reasons


def _of_no_gate(index: Index) -> str:
    """The first error that belongs to no gate; an empty string if there is none."""
    events = [f"{event.task} on {event.host}: {event.message}" for event in index.events if event.gate is None]
    return next(iter([*index.collector_errors, *events]), "")


def _why(gate: GateResult) -> str:
    check = next(check for check in gate.checks if check.status is gate.status and not check.waived)
    return check.observed if check.status is Status.STALE else f"it was {gate.status}"


def sentence(reasons: Mapping[str, str], policy: Policy) -> str:
    """The reasons for re-running gates, each reason once with its gates."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        by_reason.setdefault(reason, []).append(str(policy.gate(name).id))
    parts = []
    for reason, numbers in by_reason.items():
        word = "gate" if len(numbers) == 1 else "gates"
        parts.append(f"{reason}, so {word} {', '.join(numbers)} {'is' if len(numbers) == 1 else 'are'} run again")
    text = "; ".join(parts)
    return text[:1].upper() + text[1:] + "."
