"""Names that agree: what the roles write and what the checks read, what checks give and what the checklist says to it.

Command ids, files, hints, placeholders, limits and settings are plain strings on both sides. A name that only one side
has is an error here: evidence that nobody judges, or a check of evidence that nobody collects.
"""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import bundles
import yaml
from promotion import own

import promotion_gate
from promotion_gate.base.names import FLEET_FILE, INDEX_FILE, POLICY_FILE, UNFINISHED
from promotion_gate.base.policy_reading import load_policy
from promotion_gate.bundle.baseline import write_baseline
from promotion_gate.bundle.load import load_bundle
from promotion_gate.judge import by_hand
from promotion_gate.judge.checks.case import COMMON_HINTS
from promotion_gate.judge.checks.hints import REMEDIES
from promotion_gate.judge.checks.registry import registered
from promotion_gate.run.lock import LOCK_FILE
from promotion_gate.run.roles import Role, find_role
from promotion_gate.run.settings import VARIABLES

PACKAGE = Path(promotion_gate.__file__).parent
ROLES = bundles.PROJECT / "roles"
POLICY = load_policy((bundles.PROJECT / "policies" / "aiida.yml").read_text(encoding="utf-8"), "aiida.yml")
EVIDENCE = (bundles.PROJECT / "docs" / "evidence.md").read_text(encoding="utf-8")
# What the module itself records of each gate, whatever its commands are.
OF_THE_MODULE = {"identity", "identity_end"}
# Commands that prepare something: whether they did is seen in the ones that need it.
PREPARE = {
    "checkout": "makes the temporary worktree in which the gates of the workspace run",
    "remove": "removes it",
    "worktree_before": "notes for worktree_restore what is not the gate's",
}
# What a run adds to the settings that an operator gave (run/checked.py).
OF_THE_RUN = {"vm", "workspace", "fleet", "inventory", "gate_settings", "evidence_max_age_seconds"}


# --- what the code says -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """A call in the package: what is called, its arguments, and the function and module that contain it."""

    name: str
    receiver: str
    node: ast.Call
    inside: ast.AST
    module: Path


@cache
def calls() -> tuple[Call, ...]:
    return tuple(call for path in sorted(PACKAGE.rglob("*.py")) for call in _calls(path))


def _calls(path: Path) -> Iterator[Call]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    functions += [item for node in tree.body if isinstance(node, ast.ClassDef) for item in node.body]  # type: ignore[misc]
    for function in functions:
        for node in ast.walk(function):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
                receiver = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
                yield Call(name, receiver, node, function, path)


