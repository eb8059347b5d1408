"""verify: a healthy bundle holds; whatever is changed in it afterwards is found."""

from __future__ import annotations

import base64
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import bundles
import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

import promotion_gate
from promotion_gate.__main__ import main
from promotion_gate.base.errors import BundleError, GateError, InputError
from promotion_gate.base.files import list_files, sha256, to_json
from promotion_gate.base.names import RENDERED, SIGNATURE_FILE
from promotion_gate.prove.compare import differences
from promotion_gate.prove.seal import seal
from promotion_gate.prove.signing import parse_signature, sign
from promotion_gate.prove.sound import parse_sums
from promotion_gate.prove.verify import signature_finding, verify_bundle, verify_history

SUMS = "SHA256SUMS"


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PROMOTE that was resumed once, so that it has attempts/01; tests copy it."""
    root = tmp_path_factory.mktemp("sealed")
    bundles.hold_bundle(root)
    return bundles.resume_bundle(root)


@pytest.fixture
def bundle(sealed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sealed, tmp_path / sealed.name, symlinks=True))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_key(tmp_path_factory.mktemp("keys") / "operator")


def make_key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path)], check=True)
    return path


def allow(path: Path, principal: str, *keys: Path) -> Path:
    lines = [f'{principal} namespaces="promotion-gate" {key.with_suffix(".pub").read_text()}' for key in keys]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def reseal(bundle: Path) -> None:
    """Rewrites SHA256SUMS over what is there, as somebody who wants to hide a change would."""
    names = [name for name in list_files(bundle) if name not in (SUMS, SIGNATURE_FILE)]
    text = "".join(f"{sha256((bundle / name).read_bytes())}  {name}\n" for name in names)
    (bundle / SUMS).write_text(text, encoding="utf-8")


def failed(bundle: Path) -> list[str]:
    return [finding.name for finding in verify_bundle(bundle).findings if not finding.holds]


# A part of the bytes and files, chosen by what they are, while one edits; all of them in `make nightly`.
some_or_all = pytest.mark.parametrize(
    "all_of_them", [pytest.param(False, id="some"), pytest.param(True, id="all", marks=pytest.mark.nightly)]
)


def kind(name: str) -> str:
    """What a file of a bundle is: those whose names differ by a number or in an evidence folder are of one kind."""
    folder, _, rest = name.partition("/")
    if folder == "attempts":
        return f"attempts/{kind(rest.partition('/')[2])}"
    return f"{folder}/" if rest else re.sub(r"^[0-9]+-.*?(-summary)?(?=\.)", r"NN\1", name)


def chosen(names: list[str], all_of_them: bool) -> list[str]:
    return names if all_of_them else list({kind(name): name for name in names}.values())


def flip(path: Path, position: int, bit: int = 1) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= bit
    path.write_bytes(data)


# --- what holds -------------------------------------------------------------------------------------------------


def test_a_sealed_promote_holds(bundle: Path) -> None:
    report = verify_bundle(bundle)
    assert report.problem == ""
    assert report.decision is not None and report.decision.decision == "PROMOTE"
    assert len([line for line in report.lines() if line.startswith("ok")]) == len(report.findings) == 9


def test_a_sealed_hold_holds_as_well(tmp_path: Path) -> None:
    report = verify_bundle(bundles.hold_bundle(tmp_path))
    assert report.holds and report.decision is not None and report.decision.decision == "HOLD"


def test_a_hold_without_any_evidence_holds(tmp_path: Path) -> None:
    report = verify_bundle(bundles.make_bundle(tmp_path, {}))
    assert report.holds and report.decision is not None and report.decision.decision == "HOLD"


def test_the_command_line_says_what_it_checked(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(bundle)]) == 0
    assert f"VERIFIED {bundle}, the decision is PROMOTE" in capsys.readouterr().out
    (bundle / "note.txt").write_text("x", encoding="utf-8")
    assert main(["verify", str(bundle)]) == 1
    out = capsys.readouterr().out
    assert "FAILED  files: not in SHA256SUMS: note.txt" in out and "NOT VERIFIED" in out
    assert main(["verify", str(bundle), "--json"]) == 1
    record = json.loads(capsys.readouterr().out)
    assert record["verified"] is False and record["decision"] == "PROMOTE"


def test_verify_wants_a_bundle_or_a_history(tmp_path: Path) -> None:
    assert main(["verify"]) == 2
    assert main(["verify", str(tmp_path), "--history", str(tmp_path)]) == 2


# --- what was changed -------------------------------------------------------------------------------------------


@pytest.mark.slow
@some_or_all
def test_a_flipped_byte_in_any_file_is_found(bundle: Path, all_of_them: bool) -> None:
    for number, name in enumerate(chosen(list_files(bundle), all_of_them)):
        before = (bundle / name).read_bytes()
        position = (0, len(before) // 2, len(before) - 1)[number % 3]
        flip(bundle / name, position)
        assert not verify_bundle(bundle).holds, f"byte {position} of {name}"
        (bundle / name).write_bytes(before)
    assert verify_bundle(bundle).holds


@some_or_all
def test_every_byte_of_the_checksums_counts(bundle: Path, all_of_them: bool) -> None:
    before = (bundle / SUMS).read_bytes()
    entries, problem = parse_sums(before)
    assert not problem
    there = {name: sha256((bundle / name).read_bytes()) for name in entries}
    assert entries == there
    # The first and the last line, and from each line in between about six bytes, never of the same columns.
    first, last = before.index(b"\n") + 1, before.rindex(b"\n", 0, -1)
    some = [*range(first), *range(first, last, 17), *range(last, len(before))]
    for position in range(len(before)) if all_of_them else some:
        data = bytearray(before)
        data[position] ^= (1, 0x20, 0x80)[position % 3]
        found, problem = parse_sums(bytes(data))
        assert problem or found != there, f"byte {position}"
    for position in range(0, len(before), 500 if all_of_them else 2500):
        flip(bundle / SUMS, position)
        assert not verify_bundle(bundle).holds
        (bundle / SUMS).write_bytes(before)


@pytest.mark.slow
def test_every_byte_of_the_signature_counts(bundle: Path, key: Path) -> None:
    signature = sign(bundle / SUMS, str(key))
    assert verify_bundle(bundle, require_signature=True).holds
    before = signature.read_bytes()
    for position in range(len(before)):
        flip(signature, position, 1 << (position % 7))
        assert not signature_finding(bundle)[0].holds, f"byte {position}"
        signature.write_bytes(before)


@pytest.mark.slow
@some_or_all
def test_a_deleted_file_is_found(bundle: Path, tmp_path: Path, all_of_them: bool) -> None:
    for name in chosen(list_files(bundle), all_of_them):
        (bundle / name).rename(tmp_path / "away")
        assert not verify_bundle(bundle).holds, name
        (tmp_path / "away").rename(bundle / name)
    assert verify_bundle(bundle).holds


def _add_file(bundle: Path) -> None:
    (bundle / "attempts" / "note.txt").write_text("x", encoding="utf-8")


def _add_link(bundle: Path) -> None:
    (bundle / "link").symlink_to("index.json")


def _add_folder_link(bundle: Path) -> None:
    (bundle / "linked").symlink_to(bundle / "slurm-smoke")


def _add_fifo(bundle: Path) -> None:
    os.mkfifo(bundle / "fifo")


def _replace_by_link(bundle: Path) -> None:
    target = bundle.parent / "outside.log"
    (bundle / "01-preflight.log").rename(target)
    (bundle / "01-preflight.log").symlink_to(target)


def _replace_folder_by_link(bundle: Path) -> None:
    target = bundle.parent / "outside"
    (bundle / "slurm-smoke").rename(target)
    (bundle / "slurm-smoke").symlink_to(target)


def _swap(bundle: Path) -> None:
    one, two = bundle / "02-sqlite-smoke-run1.log", bundle / "02-sqlite-smoke-run2.log"
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)


def _remove_attempt(bundle: Path) -> None:
    shutil.rmtree(bundle / "attempts")


CHANGES = {
    "file added": _add_file,
    "link added": _add_link,
    "link to a folder added": _add_folder_link,
    "fifo added": _add_fifo,
    "file replaced by a link": _replace_by_link,
    "folder replaced by a link": _replace_folder_by_link,
    "two transcripts swapped": _swap,
    "attempts removed": _remove_attempt,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_the_files_is_found(bundle: Path, change: Callable[[Path], None]) -> None:
    change(bundle)
    assert failed(bundle)


def _rehash_transcript(bundle: Path) -> None:
    log = bundle / "04-slurm-state.log"
    log.write_text(log.read_text(encoding="utf-8").replace("is UP", "is DOWN"), encoding="utf-8")


def _rehash_transcript_and_index(bundle: Path) -> None:
    before = sha256((bundle / "04-slurm-state.log").read_bytes())
    log = bundle / "04-slurm-state.log"
    log.write_text(log.read_text(encoding="utf-8").replace("is UP", "is XX"), encoding="utf-8")
    index = bundle / "index.json"
    after = sha256(log.read_bytes())
    index.write_text(index.read_text(encoding="utf-8").replace(before, after), encoding="utf-8")


def _edit_decision(bundle: Path) -> None:
    path = bundle / "promotion-decision.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"alice"', '"mallory"'), encoding="utf-8")


def _edit_record(bundle: Path) -> None:
    path = bundle / "promotion-decision.md"
    path.write_text(path.read_text(encoding="utf-8").replace("alice", "mallory"), encoding="utf-8")


def _edit_exit(bundle: Path) -> None:
    path = bundle / "index.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    next(command for command in data["commands"] if command["id"] == "ping")["exit"] = 1
    path.write_text(to_json(data), encoding="utf-8")


def _loosen_policy(bundle: Path) -> None:
    path = bundle / "policy.yml"
    text = path.read_text(encoding="utf-8").replace("max_regression_percent: 25", "max_regression_percent: 99")
    path.write_text(text, encoding="utf-8")


def _forge_follow_up(bundle: Path) -> None:
    (bundle / "follow-up-issue.md").write_text("forged\n", encoding="utf-8")


def _forge_attempt(bundle: Path) -> None:
    (bundle / "attempts" / "01" / SUMS).write_text(f"{'0' * 64}  index.json\n", encoding="utf-8")


def _edit_archive(bundle: Path) -> None:
    path = bundle / "attempts" / "01" / "promotion-decision.md"
    path.write_text(path.read_text(encoding="utf-8").replace("HOLD", "PROMOTE"), encoding="utf-8")


def _edit_archived_index(bundle: Path) -> None:
    path = bundle / "attempts" / "01" / "index.json"
    path.write_text(path.read_text(encoding="utf-8").replace("alice", "mallory"), encoding="utf-8")


def _delete_from_archive(bundle: Path) -> None:
    (bundle / "attempts" / "01" / "04-slurm-state.log").unlink()


def _add_approval(bundle: Path) -> None:
    (bundle / "06-approval.md").write_text("Approved.\n", encoding="utf-8")


def _add_log_of_the_smoke(bundle: Path) -> None:
    (bundle / "slurm-smoke" / "more.log").write_text("all is well\n", encoding="utf-8")


def _add_attempt(bundle: Path) -> None:
    (bundle / "attempts" / "02").mkdir()
    (bundle / "attempts" / "02" / "promotion-decision.md").write_text("PROMOTE\n", encoding="utf-8")


REHASHED = {
    "a record of an earlier attempt": (_edit_archive, "attempts"),
    "the index of an earlier attempt": (_edit_archived_index, "attempts"),
    "evidence of an earlier attempt removed": (_delete_from_archive, "attempts"),
    "an approval added": (_add_approval, "records"),
    "a log added to the smoke's folder": (_add_log_of_the_smoke, "records"),
    "an attempt added": (_add_attempt, "records"),
    "a file added beside the attempts": (_add_file, "records"),
    "a transcript": (_rehash_transcript, "decision"),
    "a transcript and its digest in the index": (_rehash_transcript_and_index, "decision"),
    "a swap of two transcripts": (_swap, "decision"),
    "the decision": (_edit_decision, "decision"),
    "the rendered record": (_edit_record, "records"),
    "an exit status in the index": (_edit_exit, "decision"),
    "the policy": (_loosen_policy, "index, policy, baseline"),
    "a follow-up of a PROMOTE": (_forge_follow_up, "records"),
    "an earlier seal": (_forge_attempt, "attempts"),
    "the attempts removed": (_remove_attempt, "attempts"),
}


@pytest.mark.parametrize(("change", "name"), REHASHED.values(), ids=REHASHED)
def test_a_change_that_was_hashed_again_is_found(bundle: Path, change: Callable[[Path], None], name: str) -> None:
    change(bundle)
    reseal(bundle)
    assert name in failed(bundle)
    assert not {SUMS, "files", "digests"} & set(failed(bundle)), "the seal itself looks whole"


def test_what_somebody_left_in_a_run_is_not_sealed_with_it(tmp_path: Path) -> None:
    """No PROMOTE comes of it; a HOLD is sealed without it, as the resume is that then archives it."""
    bundle = bundles.closed_bundle(tmp_path / "promote")
    _add_approval(bundle)
    with pytest.raises(BundleError, match=r"06-approval\.md is not a file of this run"):
        seal(bundle)
    assert not (bundle / SUMS).exists()
    held = bundles.closed_bundle(tmp_path, bundles.trips_with("slurm_smoke", "ping", exit=1))
    _add_approval(held)
    seal(held)
    assert verify_bundle(held).problem == "files: not in SHA256SUMS: 06-approval.md"
    assert verify_bundle(bundles.resume_bundle(tmp_path)).holds


@pytest.mark.slow
def test_evidence_with_the_name_of_an_unfinished_write_outlives_resumes(tmp_path: Path) -> None:
    """A VM chooses the names in the smoke's folder, and an earlier seal names them."""
    trips = bundles.trips_with("slurm_smoke", "ping", exit=1, output=bundles.PING_DOWN)
    logs = {**bundles.SMOKE_LOGS, ".unfinished-x": "first\n"}
    trips["slurm_smoke"]["artifacts"] = [bundles.artifact("slurm-smoke", logs)]
    bundles.make_bundle(tmp_path, trips)
    for gates in (None, "4", "1"):
        report = verify_bundle(bundles.resume_bundle(tmp_path, promotion_gates=gates))
        assert report.problem == ""


