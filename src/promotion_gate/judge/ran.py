"""Compares what was meant with what ran, as recorded: words, directory and names of environment variables.

`ran:` maps the id of a command to its text, or to a list of alternatives. In a text, `{verdi}` is how verdi is called
on the VM, `{in_env}` the same without its last word (or nothing), `{env_file}`, `{profile}`, `{computer}` and
`{smoke_args}` are what was set (a profile or a computer that was not set matches any one word), and `{scratch}` is an
absolute directory. A command of the spec runs in the checkout of its gate, with the environment that the operator set
and ADDED.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from promotion_gate.base.model import Replaced
from promotion_gate.base.policy import ENVIRONMENTS, setting_names
from promotion_gate.bundle.index import Command
from promotion_gate.judge.checks.case import Case
from promotion_gate.judge.identity import BEGIN

_MASK = "***"
# What the module and the roles add to the environment that the operator set.
ADDED = frozenset(["AIIDA_PATH", "GIT_OPTIONAL_LOCKS", "LC_ALL", "PROMOTION_SCRATCH", "PYTEST_ADDOPTS", "UV_NO_SYNC"])
_FILLED_IN = re.compile(r"\{(?:scratch|env:[^}]*|said:[^}]*)\}")


def replaced(case: Case) -> tuple[Replaced, ...]:
    """The commands of a check's `ran` in whose place something else was run."""
    found = []
    for command_id, texts in case.check.ran.items():
        record = case.bundle.index.command(case.gate.name, command_id)
        if record is None or record.not_run is not None:
            continue  # nothing was run; the check itself reports that
        around = _around(case, record)
        if around or not any(_is(record, text, case.settings) for text in texts):
            found.append(Replaced(command_id, texts[0], record.command + around))
    return tuple(found)


def not_as_set(case: Case, meant: Sequence[str] | str, record: Command) -> str | None:
    """What ran in place of a command that an operator set, as a string or as words; None if that command ran."""
    around = _around(case, record)
    words = [meant] if isinstance(meant, str) else [str(word) for word in meant]
    same = len(words) == len(record.argv) and all(map(_same_word, words, record.argv))
    return None if same and not around else f"`{record.command}`{around} was run, not what is configured"


def _same_word(meant: str, ran: str) -> bool:
    """Whether a word is the one that was set; masks hide differences, and the module fills in placeholders."""
    if meant == ran or _MASK in meant or _MASK in ran:
        return True
    return re.fullmatch(".*".join(map(re.escape, _FILLED_IN.split(meant))), ran, re.S) is not None


def _around(case: Case, record: Command) -> str:
    """How directory and environment of a command differ from what was meant, as a phrase; empty if they do not."""
    directory = _directory(case)
    moved = directory and record.directory != directory and _MASK not in directory + record.directory
    names = [name for name in setting_names(case.gate.name, case.settings) if name in ENVIRONMENTS]
    given = {key for name in names for key in case.settings.get(name) or ()}
    known = ADDED | given | ({"PATH"} if "/" in (_verdi(case.settings) or [""])[-1] else set())
    more = sorted(set(record.environment_names) - known)
    return (f" in {record.directory} instead of {directory}" if moved else "") + (
        f" with {', '.join(more)} in its environment" if more else ""
    )


def _directory(case: Case) -> str:
    """Where the commands of a gate are meant to run: the checkout that was set, or else where its identity was read."""
    if "checkout" not in case.gate.identity:
        begin = case.bundle.index.command(case.gate.name, BEGIN)
        return begin.directory if begin else ""
    if "aiida_vm_repo_dir" in setting_names(case.gate.name, case.settings):
        return str(case.settings.get("aiida_vm_repo_dir") or "")
    folder = str(case.settings.get("workspace_dir") or "")
    in_place = case.settings.get("workspace_checkout") != "worktree"
    return folder if in_place else f"{folder}/.git/promotion-gate-{case.bundle.index.run_id}"


def _is(record: Command, text: str, settings: Mapping[str, Any]) -> bool:
    if record.argv == (text,):
        return True
    patterns = [list(way) for way in _ways(shlex.split(text), settings)]
    return any(
        len(way) == len(record.argv) and all(re.fullmatch(p, word) for p, word in zip(way, record.argv, strict=True))
        for way in patterns
    )


def _ways(words: Sequence[str], settings: Mapping[str, Any]) -> Iterator[list[str]]:
    """The words as regular expressions; one way with `{in_env}` and one without."""
    for with_env in (True, False):
        way: list[str] = []
        for word in words:
            if word != "{in_env}":
                way += _filled(word, settings)
            elif with_env:
                way += [re.escape(w) for w in _verdi(settings)[:-1]]
        yield way


def _filled(word: str, settings: Mapping[str, Any]) -> list[str]:
    """One word of a text as zero, one or several words."""
    if word == "{verdi}":
        return [re.escape(w) for w in _verdi(settings)]
    if word == "{smoke_args}":
        label = settings.get("gate_slurm_smoke_computer_label")
        more = ["--computer-label", str(label)] if label else []
        return [re.escape(str(w)) for w in [*more, *(settings.get("aiida_vm_smoke_args") or ())]]
    known = {
        "{scratch}": r"/\S+",
        "{env_file}": _one(settings.get("aiida_vm_env_file")),
        "{profile}": _one(settings.get("aiida_vm_profile")),
        "{computer}": _one(settings.get("gate_slurm_smoke_computer_label")),
    }
    parts = re.split(r"(\{[a-z_]+\})", word)
    return ["".join(known.get(part, re.escape(part)) for part in parts)]


def _one(value: object) -> str:
    """The expected value, or any one word that is not an option."""
    return re.escape(str(value)) if value else r"[^-\s]\S*"


def _verdi(settings: Mapping[str, Any]) -> list[str]:
    call = settings.get("aiida_vm_verdi") or ""
    return shlex.split(call) if isinstance(call, str) else [str(word) for word in call]
