"""verify: does the decision of a bundle follow from its evidence, and is everything as it was sealed?

Needs only the bundle: no network, no VM, no Ansible. A bundle can come from anywhere, so nothing in it is trusted, and
whatever is wrong with it is a finding, never a traceback.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from promotion_gate import __version__
from promotion_gate.base.errors import BundleError, GateError, InputError
from promotion_gate.base.files import digest_of, list_files, read_file, read_json
from promotion_gate.base.model import Decision
from promotion_gate.base.names import (
    DECISION_JSON,
    FOLLOW_UP,
    INDEX_FILE,
    RENDERED,
    SIGNATURE_FILE,
    SUMS_FILE,
)
from promotion_gate.bundle.fleet import check_of_one_host
from promotion_gate.bundle.history import Link, broken_links, links_of, run_folders
from promotion_gate.bundle.index import Index
from promotion_gate.bundle.load import Bundle
from promotion_gate.judge.checks.registry import check_policy
from promotion_gate.judge.decide import decide
from promotion_gate.judge.shipped import check_spec, shipped_policy
from promotion_gate.judge.shipped import differences as checklist_differences
from promotion_gate.prove import advice
from promotion_gate.prove.compare import differences, known_to
from promotion_gate.prove.envelope import envelope_finding
from promotion_gate.prove.findings import UNSIGNED, Finding, Report
from promotion_gate.prove.seal import foreign
from promotion_gate.prove.signing import check_allowed_signers, check_signature, verify
from promotion_gate.prove.sound import MAX_SUMS_BYTES, attempts_problem, load_sound, parse_sums, shown
from promotion_gate.report.render import render

_SHOWN = 5


def verify_bundle(folder: Path, require_signature: bool = False, allowed_signers: Path | None = None) -> Report:
    """Checks a sealed bundle from end to end.

    Raises InputError only for an allowed_signers file that is not there; all else is in the report.
    """
    check_allowed_signers(allowed_signers)
    findings: list[Finding] = []
    sums, problem = read_sums(folder)
    well_formed = f"{len(sums)} names, well-formed and in order"
    findings.append(Finding(SUMS_FILE, not problem, problem or well_formed, advice.for_seal(folder) if problem else ""))
    findings.append(_names(folder, sums))
    findings.append(_digests(folder, sums))
    bundle, loaded = _load(folder)
    required = require_signature or _to_be_signed(bundle.index if bundle else None)
    signature, signer = signature_finding(folder, required, allowed_signers)
    findings += [signature, *_envelope(folder, allowed_signers), loaded]
    if bundle is None:
        return Report(str(folder), tuple(findings), None, signer)
    problem = attempts_problem(folder, sums, bundle)
    earlier = f"{sum(1 for item in bundle.index.attempts if item.sha256)} earlier seals, as the index names them"
    findings.append(Finding("attempts", not problem, problem or earlier))
    findings.append(_checklist(bundle))
    decision, followed = _recompute(folder, sums, bundle)
    return Report(str(folder), (*findings, *followed), decision, signer, bundle.policy.max_age)


def read_sums(folder: Path) -> tuple[dict[str, str], str]:
    """The names and digests of a bundle's SHA256SUMS, and what is wrong with it (empty if nothing is)."""
    content = read_file(folder / SUMS_FILE, MAX_SUMS_BYTES)
    if content.problem:
        return {}, f"{SUMS_FILE} {content.problem}; the bundle is not sealed"
    return parse_sums(content.data)


def _names(folder: Path, sums: Mapping[str, str]) -> Finding:
    """Whether SHA256SUMS names exactly the files that are there. A link counts as a file that it does not name."""
    try:
        there = set(list_files(folder)) - {SUMS_FILE, SIGNATURE_FILE}
    except OSError as error:
        return Finding("files", False, f"{error.filename} cannot be listed ({error.strerror})")
    except BundleError as error:
        return Finding("files", False, str(error))
    links = sorted(name for name in there if (folder / name).is_symlink())
    extra, missing = sorted(there - set(sums)), sorted(set(sums) - there)
    problems = [f"{what}: {shown(names)}" for what, names in _named(extra, missing, links)]
    found = "; ".join(problems) or f"exactly the {len(there)} files that are named"
    return Finding("files", not problems, found, advice.for_names(extra, missing, links))


def _named(extra: list[str], missing: list[str], links: list[str]) -> Iterator[tuple[str, list[str]]]:
    for what, names in (("not in SHA256SUMS", extra), ("missing", missing), ("symbolic links", links)):
        if names:
            yield what, names


