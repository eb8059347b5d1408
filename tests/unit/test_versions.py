"""The version of the package itself, and `supported_versions`: outside its bounds, or not known, is an objection."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import bundles
import pytest

import promotion_gate
from promotion_gate.__main__ import main
from promotion_gate.base.model import Decision
from promotion_gate.base.policy import COMPONENTS
from promotion_gate.bundle.load import load_bundle
from promotion_gate.judge.decide import decide
from promotion_gate.judge.objections import recorded_versions, within

SHIPPED = (bundles.PROJECT / "policies" / "aiida.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("version", "bounds", "expected"),
    [
        ("2.9.4", ">=2.7,<2.10", True),
        ("2.10", ">=2.7,<2.10", False),
        ("2.6.9", ">=2.7", False),
        ("2.7", ">=2.7.0", True),
        ("2.7.0.1", "<=2.7", False),
        ("17.12", "==17.12", True),
        ("17.12.0", "==17.12", True),
        ("17.12", "!=17.12", False),
        ("24.11.5", "> 24.5 , < 25", True),
        ("10", ">9.99", True),
        ("2.9.0rc1", ">=2.9", False),
        ("2.9.0.dev0", ">=2.9", False),
        ("24.11.0-0rc1", ">=24.11", False),
        ("24.11.0~rc1", ">=24.11", False),
        ("4.1.0-rc.1", ">=4.1", False),
        ("4.1.0+rc.1", ">=4.1", False),
        ("18devel", ">=18", False),
        ("2.10b1", ">=2.10", False),
        ("18beta1", ">=18", False),
        ("3.14.0rc2", "<3.14", False),
        ("2.9.4", "~=2.9.0", True),
    ],
)
def test_bounds_compare_numbers(version: str, bounds: str, expected: bool) -> None:
    assert within(version, bounds) is expected


def decided(root: Path, bounds: Mapping[str, str], versions: str = bundles.VERSIONS) -> Decision:
    """The decision of a healthy run on a VM of these versions, under a policy with these bounds."""
    policy = root / "policy.yml"
    written = ", ".join(f"{component}: '{text}'" for component, text in bounds.items())
    policy.write_text(SHIPPED.replace("supported_versions: {}", f"supported_versions: {{{written}}}"), encoding="utf-8")
    trips = bundles.trips_with("vm_bootstrap", "versions", output=versions)
    return decide(load_bundle(bundles.closed_bundle(root / "root", trips, promotion_policy=str(policy))))


def test_each_component_is_read_from_what_the_vm_printed(tmp_path: Path) -> None:
    found = recorded_versions(load_bundle(bundles.closed_bundle(tmp_path)))
    assert found == {
        "aiida-core": "2.9.4", "python": "3.13.5", "slurm": "24.11.5", "postgresql": "17.12", "rabbitmq": "4.0.5"
    }  # fmt: skip
    assert set(found) == set(COMPONENTS)


@pytest.mark.parametrize(
    ("message", "version"),
    [
        ("postgresql: 18beta1 (Ubuntu 18~beta1-1.pgdg24.04+1)", "18beta1"),
        ("slurm: slurm-wlm 22.05.8", "22.05.8"),
        ("slurm: slurm 23.11.0-0rc1", "23.11.0-0rc1"),
        ("aiida-core: 2.9.0.dev0", "2.9.0.dev0"),
        ("postgresql: 17.12 (Debian 17.12-0+deb13u1)", "17.12"),
        ("postgresql: 18devel", "18devel"),
        ("rabbitmq: 4.1.0+rc.1", "4.1.0+rc.1"),
        ("slurm: slurm 24.11.5+b1", "24.11.5"),
        ("rabbitmq: 4.1.0-beta.3", "4.1.0-beta.3"),
        ("slurm: 24.11.5-bullseye", "24.11.5"),
        ("python: 3.14.0rc2", "3.14.0rc2"),
    ],
)
def test_what_a_package_adds_is_not_the_version(tmp_path: Path, message: str, version: str) -> None:
    trips = bundles.trips_with("vm_bootstrap", "versions", output=f"{message}\n")
    assert recorded_versions(load_bundle(bundles.closed_bundle(tmp_path, trips))) == {message.split(":")[0]: version}


@pytest.mark.parametrize("how", [{"exit": 1}, {"exit": None, "timed_out": True, "signal": 9}, {"truncated": True}])
def test_a_probe_that_did_not_end_well_says_nothing(tmp_path: Path, how: dict[str, object]) -> None:
    trips = bundles.trips_with("vm_bootstrap", "versions", **how)
    assert recorded_versions(load_bundle(bundles.closed_bundle(tmp_path, trips))) == {}


def test_without_bounds_no_version_matters(tmp_path: Path) -> None:
    assert decided(tmp_path, {}, "").decision == "PROMOTE"


def test_without_their_record_gate_3_is_not_complete(tmp_path: Path) -> None:
    trips = bundles.healthy_trips()
    trips["vm_bootstrap"] = bundles.without(trips["vm_bootstrap"], "versions")
    decision = decide(load_bundle(bundles.closed_bundle(tmp_path, trips)))
    [check] = [check for check in decision.gates[2].checks if check.status != "PASS"]
    assert (check.id, str(check.status), check.observed) == (
        "vm_bootstrap.evidence", "MISSING", "03-vm-versions.log is missing"
    )  # fmt: skip


def test_within_the_bounds_there_is_no_objection(tmp_path: Path) -> None:
    bounds = {"python": ">=3.9,<3.14", "aiida-core": ">=2.7,<2.10", "slurm": ">=24", "postgresql": "==17.12"}
    assert decided(tmp_path, bounds).decision == "PROMOTE"


@pytest.mark.parametrize("component", COMPONENTS)
def test_outside_the_bounds_is_an_objection(tmp_path: Path, component: str) -> None:
    decision = decided(tmp_path, {component: "<2"})
    assert decision.decision == "HOLD"
    [objection] = decision.objections
    assert objection.startswith(f"{component} ") and objection.endswith(
        " is outside <2, the range that the policy supports."
    )


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("message", ["", "not found"], ids=["nothing", "no-number"])
def test_a_version_that_is_not_known_is_an_objection(tmp_path: Path, component: str, message: str) -> None:
    lines = bundles.VERSIONS.splitlines()
    others = [line for line in lines if not line.startswith(component)]
    decision = decided(tmp_path, {component: ">=1"}, "\n".join([*others, f"{component}: {message}"]) + "\n")
    assert decision.decision == "HOLD"
    assert decision.objections == (f"The policy limits {component} to >=1, but its version on the VM is not known.",)


def test_the_versions_are_recorded_by_gate_3(tmp_path: Path) -> None:
    bundle = bundles.make_bundle(tmp_path)
    assert "aiida-core: 2.9.4" in (bundle / "03-vm-versions.log").read_text(encoding="utf-8")


def test_the_package_says_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"promotion-gate {promotion_gate.__version__}\n"
    assert promotion_gate.__version__ == metadata.version("promotion-gate")
