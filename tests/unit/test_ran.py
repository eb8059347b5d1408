"""What was meant is compared with what ran: another command than the checklist's is INVALID, or shown as replaced."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bundles
import pytest
import yaml

from promotion_gate.base.model import CheckResult, Status
from promotion_gate.bundle.load import load_bundle
from promotion_gate.judge.by_hand import words
from promotion_gate.judge.decide import decide
from promotion_gate.judge.ran import ADDED
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
def test_no_command_of_the_spec_can_be_replaced_unnoticed(tmp_path: Path, gate: str, check: Any, command: str) -> None:
    found = results(tmp_path, ran(gate, command, "echo", "Slurmctld(primary) at aiida-vm is UP"))[check.id]
    if check.replaceable:
        assert [item.command for item in found.replaced] == [command]
        assert found.replaced[0].meant == check.ran[command][0] and found.replaced[0].ran.startswith("echo ")
    else:
        assert found.status is Status.INVALID and "the checklist says `" in found.observed
        assert found.unblock == "Remove what replaces the command, from the inventory or from -e, then re-run."


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


@pytest.mark.stranger("14.4", "a command of the spec run in another folder, or with another environment")
@pytest.mark.parametrize(("gate", "check", "command"), MEANT, ids=lambda value: getattr(value, "id", str(value)))
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"chdir": "/srv/other"}, " in /srv/other instead of /srv/app"),
        ({"environment_names": ["LC_ALL", "LD_PRELOAD", "PATH"]}, " with LD_PRELOAD, PATH in its environment"),
    ],
    ids=["directory", "environment"],
)
def test_directory_and_environment_are_those_that_were_meant(
    tmp_path: Path, gate: str, check: Any, command: str, fields: dict[str, Any], message: str
) -> None:
    found = results(tmp_path, bundles.trips_with(gate, command, **fields))[check.id]
    if check.replaceable:
        assert found.status is Status.PASS
        assert [item.ran.endswith(message) for item in found.replaced] == [True]
    else:
        assert found.status is Status.INVALID and message in found.observed


@pytest.mark.stranger("14.4", "a command of the spec run in another folder, or with another environment")
@pytest.mark.parametrize(
    "fields",
    [{"argv": ["echo", "ok"], "command": "echo ok"}, {"chdir": "/"}, {"environment_names": ["PYTHONSTARTUP"]}],
    ids=["words", "directory", "environment"],
)
def test_the_smoke_is_the_one_that_was_set(tmp_path: Path, fields: dict[str, Any]) -> None:
    found = results(tmp_path, bundles.trips_with("sqlite_smoke", "run_2", **fields))["sqlite_smoke.runs"]
    assert found.status is Status.INVALID and "was run, not what is configured" in found.observed
    assert found.unblock == "Remove what replaces the command, from the inventory or from -e, then re-run."


def test_what_the_operator_and_the_gate_set_is_not_a_difference(tmp_path: Path) -> None:
    trips = bundles.healthy_trips()
    names = sorted([*ADDED, "UV_FROZEN"])
    for given in trips.values():
        given["commands"] = [{**item, "environment_names": names} for item in given["commands"]]
    environments = {f"{where}_environment": {"UV_FROZEN": "1"} for where in ("workspace", "aiida_vm")}
    assert {check.status for check in results(tmp_path, trips, **environments).values()} == {Status.PASS}


def test_in_worktree_mode_the_commands_run_in_the_temporary_worktree(tmp_path: Path) -> None:
    """With -e workspace_dir and -e workspace_checkout=worktree gates ran in the checkout but reported a worktree."""
    trips = bundles.healthy_trips()
    for gate in ("preflight", "sqlite_smoke", "contracts"):
        place = f"/srv/app/.git/promotion-gate-{bundles.RUN_ID}"
        trips[gate]["commands"] = [{**item, "chdir": place} for item in trips[gate]["commands"]]
    found = results(tmp_path / "right", trips, workspace_checkout="worktree")
    assert found["preflight.node"].status is found["sqlite_smoke.runs"].status is Status.PASS
    found = results(tmp_path / "wrong", workspace_checkout="worktree", trips=bundles.healthy_trips())
    assert found["preflight.node"].status is found["sqlite_smoke.runs"].status is Status.INVALID


def test_what_the_gate_adds_is_what_module_and_roles_add() -> None:
    """`ADDED` is what is compared; what is really added is in the module and in the vars of the roles."""
    module = (bundles.PROJECT / "module_utils" / "promotion" / "trip.py").read_text(encoding="utf-8")
    names = set(re.findall(r'\badded\["(\w+)"\]', module))
    names |= set(re.findall(r'"([A-Z_]+)":', "".join(re.findall(r"added = dict\(os.environ\), (\{.*\})", module))))
    for path in (bundles.PROJECT / "roles").glob("gate_*/vars/main.yml"):
        names |= set(environment_names(yaml.safe_load(path.read_text(encoding="utf-8"))))
    assert names == ADDED


def environment_names(found: Any) -> Iterator[str]:
    """The names below every key `environment`, or a variable that is named after it."""
    if isinstance(found, dict):
        for key, value in found.items():
            if key.endswith("environment") and isinstance(value, dict):
                yield from value
            yield from environment_names(value)
    elif isinstance(found, list):
        for item in found:
            yield from environment_names(item)


@pytest.mark.stranger("14.11", "aiida_vm_verdi: uv run -p 3.11 verdi: the first -p was taken for the profile")
@pytest.mark.parametrize("call", ["uv run -p 3.11 verdi", "uv run -p 3.11 -- verdi -p other", "python3 -p x -m verdi"])
def test_a_p_of_the_call_is_not_the_profile(tmp_path: Path, call: str) -> None:
    trips, prefix = bundles.healthy_trips(), shlex.split(call)
    for gate in ("vm_bootstrap", "slurm_smoke"):
        for item in trips[gate]["commands"]:
            if item["argv"][: len(VERDI)] == VERDI:
                item["argv"] = [*prefix, *item["argv"][len(VERDI) :]]
    bundle = load_bundle(bundles.closed_bundle(tmp_path, trips, aiida_vm_verdi=call))
    wrong = [c.observed for gate in decide(bundle).gates for c in gate.checks if c.status is not Status.PASS]
    assert not wrong
    assert words(bundle)["profile"] == "vm-psql"
    only_gate_4 = {gate: trip for gate, trip in trips.items() if gate != "vm_bootstrap"}
    bundle = load_bundle(bundles.closed_bundle(tmp_path / "4", only_gate_4, aiida_vm_verdi=call))
    assert words(bundle)["profile"] == "vm-psql"


def test_a_replaced_command_is_in_every_record_with_both_texts(tmp_path: Path) -> None:
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
        assert "## Replaced commands" in page and "make check-openapi" in page and "export_openapi.py --check`" in page
