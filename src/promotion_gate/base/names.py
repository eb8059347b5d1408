"""The names of a bundle's own files, and the one rule for every other name in it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from promotion_gate.base.errors import BundleError

INDEX_FILE = "index.json"
POLICY_FILE = "policy.yml"
BASELINE_FILE = "baseline.json"
# The contract fields and their owners; an input of decide(), so the bundle has a copy.
MAP_FILE = "05-ownership-map.yml"
DECISION_JSON = "promotion-decision.json"
DECISION_MD = "promotion-decision.md"
FOLLOW_UP = "follow-up-issue.md"
SUMS_FILE = "SHA256SUMS"
SIGNATURE_FILE = SUMS_FILE + ".sig"
ATTEMPTS = "attempts"
# What the gate itself writes, and what an earlier attempt left: evidence from a host never takes these names.
OWN_NAMES = frozenset(
    [
        *(INDEX_FILE, POLICY_FILE, BASELINE_FILE, MAP_FILE, SUMS_FILE, SIGNATURE_FILE, ATTEMPTS),
        *(DECISION_JSON, DECISION_MD, FOLLOW_UP),
    ]
)
ARCHIVED = re.compile(rf"{ATTEMPTS}/([0-9]{{2,6}})/(.+)", re.ASCII | re.DOTALL)


def safe_name(name: str, where: str) -> str:
    """A file name inside the bundle: relative, without `..`, links are refused where it is read."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\0" in name or str(path) != name:
        raise BundleError(f'{where}: "{name}" is no file name inside the bundle.')
    return name


def listable(name: str) -> bool:
    """Whether SHA256SUMS can hold a name as it stands: UTF-8, no control character, no backslash."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\\" not in name and all(ord(letter) >= 32 and ord(letter) != 127 for letter in name)


def evidence_name(name: str, where: str) -> str:
    """A name that a host's evidence may have in the bundle. Raises BundleError for any other."""
    if safe_name(name, where).split("/")[0] in OWN_NAMES or not listable(name):
        raise BundleError(f'{where}: "{name}" is no name for evidence.')
    return name


def archived_by(name: str) -> int | None:
    """The attempt whose archive a name of a bundle lies in; None for a name that lies in none."""
    found = ARCHIVED.fullmatch(name)
    return int(found[1]) if found else None


def archive_name(attempt: int, name: str) -> str:
    """Where the resume that replaced `attempt` moved a file of the bundle to."""
    return f"{ATTEMPTS}/{attempt:02d}/{name}"
