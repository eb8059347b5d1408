"""The module's parameters: the argument specification, their types, and checks beyond types."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

# The parts of a gate's identity; the program in identity.py reports them.
PARTS = ("machine", "checkout", "profile", "env_file", "config_dir")
Words = Union[str, Sequence[str]]  # a string is split as a shell would


@dataclass(frozen=True)
class CommandSpec:
    """One command, field by field as in the argument specification."""

    id: str
    file: str
    run: Words
    limit_seconds: float
    prefix: Words | None = None
    path_of_prefix: bool = False
    chdir: str | None = None
    environment: Mapping[str, object] | None = None
    group: str | None = None
    after: str | None = None
    asks: str | None = None
    as_by_hand: bool = False
    needs_env_file: bool = False
    kill_leftovers: bool = True


@dataclass(frozen=True)
class ArtifactSpec:
    """One directory or file to bring back."""

    source: str
    to: str
    max_files: int
    max_bytes: int
    max_file_bytes: int


@dataclass(frozen=True)
class Secrets:
    """What may contain secrets: variables for every command, and values that are only to be masked."""

    environment: Mapping[str, object]
    known: Sequence[str]


@dataclass(frozen=True)
class IdentitySpec:
    """Which parts of its identity a gate has, and what is needed to determine them."""

    file: str
    parts: Sequence[str]
    target_branch: str | None
    revision: str | None
    evidence: str | None
    baseline: str | None
    profile: str | None
    config_dir: str | None
    limit_seconds: float


@dataclass(frozen=True)
class Parameters:
    """All parameters of the module."""

    gate: str
    event: str
    bundle: str | None
    chdir: str | None
    environment: Mapping[str, object]
    env_file: str | None
    identity: IdentitySpec | None
    scripts: Mapping[str, object]
    commands: Sequence[CommandSpec]
    artifacts: Sequence[ArtifactSpec]
    max_output_bytes: int
    silent: Mapping[str, str]
    secrets: Secrets


def parameters(given: Mapping[str, Any]) -> Parameters:
    """The parameters that Ansible has checked, as typed values."""
    artifacts = [
        ArtifactSpec(spec["from"], spec["to"], spec["max_files"], spec["max_bytes"], spec["max_file_bytes"])
        for spec in given["artifacts"] or ()
    ]
    return Parameters(
        gate=given["gate"],
        event=given["event"],
        bundle=given["bundle"],
        chdir=given["chdir"],
        environment=given["environment"] or {},
        env_file=given["env_file"],
        identity=IdentitySpec(**given["identity"]) if given["identity"] else None,
        scripts=given["scripts"] or {},
        commands=[CommandSpec(**spec) for spec in given["commands"] or ()],
        artifacts=artifacts,
        max_output_bytes=given["max_output_bytes"],
        silent=given["silent"] or {},
        secrets=secrets(given["secrets"]),
    )


def secrets(text: str | None) -> Secrets:
    """The parameter `secrets`. Raises ValueError for a string that is not base64 of such a JSON object.

    It is one string because Ansible would replace every leaf of a no_log dictionary or list, even `1` or an exit
    status, wherever it occurs in what the module returns.
    """
    given = json.loads(base64.b64decode(text or "e30=", validate=True))
    environment, known = given.get("environment", {}), given.get("known", [])
    if set(given) - {"environment", "known"} or not isinstance(environment, dict) or not isinstance(known, list):
        raise ValueError("not an object with environment and known")
    return Secrets(environment, [str(value) for value in known])


def words(command: Words | None) -> list[str]:
    """A command as a list: a string is split as a shell would."""
    return shlex.split(command) if isinstance(command, str) else [str(word) for word in command or []]


def batches(commands: Sequence[CommandSpec]) -> list[list[CommandSpec]]:
    """Consecutive commands of the same group form a batch; a command without a group is a batch by itself."""
    found: list[list[CommandSpec]] = []
    for spec in commands:
        if found and spec.group and found[-1][0].group == spec.group:
            found[-1].append(spec)
        else:
            found.append([spec])
    return found


def problem_of(params: Mapping[str, Any]) -> str | None:
    """What is wrong with the parameters apart from their types, or None."""
    for number, spec in enumerate(params["commands"]):
        where = f"commands[{number}] ({spec['id']})"
        if not isinstance(spec["run"], (str, list)) or not spec["run"]:
            return f"{where}: run must be a list of words or a string, and not empty."
        if not 0 < spec["limit_seconds"] < 7 * 86400:
            return f"{where}: limit_seconds must be above 0 and below a week."
        try:
            words(spec["prefix"])
        except (ValueError, TypeError):
            return f"{where}: prefix must be a list of words or a string with balanced quotes."
    if params["max_output_bytes"] < 1024:
        return "max_output_bytes must be at least 1024."
    try:
        secrets(params["secrets"])
    except (ValueError, AttributeError):
        return (
            "secrets must be base64 of a JSON object with environment (an object) and known (a list), or be left out."
        )
    return None


_TEXT: dict[str, Any] = {"type": "str"}
_FLAG: dict[str, Any] = {"type": "bool", "default": False}
_COMMAND: dict[str, Any] = {
    "id": {"type": "str", "required": True},
    "file": {"type": "str", "required": True},
    "run": {"type": "raw", "required": True},
    "prefix": {"type": "raw"},
    "path_of_prefix": _FLAG,
    "chdir": _TEXT,
    "environment": {"type": "dict", "default": {}},
    "limit_seconds": {"type": "float", "default": 60},
    "group": _TEXT,
    "after": _TEXT,
    "asks": _TEXT,
    "as_by_hand": _FLAG,
    "needs_env_file": _FLAG,
    "kill_leftovers": {"type": "bool", "default": True},
}
_IDENTITY: dict[str, Any] = {
    "file": {"type": "str", "required": True},
    "parts": {"type": "list", "elements": "str", "choices": list(PARTS), "default": ["machine"]},
    "target_branch": _TEXT,
    "revision": _TEXT,
    "evidence": _TEXT,
    "baseline": _TEXT,
    "profile": _TEXT,
    "config_dir": _TEXT,
    "limit_seconds": {"type": "float", "default": 120},
}
_ARTIFACT: dict[str, Any] = {
    "from": {"type": "str", "required": True},
    "to": {"type": "str", "required": True},
    "max_files": {"type": "int", "default": 200},
    "max_bytes": {"type": "int", "default": 8 * 1024 * 1024},
    "max_file_bytes": {"type": "int", "default": 2 * 1024 * 1024},
}


def argument_spec() -> dict[str, dict[str, Any]]:
    """The argument specification; DOCUMENTATION of the module says what each option is for."""
    return {
        "gate": {"type": "str", "required": True},
        "event": {"type": "str", "default": "commands", "choices": ["commands", "open", "close", "probe"]},
        "bundle": _TEXT,
        "chdir": _TEXT,
        "environment": {"type": "dict", "default": {}},
        "env_file": _TEXT,
        "identity": {"type": "dict", "options": _IDENTITY},
        "scripts": {"type": "dict", "default": {}},
        "commands": {"type": "list", "elements": "dict", "default": [], "options": _COMMAND},
        "artifacts": {"type": "list", "elements": "dict", "default": [], "options": _ARTIFACT},
        "max_output_bytes": {"type": "int", "default": 1048576},
        "silent": {"type": "dict", "default": {}},
        "secrets": {"type": "str", "no_log": True},
    }