def test_a_change_that_keeps_the_decision_is_found_by_the_signature(bundle: Path, key: Path, tmp_path: Path) -> None:
    """Somebody changes what no check reads and hashes everything again: without a signature nobody can see it."""
    sign(bundle / SUMS, str(key))
    log, index = bundle / "04-slurm-job.log", bundle / "index.json"
    before = sha256(log.read_bytes())
    log.write_bytes(log.read_bytes().replace(b"# host: aiida-vm", b"# host: other-vm"))
    index.write_text(index.read_text(encoding="utf-8").replace(before, sha256(log.read_bytes())), encoding="utf-8")
    (bundle / SUMS).unlink()
    seal(bundle)  # with the records, which name the index and show the log
    assert failed(bundle) == ["signature"]
    sign(bundle / SUMS, str(make_key(tmp_path / "mallory")))
    assert failed(bundle) == []
    report = verify_bundle(bundle, allowed_signers=allow(tmp_path / "allowed", "alice", key))
    assert [finding.name for finding in report.findings if not finding.holds] == ["signature"]


def test_the_index_of_another_run_is_found(bundle: Path, tmp_path: Path) -> None:
    other = bundles.make_bundle(tmp_path / "other", run_id="20261125T002930Z")
    shutil.copy(other / "index.json", bundle / "index.json")
    reseal(bundle)
    assert "index, policy, baseline" in failed(bundle)


