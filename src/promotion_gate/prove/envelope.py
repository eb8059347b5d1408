"""The signed statement: promotion-decision.intoto.json in a DSSE envelope, beside the bundle.

The file is `<run id>.intoto.dsse.json`. DSSE v1 does not define the signature format. Here it is the SSH signature of
the pre-authentication encoding (PROTOCOL.sshsig, namespace promotion-gate), armored as ssh-keygen writes it, and
`keyid` is the fingerprint that `ssh-keygen -l` shows: the key that signs SHA256SUMS, from a file or the agent, signs
this as well.
"""

from __future__ import annotations

import base64
import binascii
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from promotion_gate.base.errors import BundleError, GateError
from promotion_gate.base.files import parse_json, read_file, to_json, write_atomically
from promotion_gate.base.names import STATEMENT, envelope_file
from promotion_gate.base.typed import plain, read
from promotion_gate.prove.findings import Finding
from promotion_gate.prove.signing import check_signature, parse_signature, signature_of, verify

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"


@dataclass(frozen=True, slots=True)
class EnvelopeSignature:
    keyid: str
    sig: str


@dataclass(frozen=True, slots=True)
class Envelope:
    """The content of `<run id>.intoto.dsse.json`; payload and signatures in base64."""

    payloadType: Literal["application/vnd.in-toto+json"]
    payload: str
    signatures: tuple[EnvelopeSignature, ...]


def encoded(payload: bytes) -> bytes:
    """The bytes that are signed: the pre-authentication encoding (PAE) of DSSE v1."""
    return b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def write_envelope(bundle: Path, key: str) -> None:
    """Signs the statement of a sealed bundle. Raises GateError if it cannot be signed or written."""
    payload = read_file(bundle / STATEMENT).data
    armored = signature_of(encoded(payload), key)
    signature = EnvelopeSignature(parse_signature(armored).fingerprint, _text(armored))
    try:
        write_atomically(envelope_file(bundle), to_json(plain(Envelope(PAYLOAD_TYPE, _text(payload), (signature,)))))
    except OSError as error:
        raise GateError(f"{envelope_file(bundle)} cannot be written ({error.strerror}).") from None


def envelope_finding(bundle: Path, allowed_signers: Path | None = None) -> Finding | None:
    """Whether the envelope beside a bundle is over the bundle's statement, and who signed; None without one."""
    path = envelope_file(bundle)
    content = read_file(path)
    if content.problem == "is missing":
        return None
    try:
        if content.problem:
            raise GateError(f"it {content.problem}")
        envelope = _read(content.data)
        payload = _bytes(envelope.payload)
        if payload != read_file(bundle / STATEMENT).data:
            raise GateError(f"its statement is not the {STATEMENT} of this bundle")
        if not envelope.signatures:
            raise GateError("it is not signed")
        signers = " and ".join(_signed(item, encoded(payload), allowed_signers) for item in envelope.signatures)
    except GateError as error:
        step = f"do not use {path.name}; without it the bundle counts as before"
        return Finding("envelope", False, f"{path.name}: {error}", step)
    return Finding("envelope", True, f"{path.name} holds {STATEMENT}, signed {signers}")


def _read(data: bytes) -> Envelope:
    try:
        return read(Envelope, parse_json(data.decode("utf-8")), "the envelope")
    except (ValueError, RecursionError):
        raise GateError("it is not JSON") from None
    except BundleError as error:
        raise GateError(str(error).rstrip(".")) from None


def _signed(item: EnvelopeSignature, data: bytes, allowed_signers: Path | None) -> str:
    """Who made one of its signatures, which is over `data`, in words."""
    armored = _bytes(item.sig)
    with tempfile.TemporaryDirectory(prefix="promotion-gate-") as folder:
        signature = Path(folder) / "sig"
        signature.write_bytes(armored)
        found = check_signature(data, signature, armored)
        if found.fingerprint != item.keyid:
            raise GateError(f"its signature is by the key {found.fingerprint}, not by its keyid")
        key = f"the key {found.key_type} {found.fingerprint}"
        if allowed_signers is None:
            return f"by {key}"
        return f"by {verify(data, signature, allowed_signers)} with {key}"


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise GateError("its base64 cannot be read") from None
