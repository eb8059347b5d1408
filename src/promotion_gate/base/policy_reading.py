"""Reads a checklist (a policy file). A mistake in it is named with file, line, column and the nearest known key."""

from __future__ import annotations

import pathlib
import re
import shlex
import string
from collections.abc import Mapping
from functools import lru_cache

from packaging.specifiers import SpecifierSet

from promotion_gate.base.errors import GateError, InputError
from promotion_gate.base.fields import Fields, kind_of, nearest
from promotion_gate.base.policy import (
    COMPONENTS,
    GATE_NAME,
    GATE_NAMES,
    GROUP,
    ID,
    IDENTITY_PARTS,
    MAX_GATES,
    MAX_LIMIT_SECONDS,
    POLICY_SCHEMA,
    ROLE,
    CheckPolicy,
    CommandPolicy,
    GatePolicy,
    Policy,
)
from promotion_gate.base.policy_rules import check_rules
from promotion_gate.base.times import parse_duration
from promotion_gate.base.typed import Text, keys
from promotion_gate.base.yaml_lines import MAX_CHARACTERS, Marks, read_yaml

RAN_WORDS = ("verdi", "in_env", "env_file", "profile", "computer", "smoke_args", "scratch")


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
    check_rules(policy)
    return policy


def _policy(fields: Fields, problems: list[GateError]) -> Policy:
    _check_schema(fields)
    fields.only(keys(Policy))
    versions = _versions(fields)
    gates = fields.each("gates", lambda gate: _gate(gate, problems), problems)
    if problems:
        raise InputError(*problems)
    _check_gates(fields, gates)
    return Policy(
        name=_plain(fields, "name", ID),
        title=fields.text("title"),
        subject=_subject(fields, gates),
        same_machine=fields.boolean("same_machine", False),
        supported_versions=versions,
        max_age=_max_age(fields),
        gates=gates,
        marks=fields.marks or Marks(fields.where, {}),
    )


def _check_schema(fields: Fields) -> None:
    schema = fields.integer("schema")
    if schema == 1:
        raise fields.fail(
            "this is a checklist of schema 1, which this version no longer reads. Copy policies/aiida.yml (schema 2) "
            "and carry your changes over: a gate now says its hosts, and every limit must be there.",
            "schema",
        )
    if schema != POLICY_SCHEMA:
        raise fields.fail(f"schema must be {POLICY_SCHEMA}, not {schema}; this version reads no other.", "schema")


def _check_gates(fields: Fields, gates: tuple[GatePolicy, ...]) -> None:
    if not gates:
        raise fields.fail("gates is empty; a checklist without a gate could never promote.", "gates")
    # The plays and the judge know these five yet.
    if tuple(gate.name for gate in gates) != GATE_NAMES or [gate.id for gate in gates] != [1, 2, 3, 4, 5]:
        raise fields.fail(
            "gates must be the five of the spec, in order: "
            + ", ".join(f"{number} {name}" for number, name in enumerate(GATE_NAMES, 1))
            + "; a policy that leaves one out cannot promote.",
            "gates",
        )


def _max_age(fields: Fields) -> str | None:
    max_age = fields.optional_text("max_age")
    if max_age is not None:
        try:
            parse_duration(max_age, "max_age")
        except InputError as error:
            raise fields.fail(str(error), "max_age") from None
    return max_age


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
            sentence = f'supported_versions has no component "{component}"{nearest(component, COMPONENTS)}'
            raise fields.fail(sentence, "supported_versions", component)
        try:
            # YAML makes a number of 3.10, which is 3.1; an empty bound lets every version pass.
            if not isinstance(bounds, str) or not all(SpecifierSet(part) for part in bounds.split(",")):
                raise ValueError
        except ValueError:  # InvalidSpecifier is one
            raise fields.fail(
                f'supported_versions bounds {component} by "{bounds}"; write bounds joined by commas, as a string: '
                '">=2.7,<2.10".',
                *("supported_versions", component),
            ) from None
    return versions


def _gate(fields: Fields, problems: list[GateError]) -> GatePolicy:
    fields.only(keys(GatePolicy))
    name = _plain(fields, "name", GATE_NAME)
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
        role = _plain(fields, "role", ROLE)
    return GatePolicy(
        id=number,
        name=name,
        role=role,
        commands=commands,
        hosts=_plain(fields, "hosts", GROUP),
        alone=fields.boolean("alone", False),
        identity=_identity(fields),
        title=fields.text("title"),
        evidence=fields.texts("evidence"),
        summary=fields.text("summary"),
        notes=fields.optional_text("notes"),
        checks=fields.each("checks", _check, problems),
        path=fields.path,
    )


def _identity(fields: Fields) -> tuple[str, ...]:
    identity = fields.texts("identity") if fields.has("identity") else ("machine",)
    for place, part in enumerate(identity):
        if part not in IDENTITY_PARTS:
            hint = nearest(part, IDENTITY_PARTS) or f" (known: {', '.join(IDENTITY_PARTS)})."
            raise fields.fail(f'identity has no part "{part}"{hint}', "identity", place)
    if "machine" not in identity or len(set(identity)) < len(identity):
        raise fields.fail("identity must name the machine, and each part once.", "identity")
    return identity


def _plain(fields: Fields, key: str, form: Text) -> str:
    value = fields.text(key)
    if not re.fullmatch(form.pattern, value):
        raise fields.fail(f'{key} must be {form.what}, not "{value[:60]}".', key)
    return value


def _command(fields: Fields) -> CommandPolicy:
    fields.only(keys(CommandPolicy))
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
        id=_plain(fields, "id", ID),
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
    fields.only(keys(CheckPolicy))
    raw = fields.raw("unblock")
    unblock = {"default": raw} if isinstance(raw, str) else fields.mapping("unblock")
    if not unblock.get("default"):
        raise fields.fail("unblock needs a sentence that says what to do.", "unblock")
    for hint, sentence in unblock.items():
        _check_format(fields, sentence, *(() if isinstance(raw, str) else (hint,)))
    return CheckPolicy(
        id=_plain(fields, "id", ID),
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
