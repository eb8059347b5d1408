"""seal(): the only function that writes a decision. It decides, renders, and finally writes SHA256SUMS."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from promotion_gate.base.errors import BundleError, GateError
from promotion_gate.base.files import list_files, read_file, sha256, write_atomically
from promotion_gate.base.model import Decision
from promotion_gate.base.names import (
    BASELINE_FILE,
    FOLLOW_UP,
    INDEX_FILE,
    POLICY_FILE,
    SHIPPED_POLICY_FILE,
    SIGNATURE_FILE,
    SUMS_FILE,
    archived_by,
    safe_name,
)
from promotion_gate.bundle.history import remove_unfinished
from promotion_gate.bundle.load import Bundle
from promotion_gate.judge.decide import decide
from promotion_gate.prove.signing import signature_of
from promotion_gate.prove.sound import attempts_problem, load_sound, parse_sums
from promotion_gate.report.render import render


def seal(folder: Path) -> Decision:
    """Decides a closed bundle and writes the decision into it.

    Raises BundleError for a bundle that cannot be decided, that verify would refuse, or that is already sealed, and
    GateError if a file cannot be written or signed. In each case there is no seal, and so no decision.
    """
    if os.path.lexists(folder / SUMS_FILE):
        raise BundleError(
            f"{folder} is sealed already; nothing in it may change. Look at it with: promotion-gate show {folder}"
        )
    bundle = load_sound(folder)
    decision = decide(bundle)
    key = bundle.index.settings.get("promotion_signing_key")
    try:
        remove_unfinished(folder, bundle.index.files)
        rendered = _write_records(folder, bundle, decision)
        sums = checksums(folder, decision, foreign(list_files(folder), bundle, rendered))
        problem = attempts_problem(folder, parse_sums(sums.encode())[0], bundle)
        # Files lost from an earlier attempt never cost a HOLD its record; verify names them.
        if problem and decision.decision == "PROMOTE":
            raise BundleError(f"{folder} cannot be sealed: {problem}.")
        if key:
            # Before the seal, so that a bundle that must be signed is never sealed but unsigned.
            write_atomically(folder / SIGNATURE_FILE, signature_of(sums.encode(), str(key)))
        write_atomically(folder / SUMS_FILE, sums)
    except OSError as error:
        raise GateError(f"The decision could not be written into {folder} ({error.strerror}); there is none.") from None
    return decision


def _write_records(folder: Path, bundle: Bundle, decision: Decision) -> Collection[str]:
    rendered = render(bundle, decision)
    for name, text in rendered.items():
        if name in bundle.index.files:
            raise BundleError(f"{name} is evidence of the index and a rendered file at once; rename it in the policy.")
        write_atomically(folder / name, text)
    if FOLLOW_UP not in rendered:
        (folder / FOLLOW_UP).unlink(missing_ok=True)
    return rendered


def foreign(names: Iterable[str], bundle: Bundle, rendered: Collection[str]) -> list[str]:
    """The unaccounted names in a bundle: not evidence of the index, not rendered, and not the gate's own."""
    own = {INDEX_FILE, POLICY_FILE, BASELINE_FILE, SUMS_FILE, SIGNATURE_FILE, *rendered, *bundle.index.files}
    if bundle.shipped:
        own.add(SHIPPED_POLICY_FILE)
    return [name for name in names if name not in own and not 0 < (archived_by(name) or 0) < bundle.index.attempt]


def checksums(folder: Path, decision: Decision, strangers: Collection[str] = ()) -> str:
    """The text of SHA256SUMS: every file except itself and its signature, in the format of sha256sum.

    Only regular files can be listed, and `strangers` are not part of the bundle. A HOLD is sealed without such files
    (`verify` finds them); for a PROMOTE they raise BundleError, as does a name that the format cannot hold.
    """
    lines = []
    for name in list_files(folder):
        if name in (SUMS_FILE, SIGNATURE_FILE):
            continue
        content = read_file(folder / name)
        if (content.problem or name in strangers) and decision.decision == "HOLD":
            continue
        if content.problem:
            raise BundleError(f"{folder / name} {content.problem}; a bundle contains only regular files.")
        if name in strangers:
            raise BundleError(
                f"{folder / name} is not a file of this run: somebody put it there. Move it away, then resume."
            )
        safe_name(name, str(folder))
        lines.append(f"{sha256(content.data)}  {name}\n")
    return "".join(lines)
