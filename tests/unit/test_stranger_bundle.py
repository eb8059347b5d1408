"""A bundle, an evidence root or a request may come from a stranger: it gets a sentence and the right exit status."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tracemalloc
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import bundles
import pytest
import yaml

from promotion_gate import __main__ as command
from promotion_gate.__main__ import main
from promotion_gate.base.errors import BundleError, GateError, InputError
from promotion_gate.base.files import MAX_JSON_BYTES, list_files, parse_json, read_file
from promotion_gate.base.names import OWN_NAMES, archived_by, evidence_name, name_problem
from promotion_gate.base.times import parse_duration, parse_stamp, utc_now
from promotion_gate.bundle.history import seals
from promotion_gate.bundle.index import parse_index
from promotion_gate.bundle.load import MAX_EVIDENCE_BYTES, load_bundle
from promotion_gate.prove import believed, sound
from promotion_gate.prove.check import Wanted, check
from promotion_gate.prove.seal import seal
from promotion_gate.prove.sound import MAX_SUMS_BYTES
from promotion_gate.prove.verify import verify_bundle
from promotion_gate.run.lock import LOCK_FILE, check_free

OLDER, NEWER = "20261101T000000Z", "20261102T000000Z"


@pytest.fixture(scope="module")
def sealed_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evidence root with an older PROMOTE and a newer HOLD."""
    root = tmp_path_factory.mktemp("sealed") / "root"
    bundles.make_bundle(root, run_id=OLDER)
    bundles.hold_bundle(root, NEWER)
    return root


@pytest.fixture
def root(sealed_root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sealed_root, tmp_path / "root", symlinks=True))


@pytest.fixture
def promote(root: Path) -> Path:
    return root / OLDER


def index_of(bundle: Path) -> dict[str, Any]:
    return dict(json.loads((bundle / "index.json").read_text(encoding="utf-8")))


def write_index(bundle: Path, index: object) -> None:
    (bundle / "index.json").write_text(json.dumps(index), encoding="utf-8")


def resealed(bundle: Path) -> None:
    """SHA256SUMS made new over whatever is there: what anybody can do."""
    names = [name for name in list_files(bundle) if name != "SHA256SUMS"]
    lines = [f"{hashlib.sha256((bundle / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (bundle / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


# --- 16.1: names --------------------------------------------------------------------------------------------------


@pytest.mark.stranger("16.1", "index.json names files such as `.`, SHA256SUMS, marks that reorder text, 300 levels")
@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a/", "a\0b", "a\nb", "a\\b", "a\ud800b"),
        *("a\u202eb", "a\u200bb", "a\x1b[31mb", "d/" * 300 + "x", "x" * 256, "/".join(["x" * 250] * 5)),
    ],
)
def test_a_name_is_relative_plain_and_bounded(name: str) -> None:
    assert name_problem(name)
    with pytest.raises(BundleError):
        evidence_name(name, "index.json")


@pytest.mark.parametrize("name", sorted(OWN_NAMES))
def test_no_evidence_takes_a_name_of_the_gates_own(name: str) -> None:
    with pytest.raises(BundleError, match="the gate itself uses"):
        evidence_name(name, "index.json")


@pytest.mark.parametrize("name", ["01-preflight.log", "slurm-smoke/20261124T002630-vm/05 Größe.log", "a/.unfinished-x"])
def test_ordinary_names_are_not_masked(name: str) -> None:
    assert evidence_name(name, "index.json") == name


@pytest.mark.stranger("16.1", "index.json names a file that no command and no artifact accounts for")
def test_a_file_that_nothing_accounts_for_is_refused(promote: Path) -> None:
    index = index_of(promote)
    index["files"]["99-extra.log"] = "0" * 64
    with pytest.raises(BundleError, match="no command and no artifact accounts"):
        parse_index(index)


# --- 16.2: bounded ------------------------------------------------------------------------------------------------


@pytest.mark.stranger("16.2", "`attempt: 10**12` in index.json hangs `verify` or fills the memory")
@pytest.mark.parametrize("attempt", [0, -1, 1000, 10**12, 10**400])
def test_the_number_of_attempts_is_bounded(promote: Path, attempt: int) -> None:
    index = index_of(promote)
    index["attempt"] = attempt
    with pytest.raises(BundleError, match="attempt"):
        parse_index(index)


