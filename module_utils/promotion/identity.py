"""Prints who and what a gate runs on, as `key: value` lines; values that are lists are JSON.

Runs on the target as a program of its own, first and last in a gate's trip (the module gate_commands puts it there).
Python 3.9 and newer, standard library alone.

Git is asked for what HEAD holds, and what lies on disk is compared with that by content: what git was told to pass
over (skip-worktree, assume-unchanged, a sparse checkout, `ignore` of a submodule, GIT_DIR and its like) does not count.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Optional

PARTS = ("machine", "checkout", "profile", "env_file", "config_dir")
# The folder of one ticket's evidence lies in here, and so do those of other tickets.
LAYOUT = "investigations/artifacts"
LOCK, DRAFT = ".promotion-gate.lock", ".unfinished-"
RUN_MARKS = ("index.json", "policy.yml")
# A digest of a file with passwords in it would help to guess them, unless each guess is slow.
ROUNDS = 100_000
MOST_NAMES = 50


class Unknown(Exception):
    """A part that cannot be told; the sentence says why."""


# Machine ---------------------------------------------------------------------------------------------------------


def first_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.readline().strip()
    except OSError:
        return ""


def machine(_: argparse.Namespace) -> Iterator[tuple[str, object]]:
    """The machine id, this boot of it, its host keys, and its processor: timings are compared on one kind only."""
    yield "machine_id", first_line("/etc/machine-id")
    yield "boot_id", first_line("/proc/sys/kernel/random/boot_id")
    yield "host_keys", host_keys("/etc/ssh")
    yield "processor", "{} x{} {}".format(platform.machine(), processors(), processor_model()).strip()


def host_keys(folder: str) -> list[str]:
    """The public host keys without their comments: a comment may be edited, the key is the machine."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        names = []
    found = [
        first_line(os.path.join(folder, name)).split()[:2]
        for name in names
        if name.startswith("ssh_host_") and name.endswith("_key.pub")
    ]
    return sorted(" ".join(words) for words in found if len(words) == 2)


def processors() -> int:
    """As many as nproc counts."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:
            for line in stream:
                name, _, value = line.partition(":")
                if name.strip() == "model name":
                    return value.strip()
    except OSError:
        pass
    return ""


# Checkout --------------------------------------------------------------------------------------------------------


def git_environment() -> dict[str, str]:
    """The environment without what would make git look at another repository, or pass something over."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    # Never a lock in somebody's checkout, no replaced objects, nothing fetched, nobody asked.
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
        said = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
        reason = next((line for line in said if line.startswith(("fatal: ", "error: "))), said[-1] if said else "")
        raise Unknown("`git {}` exited {}: {}".format(words[0], done.returncode, reason))
    return done.stdout


def git_line(directory: str, *words: str) -> str:
    """The one line that a git command prints; an empty string where it fails."""
    try:
        return git(directory, *words).decode("utf-8", "surrogateescape").strip()
    except Unknown:
        return ""


def checkout(given: argparse.Namespace) -> Iterator[tuple[str, object]]:
    """The commit, the branch, a digest of the tracked content, and what on disk is not as the commit has it."""
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
    """At most MOST_NAMES of them, as text that can be printed; then how many more there are."""
    shown = [name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for name in names]
    return shown[:MOST_NAMES] + (["and {} more".format(len(shown) - MOST_NAMES)] if len(shown) > MOST_NAMES else [])


class Entry(NamedTuple):
    """A file of a commit."""

    mode: str
    oid: str
    path: str


class Change(NamedTuple):
    """How a tracked file differs from the commit, and the hash of what lies there."""

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
    """What on disk or in git's index is not as the commit has it."""
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
    """The files that git was told to pass over, each with how."""
    found = {}
    for record in git(directory, "ls-files", "-v", "-z").split(b"\0"):
        tag, path = record[:1].decode(), os.fsdecode(record[2:])
        if tag in ("S", "s") or tag.islower():
            found[path] = ", skip-worktree" if tag in ("S", "s") else ", assume-unchanged"
    return found


def compared(directory: str, entry: Entry, relaxed_modes: bool, folders: dict[str, bool]) -> tuple[str, str]:
    """(what differs, the hash of what lies there); (`content`, hash) where only git's filters could explain it."""
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
    # On a file system without modes (git then says so) every file can be run.
    if runs != wanted and not (relaxed_modes and runs):
        return "mode", "{} {}".format(oid, oct(stat.S_IMODE(status.st_mode)))
    return ("", oid) if oid == entry.oid else ("content", oid)


