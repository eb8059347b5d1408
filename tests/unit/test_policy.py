"""A mistake in a policy is one sentence: file, line, column, and the nearest known name; before anything is run."""

from __future__ import annotations

import copy
import io
import json
import re
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import bundles
import pytest
import yaml

from promotion_gate.__main__ import main
from promotion_gate.base.errors import BundleError, InputError
from promotion_gate.base.files import sha256, to_json
from promotion_gate.base.policy import Policy
from promotion_gate.base.yaml_lines import read_yaml
from promotion_gate.bundle.load import load_bundle
from promotion_gate.judge.checks import generic
from promotion_gate.judge.checks.case import COMMON_HINTS
from promotion_gate.judge.checks.registry import registered
from promotion_gate.judge.lint import notes
from promotion_gate.judge.shipped import differences, examine_policy, read_policy
from promotion_gate.prove.verify import verify_bundle

PROJECT = Path(__file__).parents[2]
SHIPPED = (PROJECT / "policies" / "aiida.yml").read_text(encoding="utf-8")
DATA = yaml.safe_load(SHIPPED)
Change = Callable[[dict[str, Any]], object]


def load(text: str) -> Policy:
    return read_policy(text, "mine.yml")


def refused(text: str) -> str:
    with pytest.raises(InputError) as caught:
        load(text)
    return str(caught.value)


def line_of(text: str, needle: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if needle in line)


def edited(change: Change) -> str:
    data = copy.deepcopy(DATA)
    change(data)
    return yaml.safe_dump(data, sort_keys=False)


def entry_of(data: dict[str, Any], check_id: str) -> dict[str, Any]:
    found: dict[str, Any] = next(c for gate in data["gates"] for c in gate["checks"] if c["id"] == check_id)
    return found


def test_the_shipped_policy_has_the_five_gates_and_waives_nothing() -> None:
    policy = load(SHIPPED)
    assert tuple(gate.name for gate in policy.gates) == bundles.GATES
    assert not [check.id for check in policy.checks() if check.waivable]


def test_the_shipped_policy_uses_every_registered_check() -> None:
    """Those of its tools; the kinds that need no Python are for other checklists (test_generic_checks.py)."""
    own = {name for name, kind in registered().items() if kind.function.__module__ != generic.__name__}
    assert {check.check for check in load(SHIPPED).checks()} == own


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param(
            "    summary: 01-pre", "    sumary: 01-pre", 'unknown key "sumary"; did you mean "summary"?', id="gate-key"
        ),
        pytest.param(
            "        check: prepare",
            "        chek: prepare",
            'unknown key "chek"; did you mean "check"?',
            id="check-key",
        ),
        pytest.param(
            "supported_versions: {}", "suported_versions: {}", 'did you mean "supported_versions"?', id="top-key"
        ),
        pytest.param(
            "check: worktree", "check: worktre", 'there is no check "worktre"; did you mean "worktree"?', id="check"
        ),
        pytest.param(
            "subject: aiida_vm", "subject: aiida_wm", 'no gate has the hosts "aiida_wm"; did you mean', id="subject"
        ),
        pytest.param(
            "identity: [machine, checkout]", "identity: [machine, chekout]", 'no part "chekout"; did you', id="part"
        ),
        pytest.param(
            "          hangs: The daemon",
            "          hang: The daemon",
            'no hint "hang"; did you mean "hangs"?',
            id="hint",
        ),
        pytest.param(
            "{workspace_dir} on {workspace}; its",
            "{workspace_dri} on {workspace}; its",
            'unblock names "workspace_dri", which is not known; did you mean "workspace_dir"?',
            id="placeholder",
        ),
        pytest.param(
            "supported_versions: {}",
            'supported_versions: {slurn: ">=24"}',
            'no component "slurn"; did you mean "slurm"?',
            id="component",
        ),
        pytest.param(
            "id: preflight.branch",
            "id: preflight.worktree",
            'duplicate check id "preflight.worktree"',
            id="id-twice",
        ),
    ],
)
def test_a_misspelt_name_is_named_with_its_line_and_the_nearest(old: str, new: str, message: str) -> None:
    assert old in SHIPPED
    text = SHIPPED.replace(old, new, 1)
    sentence = refused(text)
    assert message in sentence
    changed = next(
        n for n, (was, now) in enumerate(zip(SHIPPED.splitlines(), text.splitlines(), strict=True), 1) if was != now
    )
    assert re.match(rf"mine\.yml, line {changed}, column \d+: ", sentence)


BAD_BOUNDS = [">=2.7 or so", "2.9", "", ",", ">=2.7,", "=>2.7", ">=2.x", "> =2", ">=2.7 <2.10", ">=", ">=-1"]


@pytest.mark.parametrize("bounds", BAD_BOUNDS)
def test_bounds_that_are_not_understood_are_refused_by_component(bounds: str) -> None:
    """A bound that is not understood would be a bound that every version meets."""
    text = SHIPPED.replace("supported_versions: {}", f'supported_versions: {{aiida-core: "{bounds}"}}')
    sentence = refused(text)
    assert f'supported_versions bounds aiida-core by "{bounds}"; write bounds joined by commas' in sentence
    assert sentence.startswith(f"mine.yml, line {line_of(text, 'supported_versions')}, column ")


