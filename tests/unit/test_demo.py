"""What the demo concludes from results: a HOLD for time alone, and which versions of ansible-core pass."""

from __future__ import annotations

import tomllib
from pathlib import Path

import bundles
import pytest
from packaging.requirements import Requirement

from demo import matrix
from demo.__main__ import _held_for_time_alone, _options

SLOW = bundles.sqlite_smoke((90 * bundles.SECOND,) * 3)
DOWN = bundles.changed(bundles.slurm_smoke(), "ping", exit=1, output=bundles.PING_DOWN)


@pytest.mark.parametrize(
    ("changes", "for_time_alone"),
    [
        ({}, False),
        ({"sqlite_smoke": SLOW}, True),
        ({"slurm_smoke": DOWN}, False),
        ({"sqlite_smoke": SLOW, "slurm_smoke": DOWN}, False),
    ],
    ids=["promote", "slow", "down", "slow-and-down"],
)
def test_a_hold_for_time_alone(changes: bundles.Trips, for_time_alone: bool, tmp_path: Path) -> None:
    bundle = bundles.make_bundle(tmp_path, {**bundles.healthy_trips(), **changes})
    assert _held_for_time_alone(bundle / "promotion-decision.json") == for_time_alone
    assert not _held_for_time_alone(bundle / "nowhere.json")


@pytest.mark.parametrize(
    ("words", "name", "ansible"),
    [
        (["-e", "promotion_resume=latest"], "aiida-vm", ["-e", "promotion_resume=latest"]),
        (["--name", "other", "-e", "a=1", "-v"], "other", ["-e", "a=1", "-v"]),
        (["--", "-e", "a=1"], "aiida-vm", ["-e", "a=1"]),
        ([], "aiida-vm", []),
    ],
)
def test_what_run_does_not_know_is_for_ansible_playbook(words: list[str], name: str, ansible: list[str]) -> None:
    options = _options(["run", *words])
    assert (options.name, options.ansible) == (name, ansible)


def test_other_commands_take_nothing_that_they_do_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _options(["up", "-e", "a=1"])
    assert "unrecognized arguments: -e" in capsys.readouterr().err
    assert _options(["ssh", "--name", "other", "verdi", "-p", "x", "status"]).command == ["verdi", "-p", "x", "status"]


def test_the_matrix_has_every_supported_version_and_the_next() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    ansible = project["optional-dependencies"]["ansible"]
    supported = next(r.specifier for r in map(Requirement, ansible) if r.name == "ansible-core")
    assert tuple(f"2.{minor}" for minor in range(100) if supported.contains(f"2.{minor}.1")) == matrix.VERSIONS
    assert not supported.contains(f"{matrix.NEXT}.0", prereleases=True)


def junit(*cases: tuple[str, str, str]) -> str:
    inner = "".join(f'<testcase classname="{where}" name="{name}">{inside}</testcase>' for where, name, inside in cases)
    return f'<testsuites><testsuite name="pytest">{inner}</testsuite></testsuites>'


CASES = (
    ("tests.integration.test_gate_promote", "test_it_promotes", ""),
    ("tests.integration.test_gate_promote", "test_the_bundle_is_whole", ""),
    ("tests.integration.test_gate_hold", "test_all_gates_run_although_four_fail", ""),
    ("tests.integration.test_canary", "test_no_secret_shows_up_anywhere", ""),
    ("tests.integration.test_canary", "test_from_another_folder_no_token_is_in_a_journal", ""),
    ("tests.faults.test_controller", "test_it_still_decides[foreign-directory]", ""),
)


def test_a_version_passes_if_every_test_was_run_and_passed() -> None:
    row = {"ansible-core": "2.19.14", "Python": "3.13.5"}
    assert set(matrix.results(junit(*CASES)).values()) == {matrix.PASS}
    passed = row | matrix.results(junit(*CASES))
    missing = row | matrix.results("")
    assert {missing[name] for name in matrix.TESTS} == {matrix.NO_RESULT}
    for number, (where, name, _) in enumerate(CASES):
        for inside in ("<failure/>", "<error/>", "<skipped/>"):
            changed = [*CASES[:number], (where, name, inside), *CASES[number + 1 :]]
            assert list(matrix.results(junit(*changed)).values()).count(matrix.FAIL) == 1
    without_one = matrix.results(junit(*CASES[:4], CASES[5]))
    assert without_one["canary"] == matrix.FAIL, "one of its two tests was not run"

    supported = dict.fromkeys(matrix.VERSIONS, passed)
    assert matrix.status({**supported, matrix.NEXT: missing}) == 0
    assert matrix.status({**supported, "2.20": missing, matrix.NEXT: passed}) == 1
    printed = matrix.table({**supported, matrix.NEXT: missing})
    assert len(printed) == 6 and printed[-1].endswith("matrix-2.22.log")