def test_a_bundle_under_another_name_is_found(bundle: Path) -> None:
    assert "index, policy, baseline" in failed(bundle.rename(bundle.with_name("20261125T002930Z")))


def test_an_open_and_an_unsealed_bundle_do_not_hold(tmp_path: Path) -> None:
    opened = bundles.open_bundle(tmp_path)
    assert "still open" in verify_bundle(opened).findings[-1].found
    closed = bundles.closed_bundle(tmp_path, run_id="20261125T002930Z")
    assert "not sealed" in verify_bundle(closed).problem
    assert main(["verify", str(tmp_path / "nowhere")]) == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("index.json", b""),
        ("index.json", b"[]"),
        ("index.json", b"\xff\xfe"),
        ("index.json", b"[" * 100_000),
        ("policy.yml", b"&a [*a]"),
        ("promotion-decision.json", b"[]"),
        ("promotion-decision.json", b"null"),
        ("baseline.json", b"{"),
    ],
)
def test_what_cannot_be_read_is_a_finding(bundle: Path, name: str, content: bytes) -> None:
    (bundle / name).write_bytes(content)
    reseal(bundle)
    assert main(["verify", str(bundle)]) == 1


@pytest.mark.parametrize("field", ["gates", "commands", "risks", "settings", "events", "waivers", "attempts"])
@pytest.mark.parametrize("value", ["text", 7, [7], {"x": 7}, [{"x": None}], {"preflight": [1]}])
def test_an_index_with_a_field_of_another_kind_is_a_finding(bundle: Path, field: str, value: object) -> None:
    path = bundle / "index.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(to_json({**data, field: value}), encoding="utf-8")
    reseal(bundle)
    assert not verify_bundle(bundle).holds


