"""What was meant is compared with what ran: another command than the checklist's is INVALID, or shown as replaced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bundles
import pytest

from promotion_gate.base.model import CheckResult, Status
from promotion_gate.bundle.load import load_bundle
from promotion_gate.judge.decide import decide
from promotion_gate.judge.shipped import read_policy
from promotion_gate.report.show import text_of

POLICY = read_policy((bundles.PROJECT / "policies" / "aiida.yml").read_text(encoding="utf-8"), "aiida.yml")
MEANT = [(gate.name, check, command) for gate in POLICY.gates for check in gate.checks for command in check.ran]


def results(root: Path, trips: bundles.Trips, **variables: Any) -> dict[str, CheckResult]:
    decision = decide(load_bundle(bundles.closed_bundle(root, trips, **variables)))
    return {check.id: check for gate in decision.gates for check in gate.checks}


def ran(gate: str, command: str, *argv: str) -> bundles.Trips:
    return bundles.trips_with(gate, command, argv=list(argv), command=" ".join(argv))


@pytest.mark.stranger("14.4", "a command of the spec replaced by one that prints what is wanted")
@pytest.mark.parametrize(("gate", "check", "command"), MEANT, ids=lambda value: getattr(value, "id", str(value)))
def test_no_command_of_the_spec_can_be_another_one_unseen(tmp_path: Path, gate: str, check: Any, command: str) -> None:
    found = results(tmp_path, ran(gate, command, "echo", "Slurmctld(primary) at aiida-vm is UP"))[check.id]
    if check.replaceable:
        assert [item["command"] for item in found.replaced] == [command]
        assert found.replaced[0]["meant"] == check.ran[command][0] and found.replaced[0]["ran"].startswith("echo ")
    else:
        assert found.status is Status.INVALID and "the checklist says `" in found.observed
        assert found.unblock == "Take out what replaces the command, in the inventory or in -e, and re-run."


VERDI = list(bundles.VERDI)
SMOKE = ["scripts/aiida-slurm-smoke-vm.sh", "--artifact-dir", "/tmp/s/slurm-smoke", "--profile", "vm-psql"]
TARGET = {"aiida_vm_profile": "vm-psql"}


@pytest.mark.stranger("14.4", "a profile, an option or arguments put into a command of the spec")
@pytest.mark.parametrize(
    ("gate", "check_id", "command", "argv", "settings"),
    [
        (
            "slurm_smoke",
            "slurm_smoke.script",
            "script",
            [*SMOKE, "--profile", "other"],
            {},
        ),
        ("vm_bootstrap", "vm_bootstrap.broker", "status", [*VERDI, "-p", "other", "status"], TARGET),
        ("vm_bootstrap", "vm_bootstrap.profile", "profile_list", ["uv", "run", "verdi", "profile", "list"], {}),
        ("vm_bootstrap", "vm_bootstrap.script", "bootstrap", ["scripts/aiida-vm-bootstrap.sh", "--sanity-check"], {}),
        ("slurm_smoke", "slurm_smoke.controller", "ping", ["scontrol", "ping", "--help"], {}),
    ],
)  # fmt: skip
def test_a_word_more_or_another_one_is_seen(
    tmp_path: Path, gate: str, check_id: str, command: str, argv: list[str], settings: dict[str, Any]
) -> None:
    assert results(tmp_path, ran(gate, command, *argv), **settings)[check_id].status is Status.INVALID


@pytest.mark.parametrize(
    ("gate", "check_id", "command", "argv", "settings"),
    [
        ("vm_bootstrap", "vm_bootstrap.broker", "status", [*VERDI, "-p", "vm-psql", "status"], {}),
        (
            "slurm_smoke",
            "slurm_smoke.script",
            "script",
            [*VERDI[:-1], *SMOKE, "-v"],
            {"aiida_vm_smoke_args": ["-v"]},
        ),
    ],
)  # fmt: skip
def test_what_an_operator_may_set_is_the_checklists_command(
    tmp_path: Path, gate: str, check_id: str, command: str, argv: list[str], settings: dict[str, Any]
) -> None:
    assert results(tmp_path, ran(gate, command, *argv), **settings)[check_id].status is Status.PASS


@pytest.mark.stranger("14.4", "gate_preflight_prepare_commands judged as `no command configured`")
@pytest.mark.parametrize("wanted", [[], [["true"]]])
def test_a_dependency_installation_that_nobody_configured_is_invalid(tmp_path: Path, wanted: list[list[str]]) -> None:
    trips = bundles.healthy_trips()
    trips["preflight"]["commands"].append(bundles.command("prepare_1", "01-prepare.log", ["false"], "x\n", exit=1))
    found = results(tmp_path, trips, workspace_prepare_commands=wanted)["preflight.prepare"]
    assert found.status is Status.INVALID and "`false` was run" in found.observed


def test_a_replaced_command_stands_in_every_record_with_both_texts(tmp_path: Path) -> None:
    trips = ran("contracts", "openapi", "make", "check-openapi")
    bundle = bundles.make_bundle(tmp_path, trips)
    record = json.loads((bundle / "promotion-decision.json").read_text(encoding="utf-8"))
    assert record["decision"] == "PROMOTE"
    meant = next(check for check in POLICY.checks() if check.id == "contracts.openapi").ran["openapi"][0]
    check = next(c for gate in record["gates"] for c in gate["checks"] if c["id"] == "contracts.openapi")
    assert check["replaced"] == [{"command": "openapi", "meant": meant, "ran": "make check-openapi"}]
    assert f"replaced: contracts.openapi ran `make check-openapi` for `{meant}`" in text_of(record)
    for name in ("promotion-decision.md", "05-contracts-summary.md"):
        page = (bundle / name).read_text(encoding="utf-8")
        assert "## Replaced commands" in page and "make check-openapi" in page and "export\\_openapi.py --check" in page
