"""check: 0 PROMOTE, 1 HOLD, 2 usage, 3 no decision or an invalid one, and a sentence that says why."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bundles
import pytest

from promotion_gate.__main__ import main
from promotion_gate.base.errors import InputError
from promotion_gate.base.times import parse_stamp
from promotion_gate.bundle.history import run_folders
from promotion_gate.bundle.newest import newest_run
from promotion_gate.prove.check import Wanted, check
from promotion_gate.prove.signing import sign
from promotion_gate.prove.signoff import make_signoff


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.make_bundle(tmp_path_factory.mktemp("sealed"))


@pytest.fixture
def bundle(sealed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sealed, tmp_path / "root" / sealed.name))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "bob"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    (path.parent / "allowed").write_text(f"bob {path.with_suffix('.pub').read_text()}", encoding="utf-8")
    return path


def record(bundle: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((bundle / "promotion-decision.json").read_text(encoding="utf-8"))
    return content


def test_a_promote_is_0(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(bundle)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"PROMOTE: run {bundle.name}") and "bob has not signed off" in out


def test_what_was_not_looked_at_is_named(bundle: Path, key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An older PROMOTE may have a newer HOLD beside it; signers prove nothing where nothing is signed."""
    assert main(["check", str(bundle)]) == 0
    assert "newer runs (latest --root), who signed it (--allowed-signers)" in flat(capsys.readouterr().out)
    signers = ["--allowed-signers", str(key.parent / "allowed")]
    assert main(["check", "latest", "--root", str(bundle.parent), *signers]) == 0
    out = flat(capsys.readouterr().out)
    assert "newer runs" not in out and "who signed it (SHA256SUMS is not signed)" in out


@pytest.mark.parametrize("command", ["show", "sign-off", "issue", "decide"])
@pytest.mark.parametrize("place", ["", "nothing", "a file"])
def test_what_is_not_a_bundle_is_called_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, place: str
) -> None:
    (tmp_path / "a file").write_text("x", encoding="utf-8")
    more = ["--name", "bob"] if command == "sign-off" else []
    assert main([command, str(tmp_path / place), *more]) == 3
    assert "resume" not in capsys.readouterr().err


def flat(text: str) -> str:
    """Lines that were wrapped as one."""
    return " ".join(text.split())


def test_a_hold_is_1_and_says_why(tmp_path: Path) -> None:
    answer = check(bundles.hold_bundle(tmp_path), Wanted())
    assert answer.status == 1
    assert answer.sentence.startswith(f"HOLD: run {bundles.RUN_ID}, because gate 4 (slurm_smoke) is FAIL.\n")
    lines = answer.sentence.splitlines()
    assert lines[1].split() == ["unblock:", "slurm_smoke.controller", "(FAIL)"]
    assert lines[-1].startswith("  next:          `promotion-gate show ") and max(map(len, lines[:-1])) <= 80


def test_a_hold_by_an_objection_says_it(tmp_path: Path) -> None:
    trips = bundles.healthy_trips()
    trips["vm_bootstrap"]["objections"] = ["AIIDA_DB_PASSWORD equals the database's name."]
    answer = check(bundles.make_bundle(tmp_path, trips), Wanted())
    assert answer.status == 1 and "1 objection(s), the first: AIIDA_DB_PASSWORD" in flat(answer.sentence)


def test_usage_is_2(bundle: Path, tmp_path: Path) -> None:
    root = str(bundle.parent)
    usage = [
        ["check", "latest"],
        ["check", "latest", "--root", str(tmp_path / "nowhere")],
        ["check", "latest", "--root", str(bundle)],
        ["check", str(bundle), "--root", root],
        ["check", str(bundle), "--max-age", "soon"],
        ["check", str(bundle), "--commit", "main"],
        ["check", str(bundle), "--require-sign-off"],
        ["check", str(bundle), "--allowed-signers", str(tmp_path / "nowhere")],
    ]
    for words in usage:
        assert main(words) == 2, words
    with pytest.raises(SystemExit) as wrong:
        main(["check"])
    assert wrong.value.code == 2


