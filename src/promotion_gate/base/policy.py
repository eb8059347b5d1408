"""Reads a checklist (a policy file). A mistake in it is named with file, line, column and the nearest known key."""

from __future__ import annotations

import pathlib
import re
import shlex
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import Any

from packaging.specifiers import SpecifierSet

from promotion_gate.base.errors import GateError, InputError
from promotion_gate.base.fields import Fields, kind_of, nearest
from promotion_gate.base.names import policy_name_problem
from promotion_gate.base.times import parse_duration
from promotion_gate.base.yaml_lines import MAX_CHARACTERS, Marks, Path, read_yaml

POLICY_SCHEMA = 2
GATE_NAMES = ("preflight", "sqlite_smoke", "vm_bootstrap", "slurm_smoke", "contracts")
COMPONENTS = ("python", "aiida-core", "slurm", "postgresql", "rabbitmq")
ENVIRONMENTS = ("workspace_environment", "aiida_vm_environment")
IDENTITY_PARTS = ("machine", "checkout", "profile", "env_file", "config_dir")
MAX_GATES = 99
MAX_LIMIT_SECONDS = 86400
_GATE_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}", re.ASCII)
_ID = re.compile(r"[a-z0-9][a-z0-9_.-]{0,80}", re.ASCII)
_GROUP = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,80}", re.ASCII)
_ROLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*){0,2}", re.ASCII)
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


def policy_text(path: pathlib.Path) -> str:
    """The text of a policy file. Raises InputError where it cannot be read."""
    reason = "not a regular file"
    try:
        if path.is_file() or not path.exists():
            with path.open("rb") as stream:
                return stream.read(4 * MAX_CHARACTERS + 1).decode("utf-8")
    except (OSError, ValueError) as error:
        reason = (error.strerror or "") if isinstance(error, OSError) else "not UTF-8"
    raise InputError(f"The policy {path} cannot be read ({reason}). Set promotion_policy to a policy file.")


@lru_cache(maxsize=16)  # by content: a run and a verification read the same text several times
def load_policy(text: str, name: str) -> Policy:
    """Turns the text of a policy file into a Policy; judge.checks.registry.check_policy asks whether its checks exist.

    Raises InputError with file, line, column and field; with a sentence for each gate and check that is wrong.
    """
    data, marks = read_yaml(text, name)
    problems: list[GateError] = []
    policy = _policy(Fields(data, name, InputError, marks), problems)
    for gate in policy.gates:
        _check_gate(policy, gate)
    _check_unique(policy)
    _check_needs(policy)
    return policy


def _policy(fields: Fields, problems: list[GateError]) -> Policy:
    schema = fields.integer("schema")
    if schema == 1:
        raise fields.fail(
            "this is a checklist of schema 1, which this version no longer reads. Copy policies/aiida.yml (schema 2) "
            "and carry your changes over: a gate now says its hosts, and every limit must be there.",
            "schema",
        )
    if schema != POLICY_SCHEMA:
        raise fields.fail(f"schema must be {POLICY_SCHEMA}, not {schema}; this version reads no other.", "schema")
    fields.only(("schema", "name", "title", "subject", "same_machine", "supported_versions", "max_age", "gates"))
    versions = _versions(fields)
    gates = fields.each("gates", lambda gate: _gate(gate, problems), problems)
    if problems:
        raise InputError(*problems)
    if not gates:
        raise fields.fail("gates is empty; a checklist without a gate could never promote.", "gates")
    if len(gates) > MAX_GATES:
        raise fields.fail(f"there are {len(gates)} gates, the limit is {MAX_GATES}.", "gates")
    # The plays and the judge know these five yet.
    if tuple(gate.name for gate in gates) != GATE_NAMES or [gate.id for gate in gates] != [1, 2, 3, 4, 5]:
        raise fields.fail(
            "gates must be the five of the spec, in order: "
            + ", ".join(f"{number} {name}" for number, name in enumerate(GATE_NAMES, 1))
            + "; a policy that leaves one out cannot promote.",
            "gates",
        )
    name = fields.text("name")
    if not _ID.fullmatch(name):
        raise fields.fail(f'name must be a short plain word, not "{name[:60]}".', "name")
    max_age = fields.optional_text("max_age")
    if max_age is not None:
        try:
            parse_duration(max_age, "max_age")
        except InputError as error:
            raise fields.fail(str(error), "max_age") from None
    return Policy(
        name=name,
        title=fields.text("title"),
        subject=_subject(fields, gates),
        same_machine=fields.boolean("same_machine", False),
        supported_versions=versions,
        max_age=max_age,
        gates=gates,
        marks=fields.marks or Marks(fields.where, {}),
    )


