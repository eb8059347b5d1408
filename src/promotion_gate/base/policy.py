"""Reads a policy file: the checklist as data. A mistake in it is named with file, line and nearest known key."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml
from packaging.specifiers import SpecifierSet

from promotion_gate.base.errors import InputError
from promotion_gate.base.fields import Fields, nearest

POLICY_SCHEMA = 1
GATE_NAMES = ("preflight", "sqlite_smoke", "vm_bootstrap", "slurm_smoke", "contracts")
WORKSPACE_GATES = ("preflight", "sqlite_smoke", "contracts")
VM_GATES = ("vm_bootstrap", "slurm_smoke")
NEVER_WAIVABLE = ("vm_bootstrap", "slurm_smoke")
COMPONENTS = ("python", "aiida-core", "slurm", "postgresql", "rabbitmq")
# What every unblock sentence may name; a check can offer more (see checks.registry).
COMMON_PLACEHOLDERS = frozenset(
    [
        "vm",
        "repo",
        "env_file",
        "env_path",
        "profile",
        "verdi",
        "verdi_list",
        "kill_daemon",
        "workspace",
        "workspace_dir",
        "branch",
        "commit",
        "inventory",
        "smoke_by_hand",
        "computer",
    ]
)


ENVIRONMENTS = ("workspace_environment", "aiida_vm_environment")
_OF_WORKSPACE = ("workspace_dir", "workspace_target_branch", "workspace_checkout", "workspace_environment")
_OF_VM = ("aiida_vm_repo_dir", "aiida_vm_env_file", "aiida_vm_verdi", "aiida_vm_profile", "aiida_vm_environment")
# What says what a gate's evidence is of. Limits are no part of it.
GATE_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "preflight": (*_OF_WORKSPACE, "workspace_prepare_commands"),
    "sqlite_smoke": (*_OF_WORKSPACE, "workspace_sqlite_smoke_command"),
    "vm_bootstrap": _OF_VM,
    "slurm_smoke": (
        *_OF_VM,
        "aiida_vm_smoke_args",
        "gate_slurm_smoke_submit_job",
        "gate_slurm_smoke_partition",
        "gate_slurm_smoke_account",
        "gate_slurm_smoke_qos",
        "gate_slurm_smoke_submit_calculation",
        "gate_slurm_smoke_computer_label",
    ),
    "contracts": _OF_WORKSPACE,
}


@dataclass(frozen=True, slots=True)
class CheckPolicy:
    """One check: which function judges, its limits, and what to do when it does not pass."""

    id: str
    check: str
    title: str
    limits: Mapping[str, Any]
    unblock: Mapping[str, str]
    waivable: bool


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """One gate. An entry of `evidence` that ends in `/` is a folder that must hold at least one file."""

    id: int
    name: str
    title: str
    evidence: tuple[str, ...]
    summary: str
    notes: str | None
    checks: tuple[CheckPolicy, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    name: str
    title: str
    supported_versions: Mapping[str, str]
    gates: tuple[GatePolicy, ...]

    def gate(self, name: str) -> GatePolicy:
        return next(gate for gate in self.gates if gate.name == name)

    def checks(self) -> Iterator[CheckPolicy]:
        for gate in self.gates:
            yield from gate.checks


class _LineLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice: YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise InputError(f'{self.name}, line {line}: the key "{key}" stands twice; keep one.')
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def _line_of(text: str, needle: str) -> str:
    """`, line N` for the first line that has `needle` as a key or value, or an empty text."""
    for number, line in enumerate(text.splitlines(), start=1):
        if needle and needle in line:
            return f", line {number}"
    return ""


@lru_cache(maxsize=4)  # by content: a run and a verification read the same text several times
def load_policy(text: str, name: str) -> Policy:
    """Turns the text of a policy file into a Policy; judge.checks.case.check_policy asks whether its checks exist.

    Raises InputError with file, line and field.
    """
    try:
        loader = _LineLoader(text)
        loader.name = name
        data = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{name}{line}: not YAML ({error.problem}); mend it and run again.") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"{name}: not YAML ({error}); mend it and run again.") from None
    try:
        return _policy(Fields(data, name, InputError))
    except InputError as error:
        raise located(error, text, name) from None


def located(error: InputError, text: str, name: str) -> InputError:
    """The error with the line of the word that it quotes first."""
    quoted = str(error).split('"')
    line = _line_of(text, quoted[1]) if len(quoted) > 2 else ""
    return InputError(str(error).replace(name, name + line, 1))


def _policy(fields: Fields) -> Policy:
    fields.only(("schema", "name", "title", "supported_versions", "gates"))
    if fields.integer("schema") != POLICY_SCHEMA:
        raise InputError(f"{fields.where}: schema must be {POLICY_SCHEMA}; this gate reads no other.")
    versions = _versions(fields)
    gates = fields.each("gates", _gate)
    if tuple(gate.name for gate in gates) != GATE_NAMES or [gate.id for gate in gates] != [1, 2, 3, 4, 5]:
        raise InputError(
            f"{fields.where}: gates must be the five of the spec, in order: "
            + ", ".join(f"{number} {name}" for number, name in enumerate(GATE_NAMES, 1))
            + "; a policy that leaves one out cannot promote."
        )
    policy = Policy(fields.text("name"), fields.text("title"), versions, gates)
    ids = [check.id for check in policy.checks()]
    for check_id in ids:
        if ids.count(check_id) > 1:
            raise InputError(f'{fields.where}: the check id "{check_id}" stands twice; ids are unique.')
    return policy


def _versions(fields: Fields) -> dict[str, str]:
    versions = fields.mapping("supported_versions")
    for component, bounds in versions.items():
        if component not in COMPONENTS:
            hint = nearest(component, COMPONENTS)
            raise InputError(f'{fields.where}: supported_versions has no component "{component}"{hint}')
        try:
            if not isinstance(bounds, str):  # YAML makes a number of 3.10, which is 3.1
                raise ValueError
            if not all(SpecifierSet(part) for part in bounds.split(",")):  # an empty one lets every version pass
                raise ValueError
        except ValueError:  # InvalidSpecifier is one
            raise InputError(
                f'{fields.where}: supported_versions bounds {component} by "{bounds}"; write bounds joined by commas, '
                'as a text: ">=2.7,<2.10".'
            ) from None
    return versions


def _gate(fields: Fields) -> GatePolicy:
    fields.only(("id", "name", "title", "evidence", "summary", "notes", "checks"))
    name = fields.text("name")
    if name not in GATE_NAMES:
        raise InputError(f'{fields.where}: no gate is named "{name}"{nearest(name, GATE_NAMES)}')
    checks = fields.each("checks", lambda check: _check(check, name))
    if not checks:
        raise InputError(f'{fields.where}: the gate "{name}" has no checks; it could never pass.')
    evidence = fields.texts("evidence")
    if not evidence:
        raise InputError(f'{fields.where}: the gate "{name}" requires no evidence; nothing would prove it.')
    return GatePolicy(
        fields.integer("id"),
        name,
        fields.text("title"),
        evidence,
        fields.text("summary"),
        fields.optional_text("notes"),
        checks,
    )


def _check(fields: Fields, gate: str) -> CheckPolicy:
    fields.only(("id", "check", "title", "limits", "unblock", "waivable"))
    function = fields.text("check")
    raw = fields.raw("unblock")
    unblock = {"default": raw} if isinstance(raw, str) else fields.mapping("unblock")
    if not unblock.get("default"):
        raise InputError(f"{fields.where}: unblock needs a sentence that says what to do.")
    for sentence in unblock.values():
        _check_format(fields, sentence)
    waivable = fields.boolean("waivable", False)
    if waivable and gate in NEVER_WAIVABLE:
        raise InputError(f'{fields.where}: "{fields.text("id")}" cannot be waivable; gates 3 and 4 never are.')
    return CheckPolicy(fields.text("id"), function, fields.text("title"), fields.mapping("limits"), unblock, waivable)


def _check_format(fields: Fields, sentence: object) -> None:
    if not isinstance(sentence, str):
        raise InputError(f"{fields.where}: unblock must hold texts only.")
    try:
        parsed = list(string.Formatter().parse(sentence))
    except ValueError as error:
        raise InputError(f'{fields.where}: unblock "{sentence[:60]}" has a stray brace ({error}).') from None
    for _, name, width, conversion in parsed:
        if name is None:  # text behind the last word
            continue
        if width or conversion:  # a width could fill the memory of whoever verifies the bundle
            asked = f"{name}{f'!{conversion}' if conversion else ''}{f':{width}' if width else ''}"
            raise InputError(
                f'{fields.where}: unblock has the format "{asked[:60]}"; a word stands alone, as {{{name[:60]}}}.'
            )


def gate_settings(gate: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a gate's evidence depends on, as the index keeps them; without PATH, which is the shell's."""
    found = {name: settings.get(name) for name in GATE_SETTINGS[gate]}
    for name in ENVIRONMENTS:
        if isinstance(found.get(name), Mapping):
            found[name] = {key: value for key, value in dict(found[name] or {}).items() if key != "PATH"}
    return found