def real_folder(directory: str, folder: str, known: dict[str, bool]) -> bool:
    """Whether a folder of the commit is a folder on disk, with no symbolic link on the way to it."""
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
    """What git calls these bytes, as they lie there."""
    hashed = hashlib.sha256() if len(like) == 64 else hashlib.sha1()
    hashed.update(b"blob %d\0" % size)
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            hashed.update(chunk)
    return hashed.hexdigest()


def filtered(directory: str, entries: list[Entry], names: set[str]) -> set[str]:
    """Those whose bytes differ from the commit only by what its .gitattributes ask for: line ends, LFS.

    A .gitattributes that the commit (`names`) does not have could explain anything away.
    """
    own = git_line(directory, "rev-parse", "--git-path", "info/attributes")
    if not entries or (own and os.path.exists(os.path.join(directory, own))):
        return set()
    named = [entry for entry in entries if "\n" not in entry.path and not added_rules(directory, entry.path, names)]
    paths = b"".join(os.fsencode(entry.path) + b"\n" for entry in named)
    oids = git(directory, "hash-object", "--stdin-paths", data=paths).decode().split()
    return {entry.path for entry, oid in zip(named, oids) if entry.oid == oid}


def added_rules(directory: str, path: str, names: set[str]) -> bool:
    """Whether a .gitattributes beside a file, or above it, is none of the commit."""
    while path:
        path = os.path.dirname(path)
        rules = os.path.join(path, ".gitattributes")
        if rules not in names and os.path.lexists(os.path.join(directory, rules)):
            return True
    return False


def submodule(directory: str, entry: Entry) -> Iterator[Change]:
    """What of a submodule is not as the commit has it, whatever `ignore` says of it."""
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
    """The files that no commit has and no .gitignore names, those in submodules, too."""
    listed = git(directory, "ls-files", "--others", "--exclude-standard", "-z")
    yield from (os.fsdecode(name) for name in listed.split(b"\0") if name)
    for entry in tree(directory, "HEAD"):
        path = os.path.join(directory, entry.path)
        if entry.mode == "160000" and os.path.lexists(os.path.join(path, ".git")):
            yield from ("{}/{}".format(entry.path, name) for name in untracked(path))


class Evidence:
    """What the gate itself writes into a checkout: runs, what stands beside them, the baselines, and the lock.

    `root` is this ticket's folder, relative to the top level; roots of other tickets lie in LAYOUT. Nothing else in
    them is left out: a root may be set to a folder that holds something of the application.
    """

    def __init__(self, top: str, root: str, baseline: str, tracked: Iterable[str]) -> None:
        self.top, self.root = top, root.strip("/")
        self.baseline = baseline.strip("/") or (self.root and self.root + "/baseline")
        marks: dict[str, set[str]] = {}
        for path in tracked:
            folder, _, name = path.rpartition("/")
            if name in RUN_MARKS:
                marks.setdefault(folder, set()).add(name)
        self.runs = {folder for folder, names in marks.items() if len(names) == len(RUN_MARKS)}

    def holds(self, path: str, committed: bool = False) -> bool:
        """Whether a file is evidence of this ticket, or its baseline; `committed`: by what the commit alone says."""
        return below(path, self.baseline) or (below(path, self.root) and self.in_run(path, committed))

    def left_out(self, path: str) -> bool:
        """Whether a file that is not tracked is none of the application's."""
        of_other_ticket = below(path, LAYOUT) and path.count("/") > LAYOUT.count("/") + 1
        return self.holds(path) or (of_other_ticket and not below(path, self.root))

    def in_run(self, path: str, committed: bool) -> bool:
        parts = path.rstrip("/").split("/")
        depth = len([part for part in self.root.split("/") if part])
        for end in range(depth + 1, len(parts) + 1):
            name, parent = parts[end - 1], "/".join(parts[: end - 1])
            if name == LOCK or name.startswith(DRAFT) or self.is_run("/".join(parts[:end]), committed):
                return True
            run, dot, _ = name.partition(".")  # what stands beside a run: its sign-off, say
            if dot and end == len(parts) and self.is_run(os.path.join(parent, run), committed):
                return True
        return False

    def is_run(self, folder: str, committed: bool) -> bool:
        path = os.path.join(self.top, folder)
        return folder in self.runs or (
            not committed and all(os.path.isfile(os.path.join(path, mark)) for mark in RUN_MARKS)
        )


def below(path: str, folder: str) -> bool:
    return bool(folder) and (path == folder or path.startswith(folder + "/"))


# The VM's own ----------------------------------------------------------------------------------------------------


def slow_digest(data: bytes) -> str:
    salt = ("promotion-gate " + first_line("/etc/machine-id")).encode()
    return hashlib.pbkdf2_hmac("sha256", hashlib.sha256(data).digest(), salt, ROUNDS).hex()


