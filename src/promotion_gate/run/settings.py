"""What an operator sets: every variable of a run, its kind and its default, in one table.

A gate's own variables (`gate_<name>_*`) are in its role. Everything here is checked once, before the first connection,
and all mistakes are reported together.
"""

from __future__ import annotations

import getpass
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promotion_gate.base.errors import InputError
from promotion_gate.base.fields import kind_of
from promotion_gate.base.names import is_path
from promotion_gate.base.people import person, same_person
from promotion_gate.base.policy import GATE_NAMES
from promotion_gate.base.redact import Redactor
from promotion_gate.base.times import parse_duration
from promotion_gate.run.masking import check_not_masked

REQUIRED = object()
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", re.ASCII)


class Mistakes:
    """Collects input errors, so that an operator corrects them at once instead of one per run.

    A sentence quotes what was set: `redactor` knows what of it is secret.
    """

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.redactor = Redactor()

    @contextmanager
    def noting(self) -> Iterator[None]:
        try:
            yield
        except InputError as error:
            self.add(str(error))

    def add(self, *sentences: str) -> None:
        for sentence in map(self.redactor.text, sentences):
            self.sentences += [] if sentence in self.sentences else [sentence]

    def stop(self) -> None:
        """Raises InputError with all of them, one a line, if there are any."""
        if self.sentences:
            raise InputError("\n".join(self.sentences))


# --- kinds: a value as it was set, and the name of its variable, to the value as it is used -----------------------


def text(value: object, name: str) -> str:
    """A string; a number is taken for one, since YAML makes numbers of `125`."""
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


# What the gate itself hands to the Slurm smoke script, and the variable that an operator sets for it.
_ARGUMENTS = {
    "--profile": "aiida_vm_profile",
    "--computer-label": "gate_slurm_smoke_computer_label",
    "--artifact-dir": "",
}


def smoke_args(value: object, name: str) -> list[str]:
    """Arguments beside those that the gate sets: a script takes the last of two, the record would name the first."""
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
    return list(chosen_gates(value))


@dataclass(frozen=True, slots=True)
class Variable:
    """`kept`: a resume that does not set it takes it from the run that it continues."""

    kind: Callable[[Any, str], Any]
    default: Any = None
    kept: bool = True


VARIABLES: Mapping[str, Variable] = {
    "workspace_dir": Variable(folder, REQUIRED),
    "workspace_target_branch": Variable(text, "main"),
    "workspace_checkout": Variable(choice("in_place", "worktree"), "in_place"),
    "workspace_prepare_commands": Variable(commands, []),
    "workspace_sqlite_smoke_command": Variable(command, REQUIRED),
    "workspace_environment": Variable(environment, {}),
    "aiida_vm_repo_dir": Variable(folder, REQUIRED),
    "aiida_vm_env_file": Variable(text, "ops/aiida-vm/aiida-vm.env"),
    "aiida_vm_verdi": Variable(command, "uv run --project apps/api --group aiida verdi"),
    "aiida_vm_profile": Variable(text),
    "aiida_vm_config_dir": Variable(text),
    "aiida_vm_first_run": Variable(boolean, False, kept=False),
    "aiida_vm_smoke_args": Variable(smoke_args, []),
    "aiida_vm_environment": Variable(environment, {}),
    "promotion_ticket": Variable(ticket, "gra-125"),
    "promotion_evidence_root": Variable(folder),
    "promotion_baseline_dir": Variable(folder),
    "promotion_run_id": Variable(run_id, kept=False),
    "promotion_resume": Variable(resume, kept=False),
    "promotion_gates": Variable(gates, kept=False),
    "promotion_evidence_max_age": Variable(duration, "24h"),
    "promotion_operator": Variable(person),
    "promotion_reviewer": Variable(person, REQUIRED),
    "promotion_reason": Variable(text, kept=False),
    "promotion_policy": Variable(text, "policies/aiida.yml"),
    "promotion_risks": Variable(risks, []),
    "promotion_waivers": Variable(entries, []),
    "promotion_signing_key": Variable(text),
    "promotion_secrets": Variable(words, []),
    "promotion_evidence_group": Variable(text),
    "promotion_issue_command": Variable(command),
    "promotion_issue_update_command": Variable(command),
    "promotion_issue_limit_seconds": Variable(seconds, 60),
}
# What names a run or its gates and is empty is a mistake, most often of a script; it does not mean "none".
_NEVER_EMPTY = ("promotion_run_id", "promotion_resume", "promotion_gates")


