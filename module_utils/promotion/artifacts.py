"""Directories and files that are brought back: regular files only, within limits; what is refused has a reason."""

from __future__ import annotations

import itertools
import os
import stat
from collections import Counter
from collections.abc import Iterator
from typing import Any

from .parameters import ArtifactSpec
from .redact import Redactor
from .text import before_cut, decoded, plain, without_broken_edges

MAX_ENTRIES, MAX_DEPTH = 10000, 32  # of a directory that is brought back

Found = dict[str, Any]


def artifact_result(source: str, to: str) -> Found:
    """The result for a directory or file about which nothing is known yet."""
    return {"from": source, "to": to, "found": False, "error": None, "files": [], "refused": [], "truncated": False}


def collect(source: str, spec: ArtifactSpec) -> Found:
    """One directory or file as a list of entries. Only regular files are read; refused ones are listed."""
    result = artifact_result(source, spec.to)
    if not os.path.lexists(source):
        result["error"] = "it is not there"
        return result
    result["found"] = True
    bytes_left = spec.max_bytes
    for name, path in paths_below(source, result):
        reason = why_refused(name, path)
        if not reason and (len(result["files"]) >= spec.max_files or bytes_left <= 0):
            result["truncated"] = True
            reason = f"there are more than {spec.max_files} files or {spec.max_bytes} bytes"
        entry = None
        if not reason:
            entry, reason = read_entry(name, path, min(spec.max_file_bytes, bytes_left))
        if entry:
            bytes_left -= entry["kept"]
            result["files"].append(entry)
        elif len(result["refused"]) < 100:
            result["refused"].append({"path": plain(name), "reason": reason})
    return result


def paths_below(source: str, result: Found) -> Iterator[tuple[str, str]]:
    """(name, path) of the entries of a directory, sorted, or the file itself with an empty name."""
    if os.path.islink(source) or not os.path.isdir(source):
        yield "", source
        return
    folders, seen = [("", source)], 0
    while folders:  # no recursion: a hostile tree may be deeper than Python's stack
        prefix, folder = folders.pop(0)
        try:
            with os.scandir(folder) as found:
                entries = sorted(itertools.islice(found, MAX_ENTRIES - seen), key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            result["error"] = f"{plain(prefix) or 'it'} cannot be read ({error.strerror})"
            continue
        seen += len(entries)
        for entry in entries:
            name = os.path.join(prefix, entry.name)
            if not entry.is_dir(follow_symlinks=False):
                yield name, entry.path
            elif name.count(os.sep) < MAX_DEPTH:
                folders.append((name, entry.path))
            else:
                result["truncated"] = True
        if seen >= MAX_ENTRIES:
            result["truncated"] = True
            return


def why_refused(name: str, path: str) -> str | None:
    """Why an entry is not brought back, or None."""
    try:
        name.encode("utf-8")
        mode = os.lstat(path).st_mode
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in name) or "\\" in name:
        return "its name has control characters or a backslash"
    if stat.S_ISLNK(mode):
        return "it is a link"
    return None if stat.S_ISREG(mode) else "it is not a regular file"


def read_entry(name: str, path: str, room: int) -> tuple[Found | None, str | None]:
    """(entry, None) or (None, reason). Links and pipes that have replaced the file meanwhile are not followed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return None, "it is not a regular file"
            data = stream.read(room + 1)
    except OSError as error:
        return None, f"it cannot be read ({error.strerror})"
    truncated = len(data) > room
    kept = without_broken_edges(data[:room], False, True) if truncated else data
    text, encoding = decoded(kept)
    entry = {"path": name, "size": status.st_size, "kept": len(kept), "content": text, "encoding": encoding}
    return {**entry, "truncated": truncated}, None


def redacted_artifact(found: Found, redactor: Redactor) -> Found:
    """The same without secrets; a file whose name contains one is refused, since it could not be named."""
    files, refused = [], [{**entry, "path": redactor.text(entry["path"])} for entry in found["refused"]]
    for entry in found["files"]:
        shown = redactor.text(entry["path"])
        if shown == entry["path"]:
            before = Counter(redactor.masks)
            content = redactor.text(entry["content"])
            masks = dict(redactor.masks - before)
            files.append({**entry, "content": before_cut(content) if entry["truncated"] else content, "masks": masks})
        else:
            refused.append({"path": shown, "reason": "its name holds a secret"})
    error = redactor.text(found["error"]) if found["error"] else None
    return {**found, "from": redactor.text(plain(found["from"])), "error": error, "files": files, "refused": refused}