def _subject(fields: Fields, gates: tuple[GatePolicy, ...]) -> str:
    groups = list(dict.fromkeys(gate.hosts for gate in gates))
    subject = fields.optional_text("subject")
    if subject is None and len(groups) > 1:
        raise fields.fail(f"subject is missing: which group gets a decision per host ({', '.join(groups)})?", "subject")
    if subject is not None and subject not in groups:
        raise fields.fail(f'subject: no gate has the hosts "{subject}"{nearest(subject, groups) or "."}', "subject")
    return subject or groups[0]


def _versions(fields: Fields) -> dict[str, str]:
    versions = fields.mapping("supported_versions")
    for component, bounds in versions.items():
        if component not in COMPONENTS:
            hint = nearest(component, COMPONENTS)
            raise fields.fail(
                f'supported_versions has no component "{component}"{hint}', "supported_versions", component
            )
        try:
            if not isinstance(bounds, str):  # YAML makes a number of 3.10, which is 3.1
                raise ValueError
            if not all(SpecifierSet(part) for part in bounds.split(",")):  # an empty one lets every version pass
                raise ValueError
        except ValueError:  # InvalidSpecifier is one
            raise fields.fail(
                f'supported_versions bounds {component} by "{bounds}"; write bounds joined by commas, as a string: '
                '">=2.7,<2.10".',
                *("supported_versions", component),
            ) from None
    return versions


def _gate(fields: Fields, problems: list[GateError]) -> GatePolicy:
    fields.only(
        (
            "id",
            "name",
            "role",
            "commands",
            "hosts",
            "alone",
            "identity",
            "title",
            "evidence",
            "summary",
            "notes",
            "checks",
        )
    )
    name = _plain(fields, "name", _GATE_NAME, "lower-case letters, digits and `_`")
    if fields.has("role") and fields.has("commands"):
        raise fields.fail(f"the gate {name} has a role and commands; keep one of them.", "commands")
    commands = fields.each("commands", _command)
    if fields.has("commands") and not commands:
        raise fields.fail("commands is empty; a gate without a role needs at least one.", "commands")
    number = fields.integer("id")
    if not 1 <= number <= MAX_GATES:
        raise fields.fail(f"id must be from 1 to {MAX_GATES}, not {number}.", "id")
    role = None if commands else f"gate_{name}"
    if fields.has("role"):
        role = _plain(fields, "role", _ROLE, "a role's name, or namespace.collection.role")
    identity = fields.texts("identity") if fields.has("identity") else ("machine",)
    for place, part in enumerate(identity):
        if part not in IDENTITY_PARTS:
            hint = nearest(part, IDENTITY_PARTS) or f" (known: {', '.join(IDENTITY_PARTS)})."
            raise fields.fail(f'identity has no part "{part}"{hint}', "identity", place)
    if "machine" not in identity or len(set(identity)) < len(identity):
        raise fields.fail("identity must name the machine, and each part once.", "identity")
    return GatePolicy(
        id=number,
        name=name,
        role=role,
        commands=commands,
        hosts=_plain(fields, "hosts", _GROUP, "the name of an inventory group"),
        alone=fields.boolean("alone", False),
        identity=identity,
        title=fields.text("title"),
        evidence=fields.texts("evidence"),
        summary=fields.text("summary"),
        notes=fields.optional_text("notes"),
        checks=fields.each("checks", _check, problems),
        path=fields.path,
    )


def _plain(fields: Fields, key: str, pattern: re.Pattern[str], what: str) -> str:
    value = fields.text(key)
    if not pattern.fullmatch(value):
        raise fields.fail(f'{key} must be {what}, not "{value[:60]}".', key)
    return value


