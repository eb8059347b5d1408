"""Known-good timings: three sane times, a real date in the past, and a sealed run or a recorded reason behind them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import bundles
import pytest

from promotion_gate.base.errors import BundleError, GateError
from promotion_gate.base.files import read_json, sha256, to_json
from promotion_gate.base.times import utc_now
from promotion_gate.bundle.baseline import Baseline, read_baseline_dir, write_baseline
from promotion_gate.bundle.load import load_bundle
from promotion_gate.judge.decide import decide
from promotion_gate.prove.seal import seal
from promotion_gate.run.recording import record_from_promote, record_from_runs

SECOND = bundles.SECOND


def read(root: Path, folder: str = "baseline") -> tuple[Baseline, ...]:
    return read_baseline_dir(root / folder, root, utc_now())


def promoted(root: Path) -> Path:
    """A sealed PROMOTE whose timings are known-good now."""
    bundle = bundles.make_bundle(root)
    path = record_from_promote(bundle, load_bundle(bundle), decide(load_bundle(bundle)))
    assert path is not None
    return path


def test_both_kinds_are_read_back(tmp_path: Path) -> None:
    promoted(tmp_path)
    found = [(baseline.source, baseline.side_by_side) for baseline in read(tmp_path)]
    assert found == [("recorded", None), ("promote", False)], "None: recorded before the field existed"


EDITS: dict[str, tuple[Mapping[str, Any], str]] = {
    "x10": ({"times_ns": [10 * SECOND, 11 * SECOND, 12 * SECOND]}, "was changed after it was recorded"),
    "one-time": ({"times_ns": [SECOND]}, "times_ns must have 3 entries, not 1"),
    "four-times": ({"times_ns": [SECOND] * 4}, "times_ns must have 3 entries, not 4"),
    "zero": ({"times_ns": [0, SECOND, SECOND]}, "times_ns[0] must be from 1 to 86400000000000"),
    "negative": ({"times_ns": [SECOND, -SECOND, SECOND]}, "times_ns[1] must be from 1 to 86400000000000"),
    "for-ever": ({"times_ns": [10**400] * 3}, "times_ns[0] does not fit in 64 bits"),
    "true": ({"times_ns": [True, True, True]}, "times_ns[0] must be a whole number, not true or false"),
    "float": ({"times_ns": [1.5e9] * 3}, "times_ns[0] must be a whole number"),
    "2099": ({"recorded_at": "2099-01-01T00:00:00Z", "sha256": None}, "which is in the future"),
    "no-date": ({"recorded_at": "9999-99-99T99:99:99Z", "sha256": None}, "recorded_at must be a time in UTC"),
    "no-reason": ({"reason": "  ", "sha256": None}, "reason is empty"),
    "of-no-run": ({"source": "promote", "run_id": "20260101T000000Z", "sha256": None}, "no longer exists"),
    "load": ({"load_average": ["high"], "sha256": None}, "load_average[0] must be a number"),
}


@pytest.mark.stranger(
    "14.9", "a baseline that was edited by hand, with one time, dated 2099 or of no run, was accepted"
)
@pytest.mark.parametrize(("edit", "sentence"), EDITS.values(), ids=EDITS)
def test_what_is_not_known_good_is_refused(tmp_path: Path, edit: Mapping[str, Any], sentence: str) -> None:
    path = write_baseline(tmp_path / "baseline", bundles.known_good())
    path.write_text(json.dumps({**read_json(path), **edit}), encoding="utf-8")
    with pytest.raises(BundleError) as caught:
        read(tmp_path)
    assert str(path) in str(caught.value) and sentence in str(caught.value)
    with pytest.raises(GateError):
        bundles.opened(bundles.request(tmp_path))
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == ["baseline"]


@pytest.mark.stranger("14.9", "a baseline of a PROMOTE counted with other times than those of its run")
def test_a_promote_is_compared_with_its_sealed_run(tmp_path: Path) -> None:
    path = promoted(tmp_path)
    data = {**read_json(path), "times_ns": [10 * time for time in read_json(path)["times_ns"]]}
    path.write_text(to_json({key: value for key, value in data.items() if key != "sha256"}), encoding="utf-8")
    with pytest.raises(BundleError, match=r"does not agree with run .*: its three times differ"):
        read(tmp_path)


def test_a_promote_whose_run_is_gone_or_not_a_promote_is_refused(tmp_path: Path) -> None:
    path = promoted(tmp_path)
    run = tmp_path / bundles.RUN_ID
    index = run / "index.json"
    before = index.read_bytes()
    index.write_bytes(before + b"\n")
    with pytest.raises(BundleError, match=r"its index\.json has changed since it was sealed"):
        read(tmp_path)
    index.write_bytes(before)
    run.rename(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="sealed as it was then, no longer exists"):
        read(tmp_path)
    path.rename(aside := tmp_path / "aside.json")
    held = bundles.hold_bundle(tmp_path, "20261124T010000Z")
    data = {**read_json(aside), "run_id": held.name, "sha256": None}
    path.write_text(to_json({**data, "seal_sha256": sha256((held / "SHA256SUMS").read_bytes())}), encoding="utf-8")
    with pytest.raises(BundleError, match="it was not a PROMOTE"):
        read(tmp_path)


@pytest.mark.stranger("14.11", "a PROMOTE that was resumed for another gate was judged by its own timings, and held")
def test_a_resumed_promote_is_not_judged_by_its_own_baseline(tmp_path: Path) -> None:
    """Far faster than the first baseline, and far apart: its own median would fail its own p95."""
    trips = bundles.healthy_trips()
    for number, time in ((1, 1.0), (2, 1.0), (3, 1.6)):
        trips["sqlite_smoke"] = bundles.changed(trips["sqlite_smoke"], f"run_{number}", duration_ns=int(time * SECOND))
    bundle = bundles.make_bundle(tmp_path, trips)
    record_from_promote(bundle, load_bundle(bundle), decide(load_bundle(bundle)))
    plan = bundles.opened(bundles.request(tmp_path, promotion_resume="latest", promotion_gates="5"))
    run = bundles.begun(plan, bundles.answers())
    assert run["gates"] == ["contracts"]
    bundles.record(bundle, {"contracts": trips["contracts"]})
    decision = seal(bundle)
    assert decision.decision == "PROMOTE"
    record_from_promote(bundle, load_bundle(bundle), decision)
    assert len(read(tmp_path)) == 2, "the same timings are recorded once, and the run bears them out"


@pytest.mark.stranger("14.9", "a PROMOTE with waived timing or waived failed runs became known-good")
@pytest.mark.parametrize("check_id", ["sqlite_smoke.p95", "sqlite_smoke.runs"])
def test_what_was_waived_is_not_known_good(tmp_path: Path, check_id: str) -> None:
    policy = tmp_path / "mine.yml"
    text = (bundles.PROJECT / "policies" / "aiida.yml").read_text(encoding="utf-8")
    policy.write_text(text.replace(f"id: {check_id}\n", f"id: {check_id}\n        waivable: true\n"), encoding="utf-8")
    trips = bundles.healthy_trips()
    change = {"duration_ns": 600 * SECOND} if check_id.endswith("p95") else {"exit": 1}
    trips["sqlite_smoke"] = bundles.changed(trips["sqlite_smoke"], "run_2", **change)
    waiver = {"check": check_id, "reason": "slow disk", "owner": "eve", "ticket": "gra-1", "expires": "2099-12-31"}
    root = tmp_path / "root"
    bundle = bundles.make_bundle(root, trips, promotion_policy=str(policy), promotion_waivers=[waiver])
    decision = decide(load_bundle(bundle))
    assert decision.decision == "PROMOTE"
    with pytest.raises(GateError, match=f"{check_id} was waived"):
        record_from_promote(bundle, load_bundle(bundle), decision)


# --- slow drift -------------------------------------------------------------------------------------------------


def drifted(root: Path, first: float, *later: tuple[str, float], runs: float) -> Any:
    """The decision's p95 check where the runs take `runs` s, after a first baseline and later ones."""
    values = [("promote", first), *later]
    known = [
        bundles.known_good([int(time * SECOND)] * 3, f"2026110{n}T080000Z", source=source,
                           recorded_at=f"2026-11-0{n}T08:00:00Z")
        for n, (source, time) in enumerate(values, start=1)
    ]  # fmt: skip
    trips = bundles.healthy_trips()
    for number in (1, 2, 3):
        trips["sqlite_smoke"] = bundles.changed(trips["sqlite_smoke"], f"run_{number}", duration_ns=int(runs * SECOND))
    bundle = replace(load_bundle(bundles.closed_bundle(root, trips)), baselines=tuple(known))
    return next(c for c in decide(bundle).gate("sqlite_smoke").checks if c.id == "sqlite_smoke.p95")


