"""The state of a checkout: its commit, and how the files on disk differ from it.

Git is asked for the content of HEAD, and the files on disk are compared with it by content. What git was told to ignore
(skip-worktree, assume-unchanged, a sparse checkout, `ignore` of a submodule, GIT_DIR and the like) is compared as well.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import stat
import subprocess
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .own import Evidence

MOST_NAMES = 50


class Unknown(Exception):
    """A part of the identity that cannot be determined; the message says why."""


def git_environment() -> dict[str, str]:
    """The environment without what would make git look at another repository, or ignore something."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    # Take no locks in somebody's checkout, replace no objects, fetch nothing, prompt for nothing.
    ours = {"OPTIONAL_LOCKS": "0", "NO_REPLACE_OBJECTS": "1", "NO_LAZY_FETCH": "1", "TERMINAL_PROMPT": "0"}
    return {**kept, "LC_ALL": "C", **{"GIT_" + name: value for name, value in ours.items()}}


def git(directory: str, *words: str, data: bytes = b"") -> bytes:
    """What a git command prints. Raises Unknown with git's own reason."""
    settings = ("core.fsmonitor=false", "core.untrackedCache=false", "core.attributesFile=/dev/null")
    argv = ["git", *(word for setting in settings for word in ("-c", setting)), *words]
    try:
        done = subprocess.run(
            argv, cwd=directory, env=git_environment(), input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except OSError as error:
        raise Unknown("git cannot be run: {}".format(error.strerror)) from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
        reason = next((line for line in lines if line.startswith(("fatal: ", "error: "))), lines[-1] if lines else "")
        raise Unknown("`git {}` exited {}: {}".format(words[0], done.returncode, reason))
    return done.stdout


def git_line(directory: str, *words: str) -> str:
    """The one line that a git command prints; an empty string where it fails."""
    try:
        return git(directory, *words).decode("utf-8", "surrogateescape").strip()
    except Unknown:
        return ""


def checkout(given: argparse.Namespace) -> Iterator[tuple[str, object]]:
    """The commit, the branch, a digest of the tracked content, and how the files on disk differ from the commit."""
    directory = os.getcwd()
    top = git(directory, "rev-parse", "--show-toplevel").decode("utf-8", "surrogateescape").rstrip("\n")
    if os.path.realpath(top) != os.path.realpath(directory):
        raise Unknown("{} is not the top level of its Git checkout, which is {}".format(directory, top))
    commit = git(directory, "rev-parse", "--verify", (given.revision or "HEAD") + "^{commit}").decode().strip()
    entries = tree(directory, commit)
    evidence = Evidence(top, given.evidence, given.baseline, [entry.path for entry in entries])
    entries = [entry for entry in entries if not evidence.holds(entry.path, committed=True)]
    yield "top_level", os.path.realpath(top)
    yield "commit", commit
    yield "revision", given.revision
    yield "branch", git_line(directory, "symbolic-ref", "--quiet", "--short", "HEAD")
    if given.target_branch:
        target = "refs/heads/{}^{{commit}}".format(given.target_branch)
        yield "target_commit", git_line(directory, "rev-parse", "--quiet", "--verify", target)
    yield "content", digest("{} {}\t{}".format(entry.mode, entry.oid, entry.path) for entry in entries)
    if given.revision:
        return
    modified = sorted(change for change in changes(directory, entries) if not evidence.holds(change.path))
    unknown = sorted(name for name in untracked(directory) if not evidence.left_out(name))
    yield "changes", digest("{}\t{}\t{}".format(*change) for change in modified) if modified else "none"
    yield "modified", some("{} ({})".format(change.path, change.what) for change in modified)
    yield "untracked", digest(unknown) if unknown else "none"
    yield "untracked_names", some(unknown)


def digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("".join(line + "\0" for line in lines).encode("utf-8", "surrogateescape")).hexdigest()


def some(names: Iterable[str]) -> list[str]:
    """At most MOST_NAMES of them as printable text, then how many more there are."""
    shown = [name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for name in names]
    return shown[:MOST_NAMES] + (["and {} more".format(len(shown) - MOST_NAMES)] if len(shown) > MOST_NAMES else [])


class Entry(NamedTuple):
    """A file of a commit."""

    mode: str
    oid: str
    path: str


class Change(NamedTuple):
    """How a tracked file differs from the commit, and the hash of what is on disk."""

    path: str
    what: str
    oid: str


def tree(directory: str, commit: str) -> list[Entry]:
    """Every file of a commit; a submodule is one entry."""
    found = []
    for record in git(directory, "ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0"):
        if record:
            head, _, path = record.partition(b"\t")
            mode, _, oid = head.decode().split(" ")
            found.append(Entry(mode, oid, os.fsdecode(path)))
    return found


def changes(directory: str, entries: list[Entry]) -> Iterator[Change]:
    """What on disk or in git's index differs from the commit."""
    relaxed_modes = git_line(directory, "config", "--type=bool", "core.fileMode") == "false"
    folders, passed_over = {"": True}, marks(directory)
    suspects = []
    for entry in entries:
        if entry.mode == "160000":
            yield from submodule(directory, entry)
            continue
        what, oid = compared(directory, entry, relaxed_modes, folders)
        if what == "content":
            suspects.append((entry, oid))
        elif what:
            yield Change(entry.path, what + passed_over.get(entry.path, ""), oid)
    names = {entry.path for entry in entries}
    same = filtered(directory, [entry for entry, _ in suspects], names)
    for entry, oid in suspects:
        if entry.path not in same:
            yield Change(entry.path, "modified" + passed_over.get(entry.path, ""), oid)
    staged = git(directory, "diff-index", "--cached", "--name-only", "-z", "--ignore-submodules=none", "HEAD", "--")
    for name in sorted(os.fsdecode(word) for word in staged.split(b"\0") if word):
        index = git_line(directory, "ls-files", "--stage", "--", ":(top,literal)" + name)
        yield Change(name, "staged" if name in names else "added", index)


def marks(directory: str) -> dict[str, str]:
    """The files that git was told to ignore, each with how."""
    found = {}
    for record in git(directory, "ls-files", "-v", "-z").split(b"\0"):
        tag, path = record[:1].decode(), os.fsdecode(record[2:])
        if tag in ("S", "s") or tag.islower():
            found[path] = ", skip-worktree" if tag in ("S", "s") else ", assume-unchanged"
    return found


def compared(directory: str, entry: Entry, relaxed_modes: bool, folders: dict[str, bool]) -> tuple[str, str]:
    """(what differs, the hash of what is on disk); (`content`, hash) where only git's filters could explain it."""
    path = os.path.join(directory, entry.path)
    if not real_folder(directory, os.path.dirname(entry.path), folders):
        return "missing", ""
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            oid = blob(os.fsencode(os.readlink(path)), entry.oid)
            return ("", oid) if entry.mode == "120000" and oid == entry.oid else ("modified", oid)
        if not stat.S_ISREG(status.st_mode):
            return "not a file", ""
        oid = file_hash(path, status.st_size, entry.oid)
    except FileNotFoundError:
        return "missing", ""
    except OSError as error:
        return "cannot be read: {}".format(error.strerror), ""
    if entry.mode == "120000":
        return "modified", oid
    runs, wanted = bool(status.st_mode & stat.S_IXUSR), entry.mode == "100755"
    # On a file system without modes (git then says so) every file is executable.
    if runs != wanted and not (relaxed_modes and runs):
        return "mode", "{} {}".format(oid, oct(stat.S_IMODE(status.st_mode)))
    return ("", oid) if oid == entry.oid else ("content", oid)


def real_folder(directory: str, folder: str, known: dict[str, bool]) -> bool:
    """Whether a directory of the commit is a directory on disk, with no symbolic link on the way to it."""
    if folder not in known:
        path = os.path.join(directory, folder)
        above = real_folder(directory, os.path.dirname(folder), known)
        known[folder] = above and os.path.isdir(path) and not os.path.islink(path)
    return known[folder]


def blob(data: bytes, like: str) -> str:
    hashed = hashlib.sha256() if len(like) == 64 else hashlib.sha1()
    hashed.update(b"blob %d\0" % len(data) + data)
    return hashed.hexdigest()


def file_hash(path: str, size: int, like: str) -> str:
    """The hash that git gives to the bytes on disk, without its filters."""
    hashed = hashlib.sha256() if len(like) == 64 else hashlib.sha1()
    hashed.update(b"blob %d\0" % size)
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            hashed.update(chunk)
    return hashed.hexdigest()


def filtered(directory: str, entries: list[Entry], names: set[str]) -> set[str]:
    """Those whose bytes differ from the commit only by what its .gitattributes ask for: line endings, LFS.

    A .gitattributes that is not in the commit (`names`) could explain anything away.
    """
    own = git_line(directory, "rev-parse", "--git-path", "info/attributes")
    if not entries or (own and os.path.exists(os.path.join(directory, own))):
        return set()
    named = [entry for entry in entries if "\n" not in entry.path and not added_rules(directory, entry.path, names)]
    paths = b"".join(os.fsencode(entry.path) + b"\n" for entry in named)
    oids = git(directory, "hash-object", "--stdin-paths", data=paths).decode().split()
    return {entry.path for entry, oid in zip(named, oids) if entry.oid == oid}


def added_rules(directory: str, path: str, names: set[str]) -> bool:
    """Whether a .gitattributes beside a file, or above it, is not in the commit."""
    while path:
        path = os.path.dirname(path)
        rules = os.path.join(path, ".gitattributes")
        if rules not in names and os.path.lexists(os.path.join(directory, rules)):
            return True
    return False


def submodule(directory: str, entry: Entry) -> Iterator[Change]:
    """How a submodule differs from the commit, whatever its `ignore` setting is."""
    path = os.path.join(directory, entry.path)
    if not os.path.lexists(os.path.join(path, ".git")):
        yield Change(entry.path, "a submodule that is not initialised", "")
        return
    commit = git_line(path, "rev-parse", "--verify", "HEAD^{commit}")
    if commit != entry.oid:
        yield Change(entry.path, "a submodule at another commit", commit)
        return
    for change in changes(path, tree(path, commit)):
        yield Change("{}/{}".format(entry.path, change.path), change.what, change.oid)


def untracked(directory: str) -> Iterator[str]:
    """The files that are neither in the commit nor ignored by a .gitignore, including those in submodules."""
    listed = git(directory, "ls-files", "--others", "--exclude-standard", "-z")
    yield from (os.fsdecode(name) for name in listed.split(b"\0") if name)
    for entry in tree(directory, "HEAD"):
        path = os.path.join(directory, entry.path)
        if entry.mode == "160000" and os.path.lexists(os.path.join(path, ".git")):
            yield from ("{}/{}".format(entry.path, name) for name in untracked(path))