def _command(fields: Fields) -> CommandPolicy:
    fields.only(("id", "file", "run", "prefix", "chdir", "environment", "limit_seconds", "group", "after"))
    environment = fields.mapping("environment")
    for key, value in environment.items():
        if not isinstance(value, str):
            raise fields.fail(f"environment: {key} must be a string, not {kind_of(value)}.", "environment", key)
    limit = fields.raw("limit_seconds", 60)
    if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not 0 < limit <= MAX_LIMIT_SECONDS:
        raise fields.fail(
            f"limit_seconds must be a number of seconds up to {MAX_LIMIT_SECONDS}, not {kind_of(limit)}.",
            "limit_seconds",
        )
    run = _words(fields, "run")
    if not run:
        raise fields.fail("run is missing (expected a command, as a list of words or a string).", "run")
    return CommandPolicy(
        id=_plain(fields, "id", _ID, "lower-case letters, digits, `_`, `-` and `.`"),
        file=fields.text("file"),
        run=run,
        prefix=_words(fields, "prefix") or None,
        chdir=fields.optional_text("chdir"),
        environment=environment,
        limit_seconds=float(limit),
        group=fields.optional_text("group"),
        after=fields.optional_text("after"),
    )


def _words(fields: Fields, key: str) -> tuple[str, ...] | str:
    """A command: a list of words, or a string for a shell; an empty string where there is none."""
    value = fields.raw(key, "")
    return value.strip() if isinstance(value, str) else fields.texts(key)


def _check(fields: Fields) -> CheckPolicy:
    fields.only(("id", "check", "title", "limits", "needs", "ran", "replaceable", "spec", "unblock", "waivable"))
    raw = fields.raw("unblock")
    unblock = {"default": raw} if isinstance(raw, str) else fields.mapping("unblock")
    if not unblock.get("default"):
        raise fields.fail("unblock needs a sentence that says what to do.", "unblock")
    for hint, sentence in unblock.items():
        _check_format(fields, sentence, *(() if isinstance(raw, str) else (hint,)))
    return CheckPolicy(
        id=_plain(fields, "id", _ID, "lower-case letters, digits, `_`, `-` and `.`"),
        check=fields.text("check"),
        title=fields.text("title"),
        limits=fields.mapping("limits"),
        needs=fields.texts("needs"),
        ran=_ran(fields),
        replaceable=_replaceable(fields),
        spec=fields.boolean("spec", False),
        unblock=unblock,
        waivable=fields.boolean("waivable", False),
        path=fields.path,
    )


RAN_WORDS = ("verdi", "in_env", "env_file", "profile", "computer", "smoke_args", "scratch")


def _replaceable(fields: Fields) -> bool:
    if fields.boolean("replaceable", False) and not fields.has("ran"):
        raise fields.fail("replaceable says something only beside ran.", "replaceable")
    return fields.boolean("replaceable", False)


def _ran(fields: Fields) -> Mapping[str, tuple[str, ...]]:
    """The text of each command of the spec, by its id: one, or several of which one must be it."""
    found = {}
    for command_id, texts in fields.mapping("ran").items():
        found[command_id] = (texts,) if isinstance(texts, str) else fields.below("ran").texts(command_id)
        for text in found[command_id]:
            try:
                shlex.split(text)
            except ValueError as error:
                raise fields.fail(f'ran: "{text[:60]}" is not a command ({error}).', "ran", command_id) from None
            for name in re.findall(r"\{([^}]*)\}", text):
                if name not in RAN_WORDS:
                    hint = nearest(name, RAN_WORDS) or f" (known: {', '.join(RAN_WORDS)})."
                    raise fields.fail(f'ran: "{name[:60]}" is not known{hint}', "ran", command_id)
        if not all(found[command_id]) or not found[command_id]:
            raise fields.fail(f"ran: {command_id} has no text.", "ran", command_id)
    return found


def _check_format(fields: Fields, sentence: object, *keys: str) -> None:
    if not isinstance(sentence, str):
        raise fields.fail("unblock must hold strings only.", "unblock", *keys)
    try:
        parsed = list(string.Formatter().parse(sentence))
    except ValueError as error:
        raise fields.fail(f'unblock "{sentence[:60]}" has a stray brace ({error}).', "unblock", *keys) from None
    for _, name, width, conversion in parsed:
        if name is None:  # text behind the last word
            continue
        if width or conversion:  # a width could fill the memory of whoever verifies the bundle
            asked = f"{name}{f'!{conversion}' if conversion else ''}{f':{width}' if width else ''}"
            raise fields.fail(
                f'unblock has the format "{asked[:60]}"; a word stands alone, as {{{name[:60]}}}.', "unblock", *keys
            )


