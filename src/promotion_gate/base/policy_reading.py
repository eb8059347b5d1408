"""Reads a checklist (a policy file). A mistake in it is named with file, line, column and the nearest known key."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from functools import lru_cache

from packaging.specifiers import SpecifierSet

from promotion_gate.base.check_reading import check_entry, plain
from promotion_gate.base.errors import InputError
from promotion_gate.base.fields import Fields, kind_of, nearest
from promotion_gate.base.mistakes import FileMistakes, Mistake
from promotion_gate.base.policy import (
    COMPONENTS,
    GATE_NAME,
    GROUP,
    ID,
    IDENTITY_PARTS,
    MAX_GATES,
    MAX_LIMIT_SECONDS,
    POLICY_SCHEMA,
    ROLE,
    CommandPolicy,
    Examined,
    GatePolicy,
    Policy,
    all_named,
)
from promotion_gate.base.policy_rules import broken_rules
from promotion_gate.base.times import parse_duration
from promotion_gate.base.typed import keys
from promotion_gate.base.yaml_lines import MAX_CHARACTERS, Marks, Path, read_yaml


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
def examine(text: str, name: str) -> Examined:
    """Reads the text of a policy file as far as possible, and collects everything that is wrong in it.

    Raises InputError if it is not a checklist of this schema at all.
    """
    twice: list[Path] = []
    data, marks = read_yaml(text, name, twice)
    mistakes = FileMistakes(marks, (Mistake(path, f'duplicate key "{path[-2]}".') for path in twice))
    if not isinstance(data, Mapping) or data.get("schema") != POLICY_SCHEMA:
        mistakes.stop()
    policy = _policy(Fields(data, name, InputError, marks, mistakes=mistakes))
    mistakes.add_all(broken_rules(policy, known=all_named(mistakes)))
    return Examined(policy, tuple(mistakes.found), frozenset(mistakes.unread))


def load_policy(text: str, name: str) -> Policy:
    """Turns the text of a policy file into a Policy; judge.checks.registry.check_policy validates its checks.

    Raises InputError with file, line, column and field, one sentence per mistake.
    """
    examined = examine(text, name)
    return examined.sound(examined.mistakes)


def _policy(fields: Fields) -> Policy:
    fields.only(keys(Policy))
    _check_schema(fields)
    gates = fields.each("gates", _gate)
    _check_gates(fields, gates)
    return Policy(
        name=plain(fields, "name", ID),
        title=fields.text("title"),
        subject=_subject(fields, gates),
        same_machine=fields.boolean("same_machine", False),
        supported_versions=_versions(fields),
        max_age=_max_age(fields),
        gates=gates,
        marks=fields.marks or Marks(fields.where, {}),
    )


def _check_schema(fields: Fields) -> None:
    """With another schema everything would be wrong, so nothing else is reported."""
    if not fields.has("schema"):
        raise fields.fail(f"schema is missing (expected {POLICY_SCHEMA}), so this is not a checklist.", "schema")
    schema = fields.raw("schema")
    if schema == 1:
        raise fields.fail(
            "this is a checklist of schema 1, which this version no longer reads. Copy policies/aiida.yml (schema 2) "
            "and carry your changes over: a gate now names its hosts, and every limit must be set.",
            "schema",
        )
    if schema != POLICY_SCHEMA or isinstance(schema, bool):
        sentence = f"schema must be {POLICY_SCHEMA}, not {kind_of(schema)}; this version reads no other."
        raise fields.fail(sentence, "schema")


def _check_gates(fields: Fields, gates: tuple[GatePolicy, ...]) -> None:
    if not fields.sequence("gates"):
        fields.refuse("gates is empty; a checklist without a gate could never promote.", "gates")


def _max_age(fields: Fields) -> str | None:
    max_age = fields.optional_text("max_age")
    if max_age is not None:
        try:
            parse_duration(max_age, "max_age")
        except InputError as error:
            fields.refuse(str(error), "max_age")
    return max_age


def _subject(fields: Fields, gates: tuple[GatePolicy, ...]) -> str:
    groups = list(dict.fromkeys(gate.hosts for gate in gates if gate.hosts))
    subject = fields.optional_text("subject")
    if subject is None and len(groups) > 1:
        fields.refuse(f"subject is missing: which group gets a decision per host ({', '.join(groups)})?", "subject")
    if subject is not None and groups and subject not in groups:
        fields.refuse(f'subject: no gate has the hosts "{subject}"{nearest(subject, groups) or "."}', "subject")
    return subject or next(iter(groups), "")


def _versions(fields: Fields) -> dict[str, str]:
    versions = fields.mapping("supported_versions")
    for component, bounds in versions.items():
        if component not in COMPONENTS:
            sentence = f'supported_versions has no component "{component}"{nearest(component, COMPONENTS)}'
            fields.refuse(sentence, "supported_versions", component)
        try:
            # YAML turns 3.10 into the number 3.1; an empty bound accepts every version.
            if not isinstance(bounds, str) or not all(SpecifierSet(part) for part in bounds.split(",")):
                raise ValueError
        except ValueError:  # InvalidSpecifier is one
            fields.refuse(
                f'supported_versions bounds {component} by "{bounds}"; write bounds joined by commas, as a string: '
                '">=2.7,<2.10".',
                *("supported_versions", component),
            )
    return versions


def _gate(fields: Fields) -> GatePolicy:
    fields.only(keys(GatePolicy))
    name = plain(fields, "name", GATE_NAME)
    if fields.has("role") and fields.has("commands"):
        fields.refuse(f"the gate {name} has a role and commands; keep one of them.", "commands")
    commands = fields.each("commands", _command)
    if fields.has("commands") and not fields.sequence("commands"):
        fields.refuse("commands is empty; a gate without a role needs at least one.", "commands")
    number = fields.integer("id")
    if not 1 <= number <= MAX_GATES:
        fields.refuse(f"id must be from 1 to {MAX_GATES}, not {number}.", "id")
    role = None if commands else f"gate_{name}"
    if fields.has("role"):
        role = plain(fields, "role", ROLE)
    return GatePolicy(
        id=number,
        name=name,
        role=role,
        commands=commands,
        hosts=plain(fields, "hosts", GROUP),
        alone=fields.boolean("alone", False),
        identity=_identity(fields),
        title=fields.text("title"),
        evidence=fields.texts("evidence"),
        summary=fields.text("summary"),
        notes=fields.optional_text("notes"),
        checks=fields.each("checks", check_entry),
        path=fields.path,
    )


def _identity(fields: Fields) -> tuple[str, ...]:
    identity = fields.texts("identity") if fields.has("identity") else ("machine",)
    for place, part in enumerate(identity):
        if part not in IDENTITY_PARTS:
            hint = nearest(part, IDENTITY_PARTS) or f" (known: {', '.join(IDENTITY_PARTS)})."
            fields.refuse(f'identity has no part "{part}"{hint}', "identity", place)
    if "machine" not in identity or len(set(identity)) < len(identity):
        fields.refuse("identity must name the machine, and each part once.", "identity")
    return identity


def _command(fields: Fields) -> CommandPolicy:
    fields.only(keys(CommandPolicy))
    environment = fields.mapping("environment")
    for key, value in environment.items():
        if not isinstance(value, str):
            fields.refuse(f"environment: {key} must be a string, not {kind_of(value)}.", "environment", key)
    limit = fields.raw("limit_seconds", 60)
    if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not 0 < limit <= MAX_LIMIT_SECONDS:
        fields.refuse(
            f"limit_seconds must be a number of seconds up to {MAX_LIMIT_SECONDS}, not {kind_of(limit)}.",
            "limit_seconds",
        )
    run = _words(fields, "run")
    if not run:
        fields.refuse("run is missing (expected a command, as a list of words or a string).", "run")
    return CommandPolicy(
        id=plain(fields, "id", ID),
        file=fields.text("file"),
        run=run,
        prefix=_words(fields, "prefix") or None,
        chdir=fields.optional_text("chdir"),
        environment=environment,
        limit_seconds=float(limit) if isinstance(limit, (int, float)) else 0.0,
        group=fields.optional_text("group"),
        after=fields.optional_text("after"),
    )


def _words(fields: Fields, key: str) -> tuple[str, ...] | str:
    """A command: a list of words, or a string for a shell; an empty string if there is none."""
    value = fields.raw(key, "")
    return value.strip() if isinstance(value, str) else fields.texts(key)