@pytest.mark.parametrize("value", ["3.10", "2", "null", "[]", "true"])
def test_a_bound_that_is_not_a_string_is_refused(value: str) -> None:
    assert "supported_versions bounds python by" in refused(
        SHIPPED.replace("supported_versions: {}", f"supported_versions: {{python: {value}}}")
    )


def test_a_duplicate_key_is_named_with_its_own_line() -> None:
    text = SHIPPED.replace("name: aiida\n", "name: aiida\nname: other\n", 1)
    assert refused(text) == f'mine.yml, line {line_of(text, "name: other")}, column 1: duplicate key "name".'


def test_text_that_is_no_yaml_is_named_with_its_line() -> None:
    sentence = refused("schema: 2\nname: [\n")
    assert sentence.startswith("mine.yml, line ") and "not valid YAML" in sentence


@pytest.mark.parametrize(
    "text",
    ["", "- a\n", "42\n", "[" * 5000, "schema: 2\n", "schema: 2\ngates: []\n", "schema: '1'\n", "a: !!python/none\n"],
    ids=["empty", "list", "number", "deep", "no-gates", "empty-gates", "schema-text", "unknown-tag"],
)
def test_what_is_not_a_policy_is_one_sentence_with_the_file(text: str) -> None:
    sentence = refused(text)
    assert "mine.yml" in sentence and "\n" not in sentence.strip().splitlines()[0]


def test_a_control_character_is_one_sentence_with_the_file() -> None:
    assert "mine.yml" in refused("schema: 2\0")


def only(*names: str, called: str = "mine") -> str:
    """The shipped checklist with these gates alone, under another name; what they need of the others is left out."""
    data = copy.deepcopy(DATA)
    data["name"] = called
    data["gates"] = [gate for gate in data["gates"] if gate["name"] in names]
    data["subject"] = data["gates"][-1]["hosts"]
    ids = {check["id"] for gate in data["gates"] for check in gate["checks"]}
    for check in (check for gate in data["gates"] for check in gate["checks"]):
        check["needs"] = [needed for needed in check.get("needs", ()) if needed in ids]
    return yaml.safe_dump(data, sort_keys=False)


@pytest.mark.parametrize("gate", bundles.GATES)
def test_a_policy_of_the_specs_name_holds_each_of_its_gates(gate: str) -> None:
    others = [name for name in bundles.GATES if name != gate]
    assert f"the gate {gate} is missing; a checklist named aiida holds all of the spec" in refused(
        only(*others, called="aiida")
    )
    assert [found.name for found in load(only(*others)).gates] == others


@pytest.mark.stranger("18.1", "a checklist with one gate: `gates must be the five of the spec`")
@pytest.mark.parametrize("gate", bundles.GATES)
def test_a_checklist_may_have_one_gate(gate: str) -> None:
    assert [found.name for found in load(only(gate)).gates] == [gate]


def test_gates_are_in_the_order_of_their_ids() -> None:
    data = copy.deepcopy(DATA)
    data["gates"].reverse()
    assert "gates must be in the order of their ids: 4 is after 5." in refused(yaml.safe_dump(data))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("checks", [], "has no checks; it could never pass"),
        ("evidence", [], "requires no evidence; nothing would prove it"),
        ("checks", "none", "checks must be a list"),
        ("id", "1", "id must be a whole number"),
        ("id", True, "id must be a whole number"),
        ("title", None, "title is missing"),
        ("evidence", [1], "evidence must hold strings only"),
    ],
)
def test_a_gate_with_a_bad_field_is_refused(field: str, value: object, message: str) -> None:
    data = copy.deepcopy(DATA)
    data["gates"][0][field] = value
    assert message in refused(yaml.safe_dump(data))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("unblock", "run {", "has a stray brace"),
        ("unblock", "run }", "has a stray brace"),
        ("unblock", "run {vm:>300000000}", 'has the format "vm:>300000000"; write {vm} alone.'),
        ("unblock", "run {vm!r}", 'has the format "vm!r"; write {vm} alone.'),
        ("unblock", {"default": "look", "hangs": "at {vm:{repo}}"}, 'has the format "vm:{repo}"'),
        ("unblock", "", "unblock needs a sentence"),
        ("unblock", {"hangs": "wait"}, "unblock needs a sentence"),
        ("unblock", {"default": "look", "hangs": 3}, "unblock must hold strings only"),
        ("unblock", None, "unblock is missing"),
        ("limits", [1], "limits must be a mapping"),
        ("waivable", "yes", "waivable must be true or false"),
        ("check", None, "check is missing"),
    ],
)
def test_a_check_with_a_bad_field_is_refused(field: str, value: object, message: str) -> None:
    data = copy.deepcopy(DATA)
    data["gates"][0]["checks"][0][field] = value
    sentence = refused(yaml.safe_dump(data))
    assert message in sentence or (value is None and "unblock" in sentence)


@pytest.mark.parametrize("gate", bundles.GATES)
def test_gates_3_and_4_are_never_waivable(gate: str) -> None:
    data = copy.deepcopy(DATA)
    entry = next(entry for entry in data["gates"] if entry["name"] == gate)
    entry["checks"][0]["waivable"] = True
    text = yaml.safe_dump(data)
    if gate in ("vm_bootstrap", "slurm_smoke"):
        assert f'"{entry["checks"][0]["id"]}" cannot be waivable' in refused(text)
    else:
        assert load(text).gate(gate).checks[0].waivable


