"""The settings of an operator: every variable of a run, its type and its default, in one table.

A gate's own variables (`gate_<name>_*`) are in its role. Everything here is checked once, before the first connection,
and all mistakes are reported together.
"""

from __future__ import annotations

import getpass
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from promotion_gate.base.errors import InputError
from promotion_gate.base.people import person, same_person
from promotion_gate.base.redact import Redactor
from promotion_gate.base.times import parse_duration
from promotion_gate.run import kinds
from promotion_gate.run.masking import check_not_masked

REQUIRED = object()


class Mistakes:
    """Collects input errors, so that an operator can correct them all at once instead of one per run.

    A sentence quotes what was set; `redactor` masks the secrets in it.
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
        """Raises InputError with all of them, one per line, if there are any."""
        if self.sentences:
            raise InputError("\n".join(self.sentences))


@dataclass(frozen=True, slots=True)
class Variable:
    """`kept`: a resume that does not set this takes it from the run that it continues."""

    kind: Callable[[Any, str], Any]
    default: Any = None
    kept: bool = True


VARIABLES: Mapping[str, Variable] = {
    "workspace_dir": Variable(kinds.folder, REQUIRED),
    "workspace_target_branch": Variable(kinds.text, "main"),
    "workspace_checkout": Variable(kinds.choice("in_place", "worktree"), "in_place"),
    "workspace_prepare_commands": Variable(kinds.commands, []),
    "workspace_sqlite_smoke_command": Variable(kinds.command, REQUIRED),
    "workspace_environment": Variable(kinds.environment, {}),
    "aiida_vm_repo_dir": Variable(kinds.folder, REQUIRED),
    "aiida_vm_env_file": Variable(kinds.text, "ops/aiida-vm/aiida-vm.env"),
    "aiida_vm_verdi": Variable(kinds.command, "uv run --project apps/api --group aiida verdi"),
    "aiida_vm_profile": Variable(kinds.text),
    "aiida_vm_config_dir": Variable(kinds.text),
    "aiida_vm_first_run": Variable(kinds.boolean, False, kept=False),
    "aiida_vm_smoke_args": Variable(kinds.smoke_args, []),
    "aiida_vm_environment": Variable(kinds.environment, {}),
    "promotion_ticket": Variable(kinds.ticket, "gra-125"),
    "promotion_evidence_root": Variable(kinds.folder),
    "promotion_baseline_dir": Variable(kinds.folder),
    "promotion_run_id": Variable(kinds.run_id, kept=False),
    "promotion_resume": Variable(kinds.resume, kept=False),
    "promotion_gates": Variable(kinds.gates, kept=False),
    "promotion_report_only": Variable(kinds.boolean, False, kept=False),
    "promotion_side_by_side": Variable(kinds.side_by_side, "auto"),
    "promotion_evidence_max_age": Variable(kinds.duration, "24h"),
    "promotion_operator": Variable(person),
    "promotion_reviewer": Variable(person, REQUIRED),
    "promotion_reason": Variable(kinds.text, kept=False),
    "promotion_policy": Variable(kinds.text, "policies/aiida.yml"),
    "promotion_risks": Variable(kinds.risks, []),
    "promotion_waivers": Variable(kinds.entries, []),
    "promotion_signing_key": Variable(kinds.text),
    "promotion_secrets": Variable(kinds.words, []),
    "promotion_evidence_group": Variable(kinds.text),
    "promotion_issue_command": Variable(kinds.command),
    "promotion_issue_update_command": Variable(kinds.command),
    "promotion_issue_limit_seconds": Variable(kinds.seconds, 60),
}
# An empty name of a run or of gates is a mistake, usually in a script; it does not mean "none".
_NEVER_EMPTY = ("promotion_run_id", "promotion_resume", "promotion_gates")


def effective(
    given: Mapping[str, Any],
    kept: Mapping[str, Any] | None = None,
    optional: tuple[str, ...] = (),
    mistakes: Mistakes | None = None,
) -> dict[str, Any]:
    """The settings of a run: what is given, else what the resumed run had (`kept`), else the default.

    `optional` names required variables that this caller can do without; if not set they are null. Values from `-e` are
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
    """Refuses characters that no argument, file name or JSON text can hold."""
    for key, item in value.items() if isinstance(value, Mapping) else ():
        _check_characters(str(key), name)
        _check_characters(item, name)
    for item in value if isinstance(value, (list, tuple)) else ():
        _check_characters(item, name)
    if isinstance(value, str) and re.search("[\0\ud800-\udfff]", value):
        raise InputError(f"{name} contains a NUL or half of a surrogate pair; remove it.")


def unset(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _conflicts(settings: Mapping[str, Any]) -> Iterator[str]:
    """Settings that do not go together."""
    operator, reviewer = settings["promotion_operator"], settings["promotion_reviewer"]
    if reviewer and same_person(operator, reviewer):
        yield (
            f"promotion_reviewer is the operator ({operator}). Name another person: the one who reviews must not be "
            "the one who runs the gate."
        )
    if settings["promotion_report_only"]:
        yield "promotion_report_only is for a role that is used without a run; a run always decides. Remove it."
    if settings["promotion_run_id"] is not None and settings["promotion_resume"]:
        yield "promotion_run_id and promotion_resume are both set. A resume keeps the run's own id; remove one."
