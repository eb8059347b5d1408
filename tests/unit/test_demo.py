"""The demo says so when its machine was busy: a HOLD for time alone."""

from __future__ import annotations

from pathlib import Path

import bundles
import pytest

from demo.__main__ import _held_for_time_alone

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