# --- the loader ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x 1", "line 1, column 4: anchors and aliases"),
        ("a: *x", "line 1, column 4: anchors and aliases"),
        ("a: !!python/object/apply:os.system [id]", "line 1, column 4: tags are not allowed"),
        ("a: 1\nb: {c: 1, c: 2}", 'line 2, column 11: duplicate key "c"'),
        ("a: 1\n? [b]\n: c", "line 2, column 3: a key must be a string"),
        ("a: 1\0", "line 1, column 5: not valid YAML (a control character)"),
        ("a: 2026-13-01", 'line 1, column 4: "2026-13-01" cannot be read'),
        ("a: " + "9" * 5000, "line 1, column 4: "),
        ('a: "\\ud800"', "line 1, column 4: "),
        ("a: 1\n---\nb: 2", "line 2, column 1: not valid YAML"),
        ("a: " + "x" * 300_000, "too large (300003 characters, the limit is 262144)"),
        ("a: " + "[" * 5000, "line 1, column 68: nested too deeply"),
        ("a: " + "{b: " * 5000, "line 1, column 260: nested too deeply"),
        ("- " * 5000, "nested too deeply"),
    ],
)
def test_what_the_yaml_loader_refuses_is_named_with_line_and_column(text: str, message: str) -> None:
    assert message in refused(text)


@pytest.mark.stranger("14.6", "a schema 1 checklist as promotion_policy")
def test_a_checklist_of_schema_1_is_told_what_changed() -> None:
    sentence = refused(SHIPPED.replace("schema: 2", "schema: 1"))
    assert (
        "is a checklist of schema 1, which this version no longer reads. Copy policies/aiida.yml (schema 2)" in sentence
    )


# --- limits -------------------------------------------------------------------------------------------------------


def limit(check_id: str, name: str, value: object) -> Change:
    def change(data: dict[str, Any]) -> None:
        entry_of(data, check_id).setdefault("limits", {})[name] = value

    return change


def renamed(check_id: str, name: str, other: str) -> Change:
    def change(data: dict[str, Any]) -> None:
        limits = entry_of(data, check_id)["limits"]
        limits[other] = limits.pop(name)

    return change


BAD_LIMITS = [
    (renamed("sqlite_smoke.p95", "max_regression_percent", "max_regresion_percent"), 'mean "max_regression_percent"?'),
    (renamed("vm_bootstrap.workers", "min_workers", "min_worker"), 'did you mean "min_workers"?'),
    (limit("slurm_smoke.node", "allow_power_saving", "false"), 'must be true or false, not the string "false"'),
    (limit("slurm_smoke.node", "allow_power_saving", 0), "must be true or false, not the number 0"),
    (limit("sqlite_smoke.runs", "required_runs", 0), "must be a whole number from 1 to 3, not the number 0"),
    (limit("sqlite_smoke.runs", "required_runs", 4), "must be a whole number from 1 to 3, not the number 4"),
    (limit("sqlite_smoke.runs", "required_runs", True), "must be a whole number from 1 to 3, not true or false"),
    (limit("vm_bootstrap.workers", "min_workers", 0.9), "must be a whole number from 1 to 1000, not the number 0.9"),
    (limit("slurm_smoke.node", "min_schedulable_nodes", 0), "from 1 to 100000, not the number 0"),
    (limit("contracts.relay", "min_passed", 0), "must be a whole number from 1"),
    (limit("contracts.relay", "min_passed", "abc"), 'not the string "abc"'),
    (limit("sqlite_smoke.p95", "max_regression_percent", 10**9), "must be a whole number from 0 to 500 percent"),
    (limit("sqlite_smoke.p95", "max_regression_percent", -1), "must be a whole number from 0 to 500 percent"),
    (limit("sqlite_smoke.p95", "max_regression_percent", 25.9), "not the number 25.9"),
    (limit("sqlite_smoke.p95", "max_regression_percent", float("nan")), "not the number nan"),
    (limit("sqlite_smoke.p95", "max_regression_percent", float("inf")), "not the number inf"),
    (limit("sqlite_smoke.p95", "max_regression_percent", None), "not nothing"),
    (limit("sqlite_smoke.runs", "failure_patterns", []), "is empty, which would switch the check off"),
    (limit("sqlite_smoke.runs", "failure_patterns", "x"), "must be a list of regular expressions"),
    (limit("sqlite_smoke.runs", "failure_patterns", ["("]), "which cannot be used: missing ): ("),
    (limit("sqlite_smoke.runs", "failure_patterns", ["a", "a"]), "lists an entry twice"),
    (limit("sqlite_smoke.runs", "failure_patterns", ["(?=a)b"]), "which cannot be used"),
    (limit("sqlite_smoke.runs", "failure_patterns", [".*"]), "it matches the empty string"),
    (limit("sqlite_smoke.runs", "failure_patterns", [7]), "must be a list of regular expressions"),
    (limit("preflight.inputs", "files", []), "is empty, which would switch the check off"),
    (limit("preflight.inputs", "files", ["../x"]), "must be a list of relative paths inside the checkout"),
    (limit("preflight.node", "tool", "uv"), "preflight.node: tool is uv, its id says node"),
    (limit("preflight.node", "tool", "nod"), 'did you mean "node"?'),
    (limit("vm_bootstrap.broker", "service", "storage"), "service is storage, its id says broker"),
    (limit("vm_bootstrap.status_profile", "service", "daemon"), "judges the same as vm_bootstrap.status_profile"),
    (limit("contracts.ownership", "map", "/etc/passwd"), "must be a relative path inside the checkout"),
    (limit("contracts.ownership", "map", 3), "must be a relative path inside the checkout"),
    (limit("preflight.prepare", "max_runs", 3), 'prepare has no limit "max_runs" (it has none)'),
]  # fmt: skip


