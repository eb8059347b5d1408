"""Loads a bundle into memory, so that decide() needs no disk: the index, the policy, the baseline, the evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

from promotion_gate.base.errors import BundleError, of_a_bundle
from promotion_gate.base.files import Content, digest_of, read_file, read_json, sha256, size_of
from promotion_gate.base.names import BASELINE_FILE, INDEX_FILE, POLICY_FILE, SHIPPED_POLICY_FILE
from promotion_gate.base.policy import Policy
from promotion_gate.base.policy_reading import load_policy
from promotion_gate.bundle.baseline import Baseline, read_baselines
from promotion_gate.bundle.index import Index, read_index

# All evidence of a run is in memory while it is judged.
MAX_EVIDENCE_BYTES = 256 * 1024 * 1024


CHANGED = "is not what was recorded: its digest differs"

Arguments = TypeVarTuple("Arguments")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bundle:
    """Everything decide() may look at. `files` holds each evidence file as found on disk, by its name.

    A file that is not what the index recorded has the problem CHANGED. `found` caches results of @once.
    """

    index: Index
    policy: Policy
    # The shipped checklist of the policy's name, as it was when the run was opened; None where there was none.
    shipped: Policy | None
    baselines: tuple[Baseline, ...]
    files: Mapping[str, Content]
    index_sha256: str
    found: dict[Any, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    def content(self, name: str) -> Content:
        return self.files.get(name, Content(problem="is missing"))

    def output(self, gate: str, command_id: str) -> str | None:
        """What a command printed; None if it has no record, or two, or its transcript is not what was recorded."""
        records = self.index.records(gate, command_id)
        if len(records) != 1:
            return None
        [record] = records
        content = self.content(record.file)
        if content.problem:
            return None
        return content.data[record.offset : record.offset + record.length].decode("utf-8", "replace")


def once(function: Callable[[Bundle, *Arguments], T]) -> Callable[[Bundle, *Arguments], T]:
    """Computes a function once per bundle: a bundle does not change, and a changed copy is another object."""

    @wraps(function)
    def kept(bundle: Bundle, *arguments: *Arguments) -> T:
        key = (function, arguments)
        if key not in bundle.found:
            bundle.found[key] = function(bundle, *arguments)
        value: T = bundle.found[key]
        return value

    return kept


def load_bundle(folder: Path) -> Bundle:
    """Reads a closed or open bundle.

    Raises BundleError with a sentence if index, policy or baseline cannot be used. A broken evidence file is not an
    error here: the checks report it.
    """
    if not folder.is_dir():
        raise BundleError(f"{folder} is not a bundle; name the folder of a run (<evidence root>/<run id>).")
    index = read_index(folder)
    if index.run_id != folder.resolve().name:
        raise BundleError(
            f"{folder / INDEX_FILE} is of run {index.run_id}, the folder is {folder.resolve().name}; "
            "an index of another run proves nothing here."
        )
    policy_file = read_file(folder / POLICY_FILE)
    if policy_file.problem or sha256(policy_file.data) != index.policy.sha256:
        problem = policy_file.problem or "is not the policy that the index names"
        raise BundleError(f"{folder / POLICY_FILE} {problem}.")
    policy = _load_policy(policy_file, POLICY_FILE)
    shipped = _load_shipped(folder, index, policy)
    baselines, evidence = _load_baselines(folder, index), evidence_files(folder, index)
    return Bundle(index, policy, shipped, baselines, evidence, digest_of(folder / INDEX_FILE)[0])


def _load_policy(content: Content, name: str) -> Policy:
    with of_a_bundle():
        return load_policy(content.data.decode("utf-8", "replace"), name)


def _load_shipped(folder: Path, index: Index, policy: Policy) -> Policy | None:
    path, wanted = folder / SHIPPED_POLICY_FILE, index.policy.shipped_sha256
    if wanted is None:
        return None
    content = read_file(path)
    if content.problem or sha256(content.data) != wanted:
        raise BundleError(f"{path} {content.problem or 'is not the checklist that the index names'}.")
    if wanted == index.policy.sha256:
        return policy
    shipped = _load_policy(content, SHIPPED_POLICY_FILE)
    if shipped.name != policy.name:
        raise BundleError(f"{path} is the checklist {shipped.name}, the policy is {policy.name}.")
    return shipped


def _load_baselines(folder: Path, index: Index) -> tuple[Baseline, ...]:
    if index.baseline_sha256 is None:
        return ()
    content = read_file(folder / BASELINE_FILE)
    if content.problem or sha256(content.data) != index.baseline_sha256:
        problem = content.problem or "is not the baseline that the index names"
        raise BundleError(f"{folder / BASELINE_FILE} {problem}.")
    return read_baselines(read_json(folder / BASELINE_FILE), str(folder / BASELINE_FILE))


def evidence_files(folder: Path, index: Index) -> dict[str, Content]:
    """Reads what the index names; a link anywhere on the way to a file counts as a problem."""
    total = sum(size_of(folder / name) for name in index.files)
    if total > MAX_EVIDENCE_BYTES:
        raise BundleError(f"{folder} has {total} bytes of evidence; more than {MAX_EVIDENCE_BYTES} are not read.")
    found = {}
    for name in index.files:
        parts = Path(name).parts[:-1]
        steps = [folder.joinpath(*parts[: depth + 1]) for depth in range(len(parts))]
        linked = any(step.is_symlink() for step in steps)
        content = Content(problem="is behind a symbolic link") if linked else read_file(folder / name)
        changed = not content.problem and sha256(content.data) != index.files[name]
        found[name] = replace(content, problem=CHANGED) if changed else content
    return found
