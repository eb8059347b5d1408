"""SSH signatures with a tool operators have: `ssh-keygen -Y` (OpenSSH 8.1 and newer), namespace promotion-gate."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from promotion_gate.base.errors import GateError, InputError
from promotion_gate.base.files import write_atomically

NAMESPACE = "promotion-gate"
_SECONDS = 30
_BEGIN, _END = b"-----BEGIN SSH SIGNATURE-----\n", b"-----END SSH SIGNATURE-----\n"
_LINE = 70  # what ssh-keygen writes


@dataclass(frozen=True, slots=True)
class Signature:
    """The content of a signature file: the key's type and fingerprint, as ssh-keygen -l shows it."""

    key_type: str
    fingerprint: str


def _keygen(words: list[str], stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Runs ssh-keygen without a terminal: it must never ask for a passphrase."""
    environment = {**os.environ, "SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"}
    try:
        return subprocess.run(
            ["ssh-keygen", *words],
            input=stdin if stdin is not None else b"",
            capture_output=True,
            timeout=_SECONDS,
            env=environment,
            start_new_session=True,
            check=False,
        )
    except FileNotFoundError:
        raise GateError("ssh-keygen is not installed; install the OpenSSH client to sign or verify.") from None
    except subprocess.TimeoutExpired:
        raise GateError(f"ssh-keygen timed out after {_SECONDS} s and was killed.") from None


def _reason(result: subprocess.CompletedProcess[bytes]) -> str:
    text = (result.stderr or result.stdout).decode("utf-8", "replace").strip()
    return text.splitlines()[-1][:200] if text else f"exit status {result.returncode}"


def check_signing_key(key: str | None) -> None:
    """Signs a test string. Raises InputError for a key that cannot be used without a prompt."""
    if key is None:
        return
    try:
        signature_of(b"trial\n", key)
    except GateError as error:
        raise InputError(f"promotion_signing_key {key} cannot be used: {error}") from None


def sign(path: Path, key: str) -> Path:
    """Signs a file; the signature is written beside it as <name>.sig. Raises GateError with ssh-keygen's reason."""
    signature = path.with_name(path.name + ".sig")
    write_atomically(signature, signature_of(path.read_bytes(), key))
    return signature


def signature_of(data: bytes, key: str) -> bytes:
    """The signature of `data`, as ssh-keygen writes it into a file. Raises GateError with ssh-keygen's reason."""
    try:
        file = Path(key).expanduser()
    except RuntimeError:
        raise GateError("there is no user of that name") from None
    with tempfile.TemporaryDirectory(prefix="promotion-gate-") as folder:
        path = Path(folder) / "data"
        path.write_bytes(data)
        result = _keygen(["-Y", "sign", "-q", "-f", str(file), "-n", NAMESPACE, str(path)])
        signature = path.with_name("data.sig")
        if result.returncode != 0 or not signature.is_file():
            raise GateError(f"ssh-keygen could not sign ({_reason(result)}).")
        return signature.read_bytes()


def parse_signature(armored: bytes) -> Signature:
    """Reads an SSH signature in its one canonical encoding (OpenSSH's PROTOCOL.sshsig, armour as ssh-keygen writes it).

    Raises GateError for anything else: other line lengths, meaningless bits or bytes, another namespace.
    """
    if not armored.startswith(_BEGIN) or not armored.endswith(_END):
        raise GateError("it is not an SSH signature as ssh-keygen writes it")
    try:
        blob = base64.b64decode(armored[len(_BEGIN) : -len(_END)].replace(b"\n", b""), validate=True)
    except (binascii.Error, ValueError):
        raise GateError("its base64 cannot be read") from None
    text = base64.b64encode(blob)
    lines = [text[start : start + _LINE] + b"\n" for start in range(0, len(text), _LINE)]
    if _BEGIN + b"".join(lines) + _END != armored:
        raise GateError("it is not in the canonical encoding that ssh-keygen writes")
    if blob[:6] != b"SSHSIG" or blob[6:10] != b"\0\0\0\1":
        raise GateError("it is not an SSH signature of version 1")
    key, namespace, reserved, algorithm, _signature = _strings(blob[10:], 5)
    if namespace != NAMESPACE.encode():
        raise GateError(f"it was made for a purpose other than {NAMESPACE}")
    if reserved or algorithm not in (b"sha256", b"sha512"):
        raise GateError("it is not in the canonical encoding that ssh-keygen writes")
    key_type = _strings(key, 1, whole=False)[0].decode("ascii", "replace")
    digest = base64.b64encode(hashlib.sha256(key).digest()).rstrip(b"=").decode()
    return Signature(key_type, f"SHA256:{digest}")


def _strings(data: bytes, count: int, whole: bool = True) -> list[bytes]:
    """Reads `count` length-prefixed strings of the SSH wire format; if `whole`, nothing may follow them."""
    found = []
    for _ in range(count):
        size = int.from_bytes(data[:4], "big")
        if len(data) < 4 + size:
            raise GateError("it is cut")
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    if whole and data:
        raise GateError("there is data after the signature")
    return found


def check_allowed_signers(path: Path | None) -> None:
    """Raises InputError for an allowed_signers file that was given but cannot be read."""
    if path is not None and not (path.is_file() and os.access(path, os.R_OK)):
        raise InputError(f"The allowed_signers file {path} cannot be read; name one in the format of ssh-keygen(1).")


def verify(data: bytes, signature: Path, allowed_signers: Path, identity: str | None = None) -> str:
    """Verifies a signature and returns the principal that signed.

    With `identity`, only a key that the file lists for this principal counts. Raises InputError without an
    allowed_signers file, and GateError with the reason if the signature does not verify.
    """
    check_allowed_signers(allowed_signers)
    reason = f"its key is not in {allowed_signers}"
    for name in [identity] if identity is not None else _principals(signature, allowed_signers):
        words = ["-Y", "verify", "-f", str(allowed_signers), "-I", name, "-n", NAMESPACE, "-s", str(signature)]
        result = _keygen(words, stdin=data)
        if result.returncode == 0:
            return name
        reason = f"it does not verify for {name} with {allowed_signers} ({_reason(result)})"
    raise GateError(reason)


def _principals(signature: Path, allowed_signers: Path) -> list[str]:
    """The principals that the allowed_signers file lists for the signature's key; one line can name several."""
    found = _keygen(["-Y", "find-principals", "-f", str(allowed_signers), "-s", str(signature)])
    if found.returncode != 0:
        return []
    lines = found.stdout.decode("utf-8", "replace").splitlines()
    return [name for line in lines for name in line.strip().split(",") if name]


def check_signature_form(signature: Path, data: bytes) -> None:
    """Checks that a signature is over `data`, whoever made it. Raises GateError."""
    words = ["-Y", "check-novalidate", "-n", NAMESPACE, "-s", str(signature)]
    result = _keygen(words, stdin=data)
    if result.returncode != 0:
        raise GateError(f"it does not belong to this file ({_reason(result)})")


def check_signature(data: bytes, signature: Path, armored: bytes) -> Signature:
    """Checks encoding and content of the signature file `signature`, whose bytes are `armored`. Raises GateError."""
    parsed = parse_signature(armored)
    check_signature_form(signature, data)
    return parsed
