"""What was meant is compared with what ran: the words of a spec's command in the checklist, and those of the record.

`ran:` maps the id of a command to its text, or to a list of texts of which one must be it. In a text
`{verdi}` is how verdi is called on the VM, `{in_env}` the same without its last word (or nothing), `{env_file}`,
`{profile}`, `{computer}` and `{smoke_args}` what was set (a profile or a computer that was not set is any one word),
and `{scratch}` an absolute folder.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promotion_gate.bundle.index import Command
from promotion_gate.judge.checks.case import Case

_MASK = "***"


@dataclass(frozen=True, slots=True)
class Replaced:
    """A command that is not the checklist's."""

    command: str
    meant: str
    ran: str

    def as_dict(self) -> dict[str, str]:
        return {"command": self.command, "meant": self.meant, "ran": self.ran}


def replaced(case: Case) -> tuple[Replaced, ...]:
    """The commands of a check's `ran` that were run as something else."""
    found = []
    for command_id, texts in case.check.ran.items():
        record = case.bundle.index.command(case.gate.name, command_id)
        if record is None or record.not_run is not None:
            continue  # nothing was run: the check itself says so
        if not any(_is(record, text, case.settings) for text in texts):
            found.append(Replaced(command_id, texts[0], record.shown))
    return tuple(found)


def same_words(meant: Sequence[str] | str, record: Command) -> bool:
    """Whether a command that an operator set, as a text or as words, is the one that ran; masks hide a difference."""
    words = [meant] if isinstance(meant, str) else [str(word) for word in meant]
    return len(words) == len(record.argv) and all(
        one == other or _MASK in one or _MASK in other for one, other in zip(words, record.argv, strict=True)
    )


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
    """One word of a text, as no, one or several."""
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
    """A value as it must be, or any one word that is not an option."""
    return re.escape(str(value)) if value else r"[^-\s]\S*"


def _verdi(settings: Mapping[str, Any]) -> list[str]:
    call = settings.get("aiida_vm_verdi") or ""
    return shlex.split(call) if isinstance(call, str) else [str(word) for word in call]
