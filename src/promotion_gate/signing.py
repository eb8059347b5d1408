"""SSH signatures, with what operators have: `ssh-keygen -Y` (OpenSSH 8.1 and newer), namespace promotion-gate."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from promotion_gate.errors import GateError, InputError

NAMESPACE = "promotion-gate"
_SECONDS = 30


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
        raise GateError(f"ssh-keygen did not end within {_SECONDS} s.") from None


def _reason(result: subprocess.CompletedProcess[bytes]) -> str:
    text = (result.stderr or result.stdout).decode("utf-8", "replace").strip()
    return text.splitlines()[-1][:200] if text else f"exit status {result.returncode}"


def check_signing_key(key: str | None) -> None:
    """Signs a trial text. Raises InputError for a key that cannot be used without asking."""
    if key is None:
        return
    with tempfile.TemporaryDirectory(prefix="promotion-gate-") as folder:
        trial = Path(folder) / "trial"
        trial.write_bytes(b"trial\n")
        try:
            sign(trial, key)
        except GateError as error:
            raise InputError(f"promotion_signing_key {key} cannot be used: {error}") from None


def sign(path: Path, key: str) -> Path:
    """Signs a file; the signature stands beside it as <name>.sig. Raises GateError with ssh-keygen's reason."""
    signature = path.with_name(path.name + ".sig")
    signature.unlink(missing_ok=True)
    result = _keygen(["-Y", "sign", "-q", "-f", str(Path(key).expanduser()), "-n", NAMESPACE, str(path)])
    if result.returncode != 0 or not signature.is_file():
        raise GateError(f"ssh-keygen could not sign ({_reason(result)}).")
    signature.chmod(0o600)
    return signature


def verify(data: bytes, signature: Path, allowed_signers: Path, identity: str | None = None) -> str:
    """Verifies a signature and returns the principal that signed. Raises GateError with the reason."""
    if not allowed_signers.is_file():
        raise InputError(f"There is no allowed_signers file {allowed_signers}.")
    name = identity
    if name is None:
        found = _keygen(["-Y", "find-principals", "-f", str(allowed_signers), "-s", str(signature)])
        if found.returncode != 0:
            raise GateError(f"the signature is of no key in {allowed_signers} ({_reason(found)})")
        name = found.stdout.decode("utf-8", "replace").splitlines()[0].strip()
    words = ["-Y", "verify", "-f", str(allowed_signers), "-I", name, "-n", NAMESPACE, "-s", str(signature)]
    result = _keygen(words, stdin=data)
    if result.returncode != 0:
        raise GateError(f"the signature does not verify for {name} ({_reason(result)})")
    return name


def check_signature_form(signature: Path, data: bytes) -> None:
    """Checks that a signature is over `data`, whoever signed. Raises GateError."""
    words = ["-Y", "check-novalidate", "-n", NAMESPACE, "-s", str(signature)]
    result = _keygen(words, stdin=data)
    if result.returncode != 0:
        raise GateError(f"the signature does not belong to this SHA256SUMS ({_reason(result)})")
