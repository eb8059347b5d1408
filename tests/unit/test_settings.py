"""What an operator sets: strings from -e are accepted, and each mistake is one sentence that names the variable."""

from __future__ import annotations

from typing import Any

import pytest

from promotion_gate.base.errors import InputError
from promotion_gate.judge.shipped import read_policy, shipped_checklist
from promotion_gate.run.kinds import boolean, check_run_id, gates, risk
from promotion_gate.run.plan import chosen_gates
from promotion_gate.run.settings import REQUIRED, VARIABLES, effective

NOT_KEPT = [name for name, variable in VARIABLES.items() if not variable.kept]

GIVEN: dict[str, Any] = {
    "workspace_dir": "/srv/app",
    "workspace_sqlite_smoke_command": "uv run smoke.py",
    "aiida_vm_repo_dir": "/srv/app",
    "promotion_operator": "alice",
    "promotion_reviewer": "bob",
}


def settings(**given: Any) -> dict[str, Any]:
    return effective({**GIVEN, **given})


def refused(**given: Any) -> str:
    with pytest.raises(InputError) as caught:
        settings(**given)
    return str(caught.value)


def test_every_variable_has_a_value_and_the_defaults_hold() -> None:
    found = settings()
    assert set(VARIABLES) <= set(found)
    for name, variable in VARIABLES.items():
        if variable.default is not REQUIRED and name != "promotion_operator":
            assert found[name] == variable.default, name
    assert found["evidence_max_age_seconds"] == 24 * 3600


@pytest.mark.parametrize("name", [name for name, variable in VARIABLES.items() if variable.default is REQUIRED])
@pytest.mark.parametrize("value", [None, "", "  "], ids=["null", "empty", "blank"])
def test_a_required_variable_that_is_unset_is_named(name: str, value: str | None) -> None:
    assert refused(**{name: value}).startswith(f"{name} is not set. ")


@pytest.mark.stranger("16.3", "NUL, lone surrogates, endless names and numbers in a variable are tracebacks")
@pytest.mark.parametrize("value", ["a\0b", "/\ud800", ["a\0"], {"A": "\ud800"}, {"A\0": "b"}])
@pytest.mark.parametrize("name", ["promotion_signing_key", "workspace_environment", "workspace_dir", "promotion_risks"])
def test_what_no_argument_can_hold_is_refused(name: str, value: Any) -> None:
    assert refused(**{name: value}) == f"{name} contains a NUL or half of a surrogate pair; remove it."


def test_endless_names_and_numbers_are_refused() -> None:
    assert "cannot be the name of a folder" in refused(promotion_baseline_dir="/" + "a" * 300)


def test_a_caller_can_do_without_a_required_variable() -> None:
    found = effective({**GIVEN, "aiida_vm_repo_dir": None}, optional=("aiida_vm_repo_dir",))
    assert found["aiida_vm_repo_dir"] is None


def test_unset_variables_come_from_the_resumed_run_and_given_ones_win() -> None:
    found = effective({"promotion_reviewer": "carol"}, {**GIVEN, "promotion_ticket": "gra-9"})
    assert (found["promotion_reviewer"], found["promotion_ticket"]) == ("carol", "gra-9")