def env_file(given: argparse.Namespace) -> Iterator[tuple[str, object]]:
    """The environment file by its content."""
    try:
        with open(given.env_file, "rb") as stream:
            data = stream.read()
    except OSError as error:
        raise Unknown("{} cannot be read: {}".format(given.env_file, error.strerror)) from None
    yield "env_file", os.path.realpath(given.env_file)
    yield "env_file_digest", slow_digest(data)


class Folder(NamedTuple):
    """Where verdi keeps its configuration, and what it is given for that as AIIDA_PATH."""

    source: str
    aiida_path: str
    config: str


def verdi_folder(configured: str) -> Folder:
    """The folder that verdi reads: by aiida_vm_config_dir, else by AIIDA_PATH, else by AIIDA_CONFIG_DIR."""
    named = {"aiida_vm_config_dir": configured}
    named.update((name, os.environ.get(name, "")) for name in ("AIIDA_PATH", "AIIDA_CONFIG_DIR"))
    for source, value in named.items():
        entries = [os.path.abspath(os.path.expanduser(entry)) for entry in value.split(":") if entry]
        if entries:
            # As aiida-core does: of the entries the first whose .aiida is there, else the last one.
            folders = [path if os.path.basename(path) == ".aiida" else os.path.join(path, ".aiida") for path in entries]
            config = next((path for path in folders if os.path.isdir(path)), folders[-1])
            return Folder(source, ":".join(entries), config)
    raise Unknown(
        "aiida_vm_config_dir is not set, and neither AIIDA_PATH nor AIIDA_CONFIG_DIR is in the environment file"
    )


def tell_verdi_folder(configured: str) -> int:
    """Prints that folder as lines, for the gates that call verdi; the environment file was read before.

    Returns 3 if nothing names a folder, 4 if it holds no configuration: verdi would make one, so it is not called.
    """
    try:
        found = verdi_folder(configured)
    except Unknown as reason:
        print(reason, file=sys.stderr)
        return 3
    for key, value in zip(found._fields, found):
        print("{}: {}".format(key, shown(value)))
    if not os.path.isfile(os.path.join(found.config, "config.json")):
        print("there is no configuration in {} ({})".format(shown(found.config), found.source), file=sys.stderr)
        return 4
    return 0


def config_dir(given: argparse.Namespace) -> Iterator[tuple[str, object]]:
    """`none` where nothing names a folder: then nothing calls verdi, and the check of that folder says so."""
    try:
        yield "config_dir", os.path.realpath(verdi_folder(given.config_dir).config)
    except Unknown:
        yield "config_dir", "none"


def profile(given: argparse.Namespace) -> Iterator[tuple[str, object]]:
    """The profile's name, and what verdi's configuration says of it."""
    name = given.profile or os.environ.get("AIIDA_PROFILE", "")
    if not name:
        raise Unknown("no profile is named: AIIDA_PROFILE of the environment file and aiida_vm_profile are not set")
    yield "profile", name
    try:
        with open(os.path.join(verdi_folder(given.config_dir).config, "config.json"), "rb") as stream:
            found = json.load(stream)["profiles"][name]
    except (OSError, ValueError, LookupError, TypeError, Unknown):
        yield "profile_digest", "none"
        return
    yield "profile_digest", slow_digest(json.dumps(found, sort_keys=True).encode())


# The program -----------------------------------------------------------------------------------------------------


def shown(value: object) -> str:
    """A value as it stands in its line: one line, whatever a name has in it."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return " ".join(text.splitlines())


def identity(given: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """The lines of the parts that were asked for; a part that cannot be told has a line that says why."""
    tell = {"machine": machine, "checkout": checkout, "profile": profile, "env_file": env_file}
    tell["config_dir"] = config_dir
    for part in given.parts:
        try:
            lines = [(key, shown(value)) for key, value in tell[part](given)]
        except Unknown as reason:
            lines = [(part + "_error", shown(str(reason)))]
        yield from lines


def main(words: Optional[list[str]] = None) -> int:
    """Prints the lines. Exit 0 where every part could be told, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", action="append", dest="parts", choices=PARTS, default=[])
    for name in ("revision", "target-branch", "evidence", "baseline", "env-file", "profile", "config-dir"):
        parser.add_argument("--" + name, default="")
    parser.add_argument("--verdi-folder", metavar="CONFIGURED", help="tell nothing but where verdi's configuration is")
    given = parser.parse_args(words)
    if given.verdi_folder is not None:
        return tell_verdi_folder(given.verdi_folder)
    failed = False
    for key, value in identity(given):
        failed = failed or key.endswith("_error")
        print("{}: {}".format(key, value))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
