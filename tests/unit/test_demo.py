"""The demo says so when its machine was busy: a HOLD for time alone."""

from __future__ import annotations

from pathlib import Path

import bundles
import pytest

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
