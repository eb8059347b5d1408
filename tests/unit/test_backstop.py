"""The exit status of a run: success only if the sealed record on disk verifies and says PROMOTE."""

from __future__ import annotations

from pathlib import Path

import bundles
import pytest

from promotion_gate.base.files import read_json, sha256, to_json
from promotion_gate.prove.seal import seal
from promotion_gate.run.backstop import Backstop, End


def ended(bundle: Path, opened: bool = True, closed: bool = True, error: str = "") -> End:
    backstop = Backstop()
    backstop.arm()
    if opened:
        backstop.opened(bundle)
    if closed:
        backstop.closed()
    if error:
        backstop.failed(error)
    end = backstop.end()
    assert end is not None
    return end


def test_a_sealed_promote_is_a_success(tmp_path: Path) -> None:
    end = ended(bundles.make_bundle(tmp_path))
    assert end.promotes
    assert end.text.splitlines()[0].startswith(f"PROMOTE  run {bundles.RUN_ID}")


def test_a_sealed_hold_is_not_and_is_shown_whole(tmp_path: Path) -> None:
    end = ended(bundles.hold_bundle(tmp_path))
    assert not end.promotes
    assert "slurm_smoke.controller" in end.text and "re-run:" in end.text


@pytest.mark.stranger("14.3", "-e of the variable that held the record: a sealed HOLD ended in exit 0 and PROMOTE")
def test_a_record_that_does_not_follow_from_the_evidence_is_not_believed(tmp_path: Path) -> None:
    bundle = bundles.hold_bundle(tmp_path)
    record = bundle / "promotion-decision.json"
    before = sha256(record.read_bytes())
    text = to_json({**read_json(record), "decision": "PROMOTE"})
    record.write_text(text, encoding="utf-8")
    sums = bundle / "SHA256SUMS"
    sums.write_text(sums.read_text(encoding="utf-8").replace(before, sha256(text.encode())), encoding="utf-8")
    end = ended(bundle)
    assert not end.promotes
    assert "does not verify (decision: decision is 'PROMOTE', the evidence gives 'HOLD'" in end.text
    assert "\nPROMOTE" not in f"\n{end.text}"


def test_a_promote_that_was_changed_after_its_seal_is_not_shown(tmp_path: Path) -> None:
    bundle = bundles.make_bundle(tmp_path)
    (bundle / "01-preflight.log").write_text("other\n", encoding="utf-8")
    end = ended(bundle)
    assert not end.promotes
    assert "digests: 01-preflight.log was changed after the seal" in end.text


def test_the_record_of_another_attempt_is_not_this_runs(tmp_path: Path) -> None:
    bundles.hold_bundle(tmp_path)
    bundle = bundles.resume_bundle(tmp_path, sealed=False)
    backstop = Backstop()
    backstop.arm()
    backstop.opened(bundle)
    backstop.closed()
    assert seal(bundle).attempt == 2
    end = backstop.end()
    assert end and end.promotes
    backstop._attempt = 1
    end = backstop.end()
    assert end and not end.promotes and "is of attempt 2, not of this run" in end.text


@pytest.mark.parametrize(
    ("opened", "closed", "error", "message"),
    [
        (False, False, "", "HOLD: the deciding play did not run, and no bundle was opened."),
        (True, False, "", "HOLD: the deciding play did not run; "),
        (True, True, "OSError: full", "HOLD: the evidence recorder failed (OSError: full); evidence may be missing."),
    ],
    ids=["not-opened", "not-closed", "recorder-failed"],
)
def test_without_its_own_decision_a_run_holds(
    tmp_path: Path, opened: bool, closed: bool, error: str, message: str
) -> None:
    end = ended(bundles.make_bundle(tmp_path), opened, closed, error)
    assert not end.promotes
    assert message in end.text
    assert "\nPROMOTE" not in f"\n{end.text}"


def test_a_playbook_that_promises_nothing_is_left_alone() -> None:
    assert Backstop().end() is None