def _check_gate(policy: Policy, gate: GatePolicy) -> None:
    """What holds within one gate: something judges it, something proves it, and every name is a plain one."""
    if not gate.checks:
        raise policy.fail(f'the gate "{gate.name}" has no checks; it could never pass.', (*gate.path, "checks"))
    if not gate.evidence:
        raise policy.fail(
            f'the gate "{gate.name}" requires no evidence; nothing would prove it.', (*gate.path, "evidence")
        )
    for check in gate.checks:
        if check.waivable and gate.hosts == policy.subject:
            raise policy.fail(
                f'"{check.id}" cannot be waivable: checks of the group that the decision is about ({policy.subject}) '
                "never are.",
                (*check.path, "waivable"),
            )
    seen: list[str] = []
    for number, command in enumerate(gate.commands):
        place: Path = (*gate.path, "commands", number)
        if command.id in seen:
            raise policy.fail(f'duplicate command id "{command.id}".', (*place, "id"))
        if command.after is not None and command.after not in seen:
            hint = nearest(command.after, seen) or "."
            raise policy.fail(f'after: there is no earlier command "{command.after}"{hint}', (*place, "after"))
        seen.append(command.id)


def _named(gate: GatePolicy) -> Iterator[tuple[str, Path, str]]:
    """Every file name that a gate gives: the name, where it stands, and what it is."""
    for number, name in enumerate(gate.evidence):
        yield name, (*gate.path, "evidence", number), "evidence"
    for number, command in enumerate(gate.commands):
        yield command.file, (*gate.path, "commands", number, "file"), "file"
    yield gate.summary, (*gate.path, "summary"), "summary"
    if gate.notes is not None:
        yield gate.notes, (*gate.path, "notes"), "notes"


def _check_unique(policy: Policy) -> None:
    """Numbers, names, ids and files: each once, and a file belongs to one gate."""
    ids: dict[str, str] = {}
    numbers: set[int] = set()
    names: set[str] = set()
    owners: dict[str, tuple[str, str]] = {}
    for gate in policy.gates:
        if gate.id in numbers or gate.name in names:
            key = "id" if gate.id in numbers else "name"
            value = gate.id if key == "id" else gate.name
            raise policy.fail(f'duplicate gate {key} "{value}".', (*gate.path, key))
        numbers.add(gate.id)
        names.add(gate.name)
        for check in gate.checks:
            if check.id in ids:
                raise policy.fail(f'duplicate check id "{check.id}".', (*check.path, "id"))
            ids[check.id] = gate.name
        for name, path, what in _named(gate):
            _check_name(policy, name, path, what)
            # The transcripts of a gate's commands are its evidence, so these two may agree.
            owner = (gate.name, "transcript" if what in ("evidence", "file") else what)
            bare = name.rstrip("/").casefold()
            if owners.setdefault(bare, owner) != owner or (what == "evidence" and gate.evidence.count(name) > 1):
                raise policy.fail(f'{what}: the name "{name}" is used twice; each file has its own.', path)
    for gate in policy.gates:
        for word in BUILT_IN:
            if f"{gate.name}.{word}" in ids:
                entry = next(check for check in policy.checks() if check.id == f"{gate.name}.{word}")
                raise policy.fail(f'"{entry.id}" is the id of a built-in check; choose another.', (*entry.path, "id"))


def _check_name(policy: Policy, name: str, path: Path, what: str) -> None:
    problem = policy_name_problem(name, folder=what == "evidence")
    if problem is None and (what in ("summary", "notes")) != name.endswith(".md"):
        rendered = what in ("summary", "notes")
        problem = "must end in .md" if rendered else "must not end in .md (those are the gate's summaries)"
    if problem:
        raise policy.fail(f'{what}: "{name[:80]}" {problem}.', path)


def _check_needs(policy: Policy) -> None:
    """Each check that is needed exists, and no check needs itself, however far around."""
    needs = {check.id: check.needs for check in policy.checks()}
    built_in = {f"{gate.name}.{word}" for gate in policy.gates for word in BUILT_IN}
    for check in policy.checks():
        for number, needed in enumerate(check.needs):
            if needed not in needs and needed not in built_in:
                hint = nearest(needed, [*needs, *built_in]) or "."
                raise policy.fail(
                    f'{check.id} needs "{needed}", which is no check{hint}', (*check.path, "needs", number)
                )
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        circle = [str(name) for name in error.args[1]]
        first = next(check for check in policy.checks() if check.id == circle[0])
        raise policy.fail(f"needs go in a circle: {' > '.join(reversed(circle))}.", (*first.path, "needs")) from None


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