def _digests(folder: Path, sums: Mapping[str, str]) -> Finding:
    bad = []
    for name, digest in sums.items():
        found, problem = digest_of(folder / name)
        if problem:
            bad.append(f"{name} {problem}")
        elif found != digest:
            bad.append(f"{name} was changed after the seal")
    if not sums:
        return Finding("digests", False, "there is nothing to compare with")
    found = shown(bad) or f"{len(sums)} files are as they were sealed"
    return Finding("digests", not bad, found, advice.COPY_AGAIN)


def signature_finding(
    folder: Path, required: bool = False, allowed_signers: Path | None = None
) -> tuple[Finding, str | None]:
    """The signature of SHA256SUMS: whether it exists, is canonically encoded and over this file, and who signed."""
    path = folder / SIGNATURE_FILE
    armored, data = read_file(path), read_file(folder / SUMS_FILE)
    if armored.problem == "is missing":
        found = UNSIGNED + (", and one is required" if required else "")
        return Finding("signature", not required, found, advice.SIGN), None
    try:
        if armored.problem or data.problem:
            raise GateError(armored.problem or f"there is no {SUMS_FILE} that it could belong to")
        signature = check_signature(data.data, path, armored.data)
        key = f"{signature.key_type} {signature.fingerprint}"
        if allowed_signers is None:
            return Finding("signature", True, f"by the key {key}; whose it is, only --allowed-signers can say"), None
        signer = verify(data.data, path, allowed_signers)
    except GateError as error:
        return Finding("signature", False, str(error)), None
    return Finding("signature", True, f"by {signer} with the key {key}"), signer


def _envelope(folder: Path, allowed_signers: Path | None) -> list[Finding]:
    """The signed statement beside a bundle, which is optional."""
    found = envelope_finding(folder, allowed_signers)
    return [found] if found else []


def _to_be_signed(index: Index | None) -> bool:
    """Whether a run had to be signed; then a seal without a signature has lost it."""
    return index is not None and bool(index.settings.get("promotion_signing_key"))


def _load(folder: Path) -> tuple[Bundle | None, Finding]:
    """Loads index, policy and baseline, and checks that they are consistent."""
    name = "index, policy, baseline"
    try:
        bundle = load_sound(folder)
    except GateError as error:
        return None, Finding(name, False, str(error), advice.for_folder(folder))
    except Exception as error:  # the bundle is untrusted: an error that no parser expects is a finding, not a traceback
        return None, Finding(name, False, f"they cannot be read ({type(error).__name__}: {error})")
    index = bundle.index
    if index.state != "closed":
        return None, Finding(name, False, f"run {index.run_id} is still open; an open bundle is not a decision",
                             advice.for_folder(folder))  # fmt: skip
    found = f"run {index.run_id}, attempt {index.attempt}, {len(index.files)} evidence files"
    return bundle, Finding(name, True, found)


def _checklist(bundle: Bundle) -> Finding:
    """Compares the policy with what this version ships under its name; the bundle's policy-shipped.yml may be forged.

    The spec's checks are the same in every version: a policy with the spec's name but without its checks does not
    verify.
    """
    policy, today = bundle.policy, shipped_policy(bundle.policy.name)
    if today is None:
        return Finding("checklist", True, f"this version ships no checklist named {policy.name}: it is a team's own")
    try:
        check_spec(policy, check_policy(today))
    except InputError as error:
        return Finding("checklist", False, str(error).splitlines()[0])
    if policy == today:
        return Finding("checklist", True, f"{policy.name}, as this version ships it")
    found = [f"{item.kind} {item.what}" for item in checklist_differences(policy, today)]
    then = "" if bundle.shipped == today else "; policy-shipped.yml is not what this version ships"
    return Finding("checklist", True, f"{policy.name}, not as shipped: {shown(found) or 'other words'}{then}")


def _recompute(folder: Path, sums: Mapping[str, str], bundle: Bundle) -> tuple[Decision | None, list[Finding]]:
    """Decides again from the evidence and compares the result with the records: field by field, then byte by byte."""
    try:
        decision = decide(bundle)
        rendered = render(bundle, decision)
    except GateError as error:
        return None, [Finding("decision", False, str(error))]
    except Exception as error:  # as in _load
        return None, [Finding("decision", False, f"it cannot be computed ({type(error).__name__}: {error})")]
    version = bundle.index.run.get("gate_version", __version__)
    strangers = foreign(sums, bundle, {*rendered, *(RENDERED if version != __version__ else ())})
    return decision, [_fields(folder, decision, version), _records(folder, rendered, strangers, version)]


