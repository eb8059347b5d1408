"""Which inventory names can name a folder of an evidence root: with several hosts, each has one there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from promotion_gate.base.names import FLEET_FILE, OWN_NAMES, name_problem
from promotion_gate.run.lock import LOCK_FILE

_RUN_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z", re.ASCII)
_TAKEN = {name.casefold() for name in (*OWN_NAMES, FLEET_FILE, LOCK_FILE, "baseline")}


def host_name_problems(hosts: Sequence[str]) -> Iterator[str]:
    """One sentence for each name that cannot name a folder of runs."""
    seen: dict[str, str] = {}
    for host in hosts:
        other = seen.setdefault(host.casefold(), host)
        why = f"differs from {other} by case alone" if other != host else _problem(host)
        if why:
            yield (
                f'The host "{host[:120]}" {why}, and with several hosts each has a folder of its name in the evidence '
                "root. Give it another name in the inventory; ansible_host can stay."
            )


def _problem(host: str) -> str:
    if "/" in host or "\\" in host:
        return "has a path separator in its name"
    if host.startswith("."):
        return "has a name that begins with a dot"
    if _RUN_ID.fullmatch(host):
        return "is named like a run"
    if host.casefold() in _TAKEN:
        return "has a name that the gate itself uses"
    problem = name_problem(host)
    return f"has a name that {problem}" if problem else ""
