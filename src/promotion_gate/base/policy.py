"""What a checklist (a policy file) is. policy_reading reads one from a file, policy_rules check it as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from promotion_gate.base.mistakes import FileMistakes, Mistake
from promotion_gate.base.names import MAP_FILE
from promotion_gate.base.typed import UNRECORDED, Number, Or, Text
from promotion_gate.base.yaml_lines import Marks, Path

POLICY_SCHEMA: Literal[2] = 2
COMPONENTS = ("python", "aiida-core", "slurm", "postgresql", "rabbitmq")
ENVIRONMENTS = ("workspace_environment", "aiida_vm_environment")
IDENTITY_PARTS = ("machine", "checkout", "profile", "env_file", "config_dir")
MAX_GATES = 99
MAX_LIMIT_SECONDS = 86400
GATE_NAME = Text("[a-z][a-z0-9_]{0,40}", "lower-case letters, digits and `_`")
ID = Text("[a-z0-9][a-z0-9_.-]{0,80}", "lower-case letters, digits, `_`, `-` and `.`")
GROUP = Text("[A-Za-z_][A-Za-z0-9_]{0,80}", "the name of an inventory group")
ROLE = Text(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*){0,2}", "a role's name, or namespace.collection.role")
# The kind of check that reads the ownership map.
OWNERSHIP = "ownership"
# The checks that every gate has: the host can be used; the evidence is complete.
BUILT_IN = ("host", "evidence")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPolicy:
    """One check: which function judges, its limits, and what to do when it does not pass."""

    id: Annotated[str, ID]
    check: str
    title: str
    limits: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    ran: Mapping[str, Annotated[tuple[str, ...], Or(str)]] = field(default_factory=dict)
    replaceable: bool = False
    spec: bool = False
    unblock: Annotated[Mapping[str, str], Or(str)]
    waivable: bool = False
    path: Path = field(compare=False, metadata=UNRECORDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandPolicy:
    """One command of a gate that has no role, as the module gate_commands takes it."""

    id: Annotated[str, ID]
    file: str
    run: tuple[str, ...] | str
    prefix: tuple[str, ...] | str | None = None
    chdir: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    limit_seconds: Annotated[float, Number(0, MAX_LIMIT_SECONDS)] = 60.0
    group: str | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePolicy:
    """One gate. An entry of `evidence` that ends in `/` is a folder that must hold at least one file.

    Either `role` or `commands` is set. `hosts` is an inventory group; beginning and end are compared in the parts
    that `identity` lists.
    """

    id: Annotated[int, Number(1, MAX_GATES)]
    name: Annotated[str, GATE_NAME]
    role: Annotated[str, ROLE] | None = None
    commands: tuple[CommandPolicy, ...] = ()
    hosts: Annotated[str, GROUP]
    alone: bool = False
    identity: tuple[str, ...] = ("machine",)
    title: str
    evidence: tuple[str, ...]
    summary: str
    notes: str | None = None
    checks: tuple[CheckPolicy, ...]
    path: Path = field(compare=False, metadata=UNRECORDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A checklist. `subject` is the group that has a decision per host; `max_age` is how long `check` accepts one."""

    schema: Literal[2] = POLICY_SCHEMA
    name: Annotated[str, ID]
    title: str
    subject: str = ""
    same_machine: bool = False
    supported_versions: Mapping[str, str] = field(default_factory=dict)
    max_age: str | None = None
    gates: tuple[GatePolicy, ...]
    marks: Marks = field(compare=False, repr=False, metadata=UNRECORDED)

    def gate(self, name: str) -> GatePolicy:
        return next(gate for gate in self.gates if gate.name == name)

    def checks(self) -> Iterator[CheckPolicy]:
        for gate in self.gates:
            yield from gate.checks


@dataclass(frozen=True, slots=True)
class Examined:
    """A checklist as far as it could be read, and what is wrong with it; `unread` as in FileMistakes."""

    policy: Policy
    found: tuple[Mistake, ...]
    unread: frozenset[Path]

    @property
    def mistakes(self) -> FileMistakes:
        """The mistakes found while reading, to which others can be added."""
        return FileMistakes(self.policy.marks, self.found, self.unread)

    def sound(self, mistakes: FileMistakes) -> Policy:
        """The checklist. Raises InputError with a sentence per mistake, if there are any."""
        mistakes.stop()
        return self.policy


def all_named(mistakes: FileMistakes | None) -> bool:
    """Whether every gate and check could be read and has a name, so that missing ones can be reported."""
    names = ("gates", "checks", "name", "id")
    unread = mistakes.unread if mistakes else ()
    return not any(path[-1] in names or isinstance(path[-1], int) for path in unread if path)


def own_files(checks: Iterable[CheckPolicy]) -> frozenset[str]:
    """The evidence files of these checks that come from the gate itself, not from a host: the shipped ownership map."""
    return frozenset((MAP_FILE,) if any(check.check == OWNERSHIP for check in checks) else ())


def setting_names(gate: str, settings: Mapping[str, Any]) -> list[str]:
    """The names of the settings that a gate's evidence depends on.

    A run finds them in the gate's role and keeps them in its settings, so that a copy of the bundle is enough.
    """
    names = settings.get("gate_settings")
    mine = names.get(gate) if isinstance(names, Mapping) else None
    return list(map(str, mine)) if isinstance(mine, (list, tuple)) else []


def gate_settings(gate: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a gate's evidence depends on, as the index keeps them; without PATH, which is the shell's."""
    found = {name: settings.get(name) for name in setting_names(gate, settings)}
    for name, value in found.items():
        if name in ENVIRONMENTS and isinstance(value, Mapping):
            found[name] = {key: item for key, item in value.items() if key != "PATH"}
    return found
