"""What an operator set: every variable of the public interface, checked once, before the first connection."""

from __future__ import annotations

import getpass
import json
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from promotion_gate.base.errors import InputError
from promotion_gate.base.fields import kind_of, nearest
from promotion_gate.base.policy import ENVIRONMENTS, GATE_NAMES
from promotion_gate.base.redact import Redactor
from promotion_gate.base.times import parse_duration
from promotion_gate.run.masking import check_not_masked

# Every variable an operator sets, with its default. REQUIRED ones have none.
REQUIRED = object()
VARIABLES: Mapping[str, Any] = {
    "workspace_dir": REQUIRED,
    "workspace_target_branch": "main",
    "workspace_checkout": "in_place",
    "workspace_prepare_commands": [],
    "workspace_sqlite_smoke_command": REQUIRED,
    "workspace_environment": {},
    "aiida_vm_repo_dir": REQUIRED,
    "aiida_vm_env_file": "ops/aiida-vm/aiida-vm.env",
    "aiida_vm_verdi": "uv run --project apps/api --group aiida verdi",
    "aiida_vm_profile": None,
    "aiida_vm_first_run": False,
    "aiida_vm_smoke_args": [],
    "aiida_vm_environment": {},
    "gate_sqlite_smoke_fingerprint": None,
    "gate_slurm_smoke_submit_job": True,
    "gate_slurm_smoke_partition": None,
    "gate_slurm_smoke_account": None,
    "gate_slurm_smoke_qos": None,
    "gate_slurm_smoke_job_limit_seconds": 60,
    "gate_slurm_smoke_submit_calculation": False,
    "gate_slurm_smoke_computer_label": None,
    "promotion_ticket": "gra-125",
    "promotion_evidence_root": None,
    "promotion_baseline_dir": None,
    "promotion_run_id": None,
    "promotion_resume": None,
    "promotion_gates": None,
    "promotion_evidence_max_age": "24h",
    "promotion_operator": None,
    "promotion_reviewer": REQUIRED,
    "promotion_reason": None,
    "promotion_policy": "policies/aiida.yml",
    "promotion_risks": [],
    "promotion_waivers": [],
    "promotion_signing_key": None,
    "promotion_evidence_group": None,
    "promotion_issue_command": None,
    "promotion_issue_update_command": None,
    "promotion_issue_limit_seconds": 60,
}
# Of this run only: a resume does not take them from the run that it continues.
NOT_KEPT = frozenset(
    ("promotion_resume", "promotion_gates", "promotion_run_id", "aiida_vm_first_run", "promotion_reason")
)
BOOLEANS = tuple(name for name, default in VARIABLES.items() if isinstance(default, bool))
COMMANDS = (
    "workspace_sqlite_smoke_command",
    "aiida_vm_verdi",
    "promotion_issue_command",
    "promotion_issue_update_command",
)
SECONDS = ("gate_slurm_smoke_job_limit_seconds", "promotion_issue_limit_seconds")
LISTS = ("workspace_prepare_commands", "aiida_vm_smoke_args", "promotion_risks", "promotion_waivers")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", re.ASCII)


def check_names(defined: list[str]) -> None:
    """Refuses a variable with one of our prefixes that nobody reads: most often a misspelt one."""
    for name in defined:
        if re.match(r"(promotion|workspace|aiida_vm)_", name) and name not in VARIABLES:
            raise InputError(
                f'There is no variable "{name}"{nearest(name, VARIABLES)} Correct or remove it where it is set.'
            )


