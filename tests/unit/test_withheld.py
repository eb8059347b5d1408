"""A last look at what is returned and what is written: a secret that no mask foresaw never reaches a bundle."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import bundles
import pytest
from test_gate_commands import packed, trip

from promotion_gate.bundle.load import load_bundle
from promotion_gate.bundle.recorder import Recorder
from promotion_gate.judge.decide import decide
from promotion_gate.prove.seal import seal
from promotion_gate.prove.verify import verify_bundle

SECRET = "Tr0ub4dor&3xyz"
ODD = "-".join(SECRET)  # no mask is made for this, and everybody can read it
WHAT = "in what no mask foresaw, a known secret is readable in a bundle"


@pytest.mark.stranger("16.12", WHAT)
def test_the_target_returns_nothing_that_shows_a_value(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.log").write_text(f"{ODD}\n")
    (tmp_path / "out" / "b.log").write_text("nothing\n")
    found = trip(
        {"run": f"echo '{ODD}'; exit 3"},
        {"run": f"echo '{SECRET}'"},
        secrets=packed({"X_TOKEN": SECRET}),
        artifacts=[{"from": str(tmp_path / "out"), "to": "x"}],
    )
    assert ODD not in json.dumps(found) and SECRET not in json.dumps(found)
    first, second = found["commands"]
    digest = hashlib.sha256(f"{ODD}\n".encode()).hexdigest()
    assert first["withheld"] == {"rule": "known value", "sha256": digest}
    assert (first["exit"], first["output"], first["argv"]) == (3, "[withheld]", ["[withheld]"])
    assert (second["withheld"], second["output"], second["masks"]) == (None, "***\n", {"known value": 1})
    assert [entry["withheld"] is None for entry in found["artifacts"][0]["files"]] == [False, True]
    assert found["objections"] == []


@pytest.mark.stranger("16.12", WHAT)
@pytest.mark.parametrize("where", ["output", "artifact", "argv", "from the target"])
def test_a_run_with_it_is_sealed_as_hold(tmp_path: Path, where: str) -> None:
    trips = bundles.healthy_trips()
    command = next(c for c in trips["vm_bootstrap"]["commands"] if c["file"] == "03-verdi-status.log")
    if where == "output":
        command["output"] += f"{ODD}\n"
    elif where == "argv":
        command["argv"] = [*command["argv"], ODD]
    elif where == "artifact":
        trips["slurm_smoke"]["artifacts"][0]["files"][0]["content"] += ODD
    else:
        command["withheld"] = {"rule": "known value", "sha256": "0" * 64}
    bundle = bundles.open_bundle(tmp_path)
    recorder = Recorder(bundle, {"recorder": "evidence"})
    for gate, result in trips.items():
        recorder.trip(result, bundles.host_of(gate), known=[SECRET])
    recorder.close()
    decision = decide(load_bundle(bundle))
    assert decision.decision == "HOLD"
    assert any("contained a secret" in sentence for sentence in decision.objections)
    invalid = [check.id for gate in decision.gates for check in gate.checks if check.status == "INVALID"]
    assert invalid, "the evidence of it is not judged"
    seal(bundle)
    report = verify_bundle(bundle)
    assert report.holds, report
    assert (bundle / "follow-up-issue.md").is_file()
    for path in bundle.rglob("*"):
        assert path.is_dir() or ODD.encode() not in path.read_bytes(), path


def test_the_masks_are_listed_in_index_and_record(tmp_path: Path) -> None:
    trips = bundles.healthy_trips()
    command = trips["preflight"]["commands"][0]
    command["masks"] = {"known value": 2}
    command["output"] += f"it is {SECRET}, password=Zq7x\n"
    bundle = bundles.open_bundle(tmp_path)
    recorder = Recorder(bundle, {"recorder": "evidence"})
    for gate, result in trips.items():
        recorder.trip(result, bundles.host_of(gate), known=[SECRET])
    recorder.close()
    masks = decide(load_bundle(bundle)).as_dict()["masks"]
    file = command["file"]
    assert {"rule": "known value", "file": file, "count": 3} in masks
    assert {"rule": "value of a secret name", "file": file, "count": 1} in masks
    assert json.loads((bundle / "index.json").read_text())["masks"] == masks


def test_a_secret_that_equals_a_name_is_not_masked_by_the_recorder(tmp_path: Path) -> None:
    bundle = bundles.open_bundle(tmp_path)
    recorder = Recorder(bundle, {"recorder": "evidence"})
    settings = json.loads((bundle / "index.json").read_text())["settings"]
    name = next(value for value in settings.values() if isinstance(value, str) and len(value) > 7)
    result = bundles.healthy_trips()["preflight"]
    result["commands"][0]["output"] += f"{name}\n"
    recorder.trip(result, bundles.host_of("preflight"), known=[name])
    assert name in (bundle / result["commands"][0]["file"]).read_text()
