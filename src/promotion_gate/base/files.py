"""Writing and reading files so that a crash, a link or a full disk never looks like evidence."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import stat
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeVar

from promotion_gate.base.errors import BundleError
from promotion_gate.base.escape import visible_json
from promotion_gate.base.names import MAX_NAME_DEPTH, UNFINISHED

T = TypeVar("T")
MAX_FILE_BYTES = 64 * 1024 * 1024
# One JSON file of a bundle; an index of 10,000 commands takes about 7 MB.
MAX_JSON_BYTES = 32 * 1024 * 1024
MAX_FILES = 50_000
# Windows lacks the first two, and reads text without the third.
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_READ = os.O_RDONLY | _NO_LINK | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_folder(path: Path) -> None:
    """Creates a directory and its parents, each for us only: mkdir(parents=True) applies its mode only to the last."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True, mode=0o700)


def write_atomically(path: Path, data: bytes | str, mode: int = 0o600) -> None:
    """Writes a whole file or nothing: temporary file in the same directory, fsync, replace."""
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
    """JSON as in every file of the bundle: sorted keys, two spaces, UTF-8, final newline, nothing invisible."""
    return visible_json(json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)) + "\n"


def parse_json(text: str) -> Any:
    """Parses JSON as we write it: no duplicate keys, finite numbers. Raises ValueError for anything else.

    The standard parser keeps the last of two equal keys, and reads NaN, Infinity and 1e999.
    """
    return json.loads(text, object_pairs_hook=_object, parse_float=_finite, parse_constant=_finite)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        times = Counter(name for name, _ in pairs)
        raise ValueError(f'duplicate key "{times.most_common(1)[0][0][:200]}"')
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


def read_json(path: Path) -> Any:
    """Reads one JSON file.

    Raises BundleError with a sentence if it is missing, not a regular file, or not JSON.
    """
    content = read_file(path, MAX_JSON_BYTES)
    if content.problem:
        raise BundleError(f"{path} {content.problem}.")
    try:
        return parse_json(content.data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not JSON ({error}); it was cut or changed after it was written.") from None


@dataclass(frozen=True, slots=True)
class Content:
    """A file as found: its bytes, or what is wrong with it (`missing`, `a symbolic link`, ...)."""

    data: bytes = b""
    problem: str = ""


def read_file(path: Path, limit: int = MAX_FILE_BYTES) -> Content:
    """Reads a regular file of at most `limit` bytes without following a link; never raises for what is on disk."""
    found = _opened(path, limit, lambda stream: stream.read(limit + 1))
    if isinstance(found, Content):
        return found
    # Some files claim to be empty and are not, for example those of /proc.
    return Content(problem=_too_large(limit)) if len(found) > limit else Content(found)


def digest_of(path: Path, limit: int = MAX_FILE_BYTES) -> tuple[str, str]:
    """The SHA-256 of a file, read in pieces, and what is wrong with it; one of the two is empty."""
    found = _opened(path, limit, lambda stream: hashlib.file_digest(stream, "sha256").hexdigest())
    return ("", found.problem) if isinstance(found, Content) else (found, "")


def _too_large(limit: int) -> str:
    return f"is larger than {limit} bytes"


def size_of(path: Path) -> int:
    """The size of a file in bytes; 0 if there is none."""
    try:
        return path.lstat().st_size
    except (OSError, ValueError):
        return 0


def _opened(path: Path, limit: int, use: Callable[[BufferedReader], T]) -> T | Content:
    """What `use` returns for a regular file, or a Content that says why it cannot be used."""
    try:
        if not _NO_LINK and path.is_symlink():
            return Content(problem="is a symbolic link")
        descriptor = os.open(path, _READ)
    except FileNotFoundError:
        return Content(problem="is missing")
    except ValueError:  # a NUL or a lone surrogate
        return Content(problem="has a name that no file can have")
    except OSError as error:
        return Content(problem="is a symbolic link" if path.is_symlink() else f"cannot be read ({error.strerror})")
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return Content(problem="is a folder" if stat.S_ISDIR(status.st_mode) else "is not a regular file")
        if status.st_size > limit:
            return Content(problem=_too_large(limit))
        with os.fdopen(os.dup(descriptor), "rb") as stream:
            return use(stream)
    except OSError as error:
        return Content(problem=f"cannot be read ({error.strerror})")
    finally:
        os.close(descriptor)


def list_files(folder: Path) -> list[str]:
    """Every name below `folder` that is not a folder, relative and sorted by bytes; links count as names.

    Raises OSError for a directory that cannot be listed, since its content would go unseen, and BundleError beyond
    MAX_FILES names or MAX_NAME_DEPTH levels: no bundle is that large.
    """
    names: list[str] = []
    waiting = [("", 1)]
    while waiting:
        below, depth = waiting.pop()
        if depth > MAX_NAME_DEPTH:
            raise BundleError(f"{folder} has folders more than {MAX_NAME_DEPTH} deep; that is not a bundle.")
        with os.scandir(folder / below) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((f"{below}{entry.name}/", depth + 1))
                else:
                    names.append(f"{below}{entry.name}")
        if len(names) + len(waiting) > MAX_FILES:
            raise BundleError(f"{folder} has more than {MAX_FILES} files; that is not a bundle.")
    return sorted(names, key=os.fsencode)