def test_what_is_not_a_decision_exits_3(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened = bundles.open_bundle(tmp_path / "open")
    assert main(["check", str(opened)]) == 3
    closed = bundles.closed_bundle(tmp_path / "closed")
    assert main(["check", str(closed)]) == 3
    assert main(["check", str(tmp_path / "nowhere")]) == 3
    (bundle / "note.txt").write_text("x", encoding="utf-8")
    assert main(["check", str(bundle)]) == 3
    out = capsys.readouterr().out.splitlines()
    assert all(line.startswith(("No decision: ", "  next: ")) for line in out) and "note.txt" in out[-2]
    assert out[-1] == "  next:          note.txt is not part of the bundle: move it out of the folder"


def test_a_promote_counts_no_longer_than_its_waivers(tmp_path: Path) -> None:
    policy = tmp_path / "mine.yml"
    text = (bundles.PROJECT / "policies" / "aiida.yml").read_text(encoding="utf-8")
    policy.write_text(
        text.replace("id: sqlite_smoke.runs\n", "id: sqlite_smoke.runs\n        waivable: true\n"), "utf-8"
    )
    waiver = {"check": "sqlite_smoke.runs", "reason": "r", "owner": "eve", "ticket": "t", "expires": "2099-01-31"}
    trips = bundles.trips_with("sqlite_smoke", "run_2", exit=1)
    settings: dict[str, Any] = {"promotion_policy": str(policy), "promotion_waivers": [waiver]}
    bundle = bundles.make_bundle(tmp_path / "root", trips, **settings)
    assert check(bundle, Wanted()).status == 0
    answer = check(bundle, Wanted(), now=datetime(2099, 2, 1, tzinfo=UTC))
    assert answer.status == 3 and "waiver of sqlite_smoke.runs by eve expired on 2099-01-31" in flat(answer.sentence)


def test_an_open_bundle_is_not_a_decision_even_if_it_was_sealed(bundle: Path) -> None:
    index = bundle / "index.json"
    data = json.loads(index.read_text(encoding="utf-8"))
    index.write_text(json.dumps({**data, "state": "open", "evaluated_at": None}), encoding="utf-8")
    assert check(bundle, Wanted()).status == 3


@pytest.mark.parametrize(
    ("commit", "status"),
    [(bundles.COMMIT, 0), (bundles.COMMIT[:7], 0), ("0" * 40, 3), (bundles.COMMIT + "0", 3)],
)
def test_the_commit_must_be_the_one(bundle: Path, commit: str, status: int) -> None:
    answer = check(bundle, Wanted(commit=commit))
    assert answer.status == status
    assert status == 0 or f"not {commit}" in flat(answer.sentence)


def test_the_vm_must_be_the_one(bundle: Path) -> None:
    fingerprint = record(bundle)["vm"]["fingerprint"]
    assert check(bundle, Wanted(vm=fingerprint)).status == 0
    for other in ("0" * 64, fingerprint[:10], ""):
        assert check(bundle, Wanted(vm=other)).status == 3


def test_a_hold_of_another_commit_is_not_a_valid_decision(tmp_path: Path) -> None:
    assert check(bundles.hold_bundle(tmp_path), Wanted(commit="0" * 40)).status == 3


@pytest.mark.parametrize(
    ("later", "status"),
    [(timedelta(), 0), (timedelta(hours=24), 0), (timedelta(hours=24, seconds=1), 3), (-timedelta(minutes=5), 0),
     (-timedelta(minutes=6), 3)],
)  # fmt: skip
def test_the_age_is_judged_against_today(bundle: Path, later: timedelta, status: int) -> None:
    decided = parse_stamp(record(bundle)["decided_at"])
    assert decided is not None
    assert check(bundle, Wanted(max_age="24h"), decided + later).status == status


def test_without_max_age_an_old_decision_counts(bundle: Path) -> None:
    decided = parse_stamp(record(bundle)["decided_at"])
    assert decided is not None
    assert check(bundle, Wanted(), decided + timedelta(days=400)).status == 0


def test_a_sign_off_can_be_required(bundle: Path, key: Path) -> None:
    wanted = Wanted(sign_off=True, allowed_signers=key.parent / "allowed")
    message = check(bundle, wanted).sentence.splitlines()
    assert message[0] == "No valid decision: bob has not signed off, and a sign-off is required."
    assert message[1:] == ["  next:          let bob run `promotion-gate sign-off` with --name and --key"]
    make_signoff(bundle, "bob")
    answer = check(bundle, wanted)
    assert answer.status == 3 and "recorded, not proven" in flat(answer.sentence)
    assert "recorded, not proven" in flat(check(bundle, Wanted()).sentence) and check(bundle, Wanted()).status == 0
    make_signoff(bundle, "bob", str(key))
    answer = check(bundle, wanted)
    assert answer.status == 0 and "signed off by bob with the key ssh-ed25519 SHA256:" in flat(answer.sentence)
    with pytest.raises(InputError, match="needs --allowed-signers"):
        check(bundle, Wanted(sign_off=True))


def test_a_void_sign_off_does_not_count(tmp_path: Path, key: Path) -> None:
    bundle = bundles.hold_bundle(tmp_path)
    make_signoff(bundle, "bob", str(key))
    bundles.resume_bundle(tmp_path)
    answer = check(bundle, Wanted(sign_off=True, allowed_signers=key.parent / "allowed"))
    assert answer.status == 3 and "is void" in flat(answer.sentence)
    assert "is void" in flat(check(bundle, Wanted()).sentence)


def test_a_signature_can_be_required(bundle: Path, key: Path) -> None:
    allowed = str(key.parent / "allowed")
    assert main(["check", str(bundle), "--require-signature"]) == 3
    sign(bundle / "SHA256SUMS", str(key))
    assert main(["check", str(bundle), "--require-signature", "--allowed-signers", allowed]) == 0
    message = flat(check(bundle, Wanted(signature=True, allowed_signers=Path(allowed))).sentence)
    assert "SHA256SUMS is signed by bob with the key ssh-ed25519 SHA256:" in message
    for wanted in (Wanted(), Wanted(signature=True)):
        message = flat(check(bundle, wanted).sentence)
        assert (
            "signed by the key ssh-ed25519 SHA256:" in message
            and "whose it is, only --allowed-signers can say" in message
        )
    (bundle / "SHA256SUMS.sig").write_text("x", encoding="utf-8")
    assert main(["check", str(bundle)]) == 3


# --- latest -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_latest_is_the_newest_run_whatever_it_is(tmp_path: Path) -> None:
    latest = ["check", "latest", "--root", str(tmp_path)]
    assert main(latest) == 2, "no run at all"
    bundles.make_bundle(tmp_path, run_id="20261124T010000Z")
    assert main(latest) == 0
    bundles.hold_bundle(tmp_path, "20261124T020000Z")
    assert main(latest) == 1, "a newer HOLD revokes an earlier PROMOTE"
    bundles.resume_bundle(tmp_path)
    assert main(latest) == 0
    bundles.open_bundle(tmp_path, "20261124T030000Z")
    assert main(latest) == 3, "a run under way is not a decision"


def test_latest_does_not_fall_back_on_an_older_run(tmp_path: Path) -> None:
    bundles.make_bundle(tmp_path, run_id="20261124T010000Z")
    newest = bundles.hold_bundle(tmp_path, "20261124T020000Z")
    (newest / "index.json").write_text("{", encoding="utf-8")
    assert main(["check", "latest", "--root", str(tmp_path)]) == 3


def _lose_index(newest: Path) -> None:
    (newest / "index.json").unlink()


def _lose_all_but_the_attempts(newest: Path) -> None:
    shutil.rmtree(newest)
    (newest / "attempts" / "01").mkdir(parents=True)


def _lose_all_but_the_record(newest: Path) -> None:
    kept = (newest / "promotion-decision.md").read_bytes()
    shutil.rmtree(newest)
    newest.mkdir()
    (newest / "promotion-decision.md").write_bytes(kept)


def _move_and_link(newest: Path) -> None:
    away = newest.parent.with_name("away")
    away.mkdir()
    newest.symlink_to(newest.rename(away / newest.name))


def _move_link_and_lose(newest: Path) -> None:
    _move_and_link(newest)
    shutil.rmtree(newest.parent.with_name("away"))


LOSSES = {
    "index": _lose_index,
    "all but attempts": _lose_all_but_the_attempts,
    "all but a record": _lose_all_but_the_record,
    "moved and linked": _move_and_link,
    "linked to nowhere": _move_link_and_lose,
}


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("two") / "root"
    bundles.make_bundle(root, run_id="20261124T010000Z")
    bundles.hold_bundle(root, "20261124T020000Z")
    return root


@pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES)
def test_leftovers_of_the_newest_run_still_precede_an_older_promote(
    two_runs: Path, tmp_path: Path, lose: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(shutil.copytree(two_runs, tmp_path / "root"))
    lose(root / "20261124T020000Z")
    assert main(["check", "latest", "--root", str(root)]) == 3
    assert main(["verify", "--history", str(root)]) == 1
    assert "20261124T020000Z" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"newest run cannot be resumed: .*20261124T020000Z"):
        newest_run(root, "latest")


def test_what_is_beside_the_runs_is_not_a_run(two_runs: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(two_runs, tmp_path / "root"))
    before = run_folders(root)
    (root / ".unfinished-x").mkdir()
    (root / ".unfinished-x" / "index.json").write_text("{}", encoding="utf-8")
    (root / "notes").mkdir()
    (root / "20261124T030000Z.signoff.json").write_text("{}", encoding="utf-8")
    (root / ".#lock").symlink_to("nowhere")
    (root / "policy").symlink_to(root / "20261124T030000Z.signoff.json")
    assert (root / "baseline").is_dir() and run_folders(root) == before
    assert main(["check", "latest", "--root", str(root)]) == 1