# --- the grammar of SHA256SUMS ----------------------------------------------------------------------------------

ZEROS = "0" * 64
GRAMMAR = {
    "empty": ("", "newline"),
    "no final newline": (f"{ZEROS}  a", "newline"),
    "an empty line": (f"{ZEROS}  a\n\n", "line 2"),
    "CRLF": (f"{ZEROS}  a\r\n", "character"),
    "upper-case digits": (f"{'A' * 64}  a\n", "line 1"),
    "a short digest": (f"{'0' * 63}  a\n", "line 1"),
    "one space": (f"{ZEROS} a\n", "line 1"),
    "binary mode": (f"{ZEROS} *a\n", "line 1"),
    "an escaped name": (f"\\{ZEROS}  a\\nb\n", "line 1"),
    "a backslash": (f"{ZEROS}  a\\b\n", "character"),
    "a control character": (f"{ZEROS}  a\x1bb\n", "character"),
    "out of order": (f"{ZEROS}  b\n{ZEROS}  a\n", "order"),
    "twice": (f"{ZEROS}  a\n{ZEROS}  a\n", "twice"),
    "absolute": (f"{ZEROS}  /etc/passwd\n", "relative"),
    "above": (f"{ZEROS}  ../a\n", "relative"),
    "not normalised": (f"{ZEROS}  a//b\n", "relative"),
    "with a dot": (f"{ZEROS}  ./a\n", "relative"),
    "itself": (f"{ZEROS}  SHA256SUMS\n", "itself"),
    "its signature": (f"{ZEROS}  SHA256SUMS.sig\n", "itself"),
    "a comment": (f"# sums\n{ZEROS}  a\n", "line 1"),
}


