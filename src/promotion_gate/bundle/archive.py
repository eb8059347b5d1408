"""A bundle in a .zip, as trackers and browsers deliver it: unpacked within limits, read, and removed again.

An archive may come from a stranger. If a name is not plain and relative, or is a link, the whole archive is refused;
size and number of files are limited, and sizes are counted while unpacking, whatever the archive claims.
"""

from __future__ import annotations

import contextlib
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from promotion_gate.base.errors import BundleError
from promotion_gate.base.files import MAX_FILE_BYTES, MAX_FILES
from promotion_gate.base.names import name_problem

MAX_TOTAL_BYTES = 2 * 1024**3
_PIECE = 1024 * 1024
# The record at the end of an archive, and the one before it for more than 65,535 files (zip64).
_END, _END_BYTES, _ZIP64 = b"PK\x05\x06", 22, b"PK\x06\x07"
_MAX_DIRECTORY_BYTES = MAX_FILES * 1024


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """The directory of the bundle in an archive, for as long as it is needed; any other path unchanged.

    Raises BundleError for an archive that is not one bundle.
    """
    if path.suffix.lower() != ".zip" or not path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="promotion-gate-") as temporary:
        yield _unpack(path, Path(temporary) / path.name)


def _unpack(path: Path, target: Path) -> Path:
    try:
        _check_size(path)
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.filename.startswith("__MACOSX/")]
            _check(path, entries)
            left = MAX_TOTAL_BYTES
            for entry in entries:
                left -= _write(archive, entry, target / entry.filename, path, left)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, struct.error) as error:
        raise BundleError(f"{path} cannot be unpacked ({error}). Unpack it yourself, and name the folder.") from None
    return _folder(path, target)


def _check_size(path: Path) -> None:
    """Limits what is read before the first name is known."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - 65536 - _END_BYTES))
        tail = stream.read()
    at = len(tail) - _END_BYTES if tail[-_END_BYTES:].startswith(_END) else tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_BYTES:
        raise zipfile.BadZipFile("it is not a zip file")
    count, directory = struct.unpack("<HL", tail[at + 10 : at + 16])
    if size > MAX_TOTAL_BYTES or count > MAX_FILES or directory > _MAX_DIRECTORY_BYTES or _ZIP64 in tail[:at][-20:]:
        raise BundleError(f"{path} is too large for a bundle: at most {MAX_FILES} files and {MAX_TOTAL_BYTES} bytes.")


def _check(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Refuses names that are not plain, duplicates, links and encrypted files."""
    seen: set[str] = set()
    if len(entries) > MAX_FILES:
        raise BundleError(f"{path} has {len(entries)} files; a bundle has at most {MAX_FILES}.")
    for entry in entries:
        name = entry.filename.rstrip("/")
        kind = stat.S_IFMT(entry.external_attr >> 16)
        problem = name_problem(name)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            problem = "is a link or a device"
        elif entry.flag_bits & 1:
            problem = "is encrypted"
        elif name in seen:
            problem = "is listed twice"
        if problem:
            raise BundleError(f'{path}: the name "{name[:200]}" {problem}; nothing of the archive was unpacked.')
        seen.add(name)


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, file: Path, path: Path, left: int) -> int:
    """Unpacks one file and returns its size."""
    try:
        if entry.is_dir():
            file.mkdir(parents=True, exist_ok=True)
            return 0
        file.parent.mkdir(parents=True, exist_ok=True)
        size = 0
        with archive.open(entry) as source, file.open("xb") as made:
            while piece := source.read(_PIECE):
                size += len(piece)
                if size > min(left, MAX_FILE_BYTES):
                    raise BundleError(f"{path}: {entry.filename} is larger than a bundle allows.")
                made.write(piece)
    except OSError as error:
        raise BundleError(f"{path}: {entry.filename} cannot be unpacked ({error.strerror}).") from None
    return size


def _folder(path: Path, target: Path) -> Path:
    """The bundle: the only directory of the archive, with at most its sign-off beside it; or the whole archive."""
    there = list(target.iterdir()) if target.is_dir() else []
    folders = [item for item in there if item.is_dir()]
    if len(folders) == 1 and all(item.name.startswith(f"{folders[0].name}.") for item in there if item.is_file()):
        return folders[0]
    if not there:
        raise BundleError(f"{path} is empty; it does not contain a bundle.")
    return target.rename(target.with_name(path.stem))
