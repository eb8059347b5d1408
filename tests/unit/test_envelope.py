"""The signed statement beside a bundle: a DSSE envelope that others can read, and that verify checks where it is."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bundles
import pytest
from test_verify import allow, make_key

from promotion_gate.__main__ import main
from promotion_gate.base.files import to_json
from promotion_gate.base.names import envelope_file
from promotion_gate.prove.envelope import encoded, write_envelope
from promotion_gate.prove.verify import verify_bundle

STATEMENT = "promotion-decision.intoto.json"
Change = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_key(tmp_path_factory.mktemp("keys") / "operator")


@pytest.fixture(scope="module")
def signed(key: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A HOLD that was sealed as the plays do it, with a key."""
    trips = bundles.trips_with("slurm_smoke", "ping", exit=1, output=bundles.PING_DOWN)
    bundle = bundles.closed_bundle(tmp_path_factory.mktemp("signed") / "root", trips, promotion_signing_key=str(key))
    assert main(["seal", str(bundle)]) == 1
    return bundle


@pytest.fixture
def bundle(signed: Path, tmp_path: Path) -> Path:
    root = Path(shutil.copytree(signed.parent, tmp_path / "root"))
    return root / signed.name


def content(bundle: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(envelope_file(bundle).read_text(encoding="utf-8"))
    return found


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_the_encoding_is_that_of_dsse() -> None:
    """As the specification's own example has it, but for its type."""
    assert encoded(b"hello world") == b"DSSEv1 28 application/vnd.in-toto+json 11 hello world"


def test_a_key_leaves_a_signed_statement_beside_the_bundle(bundle: Path, key: Path, tmp_path: Path) -> None:
    assert envelope_file(bundle) == bundle.with_name(f"{bundle.name}.intoto.dsse.json")
    found = content(bundle)
    assert sorted(found) == ["payload", "payloadType", "signatures"]
    assert base64.b64decode(found["payload"]) == (bundle / STATEMENT).read_bytes()
    shown = subprocess.run(["ssh-keygen", "-l", "-f", key], capture_output=True, text=True, check=True).stdout
    assert [item["keyid"] for item in found["signatures"]] == [shown.split()[1]]
    report = verify_bundle(bundle, allowed_signers=allow(tmp_path / "allowed", "alice", key))
    [envelope] = [finding for finding in report.findings if finding.name == "envelope"]
    assert report.holds and envelope.found.endswith(f"signed by alice with the key ssh-ed25519 {shown.split()[1]}")
    assert envelope_file(bundle).name not in (bundle / "SHA256SUMS").read_text(encoding="utf-8")


def ssh_keygen_verifies(data: bytes, signature: Path, allowed: Path) -> bool:
    """Whether ssh-keygen itself accepts the signature as one by alice."""
    words: list[str | Path] = [
        "ssh-keygen",
        "-Y",
        "verify",
        "-f",
        allowed,
        "-I",
        "alice",
        "-n",
        "promotion-gate",
        "-s",
        signature,
    ]
    return subprocess.run(words, input=data, capture_output=True, check=False).returncode == 0


def test_anybody_verifies_it_with_ssh_keygen_alone(bundle: Path, key: Path, tmp_path: Path) -> None:
    """As docs/evidence.md says, without this package."""
    found = content(bundle)
    payload = base64.b64decode(found["payload"])
    signature = tmp_path / "sig"
    signature.write_bytes(base64.b64decode(found["signatures"][0]["sig"]))
    allowed = allow(tmp_path / "allowed", "alice", key)
    text = b"DSSEv1 28 application/vnd.in-toto+json %d " % len(payload) + payload
    assert ssh_keygen_verifies(text, signature, allowed)


def test_other_libraries_read_it(bundle: Path, key: Path, tmp_path: Path) -> None:
    """The envelope by securesystemslib, which in-toto uses, and the statement in it by in-toto's package."""
    from google.protobuf import json_format
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import UnverifiedSignatureError
    from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]

    class SshKey(SSlibKey):
        def verify_signature(self, signature: Any, data: bytes) -> None:
            path = tmp_path / "sig"
            path.write_bytes(bytes.fromhex(signature.signature))
            if not ssh_keygen_verifies(data, path, allowed):
                raise UnverifiedSignatureError

    allowed = allow(tmp_path / "allowed", "alice", key)
    envelope = Envelope.from_dict(content(bundle))
    [keyid] = envelope.signatures
    public = SshKey(keyid, "ssh-ed25519", "sshsig", {"public": key.with_suffix(".pub").read_text(encoding="utf-8")})
    assert list(envelope.verify([public], 1)) == [keyid]
    assert envelope.payload_type == "application/vnd.in-toto+json"
    parsed = json_format.Parse(envelope.payload.decode(), statement_pb2.Statement())
    Statement.copy_from_pb(parsed).validate()


