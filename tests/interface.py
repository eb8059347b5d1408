"""What other people's inventories, scripts and pipelines rest on, read from the sources, one line each.

docs/interface.txt is that list as of the last release; `make interface` writes it again when one is made.
tests/unit/test_interface.py asks CHANGELOG.md to name whatever is another one since.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from promotion_gate.base import names
from promotion_gate.base.policy_reading import load_policy
from promotion_gate.judge.checks.registry import registered
from promotion_gate.run.arguments import parser_of
from promotion_gate.run.roles import find_role
from promotion_gate.run.settings import VARIABLES

PROJECT = Path(__file__).resolve().parents[1]
FILE = PROJECT / "docs" / "interface.txt"
OWN_FILES = (
    names.INDEX_FILE, names.POLICY_FILE, names.SHIPPED_POLICY_FILE, names.BASELINE_FILE, names.MAP_FILE,
    names.DECISION_JSON, names.DECISION_MD, names.FOLLOW_UP, *names.RENDERED, names.SUMS_FILE, names.SIGNATURE_FILE,
    names.FLEET_FILE,
)  # fmt: skip


def interface() -> list[str]:
    """Sorted; the last word of a line's part before `=` is the name that a changelog has."""
    return sorted({*_variables(), *_files(), *_fields(), *_kinds(), *_commands(parser_of({}))})


def _variables() -> Iterator[str]:
    yield from (f"variable {name}" for name in VARIABLES)
    for role in sorted((PROJECT / "roles").glob("gate_*")):
        if role.name not in ("gate_common", "gate_decision"):
            yield from (f"variable {name}" for name in find_role(role.name, [role.parent]).public)


def _files() -> Iterator[str]:
    yield from (f"file {name}" for name in OWN_FILES)
    path = PROJECT / "policies" / "aiida.yml"
    for gate in load_policy(path.read_text(encoding="utf-8"), path.name).gates:
        yield from (f"file {name}" for name in (*gate.evidence, gate.summary, *([gate.notes] if gate.notes else [])))


def _fields() -> Iterator[str]:
    for path in sorted((PROJECT / "docs" / "schema").glob("*.schema.json")):
        schema = json.loads(path.read_text(encoding="utf-8"))
        file = path.name.removesuffix(".schema.json")
        for name, kind in {"": schema, **schema.get("$defs", {})}.items():
            yield from (f"field {file} {f'{name} ' if name else ''}{field}" for field in kind.get("properties", ()))


def _kinds() -> Iterator[str]:
    for kind in registered().values():
        if kind.function.__module__.startswith("promotion_gate."):
            yield f"check {kind.name}"
            yield from (f"limit {kind.name} {limit.name} = {limit.wanted}" for limit in kind.limits)


def _commands(parser: argparse.ArgumentParser) -> Iterator[str]:
    name = parser.prog
    yield f"exit {name} = {(parser.epilog or '').rpartition('exit status: ')[2]}"
    for action in parser._actions:
        listed = {choice.dest for choice in getattr(action, "_choices_actions", ())}
        if isinstance(action, argparse._SubParsersAction):
            for command, below in action.choices.items():
                yield from _commands(below) if command in listed else ()
        else:
            yield from (f"option {name} {option}" for option in action.option_strings if option.startswith("--"))


if __name__ == "__main__":
    FILE.write_text("".join(f"{line}\n" for line in interface()), encoding="utf-8")
