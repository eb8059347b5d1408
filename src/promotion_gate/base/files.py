"""Writing and reading files so that a crash, a link or a full disk never looks like evidence."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promotion_gate.base.errors import BundleError
from promotion_gate.base.escape import visible_json

MAX_FILE_BYTES = 64 * 1024 * 1024
# What begins like this was being written when its process was killed; it counts for nothing.
UNFINISHED = ".unfinished-"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_folder(path: Path) -> None:
    """Makes a folder and those above it, each for us alone: mkdir(parents=True) gives its mode to the last one only."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True, mode=0o700)


def write_atomically(path: Path, data: bytes | str, mode: int = 0o600) -> None:
    """Writes a whole file or nothing: temporary file in the same folder, fsync, replace."""
    content = data.encode("utf-8") if isinstance(data, str) else data
    make_folder(path.parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=UNFINISHED)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes renames in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def to_json(data: Any) -> str:
    """JSON as every file of the bundle has it: sorted keys, two spaces, UTF-8, final newline, nothing invisible."""
    return visible_json(json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)) + "\n"


def read_json(path: Path) -> Any:
    """Reads one JSON file.

    Raises BundleError with a sentence if it is missing, no regular file, or no JSON.
    """
    content = read_file(path)
    if content.problem:
        raise BundleError(f"{path}: {content.problem}.")
    try:
        return json.loads(content.data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not JSON ({error}); it was cut or changed after it was written.") from None


@dataclass(frozen=True, slots=True)
class Content:
    """A file as found: its bytes, or what is wrong with it (`missing`, `a symbolic link`, ...)."""

    data: bytes = b""
    problem: str = ""


def read_file(path: Path) -> Content:
    """Reads a regular file without following a link; never raises for what is on disk."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return Content(problem="is missing")
    except OSError as error:
        return Content(problem="is a symbolic link" if path.is_symlink() else f"cannot be read ({error.strerror})")
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return Content(problem="is a folder" if stat.S_ISDIR(status.st_mode) else "is no regular file")
        if status.st_size > MAX_FILE_BYTES:
            return Content(problem=f"is larger than {MAX_FILE_BYTES} bytes")
        with os.fdopen(os.dup(descriptor), "rb") as stream:
            return Content(stream.read())
    except OSError as error:
        return Content(problem=f"cannot be read ({error.strerror})")
    finally:
        os.close(descriptor)