@pytest.mark.parametrize(("text", "word"), GRAMMAR.values(), ids=GRAMMAR)
def test_the_grammar_is_strict(text: str, word: str) -> None:
    assert word in parse_sums(text.encode())[1]


@given(st.one_of(st.binary(), st.text().map(lambda name: f"{ZEROS}  {name}\n".encode("utf-8", "surrogateescape"))))
def test_the_checksums_of_anybody_are_read_or_refused(data: bytes) -> None:
    entries, problem = parse_sums(data)
    if not problem:
        assert entries and "".join(f"{digest}  {name}\n" for name, digest in entries.items()).encode() == data


@given(st.binary(max_size=200))
def test_the_signature_of_anybody_is_read_or_refused(data: bytes) -> None:
    body = base64.b64encode(b"SSHSIG\0\0\0\1" + data)
    for armored in (data, b"-----BEGIN SSH SIGNATURE-----\n" + body + b"\n-----END SSH SIGNATURE-----\n"):
        with pytest.raises(GateError):
            parse_signature(armored)


def test_the_seal_is_what_sha256sum_reads(bundle: Path) -> None:
    subprocess.run(["sha256sum", "--strict", "--check", "--quiet", SUMS], cwd=bundle, check=True)


def test_differences_name_the_field() -> None:
    found = list(differences({"a": [{"b": 1}], "c": True}, {"a": [{"b": 2}], "c": 1, "d": 0}))
    assert found == [
        "a[0].b is 1, the evidence gives 2",
        "c is True, the evidence gives 1",
        "d is only in the recomputed decision",
    ]


# --- signatures -------------------------------------------------------------------------------------------------


def test_a_signature_is_shown_and_can_be_required(bundle: Path, key: Path, tmp_path: Path) -> None:
    assert verify_bundle(bundle).holds
    assert "one is required" in verify_bundle(bundle, require_signature=True).problem
    sign(bundle / SUMS, str(key))
    allowed = allow(tmp_path / "allowed", "alice,alice@example.org", key)
    assert verify_bundle(bundle, True).holds and verify_bundle(bundle, True).signer is None
    report = verify_bundle(bundle, True, allowed)
    assert report.holds and report.signer == "alice"
    assert main(["verify", str(bundle), "--require-signature", "--allowed-signers", str(allowed)]) == 0


