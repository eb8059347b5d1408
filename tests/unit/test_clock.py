"""A VM whose clock is wrong changes nothing: every stamp that counts is the controller's.

The controller's own clock has to go forward from run to run.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bundles
import pytest

from promotion_gate.base.errors import InputError
from promotion_gate.base.files import read_json, to_json
from promotion_gate.base.times import utc_now
from promotion_gate.bundle import recorder
from promotion_gate.bundle.baseline import write_baseline
from promotion_gate.bundle.history import run_folders
from promotion_gate.bundle.load import load_bundle
from promotion_gate.bundle.newest import looks, newest_folder
from promotion_gate.judge.decide import decide
from promotion_gate.prove.seal import seal
from promotion_gate.run import opening

NOW = datetime(2026, 11, 24, 0, 31, 30, tzinfo=UTC)
# Every form in which the tools print a time: verdi, the smoke script's folder, pytest's report.
STAMPS = {
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d": "%Y-%m-%d %H:%M:%S",
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d": "%Y-%m-%dT%H:%M:%S",
    r"\d{8}T\d{6}(?=-vm-slurm)": "%Y%m%dT%H%M%S",
}


def shifted(value: Any, hours: int) -> Any:
    """What the VM would have printed with its clock `hours` ahead."""
    if isinstance(value, dict):
        return {shifted(key, hours): shifted(item, hours) for key, item in value.items()}
    if isinstance(value, list):
        return [shifted(item, hours) for item in value]
    if not isinstance(value, str):
        return value
    for pattern, form in STAMPS.items():
        for stamp in set(re.findall(pattern, value)):
            later = datetime.strptime(stamp, form) + timedelta(hours=hours)
            value = value.replace(stamp, later.strftime(form))
    return value


def decided(root: Path, hours: int) -> tuple[dict[str, Any], dict[str, Any]]:
    trips = bundles.healthy_trips()
    trips |= {gate: shifted(trips[gate], hours) for gate in ("vm_bootstrap", "slurm_smoke")}
    write_baseline(root / "baseline", bundles.known_good())
    folder = bundles.open_bundle(root)  # under the clock of this test, not copied
    bundles.record(folder, trips)
    return dict(decide(load_bundle(folder)).as_dict()), read_json(folder / "index.json")


def stamps(index: dict[str, Any]) -> list[str]:
    """Every stamp of the index that anything is judged by."""
    gates = [gate[key] for gate in index["gates"].values() for key in ("started", "ended")]
    return [index["opened_at"], index["evaluated_at"], *gates, *(c["started"] for c in index["commands"])]


def unnamed(gates: Any) -> str:
    """The judged gates; the folder that the smoke script named by its own clock is a name and nothing more."""
    return re.sub(r"\d{8}T\d{6}-vm-slurm", "RUN", to_json(gates))


@pytest.mark.parametrize("hours", [1, -1, 24 * 365], ids=["an-hour-ahead", "an-hour-behind", "a-year-ahead"])
def test_what_the_clock_of_the_vm_says_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    for module in (opening, recorder):
        monkeypatch.setattr(module, "utc_now", lambda: NOW)
    right, index = decided(tmp_path / "right", 0)
    wrong, other = decided(tmp_path / "wrong", hours)
    assert other["files"] != index["files"], "the VM did print other times"
    assert stamps(other) == stamps(index)
    assert unnamed(wrong["gates"]) == unnamed(right["gates"])
    assert (wrong["decision"], wrong["decided_at"]) == (right["decision"], right["decided_at"]) == (
        "PROMOTE", "2026-11-24T00:31:30Z"
    )  # fmt: skip


# --- the controller's clock ---------------------------------------------------------------------------------------


def test_no_run_is_opened_that_an_older_one_would_hide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PROMOTE made with the clock ahead would stay the newest run, and a HOLD after it would go unseen."""
    with monkeypatch.context() as ahead:
        for module in (opening, recorder):
            ahead.setattr(module, "utc_now", lambda: utc_now() + timedelta(minutes=2))
        older = bundles.make_bundle(tmp_path, run_id="20261124T010000Z")
    with pytest.raises(InputError, match=f"Run {older.name} in .* the clock of this machine says .* Set the clock"):
        bundles.open_bundle(tmp_path, "20261124T020000Z")
    assert [folder.name for folder in run_folders(tmp_path)] == [older.name]


def test_runs_of_one_second_are_distinguished(tmp_path: Path) -> None:
    """By when they were opened: a name that an operator chose says nothing."""
    names = ("z", "m", "a")
    for name in names:
        bundles.open_bundle(tmp_path, name)
    assert [look.folder.name for look in looks(tmp_path)] == list(names)
    assert newest_folder(tmp_path).name == "a"


def test_a_clock_set_back_by_a_little_does_not_cost_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_baseline(tmp_path / "baseline", bundles.known_good())
    folder = bundles.open_bundle(tmp_path)
    bundles.record(folder, bundles.healthy_trips(), close=False)
    monkeypatch.setattr(recorder, "utc_now", lambda: utc_now() - timedelta(minutes=1))
    bundles.record(folder, {})
    index = read_json(folder / "index.json")
    assert index["evaluated_at"] == index["opened_at"] and seal(folder).decision == "PROMOTE"
