"""A role that is used alone: the checks of its gate judge what it found; never green where one does not pass."""

from __future__ import annotations

from typing import Any

import bundles
import pytest

from promotion_gate.base.errors import InputError
from promotion_gate.judge.checks.registry import registered
from promotion_gate.run.alone import judge_alone

VARIABLES: dict[str, dict[str, Any]] = {
    "preflight": {"gate_preflight_dir": "/srv/app"},
    "sqlite_smoke": {"workspace_dir": "/srv/app", "workspace_sqlite_smoke_command": list(bundles.SMOKE)},
    # As the defaults of a role are seen where nothing is set.
    "vm_bootstrap": {"aiida_vm_repo_dir": "/srv/app", "gate_vm_bootstrap_profile": "{env:AIIDA_PROFILE}"},
    "slurm_smoke": {"gate_slurm_smoke_repo_dir": "/srv/app", "gate_slurm_smoke_profile": "{env:AIIDA_PROFILE}"},
    "contracts": {"workspace_dir": "/srv/app"},
}


def judged(gate: str, trip: bundles.Trip | None = None, **variables: Any) -> dict[str, Any]:
    return judge_alone(
        {
            "role": f"gate_{gate}",
            "host": "node-1",
            "variables": {**VARIABLES[gate], **variables},
            "trip": trip or bundles.healthy_trips()[gate],
            "directory": str(bundles.PROJECT),
            "roles": [str(bundles.PROJECT / "roles")],
        }
    )


@pytest.mark.parametrize("gate", bundles.GATES)
def test_what_is_healthy_passes_and_says_what_was_not_judged(gate: str) -> None:
    found = judged(gate)
    assert found["passed"] and found["status"] == "PASS", found["message"]
    beyond = {
        "sqlite_smoke": ["sqlite_smoke.baseline", "sqlite_smoke.p95"],
        "vm_bootstrap": ["vm_bootstrap.checkout"],
        "slurm_smoke": ["slurm_smoke.calculation"],
    }
    assert [item["check"] for item in found["not_judged"]] == beyond.get(gate, [])
    ids = [check["id"] for check in found["checks"]]
    assert ids and not set(ids) & set(beyond.get(gate, []))


def test_what_fails_has_our_sentences() -> None:
    trips = bundles.trips_with("slurm_smoke", "ping", exit=1, output=bundles.PING_DOWN)
    found = judged("slurm_smoke", trips["slurm_smoke"])
    assert not found["passed"] and found["status"] == "FAIL"
    assert "FAIL scontrol ping reports a controller UP (slurm_smoke.controller)" in found["message"]
    assert "On node-1, run `sudo systemctl restart munge" in found["message"]


def test_an_objection_to_the_evidence_is_never_green() -> None:
    trip = {**bundles.healthy_trips()["slurm_smoke"], "objections": ["A secret equals the name of the host."]}
    found = judged("slurm_smoke", trip)
    assert not found["passed"]
    assert "objection: A secret equals the name of the host." in found["message"]


def test_nothing_recorded_is_never_green() -> None:
    trip = bundles.trip("slurm_smoke", [])
    assert not judged("slurm_smoke", trip)["passed"]


def test_variables_of_the_role_count_as_they_are_set() -> None:
    assert [item["check"] for item in judged("slurm_smoke", gate_slurm_smoke_submit_job=False)["not_judged"]] == [
        "slurm_smoke.job",
        "slurm_smoke.calculation",
    ]


def test_a_role_that_the_checklist_does_not_have_is_an_input_error(tmp_path: Any) -> None:
    other = tmp_path / "mine.yml"
    text = (bundles.PROJECT / "policies" / "aiida.yml").read_text(encoding="utf-8")
    other.write_text(text.replace("name: aiida\n", "name: mine\n", 1).replace("role: gate_slurm_smoke", "role: gate_q"))
    with pytest.raises(InputError, match="The checklist mine has no gate with the role gate_slurm_smoke"):
        judged("slurm_smoke", promotion_policy=str(other))


def test_each_check_that_needs_more_than_its_gate_says_what() -> None:
    assert {name for name, kind in registered().items() if kind.beyond} == {
        "vm_checkout",
        "smoke_baseline",
        "smoke_p95",
    }