@pytest.mark.stranger(
    "14.6", "a limit of a checklist that is misspelt, ill-typed, out of range, or switches its check off"
)
@pytest.mark.parametrize(("change", "message"), BAD_LIMITS)
def test_a_limit_that_a_check_does_not_accept_is_an_input_error(change: Change, message: str) -> None:
    sentence = refused(edited(change))
    assert message in sentence and re.match(r"mine\.yml, line \d+, column \d+: ", sentence)


@pytest.mark.parametrize("value", [None, [], {}, -(10**19), 10**19, float("nan"), [[]], [None], {"a": 1}], ids=repr)
def test_no_limit_takes_a_value_of_another_kind(value: object) -> None:
    for known in registered().values():
        for declared in known.limits:
            any_number = declared.kind == "value" and isinstance(value, int)
            assert declared.problem(value) or any_number, (known.name, declared.name)


@pytest.mark.parametrize(
    "check_id",
    [check.id for check in load(SHIPPED).checks() if any(limit.required for limit in registered()[check.check].limits)],
)
def test_no_limit_has_a_default(check_id: str) -> None:
    sentence = refused(edited(lambda data: entry_of(data, check_id).pop("limits")))
    assert f"{check_id}: the limit " in sentence and " is missing (" in sentence


@pytest.mark.stranger("14.7", "an unblock hint that no check gives")
def test_a_hint_that_the_check_does_not_give_is_refused() -> None:
    text = edited(lambda data: entry_of(data, "preflight.node").update(unblock={"default": "look", "hangs": "wait"}))
    assert 'tool gives no hint "hangs" (known: default).' in refused(text)


def test_every_hint_that_a_check_gives_is_declared() -> None:
    """The words that the code hands over as a hint, against what the decorators declare."""
    declared = {hint for known in registered().values() for hint in known.hints} | COMMON_HINTS
    used = {hint for check in load(SHIPPED).checks() for hint in check.unblock}
    assert used <= declared


# --- names, needs -------------------------------------------------------------------------------------------------


@pytest.mark.stranger(
    "14.6", "a name in a checklist that is not a plain file name, one of the gate's own, or used twice"
)
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("summary", "../x.md", "is not a plain file name"),
        ("summary", "/x.md", "is not a plain file name"),
        ("summary", "sub/x.md", "is not a plain file name"),
        ("summary", "promotion-decision.md", "is a name that the gate itself uses"),
        ("summary", "Promotion-Decision.md", "is a name that the gate itself uses"),
        ("summary", "02-sqlite-smoke-summary.md", "is used twice"),
        ("summary", "01-preflight-summary.txt", "must end in .md"),
        ("summary", "x" * 200 + ".md", "is longer than 120 characters"),
        ("notes", "index.json", "is a name that the gate itself uses"),
        ("notes", "01-preflight-summary.md", "is used twice"),
        ("evidence", ["policy-shipped.yml"], "is a name that the gate itself uses"),
        ("evidence", ["attempts/"], "is a name that the gate itself uses"),
        ("evidence", ["SHA256SUMS"], "is a name that the gate itself uses"),
        ("evidence", ["report.html"], "is a name that the gate itself uses"),
        ("evidence", ["01-preflight.log", "01-preflight.log"], "is used twice"),
        ("evidence", ["02-sqlite-smoke-run1.log"], "is used twice"),
        ("evidence", ["a\nb"], "is not a plain file name"),
        ("evidence", ["01-x.md"], "must not end in .md"),
        ("evidence", [""], "is not a plain file name"),
        ("evidence", ["."], "is not a plain file name"),
    ],
)  # fmt: skip
def test_every_name_in_a_checklist_obeys_one_rule(key: str, value: object, message: str) -> None:
    sentence = refused(edited(lambda data: data["gates"][0].update({key: value})))
    assert message in sentence and re.match(r"mine\.yml, line \d+, column \d+: ", sentence)


@pytest.mark.parametrize(
    ("needs", "message"),
    [
        (["preflight.nod"], 'preflight.uv needs "preflight.nod", which is not a check; did you mean "preflight.node"?'),
        (["preflight.uv"], "needs form a cycle: preflight.uv > preflight.uv."),
        (["preflight.node"], "needs form a cycle: preflight.node > preflight.uv > preflight.node."),
        ("preflight.node", "needs must be a list"),
    ],
)
def test_needs_name_checks_without_a_cycle(needs: object, message: str) -> None:
    def change(data: dict[str, Any]) -> None:
        entry_of(data, "preflight.node")["needs"] = ["preflight.uv"] if needs == ["preflight.node"] else []
        entry_of(data, "preflight.uv")["needs"] = needs

    assert message in refused(edited(change))


def test_a_check_may_need_the_built_in_ones() -> None:
    text = edited(lambda data: entry_of(data, "preflight.uv").update(needs=["preflight.host", "preflight.evidence"]))
    assert load(text)


# --- policy lint --------------------------------------------------------------------------------------------------


