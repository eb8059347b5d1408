"""A mistake in a policy is one sentence: file, line where it can be told, and the nearest known key."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from promotion_gate.base.errors import InputError
from promotion_gate.base.policy import GATE_NAMES, NEVER_WAIVABLE, Policy
from promotion_gate.judge.checks.registry import read_policy, registered

SHIPPED = (Path(__file__).parents[2] / "policies" / "aiida.yml").read_text(encoding="utf-8")


def load(text: str) -> Policy:
    return read_policy(text, "mine.yml")


def refused(text: str) -> str:
    with pytest.raises(InputError) as caught:
        load(text)
    return str(caught.value)


def line_of(text: str, needle: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if needle in line)


def test_the_shipped_policy_has_the_five_gates_and_waives_nothing() -> None:
    policy = load(SHIPPED)
    assert tuple(gate.name for gate in policy.gates) == GATE_NAMES
    assert not [check.id for check in policy.checks() if check.waivable]


def test_the_shipped_policy_uses_every_registered_check() -> None:
    assert {check.check for check in load(SHIPPED).checks()} == set(registered())


@pytest.mark.parametrize(
    ("old", "new", "said"),
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
            "name: preflight", "name: prefligth", 'no gate is named "prefligth"; did you mean "preflight"?', id="gate"
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
            'the check id "preflight.worktree" stands twice',
            id="id-twice",
        ),
    ],
)
def test_a_misspelt_name_is_named_with_its_line_and_the_nearest(old: str, new: str, said: str) -> None:
    text = SHIPPED.replace(old, new, 1)
    sentence = refused(text)
    assert said in sentence
    # The first word in quotes is the one that is wrong; its first occurrence is the line.
    assert sentence.startswith(f"mine.yml, line {line_of(text, sentence.split(chr(34))[1])}")


BAD_BOUNDS = [">=2.7 or so", "2.9", "", ",", ">=2.7,", "=>2.7", ">=2.x", "> =2", ">=2.7 <2.10", ">=", ">=-1"]


@pytest.mark.parametrize("bounds", BAD_BOUNDS)
def test_bounds_that_are_not_understood_are_refused_by_component(bounds: str) -> None:
    """A bound that nobody understands would be a bound that every version meets."""
    text = SHIPPED.replace("supported_versions: {}", f'supported_versions: {{aiida-core: "{bounds}"}}')
    sentence = refused(text)
    assert f'supported_versions bounds aiida-core by "{bounds}"; write bounds joined by commas' in sentence
    if bounds not in ("", ","):
        assert sentence.startswith(f"mine.yml, line {line_of(text, bounds)}: ")


@pytest.mark.parametrize("value", ["3.10", "2", "null", "[]", "true"])
def test_a_bound_that_is_no_text_is_refused(value: str) -> None:
    assert "supported_versions bounds python by" in refused(
        SHIPPED.replace("supported_versions: {}", f"supported_versions: {{python: {value}}}")
    )


def test_a_key_that_stands_twice_is_named_with_its_own_line() -> None:
    text = SHIPPED.replace("name: aiida\n", "name: aiida\nname: other\n", 1)
    assert refused(text) == f'mine.yml, line {line_of(text, "name: other")}: the key "name" stands twice; keep one.'


def test_text_that_is_no_yaml_is_named_with_its_line() -> None:
    sentence = refused("schema: 1\nname: [\n")
    assert sentence.startswith("mine.yml, line ") and "not YAML" in sentence


@pytest.mark.parametrize(
    "text",
    ["", "- a\n", "42\n", "[" * 5000, "schema: 1\n", "schema: 1\ngates: []\n", "schema: '1'\n", "a: !!python/none\n"],
    ids=["empty", "list", "number", "deep", "no-gates", "empty-gates", "schema-text", "unknown-tag"],
)
def test_what_is_no_policy_is_one_sentence_with_the_file(text: str) -> None:
    sentence = refused(text)
    assert "mine.yml" in sentence and "\n" not in sentence.strip().splitlines()[0]


def test_a_control_character_is_one_sentence_with_the_file() -> None:
    assert "mine.yml" in refused("schema: 1\0")


@pytest.mark.parametrize("gate", GATE_NAMES)
def test_a_policy_without_one_of_the_gates_is_refused(gate: str) -> None:
    data = yaml.safe_load(SHIPPED)
    data["gates"] = [entry for entry in data["gates"] if entry["name"] != gate]
    assert "a policy that leaves one out cannot promote" in refused(yaml.safe_dump(data))


def test_gates_in_another_order_are_refused() -> None:
    data = yaml.safe_load(SHIPPED)
    data["gates"].reverse()
    assert "in order" in refused(yaml.safe_dump(data))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("checks", [], "has no checks; it could never pass"),
        ("evidence", [], "requires no evidence; nothing would prove it"),
        ("checks", "none", "checks must be a list"),
        ("id", "1", "id must be a whole number"),
        ("id", True, "id must be a whole number"),
        ("title", None, "title is missing"),
        ("evidence", [1], "evidence must hold texts only"),
    ],
)
def test_a_gate_with_a_bad_field_is_refused(field: str, value: object, said: str) -> None:
    data = yaml.safe_load(SHIPPED)
    data["gates"][0][field] = value
    assert said in refused(yaml.safe_dump(data))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("unblock", "run {", "has a stray brace"),
        ("unblock", "run }", "has a stray brace"),
        ("unblock", "run {vm:>300000000}", 'has the format "vm:>300000000"; a word stands alone, as {vm}.'),
        ("unblock", "run {vm!r}", 'has the format "vm!r"; a word stands alone, as {vm}.'),
        ("unblock", {"default": "look", "hangs": "at {vm:{repo}}"}, 'has the format "vm:{repo}"'),
        ("unblock", "", "unblock needs a sentence"),
        ("unblock", {"hangs": "wait"}, "unblock needs a sentence"),
        ("unblock", {"default": "look", "hangs": 3}, "unblock must hold texts only"),
        ("unblock", None, "unblock is missing"),
        ("limits", [1], "limits must be a mapping"),
        ("waivable", "yes", "waivable must be true or false"),
        ("check", None, "check is missing"),
    ],
)
def test_a_check_with_a_bad_field_is_refused(field: str, value: object, said: str) -> None:
    data = yaml.safe_load(SHIPPED)
    data["gates"][0]["checks"][0][field] = value
    sentence = refused(yaml.safe_dump(data))
    assert said in sentence or (value is None and "unblock" in sentence)


@pytest.mark.parametrize("gate", GATE_NAMES)
def test_gates_3_and_4_are_never_waivable(gate: str) -> None:
    data = yaml.safe_load(SHIPPED)
    entry = next(entry for entry in data["gates"] if entry["name"] == gate)
    entry["checks"][0]["waivable"] = True
    text = yaml.safe_dump(data)
    if gate in NEVER_WAIVABLE:
        assert f'"{entry["checks"][0]["id"]}" cannot be waivable' in refused(text)
    else:
        assert load(text).gate(gate).checks[0].waivable
