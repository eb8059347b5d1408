"""What to do about a bundle that does not verify, one sentence for each case."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from promotion_gate.base.errors import BundleError
from promotion_gate.base.names import INDEX_FILE, SIGNATURE_FILE
from promotion_gate.bundle.history import read_run

# Files that a file manager, an editor or an unpacker leaves in a folder that somebody opened.
_LITTER = re.compile(r"(.*/)?(\.DS_Store|\._[^/]*|Thumbs\.db|desktop\.ini|\.directory|[^/]*~|\.[^/]*\.sw[a-p])")

COPY_AGAIN = "copy the bundle again from where it was sealed; if this is the original, run the gate again"
NOT_FOLLOWED = "do not act on it: the record is not what the evidence gives; run the gate again"
SIGN = f"ask who sealed it for {SIGNATURE_FILE}"


def for_names(extra: Sequence[str], missing: Sequence[str], links: Sequence[str]) -> str:
    """Advice about files that SHA256SUMS does not name, that are missing, or that are links."""
    if links or missing:
        return COPY_AGAIN
    if not extra:
        return ""
    first, more = extra[0], len(extra) - 1
    what = "delete it" if all(map(_LITTER.fullmatch, extra)) else "move it out of the folder"
    if more:
        others = "1 other file" if more == 1 else f"{more} other files"
        return f"{first} and {others} are not part of the bundle: {what.replace(' it', ' them')}"
    return f"{first} is not part of the bundle: {what}"


def for_folder(folder: Path) -> str:
    """Advice about a folder whose index, policy or baseline cannot be used."""
    if not (folder / INDEX_FILE).is_file():
        return "name the folder of a run: <evidence root>/<run id>"
    try:
        index = read_run(folder).index
    except BundleError:
        return COPY_AGAIN
    if index.run_id != folder.resolve().name:
        return f"rename the folder to {index.run_id}"
    return "finish the run with a resume" if index.state != "closed" else COPY_AGAIN


def for_seal(folder: Path) -> str:
    """Advice about a folder without a usable SHA256SUMS."""
    here = for_folder(folder)
    return here if here.startswith(("name", "rename")) else "finish the run with a resume, which seals it"