@pytest.mark.stranger("14.9", "24 % slower with each PROMOTE, twelve times: 13 times slower, and promoted")
@pytest.mark.parametrize(
    ("later", "runs", "status"),
    [
        ([("promote", 1.9)], 2.0, "PASS"),
        ([("promote", 1.9)], 2.01, "FAIL"),
        ([("promote", 1.24), ("promote", 1.54), ("promote", 1.9)], 2.3, "FAIL"),
        ([("promote", 1.9), ("recorded", 1.9)], 2.3, "PASS"),
    ],
    ids=["twice", "more-than-twice", "step-by-step", "recorded-with-a-reason"],
)
def test_drift_has_a_limit_that_a_recorded_reason_moves(
    tmp_path: Path, later: list[tuple[str, float]], runs: float, status: str
) -> None:
    found = drifted(tmp_path, 1.0, *later, runs=runs)
    assert str(found.status) == status, found.observed
    if status == "FAIL":
        assert "since the baseline of 2026-11-01T08:00:00Z, more than 100 %" in found.observed
        assert "record it with the reason" in found.unblock


# --- recording --------------------------------------------------------------------------------------------------


def recorded(root: Path, times: tuple[float, ...], load: float, policy: str = "", **variables: Any) -> Any:
    trip = bundles.healthy_trips()["sqlite_smoke"]
    for number, time in enumerate(times, start=1):
        trip = bundles.changed(trip, f"run_{number}", duration_ns=int(time * SECOND))
    trip = {**trip, "host": {**trip["host"], "load_average": [load, 1.0, 1.0]}}
    if policy:
        (root / "mine.yml").write_text(policy, encoding="utf-8")
        variables["promotion_policy"] = str(root / "mine.yml")
    request = bundles.request(root, promotion_reason="known good", **variables)
    return record_from_runs({**request, "trip": trip})


