"""Sign-off: the reviewer named in the record states that they reviewed it, bound to one seal.

`<run id>.signoff.json` is beside the bundle, with its SSH signature in `<run id>.signoff.json.sig`, so it can be
checked with ssh-keygen alone and the sealed bundle never changes. A re-run seals the bundle again, which voids an
earlier sign-off.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from promotion_gate.base.errors import BundleError, GateError, InputError
from promotion_gate.base.files import read_file, read_json, sha256, to_json, write_atomically
from promotion_gate.base.model import AttemptNumber, Decision
from promotion_gate.base.names import SUMS_FILE, signoff_file
from promotion_gate.base.people import same_person
from promotion_gate.base.times import stamp, utc_now
from promotion_gate.base.typed import Sha256, Stamp, plain, read
from promotion_gate.prove.signing import check_signature, sign, verify
from promotion_gate.prove.verify import verify_bundle

STATEMENT = "I have reviewed the evidence and this decision."


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOffRecord:
    """The content of `<run id>.signoff.json`."""

    schema: Literal[1] = 1
    run_id: str
    attempt: AttemptNumber
    decision: Literal["PROMOTE", "HOLD"]
    sha256sums: Annotated[Sha256, "of the SHA256SUMS that was signed off"]
    name: str
    statement: str
    signed_off_at: Stamp


@dataclass(frozen=True, slots=True)
class SignOff:
    """A sign-off that belongs to the bundle's seal. `proven` only if signed by the reviewer's key."""

    name: str
    statement: str
    signed_off_at: str
    proven: bool
    message: str


def void_from_now(bundle: Path) -> str:
    """The message of a resume about the sign-off of the seal that it replaces; empty if there is none."""
    return " The sign-off of this run is void from now on." if signoff_file(bundle).is_file() else ""


def make_signoff(bundle: Path, name: str, key: str | None = None, statement: str = STATEMENT) -> Path:
    """Writes the sign-off of a bundle beside it, signed if a key is given.

    Raises InputError for a name that is not the record's reviewer, BundleError for a bundle that does not verify,
    GateError if it cannot be written or signed; then there is no sign-off.
    """
    report = verify_bundle(bundle)
    if report.decision is None or not report.holds:
        raise BundleError(f"{bundle} does not verify, so there is nothing to sign off: {report.problem}")
    decision = report.decision
    _check_name(name, decision)
    path = signoff_file(bundle)
    record = SignOffRecord(
        run_id=decision.run_id,
        attempt=decision.attempt,
        decision=decision.decision,
        sha256sums=sha256(read_file(bundle / SUMS_FILE).data),
        name=decision.reviewer,
        statement=statement,
        signed_off_at=stamp(utc_now()),
    )
    try:
        _signature_file(path).unlink(missing_ok=True)
        write_atomically(path, to_json(plain(record)))
        if key is not None:
            sign(path, key)
    except OSError as error:
        raise GateError(f"The sign-off {path} cannot be written ({error.strerror}).") from None
    except GateError:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    return path


def _signature_file(path: Path) -> Path:
    return path.with_name(path.name + ".sig")


def _check_name(name: str, decision: Decision) -> None:
    if same_person(name, decision.operator):
        raise InputError(f"{name} is the operator of run {decision.run_id}; the reviewer must sign off.")
    if not same_person(name, decision.reviewer):
        raise InputError(
            f'The record of run {decision.run_id} names {decision.reviewer} as its reviewer, not "{name}". Let '
            f"{decision.reviewer} sign off, or run the gate again with another promotion_reviewer."
        )


def read_signoff(bundle: Path, decision: Decision, allowed_signers: Path | None = None) -> SignOff | None:
    """The sign-off of a bundle, or None if there is none.

    Raises BundleError for a sign-off that is void (of another seal), belongs to another run or person, or cannot be
    read, and GateError for a signature that does not hold.
    """
    path = signoff_file(bundle)
    content = read_file(path)
    if content.problem == "is missing":
        return None
    record = read(SignOffRecord, read_json(path), str(path))
    _check_belongs(record, path, bundle, decision)
    proven, message = _proof(path, content.data, decision.reviewer, allowed_signers)
    return SignOff(
        name=decision.reviewer,
        statement=record.statement,
        signed_off_at=record.signed_off_at,
        proven=proven,
        message=message,
    )


def _check_belongs(record: SignOffRecord, path: Path, bundle: Path, decision: Decision) -> None:
    for key, found, expected in (
        ("run_id", record.run_id, decision.run_id),
        ("name", record.name, decision.reviewer),
    ):
        if found != expected:
            raise BundleError(f"{path}: {key} is {found}, expected {expected}; it counts for nothing.")
    if record.sha256sums != sha256(read_file(bundle / SUMS_FILE).data):
        raise BundleError(
            f"The sign-off of {record.name} is void: run {decision.run_id} was sealed again after it (attempt "
            f"{record.attempt} was signed off, this is attempt {decision.attempt}); sign off again."
        )
    if (record.decision, record.attempt) != (decision.decision, decision.attempt):
        raise BundleError(f"{path}: its decision or attempt is not that of the bundle; it counts for nothing.")


def _proof(path: Path, data: bytes, reviewer: str, allowed_signers: Path | None) -> tuple[bool, str]:
    """Whether the sign-off is proven to be the reviewer's, and that in words."""
    signature = _signature_file(path)
    armored = read_file(signature)
    if armored.problem == "is missing":
        return False, f"recorded, not proven: the sign-off of {reviewer} is not signed"
    try:
        if armored.problem:
            raise GateError(armored.problem)
        parsed = check_signature(data, signature, armored.data)
        key = f"{parsed.key_type} {parsed.fingerprint}"
        if allowed_signers is None:
            return False, f"recorded, not proven: only --allowed-signers can tell whose key {key} is"
        verify(data, signature, allowed_signers, identity=reviewer)
    except InputError:
        raise
    except GateError as error:
        raise GateError(f"The signature of the sign-off does not hold: {error}") from None
    return True, f"signed off by {reviewer} with the key {key}"