def effective(
    given: Mapping[str, Any],
    kept: Mapping[str, Any] | None = None,
    optional: tuple[str, ...] = (),
    mistakes: Mistakes | None = None,
) -> dict[str, Any]:
    """The settings of a run: what is given, else what the resumed run had (`kept`), else the default.

    `optional` names required variables that this caller can do without; they are null then. Values from `-e` are
    strings and are converted. Raises InputError with one sentence per mistake, or adds them to `mistakes`, where the
    variables concerned are null.
    """
    noted = Mistakes() if mistakes is None else mistakes
    settings: dict[str, Any] = {}
    for name, variable in VARIABLES.items():
        settings[name] = None
        with noted.noting():
            settings[name] = _value(name, variable, given.get(name), kept, optional)
    settings["promotion_operator"] = settings["promotion_operator"] or getpass.getuser()
    with noted.noting():
        age = parse_duration(settings["promotion_evidence_max_age"] or "24h", "promotion_evidence_max_age")
        settings["evidence_max_age_seconds"] = int(age.total_seconds())
    noted.add(*_conflicts(settings))
    if mistakes is None:
        noted.stop()
    return settings


def _value(name: str, variable: Variable, value: Any, kept: Mapping[str, Any] | None, optional: tuple[str, ...]) -> Any:
    if unset(value) and not (value is not None and name in _NEVER_EMPTY):
        value = None
        if kept is not None and variable.kept:
            value = kept.get(name)
            check_not_masked(name, value)
        if unset(value):
            value = variable.default
    if value is REQUIRED:
        if name in optional:
            return None
        raise InputError(f"{name} is not set. Set it in the inventory's group_vars or with -e {name}=....")
    _check_characters(value, name)
    return None if value is None else variable.kind(value, name)


def _check_characters(value: Any, name: str) -> None:
    """Refuses what no argument, file name or JSON text can hold."""
    for key, item in value.items() if isinstance(value, Mapping) else ():
        _check_characters(str(key), name)
        _check_characters(item, name)
    for item in value if isinstance(value, (list, tuple)) else ():
        _check_characters(item, name)
    if isinstance(value, str) and re.search("[\0\ud800-\udfff]", value):
        raise InputError(f"{name} has a NUL or half of a surrogate pair in it; remove it.")


def unset(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _conflicts(settings: Mapping[str, Any]) -> Iterator[str]:
    """What does not go together."""
    operator, reviewer = settings["promotion_operator"], settings["promotion_reviewer"]
    if reviewer and same_person(operator, reviewer):
        yield (
            f"promotion_reviewer is the operator ({operator}). Name another person: the one who reviews must not be "
            "the one who runs the gate."
        )
    if settings["promotion_run_id"] is not None and settings["promotion_resume"]:
        yield "promotion_run_id and promotion_resume are both set. A resume keeps the run's own id; drop one."


def check_run_id(run_id: str) -> str:
    """A run id names a folder. Raises InputError for one that is empty or has slashes or dots in it."""
    if not _NAME.fullmatch(run_id):
        raise InputError(
            f'promotion_run_id is "{run_id[:120]}"; use up to 100 letters, digits, "-" and "_": 20261123T233514Z, say.'
        )
    return run_id


def chosen_gates(value: object) -> tuple[str, ...]:
    """`3,4`, `[3, 4]` or gate names. Raises InputError for an unknown or an empty choice."""
    words = value if isinstance(value, (list, tuple)) else str(value).split(",")
    chosen = []
    for word in (str(item).strip() for item in words):
        if word.isascii() and word.isdigit() and len(word) < 5 and 1 <= int(word) <= len(GATE_NAMES):
            chosen.append(GATE_NAMES[int(word) - 1])
        elif word in GATE_NAMES:
            chosen.append(word)
        elif word:
            raise InputError(f'promotion_gates: there is no gate "{word}"; the gates are 1 to 5.')
    if not chosen:
        raise InputError("promotion_gates chooses no gate; name some, for example -e promotion_gates=3,4.")
    return tuple(name for name in GATE_NAMES if name in chosen)
