"""The types of an operator's variables: each function converts a value as set into the value that is used.

They take the name of the variable and raise InputError with a sentence that names it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from promotion_gate.base.errors import InputError
from promotion_gate.base.fields import kind_of
from promotion_gate.base.names import is_path
from promotion_gate.base.times import parse_duration

# What the gate itself passes to the Slurm smoke script, and the variable that an operator sets for it.
_ARGUMENTS = {
    "--profile": "aiida_vm_profile",
    "--computer-label": "gate_slurm_smoke_computer_label",
    "--artifact-dir": "",
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", re.ASCII)


def text(value: object, name: str) -> str:
    """A string; a number is accepted, since YAML turns `125` into one."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise InputError(f"{name} must be a string, not {kind_of(value)}.")
    return str(value).strip()


def folder(value: object, name: str) -> str:
    path = text(value, name)
    if not is_path(path):
        raise InputError(f'{name} is "{path[:120]}", which cannot be the name of a folder.')
    if not Path(path).is_absolute():
        raise InputError(f'{name} must be an absolute path, not "{path}".')
    return path


def choice(*words: str) -> Callable[[object, str], str]:
    def one_of(value: object, name: str) -> str:
        if value not in words:
            raise InputError(f'{name} must be {" or ".join(words)}, not "{value}".')
        return str(value)

    return one_of


def boolean(value: object, name: str) -> bool:
    """true/false in the spellings that Ansible accepts, from YAML or from `-e`."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in ("true", "yes", "on", "1", "y", "t"):
        return True
    if word in ("false", "no", "off", "0", "n", "f"):
        return False
    raise InputError(f'{name} must be true or false, not "{value}".')


def side_by_side(value: object, name: str) -> bool | str:
    """Whether hosts overlap in time: true, false, or `auto` (only if they are two machines)."""
    if value == "auto":
        return "auto"
    try:
        return boolean(value, name)
    except InputError:
        raise InputError(f'{name} must be auto, true or false, not "{value}".') from None


def command(value: object, name: str) -> Any:
    """A string that a shell runs, or a list of words."""
    if isinstance(value, str):
        try:
            shlex.split(value)
        except ValueError as error:
            raise InputError(f"{name} cannot be read as a command ({error}): {value}") from None
        return value.strip()
    if isinstance(value, (list, tuple)) and value and all(_word(word) for word in value):
        return [str(word) for word in value]
    raise InputError(f"{name} must be a command, as a string or a list of words, not {kind_of(value)}.")


def _word(value: object) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def entries(value: object, name: str) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise InputError(f"{name} must be a list, not {kind_of(value)}. Write it as YAML or as -e '{{...}}'.")
    return list(value)


def commands(value: object, name: str) -> list[Any]:
    return [command(entry, f"{name}, entry {number}") for number, entry in enumerate(entries(value, name), 1)]


def words(value: object, name: str) -> list[str]:
    return [text(entry, f"{name}, entry {number}") for number, entry in enumerate(entries(value, name), 1)]


def smoke_args(value: object, name: str) -> list[str]:
    """Arguments other than those the gate sets: a script uses the last of two, the record would name the first."""
    given = words(value, name)
    for word in given:
        option = word.partition("=")[0]
        if option in _ARGUMENTS:
            instead = _ARGUMENTS[option]
            hint = f"Set {instead} instead." if instead else "Remove it."
            raise InputError(f"{name} has {option}, which the gate sets itself. {hint}")
    return given


def risks(value: object, name: str) -> list[dict[str, str]]:
    return [risk(entry, number) for number, entry in enumerate(entries(value, name), 1)]


def risk(entry: object, number: int) -> dict[str, str]:
    """One entry of promotion_risks: a mapping with `risk` and `mitigation`."""
    if not isinstance(entry, Mapping) or set(entry) != {"risk", "mitigation"} or not all(entry.values()):
        raise InputError(
            f"promotion_risks, entry {number}: write a mapping with `risk` and `mitigation`, both as a string."
        )
    return {key: text(entry[key], f"promotion_risks, entry {number}: {key}") for key in ("risk", "mitigation")}


def environment(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{name} must be a mapping, not {kind_of(value)}.")
    return dict(value)


def seconds(value: object, name: str) -> int:
    digits = "" if isinstance(value, bool) else str(value).strip()
    if not digits.isascii() or not digits.isdigit() or len(digits) > 5 or not 0 < int(digits) <= 86400:
        raise InputError(f'{name} must be a number of seconds from 1 to 86400, not "{value}".')
    return int(digits)


def duration(value: object, name: str) -> str:
    written = text(value, name)
    parse_duration(written, name)
    return written


def ticket(value: object, name: str) -> str:
    written = text(value, name)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", written, re.ASCII) or ".." in written:
        raise InputError(f'{name} names a folder: up to 100 letters, digits, "-", "_" and ".", not "{written[:120]}".')
    return written


def run_id(value: object, name: str) -> str:
    return check_run_id(text(value, name))


def resume(value: object, name: str) -> str:
    written = text(value, name)
    if not written:
        raise InputError(f"{name} is empty; write latest or the newest run's id, or leave it out.")
    return written


def gates(value: object, name: str) -> list[str]:
    """`3,4`, `[3, 4]` or gate names, as words; chosen_gates() asks the checklist for them. At least one."""
    words = value if isinstance(value, (list, tuple)) else str(value).split(",")
    found = [word for item in words if (word := str(item).strip())]
    if not found:
        raise InputError(f"{name} chooses no gate; name some, for example -e {name}=3,4.")
    return found


def check_run_id(run_id: str) -> str:
    """A run id names a directory. Raises InputError if it is empty or contains slashes or dots."""
    if not _NAME.fullmatch(run_id):
        raise InputError(
            f'promotion_run_id is "{run_id[:120]}"; use up to 100 letters, digits, "-" and "_", for example '
            "20261123T233514Z."
        )
    return run_id