@pytest.mark.stranger("15.8", "a baseline recorded at load 13 on two cores was taken without a word")
def test_a_busy_machine_and_times_far_apart_are_warned_of(tmp_path: Path) -> None:
    path, baseline, doubts = recorded(tmp_path, (1.0, 1.1, 1.5), 13.0)
    assert doubts == (
        "the load was 13.0 on 2 processors; repeat on an idle machine",
        "the three times are 45 % of their median apart; repeat on an idle machine",
    )
    written = read_json(path)
    assert (written["load_average"][0], written["processors"], written["spread_percent"]) == (13.0, 2, 45)
    assert read(tmp_path)[0] == baseline


@pytest.mark.parametrize(
    ("command", "change", "sentence"),
    [
        ("run_2", {"truncated": True}, "truncated"),
        ("run_2", {"left_running": True}, "left processes running"),
        ("run_3", {"duration_ns": 0}, "no wall time"),
        ("run_2", {"argv": ["true"]}, "same command"),
        ("identity_end", {"output": f"commit: {'e' * 40}\ncontent: {'d' * 64}\n"}, "While the sqlite smoke ran"),
    ],
)
def test_what_gate_2_would_refuse_is_not_recorded(
    tmp_path: Path, command: str, change: Mapping[str, Any], sentence: str
) -> None:
    trip = bundles.changed(bundles.healthy_trips()["sqlite_smoke"], command, **change)
    request = bundles.request(tmp_path, promotion_reason="known good")
    with pytest.raises(GateError, match=sentence):
        record_from_runs({**request, "trip": trip})
    assert read(tmp_path) == ()


def test_modified_files_are_warned_of(tmp_path: Path) -> None:
    trip = bundles.healthy_trips()["sqlite_smoke"]
    output = next(c["output"] for c in trip["commands"] if c["id"] == "identity")
    output = re.sub(r"^modified: .*$", 'modified: ["apps/api/smoke.py"]', output, flags=re.MULTILINE)
    trip = bundles.changed(trip, "identity", output=output)
    request = bundles.request(tmp_path, promotion_reason="known good")
    assert "apps/api/smoke.py" in record_from_runs({**request, "trip": trip})[2][0]


def test_an_idle_machine_is_not(tmp_path: Path) -> None:
    assert recorded(tmp_path, (1.0, 1.1, 1.2), 1.9)[2] == ()


@pytest.mark.parametrize(
    ("limit", "sentence"),
    [("max_load_percent: 100", "max_load_percent of 100"), ("max_spread_percent: 30", "max_spread_percent of 30")],
)
def test_a_limit_of_the_checklist_refuses(tmp_path: Path, limit: str, sentence: str) -> None:
    text = (bundles.PROJECT / "policies" / "aiida.yml").read_text(encoding="utf-8")
    text = text.replace("check: smoke_baseline\n", f"check: smoke_baseline\n        limits: {{{limit}}}\n")
    with pytest.raises(GateError, match=f"No baseline was recorded: .*{sentence} allows"):
        recorded(tmp_path, (1.0, 1.1, 1.5), 13.0, text)
    assert not (tmp_path / "baseline").exists()


def test_the_p95_sentence_names_both_loads(tmp_path: Path) -> None:
    bundle = bundles.make_bundle(tmp_path)
    decision = decide(load_bundle(bundle))
    observed = next(c for c in decision.gate("sqlite_smoke").checks if c.id == "sqlite_smoke.p95").observed
    assert "(load " in observed and "the baseline's load " in observed
