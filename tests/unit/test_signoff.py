"""Sign-off: by the reviewer of the record, bound to one seal, proven only by the reviewer's key."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import bundles
import pytest

from promotion_gate.__main__ import main
from promotion_gate.base.errors import BundleError, GateError, InputError
from promotion_gate.base.files import to_json
from promotion_gate.base.model import Decision
from promotion_gate.base.names import signoff_file
from promotion_gate.prove.signoff import make_signoff, read_signoff
from promotion_gate.prove.verify import verify_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return bundles.make_bundle(tmp_path / "root")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys of bob, the reviewer, and of mallory; allowed_signers lists both under their own names."""
    folder = tmp_path_factory.mktemp("keys")
    lines = []
    for name in ("bob", "mallory"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
        lines.append(f"{name} {(folder / f'{name}.pub').read_text()}")
    (folder / "allowed").write_text("".join(lines), encoding="utf-8")
    return folder


def decision_of(bundle: Path) -> Decision:
    decision = verify_bundle(bundle).decision
    assert decision is not None
    return decision


def test_an_unsigned_sign_off_is_recorded_not_proven(bundle: Path, keys: Path) -> None:
    path = make_signoff(bundle, "bob")
    assert path == bundle.parent / f"{bundle.name}.signoff.json"
    for allowed in (None, keys / "allowed"):
        found = read_signoff(bundle, decision_of(bundle), allowed)
        assert found is not None and not found.proven and "recorded, not proven" in found.message
    assert verify_bundle(bundle).holds, "the sealed bundle has not changed"


def test_a_signed_one_is_proven_by_the_allowed_signers(bundle: Path, keys: Path) -> None:
    make_signoff(bundle, "bob", str(keys / "bob"), "Looked at every transcript.")
    found = read_signoff(bundle, decision_of(bundle), keys / "allowed")
    assert found is not None and found.proven and found.statement == "Looked at every transcript."
    unknown = read_signoff(bundle, decision_of(bundle))
    assert unknown is not None and not unknown.proven


def test_the_signature_is_one_that_ssh_keygen_verifies(bundle: Path, keys: Path) -> None:
    path = make_signoff(bundle, "bob", str(keys / "bob"))
    words = ["-Y", "verify", "-f", str(keys / "allowed"), "-I", "bob", "-n", "promotion-gate", "-s", f"{path}.sig"]
    subprocess.run(["ssh-keygen", *words], input=path.read_bytes(), check=True, capture_output=True)


def test_a_missing_sign_off_is_none(bundle: Path) -> None:
    assert read_signoff(bundle, decision_of(bundle)) is None


@pytest.mark.parametrize(
    ("name", "word"), [("alice", "is the operator"), ("carol", "names bob"), ("bob b", "names bob")]
)
def test_another_name_is_an_error(bundle: Path, name: str, word: str) -> None:
    with pytest.raises(InputError, match=word):
        make_signoff(bundle, name)
    assert not signoff_file(bundle).exists()


def test_a_name_that_reads_the_same_is_the_same(tmp_path: Path) -> None:
    bundle = bundles.make_bundle(tmp_path / "root", promotion_reviewer="Jos\u00e9")
    path = make_signoff(bundle, "Jose\u0301")
    assert json.loads(path.read_text(encoding="utf-8"))["name"] == decision_of(bundle).reviewer


def test_another_persons_key_does_not_count(bundle: Path, keys: Path) -> None:
    make_signoff(bundle, "bob", str(keys / "mallory"))
    with pytest.raises(GateError, match="does not hold"):
        read_signoff(bundle, decision_of(bundle), keys / "allowed")


def test_a_changed_sign_off_does_not_count(bundle: Path, keys: Path) -> None:
    path = make_signoff(bundle, "bob", str(keys / "bob"))
    path.write_text(path.read_text().replace("I have reviewed", "I HAVE REVIEWED"), encoding="utf-8")
    with pytest.raises(GateError, match="does not hold"):
        read_signoff(bundle, decision_of(bundle), keys / "allowed")


def test_a_key_that_cannot_sign_leaves_no_sign_off(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(GateError, match="could not sign"):
        make_signoff(bundle, "bob", str(tmp_path / "no-key"))
    assert not signoff_file(bundle).exists()


def test_a_new_sign_off_replaces_the_signature_as_well(bundle: Path, keys: Path) -> None:
    make_signoff(bundle, "bob", str(keys / "bob"))
    make_signoff(bundle, "bob")
    found = read_signoff(bundle, decision_of(bundle), keys / "allowed")
    assert found is not None and not found.proven


def test_a_later_re_run_makes_it_void(tmp_path: Path, keys: Path) -> None:
    bundle = bundles.hold_bundle(tmp_path)
    make_signoff(bundle, "bob", str(keys / "bob"))
    bundles.resume_bundle(tmp_path)
    with pytest.raises(BundleError, match=r"is void: .* sealed again .* \(attempt 1 .* attempt 2\)"):
        read_signoff(bundle, decision_of(bundle), keys / "allowed")


def test_the_sign_off_of_another_run_does_not_count(bundle: Path) -> None:
    other = bundles.make_bundle(bundle.parent, run_id="20261125T002930Z")
    make_signoff(other, "bob").rename(signoff_file(bundle))
    with pytest.raises(BundleError, match="counts for nothing"):
        read_signoff(bundle, decision_of(bundle))


@pytest.mark.parametrize("field", ["schema", "run_id", "name", "sha256sums", "attempt", "decision", "statement"])
def test_every_field_is_needed(bundle: Path, field: str) -> None:
    path = make_signoff(bundle, "bob")
    data = json.loads(path.read_text())
    path.write_text(to_json({key: value for key, value in data.items() if key != field}), encoding="utf-8")
    with pytest.raises(BundleError, match=field):
        read_signoff(bundle, decision_of(bundle))


def test_a_bundle_that_does_not_verify_cannot_be_signed_off(bundle: Path) -> None:
    (bundle / "note.txt").write_text("x", encoding="utf-8")
    with pytest.raises(BundleError, match="does not verify"):
        make_signoff(bundle, "bob")


def test_the_command_line(bundle: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sign-off", str(bundle), "--name", "carol"]) == 2
    assert "names bob as its reviewer" in capsys.readouterr().err
    assert main(["sign-off", str(bundle), "--name", "bob", "--key", str(keys / "bob")]) == 0
    assert str(signoff_file(bundle)) in capsys.readouterr().out
