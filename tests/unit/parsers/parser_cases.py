"""The parsers under test by the name of their case folder, each as a function from text to plain data."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from promotion_gate.judge.parsers import git, junit, slurm, slurm_jobs, tools, trouble, verdi
from promotion_gate.judge.parsers.text import reason

CASES = Path(__file__).parent / "cases"


def _sinfo(text: str) -> dict[str, Any]:
    listing = slurm.nodes(text)
    why_not = {f"{node.partition}/{node.name}": slurm.schedulable(node)[1] for node in listing.nodes}
    return {
        **asdict(listing),
        "schedulable": [f"{node.partition}/{node.name}" for node in slurm.schedulable_nodes(listing)],
        "why_not": {name: reason for name, reason in why_not.items() if reason},
    }


def _reason(text: str) -> dict[str, Any]:
    return {
        "reason": reason(text),
        "could_not_work": trouble.could_not_work(text),
        "no_space": trouble.no_space(text) is not None,
    }


READERS: dict[str, Callable[[str], Any]] = {
    "computer_show": verdi.computer_show,
    "computer_test": lambda text: asdict(verdi.computer_test(text)),
    "daemon_status": lambda text: asdict(verdi.daemon_status(text)),
    "git_commit": git.commit,
    "job": lambda text: asdict(slurm_jobs.job(text)),
    "junit": lambda text: asdict(junit.parse(text)),
    "profile_list": lambda text: asdict(verdi.profile_list(text)),
    "reason": _reason,
    "sbatch": lambda text: asdict(slurm_jobs.submission(text)),
    "scontrol_nodes": lambda text: [asdict(node) for node in slurm.shown_nodes(text)],
    "scontrol_ping": lambda text: [asdict(controller) for controller in slurm.ping(text)],
    "sinfo": _sinfo,
    "tool_version": lambda text: {tool: version for tool in tools.TOOLS if (version := tools.version(tool, text))},
    "verdi_status": lambda text: asdict(verdi.status(text)),
}


@dataclass(frozen=True, slots=True)
class Case:
    """A tool's output beside what its parser makes of it."""

    folder: str
    path: Path

    @property
    def text(self) -> str:
        # Not read_text: it would turn carriage returns into newlines.
        return self.path.read_bytes().decode("utf-8")

    @property
    def result(self) -> dict[str, Any]:
        loaded = json.loads(self.path.with_suffix(".json").read_text(encoding="utf-8"))
        assert isinstance(loaded, dict)
        return loaded


def cases(*folders: str) -> list[Case]:
    """All cases, or those of some folders."""
    return [
        Case(folder, path) for folder in folders or sorted(READERS) for path in sorted((CASES / folder).glob("*.txt"))
    ]


def as_json(value: Any) -> Any:
    """The value as it would be read back from a JSON file."""
    return json.loads(json.dumps(value))