@cache
def constants() -> dict[str, ast.expr]:
    """The module-level names of the judge, by name."""
    found = {}
    for path in sorted((PACKAGE / "judge").rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                found[node.targets[0].id] = node.value
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
                assert isinstance(node.value, ast.Tuple)
                found.update(zip(map(ast.unparse, node.targets[0].elts), node.value.elts, strict=True))
    return found


def values(node: ast.expr | None, inside: ast.AST, seen: frozenset[str] = frozenset()) -> set[str]:
    """The strings that an expression can be, as regular expressions; for a name, what it is bound to or loops over."""
    if isinstance(node, ast.Constant):
        return {re.escape(node.value)} if isinstance(node.value, str) else set()
    if isinstance(node, ast.JoinedStr):
        parts = [re.escape(str(part.value)) if isinstance(part, ast.Constant) else r"\w+" for part in node.values]
        return {"".join(parts)}
    if isinstance(node, ast.IfExp):
        return values(node.body, inside, seen) | values(node.orelse, inside, seen)
    if isinstance(node, ast.BoolOp):
        return {text for value in node.values for text in values(value, inside, seen)}
    if isinstance(node, (ast.Tuple, ast.List)):
        return {text for item in node.elts for text in values(item, inside, seen)}
    if isinstance(node, ast.Name) and node.id not in seen:
        places = [n for n in ast.walk(inside) if isinstance(n, (ast.For, ast.comprehension)) and _is(n.target, node.id)]
        assigned = [n.value for n in ast.walk(inside) if isinstance(n, ast.Assign) and _is(n.targets[0], node.id)]
        sources = [*(place.iter for place in places), *assigned, constants().get(node.id)]
        return {text for source in sources for text in values(source, inside, seen | {node.id})}
    return set()


def _is(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def keyword(call: Call, name: str) -> ast.expr | None:
    return next((item.value for item in call.node.keywords if item.arg == name), None)


def asked(*names: str) -> set[str]:
    """The ids that the judge asks an index or a bundle for: the last argument, behind the gate's name if any."""
    return {
        text
        for call in calls()
        if call.name in names and call.module.is_relative_to(PACKAGE / "judge")
        for text in values(call.node.args[-1] if call.node.args else None, call.inside)
    }


def matched(name: str, patterns: set[str]) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in patterns)


# --- what the roles say -------------------------------------------------------------------------------------------


@cache
def roles() -> dict[str, Role]:
    return {path.name: find_role(path.name, [ROLES]) for path in sorted(ROLES.iterdir()) if path.is_dir()}


def commands() -> set[str]:
    """The ids of all commands as regular expressions."""
    return {pattern for role in roles().values() for pattern in role.commands} | OF_THE_MODULE


@cache
def files() -> dict[str, set[str]]:
    """The names of the files and folders of evidence that each role writes."""
    found: dict[str, set[str]] = {}
    for name in roles():
        texts = [
            path.read_text(encoding="utf-8") for part in ("vars", "tasks") for path in (ROLES / name / part).glob("*")
        ]
        words = re.findall(
            r"""(?m)(?:^ *|[{,-] )['"]?(?:file|to)['"]?: ['"]?([\w.-]+(?:/[\w.-]+)*)""", "\n".join(texts)
        )
        found[name] = set(words)
    return found


# --- they agree ---------------------------------------------------------------------------------------------------


def test_every_command_is_judged_and_every_command_that_is_judged_is_run() -> None:
    read = asked("command", "ran", "output", "records")
    written = commands()
    plain = {re.sub(r"\\(.)", r"\1", pattern) for pattern in written}
    samples = {name: name.replace(".*", "1") for name in plain}
    assert {name for name, sample in samples.items() if not matched(sample, read)} == set(PREPARE), "nobody reads it"
    assert {name for name in read if not any(matched(sample, {name}) for sample in samples.values())} == set()


def test_every_file_of_a_role_is_evidence_that_somebody_reads() -> None:
    """In the checklist, in a check, or by people, as docs/evidence.md says."""
    listed = {name.rstrip("/") for gate in POLICY.gates for name in gate.evidence}
    for name in {file for written in files().values() for file in written} - {"none.log", "probe.log"}:
        assert name in listed or name.split("/")[0] in listed or f"`{name.split('/')[0]}" in EVIDENCE, name


def test_every_file_that_the_checklist_or_a_check_names_is_written() -> None:
    for gate in POLICY.gates:
        assert {name.rstrip("/") for name in gate.evidence} <= files()[str(gate.role)], gate.name
    written = {file for names in files().values() for file in names}
    for path in (PACKAGE / "judge").rglob("*.py"):
        for name in re.findall(r"""["'](\d\d-[\w.-]+|slurm-smoke)["']""", path.read_text(encoding="utf-8")):
            assert name in written or any(file.startswith(f"{name}/") for file in written), (path.name, name)


def test_every_hint_is_given_by_a_check_and_has_a_sentence() -> None:
    common = {*COMMON_HINTS, *REMEDIES}
    for name, known in registered().items():
        module = Path(known.function.__code__.co_filename)
        elsewhere = strings_in(PACKAGE / "judge" / "checks" / "case.py") | strings_in(
            PACKAGE / "judge" / "parsers" / "git.py"
        )
        assert known.hints <= strings_in(module) | elsewhere, (name, "no check gives it")
        entries = [check for check in POLICY.checks() if check.check == name]
        assert known.hints <= {hint for entry in entries for hint in entry.unblock}, (name, "no sentence for it")
        declared = {hint for other in registered().values() for hint in other.hints} | common
        for call in (call for call in calls() if call.module == module):
            place = {"Unproven": 3, "Finding": 4, "succeeded": 0}.get(call.name, 99)
            arguments = [*call.node.args[place : place + 1], keyword(call, "hint"), keyword(call, "timeout_hint")]
            assert {text for node in arguments for text in values(node, call.inside)} <= declared, ast.unparse(
                call.node
            )


@cache
def strings_in(module: Path) -> set[str]:
    """Every string in a module outside its decorators."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.decorator_list = []
    return {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def test_every_placeholder_has_a_value_and_a_sentence(tmp_path: Path) -> None:
    made = set(by_hand.words(load_bundle(bundles.closed_bundle(tmp_path))))
    assert made | {"commit", "host", "inventory"} == by_hand.WORDS
    used: dict[str, set[str]] = {}
    for check in POLICY.checks():
        for sentence in check.unblock.values():
            words = {word for _, word, _, _ in string.Formatter().parse(sentence) if word}
            used.setdefault(check.check, set()).update(words)
    others = {"host"}  # of any gate; the shipped checklist names its two hosts
    assert set().union(*used.values()) | others >= by_hand.WORDS, "no sentence names it"
    for name, known in registered().items():
        assert known.placeholders <= used.get(name, set()), (name, "declared, and no sentence names it")


def test_every_limit_is_read() -> None:
    """By the check itself, or where a baseline is recorded; reading an undeclared limit is a mistake as well."""
    read = {
        text
        for call in calls()
        if call.name == "limit"
        or (call.name == "get" and call.receiver == "limits" and call.module.parent.name == "run")
        for text in values(call.node.args[0], call.inside)
    }
    assert read == {re.escape(limit.name) for known in registered().values() for limit in known.limits}


def test_every_setting_that_is_read_can_be_set() -> None:
    known = {*VARIABLES, *OF_THE_RUN, *(name for role in roles().values() for name in role.public)}
    read = {
        re.sub(r"\\(.)", r"\1", text)
        for call in calls()
        if call.name == "get" and call.receiver.endswith("settings") and call.module.is_relative_to(PACKAGE / "judge")
        for text in values(call.node.args[0], call.inside)
    }
    assert {name for name in read if not matched(name, known)} == set()


def test_every_variable_of_a_gate_is_used_by_its_role() -> None:
    """Or by a check: what no command is made of, and no check asks for, changes nothing."""
    judged = "\n".join(path.read_text(encoding="utf-8") for path in (PACKAGE / "judge").rglob("*.py"))
    for name in roles():
        texts = [
            path.read_text(encoding="utf-8") for part in ("vars", "tasks") for path in (ROLES / name / part).glob("*")
        ]
        for variable in yaml.safe_load((ROLES / name / "defaults" / "main.yml").read_text(encoding="utf-8")):
            assert any(variable in text for text in texts) or variable in judged, variable


def test_the_target_knows_what_the_controller_writes_by_the_same_names(tmp_path: Path) -> None:
    assert own.RUN_MARKS == (INDEX_FILE, POLICY_FILE)
    assert (own.LOCK, own.DRAFT, own.FLEET) == (LOCK_FILE, UNFINISHED, FLEET_FILE)
    for run_id in ("20261124T002930Z", "r1"):  # promotion_run_id may be any name
        for times in ((1, 2, 3), (4, 5, 6)):
            written = write_baseline(tmp_path, bundles.known_good(times, run_id))
            assert own.BASELINE.fullmatch(written.name), written.name