@pytest.mark.stranger("16.2", "folders 1200 deep in a bundle are a RecursionError")
def test_deep_folders_are_a_finding(promote: Path) -> None:
    here = os.open(promote, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    try:
        report = verify_bundle(promote)
    finally:  # pytest itself could not remove it
        subprocess.run(["rm", "-rf", str(promote / "d")], check=True)
    assert not report.holds and "folders more than" in report.problem


@pytest.mark.stranger("16.2", "sixty sparse files in a bundle are read whole and kept")
def test_evidence_is_bounded_in_all(promote: Path) -> None:
    index = index_of(promote)
    for name in index["files"]:
        os.truncate(promote / name, MAX_EVIDENCE_BYTES // len(index["files"]) + 1)
    with pytest.raises(BundleError, match="bytes of evidence"):
        load_bundle(promote)


@pytest.mark.stranger("16.2", "SHA256SUMS of 50 MB costs 40 s")
def test_a_huge_seal_is_refused_unread(promote: Path) -> None:
    os.truncate(promote / "SHA256SUMS", MAX_SUMS_BYTES + 1)
    report = verify_bundle(promote)
    assert not report.holds and "is larger than" in report.problem


def test_a_huge_index_is_refused_unread(promote: Path) -> None:
    os.truncate(promote / "index.json", MAX_JSON_BYTES + 1)
    with pytest.raises(BundleError, match="is larger than"):
        load_bundle(promote)


@pytest.mark.stranger("16.2", "300 attempts with 1200 names each cost 25 s: attempts squared")
def test_earlier_seals_are_looked_up_not_searched(promote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each name of the bundle is taken apart once, however many attempts there are."""
    calls: list[str] = []

    def counted(name: str) -> int | None:
        calls.append(name)
        return archived_by(name)

    monkeypatch.setattr(sound, "archived_by", counted)
    for number in range(1, 9):
        folder = promote / "attempts" / f"{number:02d}"
        folder.mkdir(parents=True)
        shutil.copy(promote / "promotion-decision.md", folder)
        shutil.copy(promote / "SHA256SUMS", folder)
    index = index_of(promote)
    digest = hashlib.sha256((promote / "SHA256SUMS").read_bytes()).hexdigest()
    index["attempts"] = [{"number": number, "sha256": digest} for number in range(1, 9)]
    index["attempt"] = 9
    write_index(promote, index)
    resealed(promote)
    verify_bundle(promote)
    assert len(calls) <= 4 * len(list_files(promote))


@pytest.mark.stranger("16.2", "a duplicate key behind 300,000 others in a JSON file: keys squared")
def test_a_duplicate_key_is_found_in_linear_time() -> None:
    keys = ",".join(f'"{number}":0' for number in range(300_000))
    with pytest.raises(ValueError, match='duplicate key "299999"'):
        parse_json(f'{{{keys},"299999":0}}')


@pytest.mark.stranger("16.2", "a file that says it is empty, as those of /proc do, is read for ever")
def test_no_more_is_read_than_the_limit() -> None:
    assert read_file(Path("/proc/self/maps"), 10).problem == "is larger than 10 bytes"


@pytest.mark.stranger("16.2", "the seals of sixty earlier attempts, sparse ones, are all in memory at once")
def test_earlier_seals_are_not_kept_in_memory(promote: Path) -> None:
    for number in range(1, 6):
        seal_file = promote / "attempts" / f"{number:02d}" / "SHA256SUMS"
        seal_file.parent.mkdir(parents=True)
        seal_file.touch()
        os.truncate(seal_file, MAX_SUMS_BYTES)
    tracemalloc.start()
    try:
        assert len(seals(promote)) == 6
        assert tracemalloc.get_traced_memory()[1] < MAX_SUMS_BYTES
    finally:
        tracemalloc.stop()


# --- 16.3: an exit status of 1 means HOLD and nothing else ---------------------------------------------------------


@pytest.mark.stranger("16.3", "dates of the year 9999 and durations of a million years are tracebacks")
@pytest.mark.parametrize("text", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2026-13-01T00:00:00Z", 5, None, ""])
def test_a_stamp_that_cannot_be_reckoned_with_is_none(text: Any) -> None:
    assert parse_stamp(text) is None


@pytest.mark.parametrize("text", ["999999999w", "0", "0h", "-1h", "1e3", True, None, "1" * 5000])
def test_a_duration_is_bounded(text: Any) -> None:
    with pytest.raises(InputError, match="write a duration"):
        parse_duration(text, "--max-age")


def test_check_answers_an_endless_age_with_usage(promote: Path) -> None:
    assert main(["check", str(promote), "--max-age", "999999999w"]) == 2


@pytest.mark.stranger("16.3", "a FIFO as lock file is a traceback")
def test_a_lock_that_is_not_a_file_is_a_sentence(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / LOCK_FILE)
    with pytest.raises(GateError, match="not a regular file"):
        check_free(tmp_path)


@pytest.mark.stranger("16.3", "a run id or a ticket of 255 characters is a traceback")
@pytest.mark.parametrize("name", ["promotion_run_id", "promotion_ticket"])
def test_names_of_folders_are_bounded(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"{name}.*up to 100"):
        bundles.opened(bundles.request(tmp_path / "root", **{name: "x" * 255}))


@pytest.mark.stranger("16.3", "an error that nobody foresaw ends in exit status 1, which reads as HOLD")
@pytest.mark.parametrize("error", [RecursionError("deep"), MemoryError(), OverflowError("date"), KeyError("x")])
@pytest.mark.parametrize(("arguments", "status"), [(["show", "x"], 3), (["check", "x"], 3), (["open"], 2)])
def test_the_unforeseen_is_a_sentence_with_the_right_status(
    arguments: list[str],
    status: int,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(believed, "is_sealed", fails)
    for name in ("check", "open_runs", "_request"):
        monkeypatch.setattr(command, name, fails)
    assert main(arguments) == status
    message = capsys.readouterr().err
    assert type(error).__name__ in message and "Nothing was decided" in message and "Traceback" not in message


@pytest.mark.stranger("16.3", "NUL, lone surrogates and endless names on the command line")
@pytest.mark.parametrize("name", ["", "a\0b", "\ud800", "x" * 300, "x/" * 3000])
@pytest.mark.parametrize(
    "arguments",
    [
        *(["verify"], ["check"], ["show"], ["decide"], ["seal"], ["issue"], ["check", "latest", "--root"]),
        *(["verify", "--history"], ["policy", "lint"], ["check", "x", "--allowed-signers"]),
    ],
    ids=" ".join,
)
def test_what_cannot_be_a_name_is_a_usage_error(
    arguments: list[str], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, name])
    assert ended.value.code == 2
    assert "cannot be the name of a file or folder" in capsys.readouterr().err


@pytest.mark.stranger("16.3", "options of the run in index.json that are no list, in an unsealed bundle")
def test_how_a_run_was_called_is_typed(promote: Path) -> None:
    index = index_of(promote)
    index["run"]["options"] = -1
    with pytest.raises(BundleError, match="options"):
        parse_index(index)


@pytest.mark.parametrize("text", ["[" * 100_000, "\x00", '{"a": ' + "1" * 5000 + "}", "NaN", '"\\ud800"'])
def test_an_index_of_anything_is_a_sentence(promote: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (promote / "index.json").write_text(text, encoding="utf-8")
    for arguments in (["show"], ["decide"], ["verify"], ["check"]):
        assert main([*arguments, str(promote)]) in (1, 3) and "Traceback" not in capsys.readouterr().err


@pytest.mark.stranger("16.5", "a link that was planted as .writable-<pid> is followed and its target truncated")
def test_no_planted_link_is_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("dear", encoding="utf-8")
    root = tmp_path / "root"
    root.mkdir()
    (root / f".writable-{os.getpid()}").symlink_to(precious)
    bundles.open_bundle(root)
    assert precious.read_text(encoding="utf-8") == "dear"


@pytest.mark.stranger("16.5", "verify --history prints folder names raw")
def test_names_of_folders_are_made_visible(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / NEWER).rename(root / "x\x1b[2J\u202ey")
    main(["verify", "--history", str(root)])
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\u202e" not in out and "\\u202e" in out


# --- 16.6: verified before it is believed ---------------------------------------------------------------------------


@pytest.mark.stranger("16.6", "`show` prints PROMOTE of an edited record")
def test_show_and_decide_verify_first(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = root / NEWER / "promotion-decision.json"
    record.write_text(record.read_text(encoding="utf-8").replace('"HOLD"', '"PROMOTE"'), encoding="utf-8")
    for name in ("show", "decide"):
        assert main([name, str(root / NEWER)]) == 3
        assert "PROMOTE" not in capsys.readouterr().out


@pytest.mark.stranger("16.6", "a link that leads nowhere in the place of SHA256SUMS is sealed over")
def test_a_link_in_place_of_the_seal_does_not_make_an_unsealed_bundle(promote: Path) -> None:
    (promote / "SHA256SUMS").unlink()
    (promote / "SHA256SUMS").symlink_to("nowhere")
    assert main(["seal", str(promote)]) == 3


@pytest.mark.stranger("16.6", "`decide` exits 0 on an unsealed bundle beside a SHA256SUMS of one character")
@pytest.mark.parametrize("sums", ["x", "", None])
def test_a_seal_of_nothing_is_not_a_seal(tmp_path: Path, sums: str | None) -> None:
    bundle = bundles.closed_bundle(tmp_path / "root")
    if sums is not None:
        (bundle / "SHA256SUMS").write_text(sums, encoding="utf-8")
    assert main(["decide", str(bundle)]) == 3


# --- 16.7: an older PROMOTE never speaks for a newer HOLD -----------------------------------------------------------


def dated_back(root: Path, again: bool = False) -> None:
    index = index_of(root / NEWER)
    index["opened_at"] = "2020-01-01T00:00:00Z"
    write_index(root / NEWER, index)
    if again:
        resealed(root / NEWER)


def unreadable(root: Path) -> None:
    (root / NEWER / "index.json").write_text("{", encoding="utf-8")


def records_removed(root: Path) -> None:
    for name in ("index.json", "SHA256SUMS", "promotion-decision.json", "promotion-decision.md", "policy.yml"):
        (root / NEWER / name).unlink()


def below_baseline(root: Path) -> None:
    (root / NEWER).rename(root / "baseline" / NEWER)


def deep_below(root: Path) -> None:
    (root / "baseline" / "kept" / "of" / "old").mkdir(parents=True)
    (root / NEWER).rename(root / "baseline" / "kept" / "of" / "old" / NEWER)


def unfinished(root: Path) -> None:
    (root / NEWER).rename(root / f".unfinished-{NEWER}")


def of_another_root(root: Path) -> None:
    other = root.parent / "other"
    bundles.make_bundle(other, run_id="20261103T000000Z")
    shutil.copytree(other / "20261103T000000Z", root / "20261103T000000Z")


def of_another_root_alone(root: Path) -> None:
    of_another_root(root)
    shutil.rmtree(root / NEWER)


def of_another_ticket(root: Path) -> None:
    bundles.make_bundle(root, run_id="20261103T000000Z", promotion_ticket="gra-126")


@pytest.mark.stranger("16.7", "`check latest` lets an older PROMOTE speak for a newer HOLD that was edited or put away")
@pytest.mark.parametrize(
    "attack",
    [
        *(dated_back, lambda root: dated_back(root, again=True), unreadable, records_removed, below_baseline),
        *(deep_below, unfinished, of_another_root, of_another_root_alone, of_another_ticket),
    ],
    ids=[
        *("dated back", "dated back and resealed", "unreadable", "records removed", "below baseline"),
        *("deep below baseline", "unfinished", "of another root", "of another root alone", "of another ticket"),
    ],
)
def test_latest_asks_the_whole_chain(
    root: Path, attack: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "latest", "--root", str(root)]) == 1
    attack(root)
    assert main(["check", "latest", "--root", str(root)]) == 3
    assert "PROMOTE:" not in capsys.readouterr().out


def test_latest_of_a_sound_chain(root: Path) -> None:
    bundles.make_bundle(root, run_id="20261103T000000Z")
    (root / ".unfinished-draft").mkdir()
    (root / ".unfinished-draft" / "index.json").write_text("{}", encoding="utf-8")
    (root / "notes").mkdir()
    (root / "notes" / "read.me").write_text("x", encoding="utf-8")
    assert main(["check", "latest", "--root", str(root)]) == 0


@pytest.mark.stranger("16.9", "`check` says PROMOTE and not what it did not look at")
def test_check_says_what_it_is_about_and_what_it_did_not_look_at(
    promote: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = index_of(promote)
    assert main(["check", str(promote)]) == 0
    message = " ".join(capsys.readouterr().out.split())
    for part in (
        "ticket: gra-125",
        index["root_id"][:12],
        index["policy"]["sha256"][:12],
        "--max-age",
        "--commit",
        "--vm",
    ):
        assert part in message
    digest = index["policy"]["sha256"]
    asked = ["--ticket", "gra-125", "--policy-sha256", digest, "--max-age", "520w"]
    assert main(["check", str(promote), *asked]) == 0
    message = " ".join(capsys.readouterr().out.split())
    assert "--max-age" not in message and "--ticket" not in message and "--commit" in message
    assert main(["check", str(promote), "--ticket", "gra-1"]) == 3
    assert main(["check", str(promote), "--policy-sha256", "0" * 64]) == 3
    assert main(["check", str(promote), "--policy-sha256", "abc"]) == 2


def test_seal_refuses_a_bundle_of_another_run(tmp_path: Path) -> None:
    bundle = bundles.closed_bundle(tmp_path / "root")
    with pytest.raises(BundleError, match="of run"):
        seal(Path(shutil.copytree(bundle, tmp_path / "root" / "20261103T000000Z")))


# --- 16.8, 16.9: which checklist, and for how long -------------------------------------------------------------------


def with_policy(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """The checklist of a closed bundle, changed and passed off as shipped, which anybody can do before a seal."""
    policy = yaml.safe_load((bundle / "policy.yml").read_text(encoding="utf-8"))
    change(policy)
    text = yaml.safe_dump(policy, sort_keys=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    index = index_of(bundle)
    index["policy"] |= {"sha256": digest, "shipped_sha256": digest}
    for gate in index["gates"].values():
        gate["policy_sha256"] = digest
    write_index(bundle, index)
    for name in ("policy.yml", "policy-shipped.yml"):
        (bundle / name).write_text(text, encoding="utf-8")


def drop_controller(policy: dict[str, Any]) -> None:
    gate = policy["gates"][3]
    gate["checks"] = [entry for entry in gate["checks"] if entry["id"] != "slurm_smoke.controller"]
    for entry in (entry for gate in policy["gates"] for entry in gate["checks"]):
        entry["needs"] = [name for name in entry.get("needs", ()) if name != "slurm_smoke.controller"]


@pytest.mark.stranger("16.8", "a policy swapped for a harmless one of the same name is sealed again and verifies")
def test_a_policy_that_only_has_the_name_of_the_shipped_one_does_not_verify(tmp_path: Path) -> None:
    trips = bundles.trips_with("slurm_smoke", "ping", exit=1, output=bundles.PING_DOWN)
    bundle = bundles.closed_bundle(tmp_path / "root", trips)
    with_policy(bundle, drop_controller)
    assert seal(bundle).decision == "PROMOTE", "as far as this bundle's own word goes"
    report = verify_bundle(bundle)
    assert not report.holds and "slurm_smoke.controller" in report.checklist
    assert main(["check", str(bundle)]) == 3


def test_check_names_what_is_looser_than_the_shipped_checklist(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = bundles.closed_bundle(tmp_path / "root")
    with_policy(bundle, lambda policy: policy["gates"][1]["checks"][2]["limits"].update(max_regression_percent=60))
    seal(bundle)
    assert main(["check", str(bundle)]) == 0
    message = " ".join(capsys.readouterr().out.split())
    assert "looser" in message and "not what this version ships" in message


@pytest.mark.stranger("16.9", "`check` says PROMOTE of a decision ten years old")
def test_the_checklist_says_how_old_a_decision_may_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = bundles.closed_bundle(tmp_path / "root")
    with_policy(bundle, lambda policy: policy.update(max_age="7d"))
    seal(bundle)
    later = utc_now() + timedelta(days=8)
    assert check(bundle, Wanted()).status == 0
    assert check(bundle, Wanted(), later).status == 3
    assert check(bundle, Wanted(max_age="9d"), later).status == 0
    assert "--max-age" not in check(bundle, Wanted()).sentence
