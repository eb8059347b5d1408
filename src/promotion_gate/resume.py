"""Resume: re-run what did not pass, into the same bundle; what passed is kept while it counts.

First act: the index says `open`, which is no decision. Then the records, the seal and the evidence that is
replaced move to attempts/NN/. Killed anywhere in between, the bundle stays readable and open, and a resume ends it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from promotion_gate.baseline import BASELINE_FILE, baselines_to_json, read_baseline_dir
from promotion_gate.bundle import POLICY_FILE, load_bundle
from promotion_gate.decide import decide, gate_identity
from promotion_gate.errors import BundleError, GateError, InputError
from promotion_gate.fields import Fields
from promotion_gate.files import read_file, read_json, sha256, to_json, write_atomically
from promotion_gate.history import ATTEMPTS, SUMS_FILE, newest_run
from promotion_gate.identity import Identity, identity
from promotion_gate.index import INDEX_FILE, parse_index
from promotion_gate.model import GateResult, Status
from promotion_gate.policy import GATE_NAMES
from promotion_gate.settings import chosen_gates
from promotion_gate.stale import WORKSPACE_GATES, changed
from promotion_gate.times import stamp, utc_now


def plan_resume(root: Path, settings: dict[str, Any], policy_text: str, policy_name: str) -> dict[str, Any]:
    """Checks the choice of gates; the gates themselves are chosen by begin_resume(), once both hosts were probed."""
    run = newest_run(root, str(settings["promotion_resume"]))
    if settings["promotion_gates"] is not None:
        chosen_gates(settings["promotion_gates"])
    return {
        "bundle": str(run.folder),
        "run_id": run.folder.name,
        "gates": None,
        "settings": settings,
        "policy": {"text": policy_text, "name": policy_name},
        "said": "",
    }


def begin_resume(request: object) -> dict[str, Any]:
    """Chooses the gates to re-run and reopens the bundle.

    `request` has what plan_resume() returned as `plan`, and `probes`: the output of identity.sh by group
    (workspace, aiida_vm; an empty text where the host did not answer). Raises InputError where nothing is to be
    re-run.
    """
    fields = Fields(request, "the request of roles/gate_common", InputError)
    plan = Fields(fields.mapping("plan"), "the plan of the resume", InputError)
    probes = {group: identity(str(text)) for group, text in fields.mapping("probes").items()}
    folder, settings = Path(plan.text("bundle")), plan.mapping("settings")
    policy = plan.mapping("policy")
    reasons = rerun_reasons(folder, settings, sha256(policy["text"].encode()), probes)
    if settings["promotion_gates"] is not None:
        chosen = chosen_gates(settings["promotion_gates"])
        reasons = {name: reasons.get(name, "chosen with promotion_gates") for name in chosen}
    if not reasons:
        raise InputError(
            f"Nothing of run {folder.name} needs a re-run: all gates passed and their evidence is fresh. Ask "
            f"`promotion-gate check {folder}` whether the decision still holds."
        )
    try:
        reopen(folder, settings, policy["text"], policy["name"], tuple(reasons))
    except OSError as error:
        raise GateError(f"The bundle {folder} cannot be reopened ({error.strerror}).") from None
    return {
        "bundle": str(folder),
        "run_id": folder.name,
        "gates": [name for name in GATE_NAMES if name in reasons],
        "settings": settings,
        "said": sentence(reasons),
    }


def rerun_reasons(
    folder: Path, settings: Mapping[str, Any], policy_sha256: str, probes: Mapping[str, Identity]
) -> dict[str, str]:
    """Which gates must be re-run, and why. A bundle that cannot be judged any more is re-run whole."""
    try:
        bundle = load_bundle(folder)
    except (BundleError, InputError) as error:
        return dict.fromkeys(GATE_NAMES, f"the bundle cannot be judged ({error})")
    now = stamp(utc_now())
    index = replace(
        bundle.index,
        state="closed",
        evaluated_at=now,
        settings={**bundle.index.settings, "evidence_max_age_seconds": settings["evidence_max_age_seconds"]},
        policy={**bundle.index.policy, "sha256": policy_sha256},
    )
    current = replace(bundle, index=index)
    reasons = {}
    for gate in decide(current).gates:
        kept = gate_identity(bundle, gate.name)
        probe = probes.get("workspace" if gate.name in WORKSPACE_GATES else "aiida_vm")
        moved = changed(kept, probe, same_machine=True) if kept and probe else None
        if moved or gate.status is not Status.PASS:
            reasons[gate.name] = moved or _why(gate)
    return reasons


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


def reopen(folder: Path, settings: Mapping[str, Any], policy_text: str, policy_name: str, gates: Iterable[str]) -> None:
    """Makes the bundle an open one in which the given gates have no evidence."""
    again = set(gates)
    old = read_file(folder / INDEX_FILE)
    data: dict[str, Any] = read_json(folder / INDEX_FILE)
    number = parse_index(data).attempt
    archive = folder / ATTEMPTS / f"{number:02d}"
    sums = read_file(folder / SUMS_FILE)
    baselines = baselines_to_json(read_baseline_dir(Path(settings["promotion_baseline_dir"])))
    data.update(_without(data, again))
    data.update(
        state="open",
        evaluated_at=None,
        attempt=number + 1,
        operator=settings["promotion_operator"],
        reviewer=settings["promotion_reviewer"],
        risks=settings["promotion_risks"],
        waivers=settings["promotion_waivers"],
        settings=settings,
        policy={"path": policy_name, "sha256": sha256(policy_text.encode())},
        baseline_sha256=sha256(baselines.encode()),
        attempts=[
            *data["attempts"],
            {"number": number, "sha256": "" if sums.problem else sha256(sums.data)},
        ],
        collector_errors=[],
        run={},
    )
    write_atomically(archive / INDEX_FILE, old.data)
    write_atomically(folder / INDEX_FILE, to_json(data))
    _sweep(folder, archive, keep=set(data["files"]))
    write_atomically(folder / POLICY_FILE, policy_text)
    write_atomically(folder / BASELINE_FILE, baselines)


def _without(data: Mapping[str, Any], gates: set[str]) -> dict[str, Any]:
    """The collected parts of an index without the records of `gates`."""
    files = {c["file"] for c in data["commands"] if c["gate"] in gates}
    files |= {a["file"] for a in data["artifacts"] if a["gate"] in gates}
    kept = {key: [e for e in data[key] if e["gate"] not in gates] for key in ("commands", "artifacts", "artifact_sets")}
    return {
        **kept,
        "events": [e for e in data["events"] if e["gate"] is not None and e["gate"] not in gates],
        "gates": {name: gate for name, gate in data["gates"].items() if name not in gates},
        "files": {name: digest for name, digest in data["files"].items() if name not in files},
    }


def _sweep(folder: Path, archive: Path, keep: set[str]) -> None:
    """Moves everything that the open index does not name to attempts/NN/: records, seal, replaced evidence."""
    stay = {INDEX_FILE, POLICY_FILE, BASELINE_FILE, ATTEMPTS}
    # The decision goes first: from then on no record of an earlier decision stands in the bundle.
    names = sorted(folder.iterdir(), key=lambda path: (not path.name.startswith("promotion-decision"), path.name))
    for path in names:
        if path.name in stay or path.name in keep:
            continue
        if path.is_dir() and not path.is_symlink():
            _sweep_folder(path, folder, archive, keep)
        else:
            archive.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.replace(archive / path.name)


def _sweep_folder(path: Path, folder: Path, archive: Path, keep: set[str]) -> None:
    for inner in sorted(path.rglob("*"), reverse=True):
        name = inner.relative_to(folder).as_posix()
        if inner.is_dir() and not inner.is_symlink():
            if not any(inner.iterdir()):
                inner.rmdir()
        elif name not in keep:
            (archive / name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            inner.replace(archive / name)
    if not any(path.iterdir()):
        path.rmdir()