def test_lint_says_all_mistakes_at_once_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = SHIPPED.replace("limits: {tool: corepack}", "limts: {tool: corepack}").replace("alone: true", "alone: 1")
    path = tmp_path / "mine.yml"
    path.write_text(text, encoding="utf-8")
    assert main(["policy", "lint", str(path)]) == 2
    message = capsys.readouterr().err.splitlines()
    assert [line.partition("column")[0] for line in message] == [
        f"{path}, line {line_of(text, 'limts:')}, ",
        f"{path}, line {line_of(text, 'alone: 1')}, ",
    ]
    limits = SHIPPED.replace("min_workers: 1", "min_workers: 0").replace("min_passed: 1", "min_pased: 1")
    path.write_text(limits, encoding="utf-8")
    assert main(["policy", "lint", str(path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def lint(folder: Path, text: str, *options: str) -> tuple[int, list[str], Path]:
    """The exit status and the lines of `policy lint`, mistakes and notes alike, and the file."""
    path = folder / "mine.yml"
    path.write_text(text, encoding="utf-8")
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main(["policy", "lint", str(path), *options])
    return status, [*err.getvalue().splitlines(), *out.getvalue().splitlines()], path


def test_lint_goes_on_behind_every_mistake(tmp_path: Path) -> None:
    """One of each stage: keys, values, rules, limits, sentences, the spec, commands of a role."""
    text = SHIPPED
    wrong = {
        "title: Environment and tool preflight": "titel: Environment and tool preflight",
        "limits: {tool: corepack}": "limts: {tool: corepak}",
        "title: pnpm is there and answers": "title: 3",
        "alone: true": "alone: 1",
        "needs: [sqlite_smoke.runs]": "needs: [sqlite_smoke.rans]",
        "min_workers: 1": "min_workers: 0",
        "min_passed: 1": "min_pased: 1",
        "`uv --version` exits 0. If": "`uv --version` {exits 0. If",
        "Install Node.js on {workspace}": "Install Node.js on {workspce}",
        "          ping: scontrol ping": "          pingg: scontrol ping",
        "evidence: [01-preflight.log]": "evidence: [01-preflight.lg]",
        "    summary: 03-": "    alone: false\n    alone: false\n    summary: 03-",
    }
    twice = wrong.popitem()
    assert text.count(twice[0]) == 1
    text = text.replace(*twice)
    for old, new in wrong.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    status, message, path = lint(tmp_path, text)
    assert status == 2
    for new in wrong.values():
        assert any(line.startswith(f"{path}, line {line_of(text, new)}, column ") for line in message), new
    assert sum('duplicate key "alone"' in line for line in message) == 1
    assert any("the evidence 01-preflight.log of preflight is missing" in line for line in message), "the spec's"
    places = [int(line.partition(", line ")[2].partition(",")[0]) for line in message[:-1]]
    assert places == sorted(places), "in the order of the file"
    assert message[-1] == f"{path}: {len(places)} mistakes; a run refuses it."
    for nearest in ("title", "limits", "sqlite_smoke.runs", "min_passed", "workspace", "ping", "corepack"):
        assert sum(f'did you mean "{nearest}"?' in line for line in message) == 1, nearest
    with pytest.raises(InputError) as caught:  # a run says the same
        read_policy(text, str(path))
    assert str(caught.value).splitlines() == [line for line in message[:-1] if "has no command" not in line]


@pytest.mark.parametrize(
    "text",
    [
        "schema: 2\n" + "".join(f"titl{number}: x\n" for number in range(15_000)),
        "schema: 2\n" + "title: x\n" * 25_000,
        "schema: 2\nname: x\ntitle: x\ngates:\n" + "- {}\n" * 40_000,
    ],
    ids=["unknown", "twice", "empty"],
)
def test_a_file_of_nothing_but_mistakes_is_told_the_first(tmp_path: Path, text: str) -> None:
    status, message, path = lint(tmp_path, text)
    assert status == 2 and len(message) == 101 and message[-1] == f"{path} has more mistakes; these are the first 100."


def test_lint_says_nothing_of_what_follows_from_a_mistake(tmp_path: Path) -> None:
    for old, new in (
        ("id: 2\n", "id: x\n"),
        ("  - id: 3\n    name: vm_bootstrap\n", "  - id: 3\n"),
        ("gates:\n", "gats:\n"),
    ):
        assert SHIPPED.count(old) == 1
        status, message, _ = lint(tmp_path, SHIPPED.replace(old, new))
        assert status == 2 and len(message) == 2, message


OWN_COMMANDS = """
    commands:
      - {id: free, file: 06-free.log, run: "df -P /scratch || true"}
      - {id: slow, file: 06-slow.log, run: [sleep, "1"], limit_seconds: 30}
      - {id: nobody, file: 06-nobody.log, run: [date]}
      - {id: piped, file: 06-piped.log, run: "burn-in | tee log"}
      - {id: fine, file: 06-fine.log, run: "burn-in && echo done"}
      - {id: plain, file: 06-plain.log, run: "cd /x; cat marker"}
    checks:
      - {id: own.piped, check: command_succeeds, title: t, limits: {command: piped}, unblock: u}
      - {id: own.fine, check: command_succeeds, title: t, limits: {command: fine}, unblock: u}
      - {id: own.plain, check: command_succeeds, title: t, limits: {command: plain}, unblock: u}
      - {id: own.free, check: command_succeeds, title: t, limits: {command: free}, unblock: u}
      - {id: own.slow, check: duration_within, title: t, limits: {command: slow, max_seconds: 30}, unblock: u}
      - {id: own.count, check: number_within, title: t, limits: {command: free, pattern: '(\\d+)%', min: 0}, unblock: u}
      - {id: own.json, check: json_value, title: t, limits: {command: slow, json: '`1`', equals: 1}, unblock: u}
      - {id: own.real, check: output_matches, title: t, limits: {command: free, pattern: scratch}, unblock: u}
"""


def test_lint_notes_what_can_never_fail_and_what_nobody_reads() -> None:
    """Read without the rules of the spec's five gates: what an author is told about gates of commands."""
    gate = yaml.safe_load(OWN_COMMANDS)
    text = edited(lambda data: data["gates"][4].update(gate, role=None, evidence=["06-free.log"]))
    examined, _ = examine_policy(text, "mine.yml")
    message = [
        note.sentence for note in notes(examined.policy) if "own." in note.sentence or "contracts" in note.sentence
    ]
    assert message == [
        "own.piped can never fail: `burn-in | tee log` exits 0 whatever happens.",
        "own.free can never fail: `df -P /scratch || true` exits 0 whatever happens.",
        "own.slow can never fail: slow is killed after 30 s (limit_seconds), before it is too slow.",
        "own.count can never fail: what it counts is never below 0.",
        "own.json can never fail: its expression reads nothing of the output.",
        "nothing judges the command nobody of contracts: 06-nobody.log is unread.",
    ]


@pytest.mark.parametrize("number", ["010", "1:30", "0x10", "-007"])
def test_a_number_that_is_not_decimal_is_refused(number: str) -> None:
    with pytest.raises(InputError, match=r"mine\.yml, line 2, column 8: .* is not decimal"):
        read_yaml(f"min: 1\nlimit: {number}\n", "mine.yml")


def test_lint_reads_the_waivers_of_a_file_of_variables(tmp_path: Path) -> None:
    policy = edited(lambda data: entry_of(data, "preflight.branch").update(waivable=True))
    vars_file = tmp_path / "all.yml"
    good = {"check": "preflight.branch", "owner": "ann", "ticket": "X-1", "reason": "r", "expires": "2999-12-31"}
    cases: list[tuple[dict[str, str], int, str]] = [
        (good, 0, ""),
        ({**good, "expires": "2020-01-31"}, 0, "the waiver of preflight.branch expired on 2020-01-31"),
        ({**good, "expires": ""}, 2, "waiver 1: expires must be set"),
        ({**good, "check": "preflight.brunch"}, 2, 'no check is named "preflight.brunch"; did you mean'),
        ({**good, "check": "preflight.uv"}, 2, "the policy does not let preflight.uv be waived"),
    ]
    for waiver, expected, sentence in cases:
        vars_file.write_text(yaml.safe_dump({"promotion_waivers": [waiver]}), encoding="utf-8")
        status, message, _ = lint(tmp_path, policy, "--waivers", str(vars_file))
        found = [line for line in message if f"{vars_file}, line 2, column 3: " in line]
        assert (status, len(found)) == (expected, bool(sentence)), message
        assert all(sentence in line for line in found)
    vars_file.write_text("workspace_dir: /srv\n", encoding="utf-8")
    status, message, _ = lint(tmp_path, policy, "--waivers", str(vars_file))
    assert status == 2 and "there is no list promotion_waivers" in message[0]


@pytest.mark.parametrize("content", [b"\xff", b"", b"a: 1", b"schema: 2", b"x" * 2_000_000])
def test_lint_of_what_is_not_a_checklist_ends_with_2(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yml"
    path.write_bytes(content)
    assert main(["policy", "lint", str(path)]) == 2
    assert main(["policy", "lint", str(tmp_path / "nowhere.yml")]) == 2
    assert main(["policy", "lint", str(tmp_path)]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_lint_of_the_shipped_checklist_names_what_is_judged_only_where_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["policy", "lint", str(PROJECT / "policies" / "aiida.yml")]) == 0
    out = capsys.readouterr().out
    assert "aiida, 5 gates, 39 checks: no mistake found." in out
    assert "preflight.prepare is not judged where an operator switches it off." in out


@pytest.mark.stranger("14.4", "an id in ran: that no command has: nothing was compared")
@pytest.mark.parametrize("wrong", ["pingg", "run", "identity_of"])
def test_an_id_in_ran_that_no_command_has_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    text = SHIPPED.replace("          ping: scontrol ping", f"          {wrong}: scontrol ping")
    path = tmp_path / "mine.yml"
    path.write_text(text, encoding="utf-8")
    assert main(["policy", "lint", str(path)]) == 2
    hint = '; did you mean "ping"?' if wrong == "pingg" else " (known: calculation, computer_show, "
    place = f"{path}, line {line_of(text, f'{wrong}: scontrol')}, column 11"
    message = f'{place}: ran: the role gate_slurm_smoke has no command "{wrong}"{hint}'
    assert capsys.readouterr().err.startswith(message)
    with pytest.raises(InputError, match="has no command"):
        bundles.opened({**bundles.request(tmp_path / "root"), "directory": str(_with_policy(tmp_path, text))})


def _with_policy(folder: Path, text: str) -> Path:
    """A folder like this repository with that checklist."""
    (folder / "policies").mkdir()
    (folder / "policies" / "aiida.yml").write_text(text, encoding="utf-8")
    (folder / "roles").symlink_to(PROJECT / "roles")
    return folder


def test_lint_says_where_it_did_not_find_a_role(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = SHIPPED.replace("name: aiida\n", "name: mine\n").replace(
        "role: gate_contracts", "role: ours.gates.contracts"
    )
    path = tmp_path / "mine.yml"
    path.write_text(text, encoding="utf-8")
    assert main(["policy", "lint", str(path)]) == 0
    assert "the role ours.gates.contracts is not here" in capsys.readouterr().out


@pytest.mark.stranger("14.7", "a gate whose only check passes when nothing is configured")
def test_a_gate_that_could_never_fail_is_refused() -> None:
    def change(data: dict[str, Any]) -> None:
        data["gates"][0]["checks"] = [entry_of(data, "preflight.prepare")]
        for gate in data["gates"]:
            for entry in gate["checks"]:
                entry.pop("needs", None)

    assert 'the gate "preflight" could never fail: what it checks (preflight.prepare)' in refused(edited(change))


# --- against the shipped one --------------------------------------------------------------------------------------


SPEC = [check.id for check in load(SHIPPED).checks() if check.spec]


def test_the_shipped_checklist_marks_what_the_spec_asks_for() -> None:
    free = {check.id for check in load(SHIPPED).checks() if not check.spec}
    ours = {"preflight.prepare", "vm_bootstrap.config_dir", "slurm_smoke.job", "slurm_smoke.calculation"}
    assert free == ours | {f"{gate}.tracked" for gate in bundles.healthy_trips()}


def without_needs(data: dict[str, Any]) -> None:
    for gate in data["gates"]:
        for entry in gate["checks"]:
            entry.pop("needs", None)


def without_check(check_id: str) -> Change:
    def change(data: dict[str, Any]) -> None:
        for gate in data["gates"]:
            gate["checks"] = [entry for entry in gate["checks"] if entry["id"] != check_id]
        without_needs(data)

    return change


@pytest.mark.stranger("14.7", "slurm_smoke.controller dropped from a checklist that is called aiida")
@pytest.mark.parametrize("check_id", SPEC)
def test_a_checklist_of_the_shipped_name_holds_every_check_of_the_spec(check_id: str) -> None:
    text = edited(without_check(check_id))
    assert f"the check {check_id} of {check_id.partition('.')[0]} is missing; a checklist named aiida" in refused(text)


def test_a_checklist_of_another_name_may_drop_one() -> None:
    assert load(edited(without_check("slurm_smoke.controller")).replace("name: aiida", "name: mine", 1))


def only_of_gate_1(*ids: str) -> Change:
    def change(data: dict[str, Any]) -> None:
        data["gates"][0]["checks"] = [entry for entry in data["gates"][0]["checks"] if entry["id"] in ids]

    return change


@pytest.mark.stranger(
    "14.7", "a checklist called aiida without the spec's evidence, with another role, or emptied gates"
)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data["gates"][3].update(evidence=["04-slurm-smoke.log"]), "the evidence slurm-smoke/ of slurm"),
        (lambda data: data["gates"][0].update(role="gate_nothing"), "role of preflight must be gate_preflight"),
        (lambda data: data["gates"][2].update(hosts="workspace"), "hosts of vm_bootstrap must be aiida_vm"),
        (lambda data: entry_of(data, "preflight.uv").update(check="controller", limits={}), "must be the check tool"),
        (only_of_gate_1("preflight.prepare", "preflight.uv"), "the check preflight.corepack of preflight is missing"),
    ],
    ids=["evidence", "role", "hosts", "another-check", "emptied"],
)
def test_a_checklist_of_the_shipped_name_is_not_emptied(change: Change, message: str) -> None:
    def both(data: dict[str, Any]) -> None:
        change(data)
        without_needs(data)

    assert message in refused(edited(both))


def kinds(change: Change) -> list[tuple[str, str, str, str]]:
    found = differences(load(edited(change)), load(SHIPPED))
    return [(item.kind, item.what, item.shipped, item.policy) for item in found]


P95 = "sqlite_smoke.p95 max_regression_percent"
DOCUMENT = "docs/process/aiida-vm-bootstrap.md"
DIFFERENCES: list[tuple[Change, list[tuple[str, str, str, str]]]] = [
    (lambda data: None, []),
    (limit("sqlite_smoke.p95", "max_regression_percent", 20), [("tighter", P95, "25", "20")]),
    (limit("sqlite_smoke.p95", "max_regression_percent", 30), [("looser", P95, "25", "30")]),
    (limit("vm_bootstrap.workers", "min_workers", 2), [("tighter", "vm_bootstrap.workers min_workers", "1", "2")]),
    (
        limit("slurm_smoke.node", "allow_power_saving", True),
        [("looser", "slurm_smoke.node allow_power_saving", "false", "true")],
    ),
    (limit("preflight.inputs", "files", ["a"]), [("looser", "preflight.inputs files", DOCUMENT, "")]),
    (
        without_check("preflight.prepare"),
        [("dropped", "preflight.prepare", "The dependency installation succeeds", "")],
    ),
    (
        lambda data: data.update(supported_versions={"slurm": ">=23"}),
        [("tighter", "supported_versions slurm", "", ">=23")],
    ),
    (lambda data: data.update(max_age="12h"), [("tighter", "max_age", "", "12h")]),
    (lambda data: data.update(same_machine=True), [("looser", "same_machine", "false", "true")]),
    (
        lambda data: entry_of(data, "preflight.branch").update(waivable=True),
        [("looser", "preflight.branch waivable", "false", "true")],
    ),
    (
        lambda data: data["gates"][0]["evidence"].append("x.log"),
        [("added", "gate preflight evidence", "", "x.log")],
    ),
    (lambda data: data["gates"][1].update(alone=False), [("looser", "gate sqlite_smoke alone", "true", "false")]),
    (lambda data: entry_of(data, "preflight.uv").update(title="other", unblock="look"), []),
]


@pytest.mark.parametrize(("change", "expected"), DIFFERENCES)
def test_what_a_checklist_drops_adds_loosens_and_tightens_is_named(
    change: Change, expected: list[tuple[str, str, str, str]]
) -> None:
    found = kinds(change)
    assert found[: len(expected)] == expected and bool(found) == bool(expected)


@pytest.mark.stranger("14.7", "nothing but the digest tells that a checklist was loosened")
def test_the_record_says_how_the_checklist_differs(tmp_path: Path) -> None:
    path = tmp_path / "mine.yml"
    path.write_text(edited(limit("sqlite_smoke.p95", "max_regression_percent", 100)), encoding="utf-8")
    bundle = bundles.make_bundle(tmp_path / "root", promotion_policy=str(path))
    record = json.loads((bundle / "promotion-decision.json").read_text(encoding="utf-8"))
    assert record["policy_differences"] == [{"kind": "looser", "what": P95, "shipped": "25", "policy": "100"}]
    page = (bundle / "promotion-decision.md").read_text(encoding="utf-8")
    assert "| looser | `sqlite_smoke.p95 max_regression_percent` | `25` | `100` |" in page
    assert (bundle / "policy-shipped.yml").read_text(encoding="utf-8") == SHIPPED
    assert verify_bundle(bundle).holds


def test_a_checklist_of_another_name_is_compared_with_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mine.yml"
    path.write_text(SHIPPED.replace("name: aiida", "name: mine", 1), encoding="utf-8")
    bundle = bundles.make_bundle(tmp_path / "root", promotion_policy=str(path))
    record = json.loads((bundle / "promotion-decision.json").read_text(encoding="utf-8"))
    assert record["policy_differences"] is None and not (bundle / "policy-shipped.yml").exists()
    assert "none of its name is shipped" in (bundle / "promotion-decision.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("damage", ["changed", "missing", "another-name"])
def test_the_copy_of_the_shipped_checklist_is_held_to_the_index(tmp_path: Path, damage: str) -> None:
    bundle = bundles.closed_bundle(tmp_path)
    path = bundle / "policy-shipped.yml"
    if damage == "missing":
        path.unlink()
    elif damage == "changed":
        path.write_text(SHIPPED.replace("min_workers: 1", "min_workers: 2"), encoding="utf-8")
    else:
        text = SHIPPED.replace("name: aiida", "name: other", 1)
        path.write_text(text, encoding="utf-8")
        index = json.loads((bundle / "index.json").read_text(encoding="utf-8"))
        index["policy"]["shipped_sha256"] = sha256(text.encode())
        (bundle / "index.json").write_text(to_json(index), encoding="utf-8")
    with pytest.raises(BundleError, match=r"policy-shipped\.yml"):
        load_bundle(bundle)


def test_verify_says_that_todays_shipped_checklist_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = bundles.make_bundle(tmp_path)
    monkeypatch.setattr("promotion_gate.prove.verify.shipped_policy", lambda name: None)
    report = verify_bundle(bundle)
    assert report.holds
    assert [finding.found for finding in report.findings if finding.name == "checklist"] == [
        "this version ships no checklist named aiida: it is a team's own"
    ]


# --- policy show and diff -----------------------------------------------------------------------------------------


def test_show_prints_gates_checks_limits_and_remedies(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(PROJECT / "policies" / "aiida.yml")
    assert main(["policy", "show", path]) == 0
    text = capsys.readouterr().out
    assert main(["policy", "show", "--markdown", path]) == 0
    page = capsys.readouterr().out
    for check in load(SHIPPED).checks():
        assert f"  {check.id}: " in text and f"| `{check.id}` |" in page
        for sentence in check.unblock.values():
            assert sentence in text
    assert "max_regression_percent: 25 percent" in text and "`max_regression_percent`: `25 percent`" in page
    for python in ("['", "('", "True", "False", "None"):
        assert python not in text + page


def test_a_pattern_with_a_bar_stays_in_its_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "show", "--markdown", str(PROJECT / "policies" / "aiida.yml")]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| `sqlite_smoke.runs`")]
    assert len(rows) == 1 and len(re.split(r"(?<!\\)\|", rows[0])) == 5


def test_diff_says_what_became_looser(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yml"
    path.write_text(edited(limit("sqlite_smoke.p95", "max_regression_percent", 100)), encoding="utf-8")
    shipped = str(PROJECT / "policies" / "aiida.yml")
    assert main(["policy", "diff", shipped, str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"looser   {P95}: was 25, is now 100",
        "The second checklist: 1 looser.",
    ]
    assert main(["policy", "diff", shipped, shipped]) == 0
    assert capsys.readouterr().out == "No difference in what is judged.\n"