def with_signature(found: dict[str, Any], **fields: str) -> dict[str, Any]:
    return {**found, "signatures": [{**found["signatures"][0], **fields}]}


def promoted(found: dict[str, Any]) -> dict[str, Any]:
    payload = base64.b64decode(found["payload"]).replace(b"FAILED", b"PASSED")
    return {**found, "payload": b64(payload)}


CHANGES: dict[str, tuple[Change, str]] = {
    "the result": (promoted, f"its statement is not the {STATEMENT} of this bundle"),
    "the payload is no base64": (lambda found: {**found, "payload": "e30"}, "its base64 cannot be read"),
    "the type": (lambda found: {**found, "payloadType": "text/plain"}, "payloadType"),
    "no signature": (lambda found: {**found, "signatures": []}, "it is not signed"),
    "a signature of something else": (
        lambda found: with_signature(found, sig=b64(b"-----BEGIN SSH SIGNATURE-----\n")),
        "it is not an SSH signature",
    ),
    "the keyid": (lambda found: with_signature(found, keyid="SHA256:other"), "not by its keyid"),
    "a field is missing": (lambda found: {"payload": found["payload"]}, "payloadType"),
}


@pytest.mark.parametrize(("change", "word"), CHANGES.values(), ids=CHANGES)
def test_what_was_changed_is_refused(bundle: Path, change: Change, word: str) -> None:
    envelope_file(bundle).write_text(to_json(change(content(bundle))), encoding="utf-8")
    report = verify_bundle(bundle)
    assert [finding.name for finding in report.findings if not finding.holds] == ["envelope"]
    assert word in report.problem and "\n" not in report.problem
    assert main(["verify", str(bundle)]) == 1 and main(["check", str(bundle)]) == 3
    assert main(["verify", "--history", str(bundle.parent)]) == 1


@pytest.mark.parametrize("data", [b"", b"\xff", b"[" * 9999, b"{}", b"[]"], ids=["empty", "bytes", "deep", "{}", "[]"])
def test_what_is_not_an_envelope_is_a_finding(bundle: Path, data: bytes) -> None:
    envelope_file(bundle).write_bytes(data)
    assert "envelope: " in verify_bundle(bundle).problem


def test_a_signature_by_another_key_or_over_another_run_is_refused(bundle: Path, key: Path, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other")
    mine = content(bundle)
    write_envelope(bundle, str(other))
    assert verify_bundle(bundle).holds, "whose a key is, only allowed signers can say"
    report = verify_bundle(bundle, allowed_signers=allow(tmp_path / "allowed", "alice", key))
    assert "its key is not in" in report.problem
    theirs = content(bundle)
    (bundle / STATEMENT).write_text("{}", encoding="utf-8")
    write_envelope(bundle, str(key))
    swapped = with_signature(mine, sig=content(bundle)["signatures"][0]["sig"])
    (bundle / STATEMENT).write_bytes(base64.b64decode(mine["payload"]))
    envelope_file(bundle).write_text(to_json(swapped), encoding="utf-8")
    assert "does not belong to this file" in verify_bundle(bundle).problem
    envelope_file(bundle).write_text(to_json({**mine, "signatures": mine["signatures"] + theirs["signatures"]}))
    assert verify_bundle(bundle).holds


def test_nobody_has_to_have_one(bundle: Path, tmp_path: Path) -> None:
    envelope_file(bundle).unlink()
    assert verify_bundle(bundle).holds and main(["verify", str(bundle)]) == 0
    unsigned = bundles.closed_bundle(tmp_path / "unsigned")
    assert main(["seal", str(unsigned)]) == 0
    assert not envelope_file(unsigned).exists()


def test_a_statement_that_cannot_be_written_does_not_lose_the_decision(
    tmp_path: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = bundles.closed_bundle(tmp_path / "root", promotion_signing_key=str(key))
    envelope_file(bundle).mkdir()
    assert main(["seal", str(bundle)]) == 0
    assert "the decision stands, but its statement is not signed" in capsys.readouterr().err


def test_a_resume_withdraws_it(bundle: Path) -> None:
    """A statement about a revoked decision must not remain beside a new one; it is kept in the archive."""
    before = content(bundle)
    again = bundles.resume_bundle(bundle.parent)
    assert not envelope_file(again).exists()
    kept = again / "attempts" / "01" / envelope_file(again).name
    assert json.loads(kept.read_text(encoding="utf-8")) == before
    assert verify_bundle(again).holds