@pytest.mark.parametrize("name", sorted(NOT_KEPT))
def test_what_is_of_one_run_only_is_not_taken_from_the_resumed_run(name: str) -> None:
    kept = {**GIVEN, name: True if name == "aiida_vm_first_run" else "20261101T080000Z"}
    assert effective({}, kept)[name] == VARIABLES[name].default


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"aiida_vm_first_run": "true"}, True),
        ({"promotion_issue_limit_seconds": "90"}, 90),
        ({"promotion_issue_limit_seconds": 90}, 90),
        ({"promotion_ticket": " gra-7 "}, "gra-7"),
        ({"promotion_ticket": 125}, "125"),
        ({"workspace_sqlite_smoke_command": "make smoke"}, "make smoke"),
        ({"workspace_sqlite_smoke_command": ["sleep", 1]}, ["sleep", "1"]),
        ({"aiida_vm_smoke_args": ("--workdir", "/x")}, ["--workdir", "/x"]),
        ({"workspace_environment": {"A": "b"}}, {"A": "b"}),
    ],
)
def test_strings_and_yaml_values_are_accepted(given: dict[str, Any], expected: object) -> None:
    [name] = given
    assert settings(**given)[name] == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"workspace_checkout": "clone"}, 'workspace_checkout must be in_place or worktree, not "clone".'),
        ({"workspace_dir": "app"}, "workspace_dir must be an absolute path"),
        ({"aiida_vm_repo_dir": "~/app"}, "aiida_vm_repo_dir must be an absolute path"),
        ({"promotion_evidence_root": "evidence"}, "promotion_evidence_root must be an absolute path"),
        ({"promotion_baseline_dir": "../b"}, "promotion_baseline_dir must be an absolute path"),
        ({"promotion_ticket": "a/b"}, "promotion_ticket names a folder"),
        ({"promotion_ticket": ".."}, "promotion_ticket names a folder"),
        ({"promotion_ticket": "a..b"}, "promotion_ticket names a folder"),
        ({"promotion_ticket": ["a"]}, "promotion_ticket must be a string, not a list."),
        ({"promotion_reviewer": "alice"}, "promotion_reviewer is the operator (alice)."),
        ({"promotion_reviewer": " ALICE "}, "promotion_reviewer is the operator (alice)."),
        ({"promotion_reviewer": True}, "promotion_reviewer must be the name of a person, as a string, not true"),
        (
            {"promotion_run_id": "x", "promotion_resume": "latest"},
            "promotion_run_id and promotion_resume are both set.",
        ),
        ({"promotion_evidence_max_age": "soon"}, 'promotion_evidence_max_age is "soon"; write a duration'),
        ({"promotion_evidence_max_age": "0h"}, 'promotion_evidence_max_age is "0h"'),
        ({"promotion_issue_limit_seconds": "0"}, "promotion_issue_limit_seconds must be a number of seconds"),
        (
            {"promotion_issue_limit_seconds": "1m"},
            "promotion_issue_limit_seconds must be a number of seconds",
        ),
        ({"promotion_issue_limit_seconds": "²"}, "promotion_issue_limit_seconds must be a number of seconds"),
        ({"aiida_vm_first_run": "maybe"}, 'aiida_vm_first_run must be true or false, not "maybe".'),
        ({"workspace_sqlite_smoke_command": []}, "workspace_sqlite_smoke_command must be a command"),
        ({"workspace_sqlite_smoke_command": {"a": 1}}, "workspace_sqlite_smoke_command must be a command"),
        ({"workspace_sqlite_smoke_command": "echo 'x"}, "workspace_sqlite_smoke_command cannot be read as a command"),
        ({"workspace_prepare_commands": "uv sync"}, "workspace_prepare_commands must be a list"),
        ({"promotion_waivers": "none"}, "promotion_waivers must be a list"),
        ({"workspace_environment": "A=b"}, "workspace_environment must be a mapping"),
        ({"aiida_vm_environment": [1]}, "aiida_vm_environment must be a mapping"),
        ({"promotion_risks": ["disk"]}, "promotion_risks, entry 1: write a mapping with `risk` and `mitigation`"),
    ],
)
def test_a_bad_value_is_one_sentence_that_names_the_variable(given: dict[str, Any], message: str) -> None:
    sentence = refused(**given)
    assert sentence.startswith(message) and "\n" not in sentence


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (True, True),
        ("True", True),
        ("yes", True),
        ("on", True),
        ("1", True),
        (1, True),
        (False, False),
        ("False", False),
        ("no", False),
        ("off", False),
        ("0", False),
        (0, False),
    ],
)
def test_booleans_in_the_spellings_of_ansible(word: object, expected: bool) -> None:
    assert boolean(word, "aiida_vm_first_run") is expected


@pytest.mark.parametrize("word", ["", "2", "ja", None, [], "truefalse"])
def test_anything_else_is_not_a_boolean(word: object) -> None:
    with pytest.raises(InputError, match="aiida_vm_first_run must be true or false"):
        boolean(word, "aiida_vm_first_run")


@pytest.mark.parametrize("run_id", ["20261123T233514Z", "a", "A-1_b"])
def test_a_run_id_names_a_folder(run_id: str) -> None:
    assert check_run_id(run_id) == run_id


@pytest.mark.parametrize("run_id", ["", ".", "..", "a/b", "a.b", "-a", "a b", "a\n", "ä", "/etc"])
def test_another_run_id_is_refused(run_id: str) -> None:
    with pytest.raises(InputError, match="promotion_run_id is "):
        check_run_id(run_id)


