"""The variables of gate roles: who may set which, and that each value means the same wherever it is set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bundles
import pytest

from promotion_gate.base.errors import InputError
from promotion_gate.base.files import read_json
from promotion_gate.run.recording import check_request
from promotion_gate.run.roles import Role, find_role, name_mistakes
from promotion_gate.run.settings import VARIABLES, Mistakes

ROLES = Path(__file__).parents[2] / "roles"
GATES = ("preflight", "sqlite_smoke", "vm_bootstrap", "slurm_smoke", "contracts")
OURS: dict[str, Role] = {name: find_role(f"gate_{name}", [ROLES]) for name in GATES}
TAKEN = {name: setting for role in OURS.values() for name, setting in role.taken.items()}
PUBLIC = [name for role in OURS.values() for name in role.public]


def opened(root: Path, **variables: Any) -> dict[str, Any]:
    return bundles.opened(bundles.request(root, **variables))


def refused(root: Path, **variables: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        opened(root, **variables)
    return str(caught.value).splitlines()


# --- names ------------------------------------------------------------------------------------------------------

INTERNAL = [
    "__gate_slurm_smoke_state",
    "__gate_decision_record",
    "__gate_decision_computed",
    "__gate_common_worktree",
    "gate_common_run",
    "gate_common_python",
    "gate_decision_limit_seconds",
]


@pytest.mark.stranger("14.3", "-e of __gate_decision_record turned a HOLD into exit 0")
@pytest.mark.parametrize("name", INTERNAL)
def test_an_internal_variable_is_refused(tmp_path: Path, name: str) -> None:
    assert refused(tmp_path, **{name: "x"}) == [
        f'"{name}" is internal to the gate; it cannot be set. Remove it (docs/inventory.md has what can be set).'
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.stranger(
    "14.4", "what a run hands to a role was replaced with -e: its profile, checkout, prepare commands"
)
@pytest.mark.parametrize("name", sorted(TAKEN))
def test_what_the_run_hands_to_a_role_is_refused_with_the_variable_to_set_instead(tmp_path: Path, name: str) -> None:
    setting = TAKEN[name]
    hint = f"Set {setting} instead." if setting in VARIABLES else "Remove it where it is set."
    assert refused(tmp_path, **{name: "x"}) == [f'"{name}" is passed to its role by the run; it cannot be set. {hint}']


def test_what_the_issue_names_is_among_them() -> None:
    assert {"gate_slurm_smoke_profile", "gate_preflight_prepare_commands", "gate_contracts_dir"} <= set(TAKEN)
    assert {"gate_contracts_openapi_command", "gate_slurm_smoke_submit_job", "gate_sqlite_smoke_fingerprint"} <= set(
        PUBLIC
    )


@pytest.mark.stranger("15.11", "misspelt gate_* variables were ignored")
@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("promotion_reviewr", "promotion_reviewer"),
        ("workspace_directory", "workspace_dir"),
        ("aiida_vm_repo", "aiida_vm_repo_dir"),
        ("gate_slurm_smoke_submit_jobs", "gate_slurm_smoke_submit_job"),
        ("gate_slurm_partition", "gate_slurm_smoke_partition"),
        ("gate_contract_openapi_command", "gate_contracts_openapi_command"),
    ],
)
def test_a_misspelt_variable_is_named_with_the_nearest(name: str, nearest: str) -> None:
    [sentence] = name_mistakes(["ansible_host", name], OURS.values())
    assert sentence.startswith(f'There is no variable "{name}"; did you mean "{nearest}"?')


def test_known_and_foreign_names_are_left_alone() -> None:
    names = [*VARIABLES, *PUBLIC, "ansible_host", "demo_vm", "my_promotion_note", "gate_sqlite_smoke_result"]
    assert name_mistakes(names, OURS.values()) == []


@pytest.mark.stranger("14.3", "-e of what a role registers: timings that nobody measured became known-good")
@pytest.mark.parametrize("name", ["gate_sqlite_smoke_result", "gate_vm_bootstrap_result"])
def test_what_a_role_registers_cannot_be_there_before_it_ran(tmp_path: Path, name: str) -> None:
    request = bundles.request(tmp_path, **{name: {"gate_evidence": {}}}, promotion_reason="good")
    for ask in (bundles.opened, check_request):
        with pytest.raises(InputError) as caught:
            ask(request)
        assert f'"{name}" is internal to the gate; it cannot be set.' in str(caught.value)
    assert check_request({**request, "trip": {"commands": []}})


@pytest.mark.stranger("15.11", "of several mistakes one was reported per run")
def test_all_mistakes_are_reported_at_once_and_nothing_is_made(tmp_path: Path) -> None:
    request = bundles.request(tmp_path, promotion_reviewr="bob", gate_slurm_smoke_submit_job="maybe", __gate_x=1)
    for host in request["hosts"].values():
        del host["values"]["promotion_reviewer"], host["values"]["workspace_sqlite_smoke_command"]
    request["hosts"]["workspace"]["errors"] = {
        "promotion_ticket": "'nowhere' is undefined",
        "promotion_baseline_dir": "'workspace_dir' is undefined",
    }
    request["groups"]["aiida_vm"] = []
    with pytest.raises(InputError) as caught:
        bundles.opened(request)
    lines = str(caught.value).splitlines()
    assert sorted(lines) == sorted(
        [
            "promotion_baseline_dir refers to workspace_dir, which is not set. Set workspace_dir in the inventory's "
            "group_vars.",
            "promotion_ticket cannot be evaluated: 'nowhere' is undefined.",
            "workspace_sqlite_smoke_command is not set. Set it in the inventory's group_vars or with -e "
            "workspace_sqlite_smoke_command=....",
            "promotion_reviewer is not set. Set it in the inventory's group_vars or with -e promotion_reviewer=....",
            'The group "aiida_vm" must have exactly one host (the host of gates 3, 4), it has: none.',
            '"__gate_x" is internal to the gate; it cannot be set. Remove it (docs/inventory.md has what can be set).',
            'There is no variable "promotion_reviewr"; did you mean "promotion_reviewer"? Correct or remove it where '
            "it is set.",
            'gate_slurm_smoke_submit_job must be true or false, not "maybe".',
        ]
    )
    assert list(tmp_path.iterdir()) == []


# --- values -----------------------------------------------------------------------------------------------------

STRINGS: dict[str, tuple[object, object]] = {  # as YAML, and as -e gives it
    "gate_slurm_smoke_submit_job": (False, "no"),
    "gate_slurm_smoke_submit_calculation": (True, "yes"),
    "gate_slurm_smoke_job_limit_seconds": (90, "90"),
    "gate_contracts_limit_seconds": (30, "30"),
    "gate_slurm_smoke_partition": ("debug", "debug"),
    "gate_sqlite_smoke_fingerprint": (7, "7"),
    "aiida_vm_first_run": (True, "true"),
    "workspace_checkout": ("in_place", "in_place"),
    "promotion_ticket": (125, "125"),
    "promotion_issue_limit_seconds": (5, "5"),
}


@pytest.mark.stranger("14.5", "the same value meant, and was recorded as, something else where it was set with -e")
@pytest.mark.parametrize(("written", "given"), STRINGS.values(), ids=STRINGS)
def test_a_value_is_the_same_from_yaml_and_from_the_command_line(
    tmp_path: Path, request: pytest.FixtureRequest, written: object, given: object
) -> None:
    name = request.node.callspec.id
    runs = [opened(tmp_path / place, **{name: value}) for place, value in (("yaml", written), ("e", given))]
    assert runs[0]["settings"][name] == runs[1]["settings"][name]
    assert type(runs[0]["settings"][name]) is type(runs[1]["settings"][name])
    for role in runs[0]["handed"]:
        assert {k: v for k, v in runs[0]["handed"][role].items() if "evidence_path" not in k} == {
            k: v for k, v in runs[1]["handed"][role].items() if "evidence_path" not in k
        }
    recorded = [read_json(Path(run["bundle"]) / "index.json")["settings"][name] for run in runs]
    assert recorded == [runs[0]["settings"][name]] * 2


@pytest.mark.stranger("14.5", "with -e workspace_dir and workspace_checkout=worktree the gates ran in the checkout")
def test_the_roles_are_handed_the_worktree(tmp_path: Path) -> None:
    run = opened(tmp_path, workspace_checkout="worktree", promotion_run_id="r1")
    assert {run["handed"][gate][f"gate_{gate}_dir"] for gate in ("preflight", "sqlite_smoke", "contracts")} == {
        "/srv/app/.git/promotion-gate-r1"
    }
    assert run["settings"]["workspace_dir"] == "/srv/app"


@pytest.mark.stranger("14.4", "gate_contracts_openapi_command=true in a resume was not recorded")
@pytest.mark.parametrize("name", ["gate_contracts_openapi_command", "gate_contracts_documents"])
def test_what_the_evidence_depends_on_is_in_the_settings_of_its_gate(tmp_path: Path, name: str) -> None:
    settings = opened(tmp_path)["settings"]
    assert name in settings["gate_settings"]["contracts"]
    assert not [name for names in settings["gate_settings"].values() for name in names if "_limit_" in name]
    bundles.make_bundle(tmp_path / "r")
    plan = bundles.opened(bundles.request(tmp_path / "r", promotion_resume="latest", **{name: ["true"]}))
    run = bundles.begun(plan, bundles.answers())
    assert run["gates"] == ["contracts"]
    assert name in run["message"].lower()


def test_a_resume_keeps_them_and_hands_them_over(tmp_path: Path) -> None:
    bundles.hold_bundle(tmp_path, gate_slurm_smoke_partition="debug", gate_contracts_limit_seconds="77")
    run = opened(tmp_path, promotion_resume="latest", promotion_run_id=None)
    assert run["handed"]["slurm_smoke"]["gate_slurm_smoke_partition"] == "debug"
    assert run["handed"]["contracts"]["gate_contracts_limit_seconds"] == 77


@pytest.mark.parametrize("gate", GATES)
def test_each_public_variable_has_a_kind_and_its_default_is_of_it(gate: str) -> None:
    mistakes = Mistakes()
    found = OURS[gate].settings({}, mistakes)
    assert mistakes.sentences == []
    assert found == dict(OURS[gate].public)


def test_what_a_role_takes_from_the_run_it_takes_alone() -> None:
    """A default that mixes a variable of the run with other words could not be handed over."""
    for gate, role in OURS.items():
        text = (ROLES / f"gate_{gate}" / "defaults" / "main.yml").read_text(encoding="utf-8")
        for line in text.splitlines():
            name = line.partition(":")[0]
            if not line.startswith("#") and ("workspace_" in line or "aiida_vm_" in line or "gate_common_run" in line):
                assert name in role.taken, line
