"""The values of `-e`: words that Ansible would drop, and values that a re-run needs again."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from promotion_gate.base.redact import Redactor
from promotion_gate.run.settings import VARIABLES

_PLAIN_VALUE = re.compile(r"[\w./:@%+,=-]*", re.ASCII)
# A re-run gets these by other means, or must not get them again.
_NOT_REPEATED = {"promotion_evidence_root"} | {name for name, variable in VARIABLES.items() if not variable.kept}


def repeated_extra_vars(entries: Iterable[object]) -> list[str]:
    """The values of `-e` that a re-run needs again: those that an inventory uses, and those that override it.

    Takes raw entries as ansible-playbook does: `@file`, a mapping as JSON or YAML, or `name=value` pairs. A variable of
    the gate in which a secret would be masked is left out; a resume asks for it.
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
            data = yaml.load(entry, yaml.BaseLoader)  # strings only: a date must come out exactly as it was written
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
    """One variable for -e; as JSON if it contains spaces or quotes, because Ansible would split `name=value` there."""
    return f"{name}={value}" if _PLAIN_VALUE.fullmatch(value) else json.dumps({name: value})


def _repeats(name: str, value: object) -> bool:
    if not re.match(r"(?:promotion|workspace|aiida_vm|gate)_", name):
        return True
    written = json.dumps({name: value})
    return name not in _NOT_REPEATED and name != "promotion_secrets" and Redactor().text(written) == written


def stray_words(entry: str, words: Sequence[str]) -> str | None:
    """Why an entry of `-e` does not mean what it appears to mean, and how to write it; or None.

    Ansible splits `name=value` at white space and silently drops what is not a pair. `words` are the words of
    `entry`.
    """
    if entry.startswith("@") or entry[:1] in ("{", "[") or all("=" in word for word in words):
        return None
    if "=" not in words[0]:
        return f"-e {shlex.quote(entry)}: {words[0]} is not a variable. Write -e NAME=VALUE, or -e @FILE for a file."
    pairs: list[list[str]] = []
    for word in words:
        if "=" in word:
            pairs.append([word])
        else:
            pairs[-1].append(word)
    cut = next(pair for pair in pairs if len(pair) > 1)
    name, _, first = cut[0].partition("=")
    meant = {pair[0].partition("=")[0]: " ".join([pair[0].partition("=")[2], *pair[1:]]) for pair in pairs}
    return (
        f'-e {shlex.quote(entry)}: Ansible would set {name} to "{first}" and drop "{" ".join(cut[1:])}". Write '
        f"-e {_quoted(meant)}."
    )


def _quoted(meant: Mapping[str, str]) -> str:
    """The pairs quoted for a shell, with extra quotes around a value with spaces; as JSON if that is impossible."""
    if re.search(r"[\"'\\\\$`!{}]", "".join(meant.values())):
        return shlex.quote(json.dumps(meant))
    pairs = [f"{name}='{value}'" if " " in value else f"{name}={value}" for name, value in meant.items()]
    return f'"{" ".join(pairs)}"'