def test_another_key_another_file_another_namespace_do_not_count(bundle: Path, key: Path, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other")
    allowed = allow(tmp_path / "allowed", "alice", key)
    sign(bundle / SUMS, str(other))
    assert "its key is not in" in verify_bundle(bundle, True, allowed).problem
    (bundle / "copy").write_bytes(b"something else\n")
    sign(bundle / "copy", str(key)).rename(bundle / SIGNATURE_FILE)
    (bundle / "copy").unlink()
    assert "does not belong" in verify_bundle(bundle, True, allowed).problem
    (bundle / SIGNATURE_FILE).unlink()
    subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", "file", bundle / SUMS], check=True)
    assert "a purpose other than" in verify_bundle(bundle, True, allowed).problem


def test_an_allowed_signers_file_that_is_not_there_is_an_input_error(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="allowed_signers file"):
        verify_bundle(bundle, allowed_signers=tmp_path / "nowhere")


@pytest.mark.parametrize("change", [lambda s: s + b"\n", lambda s: b"\n" + s, lambda s: s[:-1], lambda s: s.replace(
    b"\n", b"\r\n"), lambda s: s[:60] + b"\n" + s[60:], lambda s: s + s, lambda s: b""])  # fmt: skip
def test_only_the_canonical_armour_is_read(bundle: Path, key: Path, change: Callable[[bytes], bytes]) -> None:
    armored = sign(bundle / SUMS, str(key)).read_bytes()
    assert parse_signature(armored).key_type == "ssh-ed25519"
    with pytest.raises(GateError):
        parse_signature(change(armored))


def test_the_run_signs_when_a_key_is_set(tmp_path: Path, key: Path) -> None:
    bundle = bundles.make_bundle(tmp_path, promotion_signing_key=str(key))
    assert verify_bundle(bundle, True, allow(tmp_path / "allowed", "alice", key)).signer == "alice"


def test_a_signature_that_was_stripped_is_missed(tmp_path: Path, key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sealed index names a signing key: nobody has to ask for the signature."""
    bundle = bundles.make_bundle(tmp_path / "root", promotion_signing_key=str(key))
    calls = (["verify", str(bundle)], ["check", str(bundle)], ["verify", "--history", str(bundle.parent)])
    assert [main(call) for call in calls] == [0, 0, 0]
    (bundle / SIGNATURE_FILE).unlink()
    capsys.readouterr()
    assert [main(call) for call in calls] == [1, 3, 1]
    assert capsys.readouterr().out.count("there is none, and one is required") == 3


# --- the chain --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs, the first of them resumed before the second was opened; tests copy it."""
    root = tmp_path_factory.mktemp("chain")
    bundles.hold_bundle(root, "20261124T010000Z")
    bundles.resume_bundle(root)
    bundles.hold_bundle(root, "20261124T020000Z")
    bundles.make_bundle(root, run_id="20261124T030000Z")
    return root


@pytest.fixture
def root(chain: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(chain, tmp_path / "root"))


@pytest.mark.slow
def test_a_whole_chain_holds(root: Path) -> None:
    report = verify_history(root)
    assert report.problem == "" and "3 runs" in report.findings[0].found
    assert main(["verify", "--history", str(root)]) == 0


def test_a_removed_run_is_found(root: Path) -> None:
    shutil.rmtree(root / "20261124T020000Z")
    assert "removed" in verify_history(root).problem
    assert main(["verify", "--history", str(root)]) == 1


def test_the_first_run_removed_is_found(root: Path) -> None:
    shutil.rmtree(root / "20261124T010000Z")
    assert "removed" in verify_history(root).problem


def test_a_rewritten_run_is_found(root: Path) -> None:
    bundle = root / "20261124T020000Z"
    (bundle / "note.txt").write_text("x", encoding="utf-8")
    reseal(bundle)
    assert "rewritten" in verify_history(root).problem


def test_a_rebuilt_run_with_the_old_seal_among_its_attempts_is_found(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A HOLD becomes a PROMOTE that claims to be its resume: the link of the next run names the HOLD."""
    held = root / "20261124T020000Z"
    other = tmp_path_factory.mktemp("made")
    bundles.hold_bundle(other, held.name)
    made = bundles.resume_bundle(other)
    old, index = (held / SUMS).read_bytes(), json.loads((held / "index.json").read_text(encoding="utf-8"))
    data = json.loads((made / "index.json").read_text(encoding="utf-8"))
    data |= {key: index[key] for key in ("opened_at", "evaluated_at", "previous")}
    data["attempts"] = [{"number": 1, "sha256": sha256(old)}]
    (made / "index.json").write_text(to_json(data), encoding="utf-8")
    (made / "attempts" / "01" / SUMS).write_bytes(old)
    reseal(made)
    shutil.rmtree(held)
    shutil.copytree(made, held)
    assert "rewritten" in verify_history(root).problem


def test_a_run_whose_seal_was_moved_away_by_a_resume_is_still_linked(tmp_path: Path) -> None:
    """A resume that was cut off leaves the newest seal in attempts/; the next run names that one."""
    bundles.hold_bundle(tmp_path, "20261124T010000Z")
    bundles.resume_bundle(tmp_path, sealed=False)
    bundles.make_bundle(tmp_path, run_id="20261124T020000Z")
    assert verify_history(tmp_path).problem == ""


def test_a_changed_file_of_an_earlier_run_is_found(root: Path) -> None:
    flip(root / "20261124T020000Z" / "01-preflight.log", 5)
    assert "changed after the seal" in verify_history(root).problem


def test_reordered_runs_are_found(root: Path) -> None:
    index = root / "20261124T010000Z" / "index.json"
    data = json.loads(index.read_text(encoding="utf-8"))
    index.write_text(to_json({**data, "opened_at": "2099-01-01T00:00:00Z"}), encoding="utf-8")
    assert any("reordered" in finding.found for finding in verify_history(root).findings)


def test_a_run_that_was_added_later_is_found(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = bundles.make_bundle(tmp_path_factory.mktemp("other"), run_id="20261124T013000Z")
    shutil.copytree(other, root / other.name)
    assert any("added" in finding.found for finding in verify_history(root).findings)


def test_a_run_resumed_after_the_next_was_opened_is_found(root: Path) -> None:
    index = root / "20261124T020000Z" / "index.json"
    data = json.loads(index.read_text(encoding="utf-8"))
    index.write_text(to_json({**data, "evaluated_at": "2099-01-01T00:00:00Z"}), encoding="utf-8")
    assert any("decided again" in finding.found for finding in verify_history(root).findings)


def test_an_unreadable_index_and_an_empty_root_do_not_hold(root: Path, tmp_path: Path) -> None:
    (root / "20261124T030000Z" / "index.json").write_text("{", encoding="utf-8")
    assert "not JSON" in verify_history(root).problem
    (tmp_path / "empty").mkdir()
    assert not verify_history(tmp_path / "empty").holds
    assert not verify_history(tmp_path / "nowhere").holds


def test_the_signatures_of_a_chain_are_judged_as_those_of_a_bundle(root: Path, key: Path, tmp_path: Path) -> None:
    history = ["verify", "--history", str(root), "--require-signature"]
    assert main(history) == 1
    folders = [folder for folder in root.iterdir() if (folder / SUMS).exists()]
    for folder in folders:
        sign(folder / SUMS, str(key))
    assert main(history) == 0
    allowed = allow(tmp_path / "allowed", "alice", key)
    assert main([*history, "--allowed-signers", str(allowed)]) == 0
    sign(folders[1] / SUMS, str(make_key(tmp_path / "mallory")))
    assert main(history) == 0, "whose key it is nobody asked"
    assert verify_history(root, True, allowed).problem.startswith(f"{folders[1].name}: signature: its key is not in")
    assert main([*history, "--allowed-signers", str(tmp_path / "nowhere")]) == 2


@pytest.mark.slow
def test_a_run_that_was_cut_off_does_not_break_the_chain(tmp_path: Path) -> None:
    bundles.make_bundle(tmp_path, run_id="20261124T010000Z")
    bundles.open_bundle(tmp_path, "20261124T020000Z")
    bundles.make_bundle(tmp_path, run_id="20261124T030000Z")
    assert verify_history(tmp_path).problem == ""


# --- the same bytes everywhere ----------------------------------------------------------------------------------

PLACES = {
    "as it is": {},
    "another time zone": {"TZ": "Pacific/Kiritimati"},
    "the C locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "another hash seed": {"PYTHONHASHSEED": "1"},
    "yet another hash seed, bytewise": {"PYTHONHASHSEED": "4242", "LANG": "tr_TR.UTF-8", "TZ": "America/St_Johns"},
}


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_the_decision_has_the_same_bytes_everywhere(bundle: Path, place: dict[str, str], tmp_path: Path) -> None:
    away = tmp_path / "away"
    away.mkdir()
    environment = {**os.environ, "HOME": str(away), "USER": "nobody", "LOGNAME": "nobody", **place}
    command = [sys.executable, "-m", "promotion_gate", "decide", str(bundle)]
    result = subprocess.run(command, cwd=away, env=environment, capture_output=True, check=True)
    assert result.stdout == (bundle / "promotion-decision.json").read_bytes()
    subprocess.run([*command[:3], "verify", str(bundle)], cwd=away, env=environment, capture_output=True, check=True)


@pytest.mark.slow
@pytest.mark.parametrize("place", [PLACES["the C locale"], {"PYTHONIOENCODING": "latin-1"}], ids=["C", "latin-1"])
def test_a_name_that_the_locale_cannot_encode_does_not_lose_the_answer(place: dict[str, str], tmp_path: Path) -> None:
    bundle = bundles.make_bundle(tmp_path, promotion_operator="Łukasz", promotion_reviewer="Łucja")
    message = {}
    for name in ("decide", "show", "check", "verify"):
        call = [sys.executable, "-m", "promotion_gate", name, str(bundle)]
        done = subprocess.run(call, env={**os.environ, **place}, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b""), name
        message[name] = done.stdout
    assert message["decide"] == (bundle / "promotion-decision.json").read_bytes()
    assert "Łucja has not signed off" in message["check"].decode("utf-8")


@pytest.mark.slow
def test_the_decision_has_the_same_bytes_for_another_user(bundle: Path, tmp_path: Path) -> None:
    """A user whom no passwd file knows, as a stranger's account on this machine would be."""
    somebody = ["unshare", "--user", "--map-user=4242", "--map-group=4242"]
    assert subprocess.run([*somebody, "id", "-u"], capture_output=True, text=True, check=True).stdout == "4242\n"
    call = [*somebody, sys.executable, "-m", "promotion_gate"]
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "USER", "LOGNAME")}
    decided = subprocess.run([*call, "decide", str(bundle)], cwd=tmp_path, env=environment, capture_output=True)
    assert decided.stdout == (bundle / "promotion-decision.json").read_bytes(), decided.stderr
    subprocess.run([*call, "verify", str(bundle)], cwd=tmp_path, env=environment, capture_output=True, check=True)


# Assigned in Unicode 15.0, 15.1 and 16.0: the tables of Python 3.11 to 3.14 differ in them.
NEW_LETTERS = "\U0001fae8 \u2ffc \U00010d4a"


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A HOLD in which letters that not every Python knows, a broken JUnit file and odd names are quoted."""
    trips = bundles.trips_with("slurm_smoke", "ping", exit=1, output=f"slurm: {NEW_LETTERS} is \x9bDOWN\n")
    trips["slurm_smoke"]["artifacts"][0]["refused"] = [{"path": f"a {NEW_LETTERS}\u202e.log", "reason": "it is a link"}]
    trips["contracts"]["artifacts"][0] = bundles.artifact("05-relay-junit.xml", {"": "<testsuite tests='1'"})
    return bundles.make_bundle(tmp_path_factory.mktemp("odd"), trips)


def python(version: str) -> str | None:
    """An interpreter of that version that runs: a shim on PATH may not."""
    installed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for program in (shutil.which(f"python{version}"), *sorted(installed.glob(f"{version}.*/bin/python"))):
        if program and subprocess.run([program, "-c", ""], capture_output=True, check=False).returncode == 0:
            return str(program)
    return None


def compiled_packages(version: str, cache: pytest.Cache) -> Path:
    """What another Python needs of its own, in the version that is installed here: google-re2. The rest of what the
    package needs is pure Python as far as it matters, so another interpreter can take it from here."""
    wanted = f"google-re2=={importlib.metadata.version('google-re2')}"
    folder = cache.mkdir(f"{wanted}-python{version}")
    if not (folder / "re2").is_dir():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
        call = [*pip, "--python-version", version, "--target", str(folder), wanted]
        installed = subprocess.run(call, capture_output=True, text=True)
        if installed.returncode:
            pytest.skip(f"{wanted} for Python {version} cannot be installed: {installed.stderr.strip()[-200:]}")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_decision_has_the_same_bytes_on_each_python(
    version: str, bundle: Path, odd: Path, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    program = python(version)
    if program is None:
        pytest.skip(f"there is no python{version} on this machine")
    packages = [Path(str(module.__file__)).parents[1] for module in (promotion_gate, jinja2)]
    packages.insert(0, compiled_packages(version, pytestconfig.cache))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, packages)), "PYTHONDONTWRITEBYTECODE": "1"}
    for sealed in (bundle, odd):
        call = [program, "-m", "promotion_gate"]
        decided = subprocess.run([*call, "decide", str(sealed)], cwd=tmp_path, env=environment, capture_output=True)
        assert decided.stdout == (sealed / "promotion-decision.json").read_bytes(), decided.stderr
        verified = subprocess.run([*call, "verify", str(sealed)], cwd=tmp_path, env=environment, capture_output=True)
        assert verified.returncode == 0, verified.stdout


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_a_bundle_is_for_its_owner_alone_whatever_the_umask(mask: int, tmp_path: Path, key: Path) -> None:
    before = os.umask(mask)
    try:
        bundles.hold_bundle(tmp_path, promotion_signing_key=str(key))
        bundle = bundles.resume_bundle(tmp_path)
    finally:
        os.umask(before)
    modes = {path: path.stat().st_mode & 0o7777 for path in (bundle, *bundle.rglob("*"))}
    assert {path: mode for path, mode in modes.items() if mode != (0o700 if path.is_dir() else 0o600)} == {}
    assert len(modes) > 50


def test_the_signing_key_is_never_copied(tmp_path: Path, key: Path) -> None:
    bundle = bundles.make_bundle(tmp_path / "root", promotion_signing_key=str(key))
    assert (bundle / SIGNATURE_FILE).is_file()
    secret_lines = key.read_bytes().splitlines()[1:-1]
    for path in (tmp_path / "root").rglob("*"):
        assert path.name != key.name
        assert path.is_dir() or not any(line in path.read_bytes() for line in secret_lines), path


def test_a_second_seal_of_a_copy_gives_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "elsewhere" / bundle.name))
    (copy / SUMS).unlink()
    seal(copy)
    assert (copy / SUMS).read_bytes() == (bundle / SUMS).read_bytes()


def _of_another_version(bundle: Path) -> None:
    path = bundle / "index.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["run"] = {**data["run"], "gate_version": "0.0.9"}
    path.write_text(to_json(data), encoding="utf-8")


def test_what_another_version_rendered_verifies_by_its_fields(tmp_path: Path) -> None:
    """It has other words, and neither the fields nor the files that came later; its decision has to follow."""
    bundle = bundles.hold_bundle(tmp_path)
    _of_another_version(bundle)
    (bundle / "promotion-decision.md").write_text("HOLD, in other words\n", encoding="utf-8")
    for name in RENDERED:
        (bundle / name).unlink(missing_ok=True)
    record = json.loads((bundle / "promotion-decision.json").read_text(encoding="utf-8"))
    del record["masks"]
    (bundle / "promotion-decision.json").write_text(to_json(record), encoding="utf-8")
    reseal(bundle)
    assert failed(bundle) == []
    [finding] = [item for item in verify_bundle(bundle).findings if item.name == "records"]
    assert "of version 0.0.9" in finding.found
    record["operator"] = "mallory"
    (bundle / "promotion-decision.json").write_text(to_json(record), encoding="utf-8")
    (bundle / "promotion-decision.md").unlink()
    reseal(bundle)
    assert failed(bundle) == ["decision", "records"]
