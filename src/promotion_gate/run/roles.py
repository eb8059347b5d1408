"""The variables of the gate roles, read from the roles' files as data: no list of them is kept anywhere else.

A role has two kinds. A variable whose default comes from the run (for example `{{ workspace_dir }}`) is passed by the
run under the role's own name. Operators must not set that name, because `-e` would override what was checked. The rest
are the role's public variables; they are checked against the types in its argument_specs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from promotion_gate.base.errors import InputError
from promotion_gate.base.fields import kind_of, nearest
from promotion_gate.base.mistakes import Mistake
from promotion_gate.base.policy import CheckPolicy, Policy
from promotion_gate.judge.checks.registry import registered
from promotion_gate.run.kinds import boolean, command, entries, environment, seconds, text
from promotion_gate.run.masking import check_not_masked
from promotion_gate.run.settings import VARIABLES, Mistakes, unset

# A default that is one variable of the run, with its fallback where the role is used alone.
_TAKEN = re.compile(r"\{\{ (gate_common_run\.settings\.)?(\w+)(?: \| default\(.*\))? \}\}")
_OURS = re.compile(r"(?:promotion|workspace|aiida_vm|gate)_|__gate_")
_INTERNAL = re.compile(r"__gate_|gate_(?:common|decision)_")
# Registered by a role.
_RESULT = re.compile(r"gate_\w+_(?:result|findings)")


def _integer(value: object, name: str) -> int:
    written = "" if isinstance(value, bool) else str(value).strip()
    if not re.fullmatch(r"-?[0-9]{1,18}", written, re.ASCII):
        raise InputError(f"{name} must be a whole number, not {kind_of(value)}.")
    return int(written)


def _raw(value: object, name: str) -> Any:
    return command(value, name) if isinstance(value, (str, list, tuple)) else value


def _string(value: object, name: str) -> str:
    """The value as set: with -e the role gets it including its white space."""
    text(value, name)
    return str(value)


_KINDS: Mapping[str, Callable[[Any, str], Any]] = {
    "str": _string,
    "path": _string,
    "int": _integer,
    "bool": boolean,
    "list": entries,
    "dict": environment,
    "raw": _raw,
}


# The kind of a variable that argument_specs does not list, from its default.
_TYPES: Mapping[type, str] = {str: "str", int: "int", bool: "bool", list: "list", dict: "dict"}


@dataclass(frozen=True, slots=True)
class Role:
    """`taken` maps a role variable to the setting of the run that it gets, `public` one to its default."""

    taken: Mapping[str, str]
    public: Mapping[str, Any]
    kinds: Mapping[str, str]
    # The ids of its commands as regular expressions: an id made by a template may end in anything.
    commands: tuple[str, ...] = ()
    # Its folder, if Ansible would not find it by its name.
    called: str = ""

    def can_run(self, command_id: str) -> bool:
        """Whether its files show a command with that id."""
        return not self.commands or any(re.fullmatch(pattern, command_id) for pattern in self.commands)

    def settings(
        self, given: Mapping[str, Any], mistakes: Mistakes, kept: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Its public variables, typed: as they are set, else from the resumed run (`kept`), else the default."""
        found = {}
        for name, default in self.public.items():
            value = given.get(name)
            with mistakes.noting():
                if unset(value) and kept is not None:
                    value = kept.get(name)
                    check_not_masked(name, value)
                value = default if unset(value) else value
                kind = seconds if name.endswith("_limit_seconds") else _KINDS.get(self.kinds.get(name, ""), _string)
                found[name] = None if value is None else kind(value, name)
        return found

    def depends_on(self) -> list[str]:
        """The settings that its evidence depends on; time limits of commands are not among them."""
        shared = {name for name in self.taken.values() if name in VARIABLES}
        if "workspace_dir" in shared:
            shared.add("workspace_checkout")  # tells whether that is the checkout itself
        return sorted(shared | {name for name in self.public if not name.endswith("_limit_seconds")})

    def handed(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The variables of this role with their values in a run; what is not set keeps its default."""
        values = {name: settings.get(setting) for name, setting in self.taken.items()}
        values.update({name: settings.get(name) for name in self.public})
        return {name: value for name, value in values.items() if value is not None}


def find_role(name: str, folders: Iterable[Path], beside: Path | None = None) -> Role:
    """Reads defaults and argument_specs of a role. `beside` is the folder of roles next to a checklist.

    Raises InputError if the role is not found or cannot be read.
    """
    searched = list(dict.fromkeys(folders))
    for folder in searched:
        place = folder / "ansible_collections" / "/".join([*name.split(".")[:-1], "roles", name.split(".")[-1]])
        for path in (folder / name, place):
            if path.is_dir():
                return _read(path)
    if beside and (beside / name).is_dir():
        return replace(_read(beside / name), called=str(beside / name))
    there = {path.name for folder in [*searched, *([beside] if beside else [])] for path in folder.glob("*/")}
    raise InputError(
        f"The role {name} is not in {', '.join(map(str, searched))}, nor in roles/ beside the checklist"
        f"{nearest(name, there) or '.'} Set ANSIBLE_ROLES_PATH, or correct the checklist."
    )


def _read(path: Path) -> Role:
    defaults = _mapping(path / "defaults" / "main.yml")
    specs = _mapping(path / "meta" / "argument_specs.yml").get("argument_specs") or {}
    options = dict((specs.get("main") or {}).get("options") or {})
    names = {**{name: option.get("default") for name, option in options.items()}, **defaults}
    taken = {
        name: found[2]
        for name, value in names.items()
        if (found := _TAKEN.fullmatch(str(value))) and (found[1] or found[2] in VARIABLES)
    }
    return Role(
        taken,
        # What only Ansible can evaluate is left to the role.
        {name: None if "{{" in str(value) else value for name, value in names.items() if name not in taken},
        {
            name: str(options.get(name, {}).get("type") or _TYPES.get(type(value), "raw"))
            for name, value in names.items()
        },
        tuple(
            _command_ids([_content(file) for part in ("vars", "tasks") for file in sorted(path.glob(f"{part}/*.yml"))])
        ),
    )


def role_folders(policy: Path) -> list[Path]:
    """Where roles of a checklist are looked up without a run: beside it, here, in this checkout, by Ansible."""
    named = os.environ.get("ANSIBLE_ROLES_PATH", "") + os.pathsep + os.environ.get("ANSIBLE_COLLECTIONS_PATH", "")
    beside = policy.resolve().parent
    here = [beside, beside.parent, Path.cwd(), Path(__file__).parents[3]]
    return [
        *(place / "roles" for place in here),
        *(Path(path).expanduser() for path in named.split(os.pathsep) if path),
    ]


def roles_of(policy: Policy, folders: Iterable[Path]) -> tuple[dict[str, Role], list[str]]:
    """The role of each gate that has one, by the gate's name, and a sentence for each role that is not found."""
    found: dict[str, Role] = {}
    missing = []
    for gate in policy.gates:
        if gate.role:
            try:
                found[gate.name] = find_role(gate.role, folders)
            except InputError:
                missing.append(f"the role {gate.role} is not here, so its variables and command ids were not checked.")
    return found, missing


def _command_ids(found: Any) -> Iterator[str]:
    """The ids of the commands in a role's files, including those in templates: `'id': 'prepare_' ~ loop.index`."""
    if isinstance(found, dict):
        if "id" in found and {"run", "file"} & found.keys():
            yield re.escape(str(found["id"])) if "{{" not in str(found["id"]) else ".*"
        for value in found.values():
            yield from _command_ids(value)
    elif isinstance(found, list):
        for item in found:
            yield from _command_ids(item)
    elif isinstance(found, str):
        for name, made in re.findall(r"""['"]id['"]: ['"](\w+)['"](\s*~)?""", found):
            yield re.escape(name) + (".*" if made else "")


def _named_commands(check: CheckPolicy) -> Iterator[tuple[tuple[str, str], str]]:
    """The command ids that a check names in `ran:` and in its limits, each with the keys that name it."""
    yield from ((("ran", command_id), command_id) for command_id in check.ran)
    known = registered().get(check.check)
    for limit in known.limits if known else ():
        if limit.kind == "command" and limit.name in check.limits:
            yield ("limits", limit.name), str(check.limits[limit.name])


def command_mistakes(policy: Policy, roles: Mapping[str, Role]) -> Iterator[Mistake]:
    """Each id in a `ran:` or a limit that no command of its gate has."""
    for gate in policy.gates:
        own = {command.id for command in gate.commands}
        role = roles.get(gate.name)
        for check in gate.checks:
            for key, command_id in _named_commands(check):
                if command_id in own or (gate.role and (role is None or role.can_run(command_id))):
                    continue
                known = own or {re.sub(r"\\(.)", r"\1", i) for i in (role.commands if role else ()) if "*" not in i}
                hint = nearest(command_id, known) or (f" (known: {', '.join(sorted(known))})." if known else ".")
                where = f"the role {gate.role}" if gate.role else f"the gate {gate.name}"
                yield Mistake((*check.path, *key), f'{key[0]}: {where} has no command "{command_id}"{hint}')


def _content(path: Path) -> Any:
    try:
        return _parsed(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read ({' '.join(str(error).split())}).") from None


def _mapping(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    data = _content(path)
    if not isinstance(data or {}, dict):
        raise InputError(f"{path} must be a mapping, not {kind_of(data)}.")
    return dict(data or {})


# The loader that Ansible uses for the same file: libyaml where PyYAML has it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@lru_cache(maxsize=64)  # cached by content: callers do not change the result
def _parsed(text: str) -> Any:
    return yaml.load(text, _LOADER)


def name_mistakes(defined: Iterable[str], roles: Iterable[Role], ran: bool = True) -> list[str]:
    """One sentence for each variable with one of our prefixes that an operator may not set, or that is never read.

    `ran`: a role may have registered its result; before a role ran, only an operator can have set it.
    """
    known = list(roles)
    taken = {name: setting for role in known for name, setting in role.taken.items()}
    public = {*VARIABLES, *(name for role in known for name in role.public)}
    return [
        _mistake(name, taken, public)
        for name in sorted(set(defined))
        if _OURS.match(name) and name not in public and not (ran and _RESULT.fullmatch(name))
    ]


def _mistake(name: str, taken: Mapping[str, str], public: Iterable[str]) -> str:
    if name in taken:
        instead = taken[name] if taken[name] in VARIABLES else ""
        hint = f" Set {instead} instead." if instead else " Remove it where it is set."
        return f'"{name}" is passed to its role by the run; it cannot be set.{hint}'
    if _INTERNAL.match(name) or _RESULT.fullmatch(name):
        return f'"{name}" is internal to the gate; it cannot be set. Remove it (docs/inventory.md has what can be set).'
    return f'There is no variable "{name}"{nearest(name, public)} Correct or remove it where it is set.'
