"""What a checklist (a policy file) is. policy_reading makes one of a file, policy_rules say what holds in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from promotion_gate.base.errors import InputError
from promotion_gate.base.yaml_lines import Marks, Path

POLICY_SCHEMA = 2
GATE_NAMES = ("preflight", "sqlite_smoke", "vm_bootstrap", "slurm_smoke", "contracts")
COMPONENTS = ("python", "aiida-core", "slurm", "postgresql", "rabbitmq")
ENVIRONMENTS = ("workspace_environment", "aiida_vm_environment")
IDENTITY_PARTS = ("machine", "checkout", "profile", "env_file", "config_dir")
# What the gate adds to each gate: the host can be used; the evidence is complete.
BUILT_IN = ("host", "evidence")


@dataclass(frozen=True, slots=True)
class CheckPolicy:
    """One check: which function judges, its limits, and what to do when it does not pass."""

    id: str
    check: str
    title: str
    limits: Mapping[str, Any]
    needs: tuple[str, ...]
    ran: Mapping[str, tuple[str, ...]]
    replaceable: bool
    spec: bool
    unblock: Mapping[str, str]
    waivable: bool
    path: Path = field(compare=False)


@dataclass(frozen=True, slots=True)
class CommandPolicy:
    """One command of a gate that has no role, as the module gate_commands takes it."""

    id: str
    file: str
    run: tuple[str, ...] | str
    prefix: tuple[str, ...] | str | None
    chdir: str | None
    environment: Mapping[str, str]
    limit_seconds: float
    group: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """One gate. An entry of `evidence` that ends in `/` is a folder that must hold at least one file.

    Either `role` or `commands` is set. `hosts` is an inventory group, `identity` the parts that its begin and its end
    are compared in.
    """

    id: int
    name: str
    role: str | None
    commands: tuple[CommandPolicy, ...]
    hosts: str
    alone: bool
    identity: tuple[str, ...]
    title: str
    evidence: tuple[str, ...]
    summary: str
    notes: str | None
    checks: tuple[CheckPolicy, ...]
    path: Path = field(compare=False)


@dataclass(frozen=True, slots=True)
class Policy:
    """A checklist. `subject` is the group that has a decision per host; `max_age` is how long `check` believes one."""

    name: str
    title: str
    subject: str
    same_machine: bool
    supported_versions: Mapping[str, str]
    max_age: str | None
    gates: tuple[GatePolicy, ...]
    marks: Marks = field(compare=False, repr=False)

    def gate(self, name: str) -> GatePolicy:
        return next(gate for gate in self.gates if gate.name == name)

    def checks(self) -> Iterator[CheckPolicy]:
        for gate in self.gates:
            yield from gate.checks

    def fail(self, sentence: str, path: Path) -> InputError:
        """The error for what stands at `path` in the file."""
        return InputError(f"{self.marks.at(path)}: {sentence}")


def gate_settings(gate: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a gate's evidence depends on, as the index keeps them; without PATH, which is the shell's.

    A run finds their names in the gate's role and keeps them in its settings, so that a copy of the bundle is enough.
    """
    names = settings.get("gate_settings")
    mine = names.get(gate) if isinstance(names, Mapping) else None
    found = {str(name): settings.get(str(name)) for name in mine} if isinstance(mine, list) else {}
    for name, value in found.items():
        if name in ENVIRONMENTS and isinstance(value, Mapping):
            found[name] = {key: item for key, item in value.items() if key != "PATH"}
    return found
