"""Prints what a gate runs on, as `key: value` lines; values that are lists are JSON.

Runs on the target as a separate program, first and last in a gate's trip (the module gate_commands puts it there).
Python 3.9 or newer, standard library only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterator
from typing import NamedTuple, Optional

from .checkout import Unknown, checkout

PARTS = ("machine", "checkout", "profile", "env_file", "config_dir")
# A digest of a file that contains passwords would help to guess them, unless each guess is slow.
ROUNDS = 100_000


# Machine ---------------------------------------------------------------------------------------------------------


def first_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.readline().strip()
    except OSError:
        return ""


def machine(_: argparse.Namespace) -> Iterator[tuple[str, object]]:
    """The machine id, the boot id, the host keys, and the processor: only timings of the same kind are compared."""
    yield "machine_id", first_line("/etc/machine-id")
    yield "boot_id", first_line("/proc/sys/kernel/random/boot_id")
    yield "host_keys", host_keys("/etc/ssh")
    yield "processor", "{} x{} {}".format(platform.machine(), processors(), processor_model()).strip()


def host_keys(folder: str) -> list[str]:
    """The public host keys without their comments: a comment may be edited, the key identifies the machine."""
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
    """The same number as nproc prints."""
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


# Of the VM -------------------------------------------------------------------------------------------------------


def slow_digest(data: bytes) -> str:
    salt = ("promotion-gate " + first_line("/etc/machine-id")).encode()
    return hashlib.pbkdf2_hmac("sha256", hashlib.sha256(data).digest(), salt, ROUNDS).hex()


def env_file(given: argparse.Namespace) -> Iterator[tuple[str, object]]:
    """The environment file and a digest of its content."""
    try:
        with open(given.env_file, "rb") as stream:
            data = stream.read()
    except OSError as error:
        raise Unknown("{} cannot be read: {}".format(given.env_file, error.strerror)) from None
    yield "env_file", os.path.realpath(given.env_file)
    yield "env_file_digest", slow_digest(data)


class Folder(NamedTuple):
    """Where verdi keeps its configuration, and the AIIDA_PATH that makes it look there."""

    source: str
    aiida_path: str
    config: str


def verdi_folder(configured: str) -> Folder:
    """The directory that verdi reads: from aiida_vm_config_dir, else AIIDA_PATH, else AIIDA_CONFIG_DIR."""
    named = {"aiida_vm_config_dir": configured}
    named.update((name, os.environ.get(name, "")) for name in ("AIIDA_PATH", "AIIDA_CONFIG_DIR"))
    for source, value in named.items():
        entries = [os.path.abspath(os.path.expanduser(entry)) for entry in value.split(":") if entry]
        if entries:
            # As aiida-core does: the first entry that has an .aiida, else the last entry.
            folders = [path if os.path.basename(path) == ".aiida" else os.path.join(path, ".aiida") for path in entries]
            config = next((path for path in folders if os.path.isdir(path)), folders[-1])
            return Folder(source, ":".join(entries), config)
    raise Unknown(
        "aiida_vm_config_dir is not set, and neither AIIDA_PATH nor AIIDA_CONFIG_DIR is in the environment file"
    )


def tell_verdi_folder(configured: str) -> int:
    """Prints that directory, for the gates that call verdi; the environment file has already been read.

    Returns 3 if nothing names a directory, and 4 if it has no configuration: verdi would create one, so it is not run.
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
    """`none` if nothing names a directory: then nothing calls verdi, and the check of the directory says so."""
    try:
        yield "config_dir", os.path.realpath(verdi_folder(given.config_dir).config)
    except Unknown:
        yield "config_dir", "none"


def profile(given: argparse.Namespace) -> Iterator[tuple[str, object]]:
    """The profile's name, and a digest of its entry in verdi's configuration."""
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
    """A value as it is printed: on one line, whatever a name contains."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return " ".join(text.splitlines())


def identity(given: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """The lines of the requested parts; for a part that cannot be determined, a line that says why."""
    tell = {"machine": machine, "checkout": checkout, "profile": profile, "env_file": env_file}
    tell["config_dir"] = config_dir
    for part in given.parts:
        try:
            lines = [(key, shown(value)) for key, value in tell[part](given)]
        except Unknown as reason:
            lines = [(part + "_error", shown(str(reason)))]
        except Exception as error:  # whatever a host has: a crash must not look like another machine
            lines = [(part + "_error", shown("{}: {}".format(type(error).__name__, error)))]
        yield from lines


def main(words: Optional[list[str]] = None) -> int:
    """Prints the lines. Returns 0 if every part could be determined, else 1."""
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
