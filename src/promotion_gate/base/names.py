"""The names of a bundle's own files and of those beside it, and the one rule for every other name in it."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from promotion_gate.base.errors import BundleError
from promotion_gate.base.escape import harmless

INDEX_FILE = "index.json"
POLICY_FILE = "policy.yml"
# The shipped checklist of the policy's name as it was when the run was opened.
SHIPPED_POLICY_FILE = "policy-shipped.yml"
BASELINE_FILE = "baseline.json"
# The contract fields and their owners; an input of decide(), so the bundle contains a copy.
MAP_FILE = "05-ownership-map.yml"
DECISION_JSON = "promotion-decision.json"
DECISION_MD = "promotion-decision.md"
FOLLOW_UP = "follow-up-issue.md"
# Renderings for machines and browsers.
PAGE, JUNIT, CTRF, STATEMENT = "report.html", "junit.xml", "ctrf.json", "promotion-decision.intoto.json"
RENDERED = (PAGE, JUNIT, CTRF, STATEMENT)
SUMS_FILE = "SHA256SUMS"
SIGNATURE_FILE = SUMS_FILE + ".sig"
# In an evidence root with a folder of runs per host: what the newest run decided about each.
FLEET_FILE = "fleet.json"
ATTEMPTS = "attempts"
# A file with this prefix was being written when its process was killed; it is ignored.
UNFINISHED = ".unfinished-"
MAX_NAME_BYTES = 1024
MAX_NAME_DEPTH = 16
MAX_PATH_BYTES, MAX_PART_BYTES = 4096, 255
# What the gate itself writes, and what an earlier attempt left: evidence from a host never has these names.
OWN_NAMES = frozenset(
    [
        *(INDEX_FILE, POLICY_FILE, SHIPPED_POLICY_FILE, BASELINE_FILE, MAP_FILE, SUMS_FILE, SIGNATURE_FILE, ATTEMPTS),
        *(DECISION_JSON, DECISION_MD, FOLLOW_UP, *RENDERED),
    ]
)
ARCHIVED = re.compile(rf"{ATTEMPTS}/([0-9]{{2,6}})/(.+)", re.ASCII | re.DOTALL)


# Beside a bundle, named after it, because nothing in a sealed bundle changes: <run id> and one of these.
SIGN_OFF, ISSUE, ENVELOPE = ".signoff.json", ".issue.json", ".intoto.dsse.json"


def signoff_file(bundle: Path) -> Path:
    """The reviewer's sign-off."""
    return _beside(bundle, SIGN_OFF)


def issue_file(bundle: Path) -> Path:
    """What the team's tracker was told, and what it answered."""
    return _beside(bundle, ISSUE)


def envelope_file(bundle: Path) -> Path:
    """The signed statement."""
    return _beside(bundle, ENVELOPE)


def _beside(bundle: Path, ending: str) -> Path:
    folder = bundle.resolve()
    return folder.with_name(folder.name + ending)


def name_problem(name: str) -> str:
    """Why `name` cannot be a file name inside a bundle, as the rest of a sentence; empty if it can.

    A valid name is relative, normalised, bounded in length and depth, and has no character that is invisible to readers
    or not allowed in SHA256SUMS. Whether the path leads through a link is checked when the file is read.
    """
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name or str(path) != name:
        return "is not a relative, normalised path"
    if name != harmless(name) or "\\" in name:
        return "has a character that is invisible, reorders text, or cannot be listed in SHA256SUMS"
    if len(path.parts) > MAX_NAME_DEPTH or any(len(part.encode()) > MAX_PART_BYTES for part in path.parts):
        return f"is deeper than {MAX_NAME_DEPTH} folders, or a part of it is longer than {MAX_PART_BYTES} bytes"
    return "" if len(name.encode()) <= MAX_NAME_BYTES else f"is longer than {MAX_NAME_BYTES} bytes"


def is_path(text: str) -> bool:
    """Whether a file or directory of this machine can have that name: Linux limits the length and forbids NUL."""
    try:
        name = os.fsencode(text)
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    parts = name.split(b"/")
    return 0 < len(name) < MAX_PATH_BYTES and b"\0" not in name and all(len(part) <= MAX_PART_BYTES for part in parts)


def safe_name(name: str, where: str) -> str:
    """A file name inside the bundle; see name_problem(). Raises BundleError for any other."""
    problem = name_problem(name)
    if problem:
        raise BundleError(f'{where}: the file name "{harmless(name[:120])}" {problem}.')
    return name


def evidence_name(name: str, where: str) -> str:
    """A name that evidence, or a page rendered from it, may have in the bundle: not one of the gate's own.

    Raises BundleError for any other.
    """
    if safe_name(name, where).split("/")[0].startswith(UNFINISHED) or name.split("/")[0] in OWN_NAMES:
        raise BundleError(f'{where}: "{name}" is a name that the gate itself uses; choose another.')
    return name


def archived_by(name: str) -> int | None:
    """The attempt whose archive a name of a bundle is in; None if it is in none."""
    found = ARCHIVED.fullmatch(name)
    return int(found[1]) if found else None


MAX_POLICY_NAME = 120
_PLAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?", re.ASCII)


def policy_name_problem(name: str, folder: bool = False) -> str | None:
    """What is wrong with a file name that a policy gives (summary, notes, evidence, a command's file), or None.

    One rule for all of them: relative, letters, digits, `.`, `_`, `-`, at most MAX_POLICY_NAME characters, none of
    the gate's own. With `folder` it may also end in `/`, and then it is a folder.
    """
    bare = name.removesuffix("/") if folder else name
    if len(name) > MAX_POLICY_NAME:
        return f"is longer than {MAX_POLICY_NAME} characters"
    if not _PLAIN.fullmatch(bare):
        return "is not a plain file name (letters, digits, `.`, `_` and `-`, no folder)"
    if bare.casefold() in {own.casefold() for own in OWN_NAMES}:
        return "is a name that the gate itself uses"
    return None