def effective(
    given: Mapping[str, Any], kept: Mapping[str, Any] | None = None, optional: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The settings of a run: what is given, else what the resumed run had (`kept`), else the default.

    `optional` names required variables that this caller can do without; they are null then. Values from `-e` are texts
    and are converted. Raises InputError with one sentence that names the variable.
    """
    _refuse_empty(given)
    merged: dict[str, Any] = {}
    for name, default in VARIABLES.items():
        value = given.get(name)
        if _unset(value) and kept is not None and name not in NOT_KEPT:
            value = kept.get(name)
            check_not_masked(name, value)
        if _unset(value):
            value = default
        if value is REQUIRED and name in optional:
            value = None
        elif value is REQUIRED:
            raise InputError(
                f"{name} is not set. Set it in the inventory's group_vars or with -e {name}=... (see README.md)."
            )
        merged[name] = value
    return _converted(merged)


def _refuse_empty(given: Mapping[str, Any]) -> None:
    """What names a run or its gates and is empty is a mistake, most often of a script; it does not mean "none"."""
    if _empty(given.get("promotion_run_id")):
        check_run_id("")
    if _empty(given.get("promotion_resume")):
        raise InputError("promotion_resume is empty; write latest or the newest run's id, or leave it out.")
    if _empty(given.get("promotion_gates")):
        chosen_gates("")


def _empty(value: object) -> bool:
    return isinstance(value, str) and not value.strip()


def _unset(value: object) -> bool:
    return value is None or _empty(value)


def _converted(raw: dict[str, Any]) -> dict[str, Any]:
    settings = dict(raw)
    for name in BOOLEANS:
        settings[name] = boolean(raw[name], name)
    for name in COMMANDS:
        settings[name] = _command(raw[name], name)
    for name in LISTS:
        if not isinstance(raw[name], (list, tuple)):
            raise InputError(f"{name} must be a list, not {kind_of(raw[name])}. Write it as YAML or as -e '{{...}}'.")
        settings[name] = list(raw[name])
    for name in ENVIRONMENTS:
        if not isinstance(raw[name], Mapping):
            raise InputError(f"{name} must be a mapping, not {kind_of(raw[name])}.")
        settings[name] = dict(raw[name])
    lists = (*LISTS, *ENVIRONMENTS, *COMMANDS, *BOOLEANS, "promotion_gates")
    for name in VARIABLES:
        value = settings[name]
        if name not in lists and value is not None:
            if isinstance(value, (bool, list, tuple, Mapping)):
                raise InputError(f"{name} must be a text, not {kind_of(value)}.")
            settings[name] = str(value).strip()
    for name in SECONDS:
        settings[name] = _seconds(settings, name)
    age = parse_duration(settings["promotion_evidence_max_age"], "promotion_evidence_max_age")
    settings["evidence_max_age_seconds"] = int(age.total_seconds())
    settings["promotion_operator"] = settings["promotion_operator"] or getpass.getuser()
    settings["promotion_risks"] = [risk(entry, n) for n, entry in enumerate(settings["promotion_risks"], 1)]
    _check_values(settings)
    return settings


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


def _command(value: object, name: str) -> Any:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            shlex.split(value)
        except ValueError as error:
            raise InputError(f"{name} cannot be read as a command ({error}): {value}") from None
        return value
    if isinstance(value, (list, tuple)) and value and all(isinstance(w, (str, int, float)) for w in value):
        return [str(word) for word in value]
    raise InputError(f"{name} must be a command, as a text or a list of words, not {kind_of(value)}.")


def _seconds(settings: Mapping[str, Any], name: str) -> int:
    text = str(settings[name])
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 86400:
        raise InputError(f'{name} must be a number of seconds from 1 to 86400, not "{text}".')
    return int(text)


def risk(entry: object, number: int) -> dict[str, str]:
    """One entry of promotion_risks: a mapping with `risk` and `mitigation`."""
    if not isinstance(entry, Mapping) or set(entry) != {"risk", "mitigation"} or not all(entry.values()):
        raise InputError(
            f"promotion_risks, entry {number}: write a mapping with `risk` and `mitigation`, both as a text."
        )
    return {key: str(entry[key]) for key in ("risk", "mitigation")}


def _check_values(settings: Mapping[str, Any]) -> None:
    if settings["workspace_checkout"] not in ("in_place", "worktree"):
        raise InputError(f'workspace_checkout must be in_place or worktree, not "{settings["workspace_checkout"]}".')
    for name in ("workspace_dir", "aiida_vm_repo_dir", "promotion_evidence_root", "promotion_baseline_dir"):
        value = settings[name]
        if value and not Path(value).is_absolute():
            raise InputError(f'{name} must be an absolute path, not "{value}".')
    ticket = settings["promotion_ticket"]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", ticket, re.ASCII) or ".." in ticket:
        raise InputError(
            f'promotion_ticket names a folder: up to 100 letters, digits, "-", "_" and ".", not "{ticket[:120]}".'
        )
    if settings["promotion_operator"].casefold() == str(settings["promotion_reviewer"]).casefold():
        raise InputError(
            f"promotion_reviewer is the operator ({settings['promotion_operator']}). Name another person: the "
            "one who reviews must not be the one who runs the gate."
        )
    if settings["promotion_gates"] is not None and not settings["promotion_resume"]:
        raise InputError(
            "promotion_gates is set without promotion_resume. A first run runs all gates; to re-run chosen ones "
            "set promotion_resume=latest too."
        )
    if settings["promotion_run_id"] is not None and settings["promotion_resume"]:
        raise InputError(
            "promotion_run_id and promotion_resume are both set. A resume keeps the run's own id; drop one."
        )


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
        if word.isascii() and word.isdigit() and 1 <= int(word) <= len(GATE_NAMES):
            chosen.append(GATE_NAMES[int(word) - 1])
        elif word in GATE_NAMES:
            chosen.append(word)
        elif word:
            raise InputError(f'promotion_gates: there is no gate "{word}"; the gates are 1 to 5.')
    if not chosen:
        raise InputError("promotion_gates chooses no gate; name some, for example -e promotion_gates=3,4.")
    return tuple(name for name in GATE_NAMES if name in chosen)


_PLAIN_VALUE = re.compile(r"[\w./:@%+,=-]*", re.ASCII)
# A re-run gets these another way, or must not have them again.
_NOT_REPEATED = NOT_KEPT | {"promotion_evidence_root"}


def repeated_extra_vars(entries: Iterable[object]) -> list[str]:
    """What stood in `-e` and a re-run needs again: what an inventory asks for, and what overrode the inventory.

    Raw entries as ansible-playbook takes them: `@file`, a mapping as JSON or YAML, or `name=value` pairs. A variable of
    the gate in which a secret would be masked is left out: a resume asks for it.
    """
    kept: list[str] = []
    for entry in (str(item) for item in entries):
        if entry.startswith("@"):
            kept.append(entry)
        elif entry.lstrip().startswith("{"):
            rest = {name: value for name, value in _mapping(entry).items() if _repeats(name, value)}
            kept += [json.dumps(rest)] if rest else []
        else:
            kept += [_pair(*pair) for pair in _pairs(entry) if _repeats(*pair)]
    return kept


def _mapping(entry: str) -> Mapping[str, Any]:
    try:
        data = json.loads(entry)
    except ValueError:
        try:
            data = yaml.load(entry, yaml.BaseLoader)  # texts only: a date must come out as it was written
        except yaml.YAMLError:
            return {}
    return data if isinstance(data, dict) else {}


def _pairs(entry: str) -> list[tuple[str, str]]:
    try:
        words = shlex.split(entry)
    except ValueError:
        return []
    return [(name, value) for name, sign, value in (word.partition("=") for word in words) if sign]


def _pair(name: str, value: str) -> str:
    """One variable for -e: with spaces or quotes in it as JSON, because Ansible would split `name=value` there."""
    return f"{name}={value}" if _PLAIN_VALUE.fullmatch(value) else json.dumps({name: value})


def _repeats(name: str, value: object) -> bool:
    if name not in VARIABLES:
        return True
    text = json.dumps({name: value})
    return name not in _NOT_REPEATED and Redactor().text(text) == text