def _fields(folder: Path, decision: Decision, version: str) -> Finding:
    try:
        record = read_json(folder / DECISION_JSON)
    except BundleError as error:
        return Finding("decision", False, str(error))
    computed = decision.as_dict()
    if version != __version__ and isinstance(record, Mapping):  # newer versions add fields, and the record may be older
        computed = known_to(record, computed)
    different = list(differences(record, computed))
    found = "; ".join(different[:_SHOWN]) or f"{decision.decision} follows from the evidence, field by field"
    return Finding("decision", not different, found, advice.NOT_FOLLOWED)


def _records(folder: Path, rendered: Mapping[str, str], strangers: list[str], version: str) -> Finding:
    """The rendered files. Those of another version must exist, but their wording may differ."""
    same = version == __version__
    bad = [f"{name} is neither evidence of the index nor rendered" for name in strangers if name != FOLLOW_UP]
    for name, text in rendered.items():
        content = read_file(folder / name)
        if not same and name in RENDERED and content.problem == "is missing":
            continue
        if content.problem:
            bad.append(f"{name} {content.problem}")
        elif same and content.data != text.encode("utf-8"):
            bad.append(f"{name} is not what this version of the gate renders from the evidence")
    if FOLLOW_UP not in rendered and not read_file(folder / FOLLOW_UP).problem:
        bad.append(f"{FOLLOW_UP} is there although the decision is PROMOTE")
    there = f"{len(rendered)} rendered files, byte by byte"
    others = f"of version {version}; only the fields of {DECISION_JSON} can be compared with what this version says"
    return Finding("records", not bad, shown(bad) or (there if same else others), advice.NOT_FOLLOWED)


def verify_history(root: Path, require_signature: bool = False, allowed_signers: Path | None = None) -> Report:
    """Checks the chain of an evidence root and the seal and signature of every run, without judging evidence again.

    Raises InputError only for an allowed_signers file that is not there.
    """
    check_allowed_signers(allowed_signers)
    if not root.is_dir():
        return Report(str(root), (Finding("chain", False, f"{root} is not a folder"),))
    try:
        check_of_one_host(root)
    except BundleError as error:
        return Report(str(root), (Finding("chain", False, str(error)),))
    folders = run_folders(root)
    found = links_of(root)
    broken = list(chain_problems(root, found))
    findings = [Finding("chain", False, sentence) for sentence in broken]
    if not folders:
        step = "name the evidence root: the folder that holds the runs"
        findings.append(Finding("chain", False, f"{root} has no run", step))
    elif not broken:
        findings.append(Finding("chain", True, f"{len(folders)} runs, each names the one before it"))
    signs = {link.name for link in found[0] if link.signs}
    for folder in folders:
        findings.append(_sealed(folder, require_signature or folder.name in signs, allowed_signers))
    return Report(str(root), tuple(findings))


def chain_problems(root: Path, found: tuple[list[Link], list[str]] | None = None) -> Iterator[str]:
    """What is wrong with the chain of an evidence root: links, strays, and seal, index and record of each run."""
    yield from broken_links(root, found)
    for folder in run_folders(root):
        if read_file(folder / SUMS_FILE, MAX_SUMS_BYTES).problem == "is missing":
            continue  # open or cut off: it has no decision
        sums, problem = read_sums(folder)
        if problem:
            yield f"{folder.name}: {problem}."
            continue
        for name in (INDEX_FILE, DECISION_JSON):
            if digest_of(folder / name)[0] != sums.get(name):
                yield f"{folder.name}: {name} has changed since it was sealed."


def _recorded_decision(folder: Path) -> str:
    """What the record of a run says; whether it is as it was sealed is checked separately."""
    try:
        return str(read_json(folder / DECISION_JSON)["decision"])[:20]
    except (BundleError, KeyError, TypeError):
        return "no decision"


def _sealed(folder: Path, required: bool, allowed_signers: Path | None) -> Finding:
    """Seal and signature of one run; a run that was cut off has neither, which does not break the chain."""
    if read_file(folder / SUMS_FILE).problem == "is missing":
        return Finding(folder.name, True, "not sealed: it is open or was cut off, and decides nothing")
    sums, problem = read_sums(folder)
    signature, _ = signature_finding(folder, required, allowed_signers)
    decision = "" if problem else f"{_recorded_decision(folder)}, "
    signature = replace(signature, found=f"signature: {signature.found}")
    parts = [_names(folder, sums), _digests(folder, sums), signature, *_envelope(folder, allowed_signers)]
    bad = [problem] if problem else [part.found for part in parts if not part.holds]
    return Finding(folder.name, not bad, "; ".join(bad) or f"{decision}{len(sums)} files as sealed; {signature.found}")