def chosen(value: object) -> tuple[str, ...]:
    return tuple(chosen_gates(gates(value, "promotion_gates"), read_policy(shipped_checklist("aiida") or "", "aiida")))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("3,4", ("vm_bootstrap", "slurm_smoke")),
        ("4, 3", ("vm_bootstrap", "slurm_smoke")),
        (3, ("vm_bootstrap",)),
        ([1, "contracts"], ("preflight", "contracts")),
        ("2,2,sqlite_smoke", ("sqlite_smoke",)),
        ("5,", ("contracts",)),
    ],
)
def test_gates_are_chosen_by_number_or_name(value: object, expected: tuple[str, ...]) -> None:
    assert chosen(value) == expected


@pytest.mark.parametrize("value", ["0", "6", "slurm", "3;4", "3 4", "-1", "9" * 5000])
def test_an_unknown_gate_is_named(value: str) -> None:
    with pytest.raises(InputError, match=f'promotion_gates: there is no gate "{value[:80]}"'):
        chosen(value)


@pytest.mark.parametrize("value", ["", ",", [], " , "])
def test_an_empty_choice_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="promotion_gates chooses no gate"):
        chosen(value)


def test_a_risk_has_a_mitigation() -> None:
    assert risk({"risk": "disk", "mitigation": 1}, 1) == {"risk": "disk", "mitigation": "1"}


@pytest.mark.parametrize(
    "entry", ["x", None, {}, {"risk": "x"}, {"risk": "x", "mitigation": ""}, {"risk": "x", "mitigation": "y", "z": 1}]
)
def test_another_risk_is_refused_with_its_number(entry: object) -> None:
    with pytest.raises(InputError, match="promotion_risks, entry 7"):
        risk(entry, 7)


@pytest.mark.stranger("14.4", "aiida_vm_smoke_args: [--profile, other] ran another profile than the record named")
@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["--profile", "other"], "--profile, which the gate sets itself. Set aiida_vm_profile instead."),
        (["--profile=other"], "--profile, which the gate sets itself. Set aiida_vm_profile instead."),
        (["-v", "--computer-label", "x"], "Set gate_slurm_smoke_computer_label instead."),
        (["--artifact-dir=/tmp"], "--artifact-dir, which the gate sets itself. Remove it."),
    ],
)
def test_arguments_that_the_gate_sets_itself_are_refused(args: list[str], hint: str) -> None:
    assert hint in refused(aiida_vm_smoke_args=args)


# --- people: operator and reviewer are two persons, and people can read their names -----------------------------


@pytest.mark.stranger(
    "14.9", "the operator in full width, or with a character that nobody sees, passed as the reviewer"
)
@pytest.mark.parametrize("twin", ["Alice", "ALICE", "ａｌｉｃｅ", " alice "])
def test_a_name_that_looks_like_the_operator_is_the_operator(twin: str) -> None:
    assert refused(promotion_reviewer=twin).startswith("promotion_reviewer is the operator (alice).")


@pytest.mark.stranger("14.9", "a name with a zero-width character, False, 0 or a list passed as a person")
@pytest.mark.parametrize("value", ["al\u200bice", "bob\u00ad", "bo\nb", "b\x07ob", "\u3164", "\u2800", "bob\ufe0f"])
def test_a_name_that_cannot_be_read_is_refused(value: str) -> None:
    assert "has a character that cannot be seen" in refused(promotion_reviewer=value)


@pytest.mark.parametrize("name", ["promotion_reviewer", "promotion_operator"])
@pytest.mark.parametrize("value", [False, 0, ["bob"], {"a": 1}, 3.5])
def test_what_is_not_a_string_is_not_a_person(name: str, value: object) -> None:
    assert refused(**{name: value}).startswith(f"{name} must be the name of a person, as a string, not ")


@pytest.mark.parametrize("name", ["Ada Lovelace", "grace.hopper@example.org", "José", "李雷", "O'Neil-Smith"])
def test_names_of_people_are_accepted(name: str) -> None:
    assert settings(promotion_reviewer=name)["promotion_reviewer"] == name


@pytest.mark.stranger("15.11", "four runs were needed to learn of four missing variables")
def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(InputError) as caught:
        effective({"promotion_ticket": "a/b", "promotion_evidence_max_age": "soon", "aiida_vm_first_run": "maybe"})
    lines = str(caught.value).splitlines()
    assert [line.split()[0] for line in lines] == [
        "workspace_dir",
        "workspace_sqlite_smoke_command",
        "aiida_vm_repo_dir",
        "aiida_vm_first_run",
        "promotion_ticket",
        "promotion_evidence_max_age",
        "promotion_reviewer",
    ]
