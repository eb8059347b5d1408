"""Writes the records of the example bundles again, from their evidence: for a change that is meant to change records.

The evidence stays as it was recorded; `git diff` then shows what the change does to real records. Run it as
`make example-records`. After a change to what is collected, record the bundles again instead: `make example-bundles`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from promotion_gate import __version__
from promotion_gate.base.errors import GateError
from promotion_gate.base.files import sha256
from promotion_gate.base.names import INDEX_FILE, SUMS_FILE
from promotion_gate.bundle.load import load_bundle
from promotion_gate.judge.decide import decide
from promotion_gate.prove.seal import seal

BUNDLES = Path(__file__).parent / __version__
HELD, HEALTHY, REPAIRED = BUNDLES / "held/repaired", BUNDLES / "root/healthy", BUNDLES / "root/repaired"


def main() -> None:
    before = _seal_of(HEALTHY)
    _seal_again(HEALTHY)
    for bundle in (HELD, REPAIRED):
        # It names the seal of the run before it.
        index = bundle / INDEX_FILE
        index.write_text(index.read_text(encoding="utf-8").replace(before, _seal_of(HEALTHY)), encoding="utf-8")
        _seal_again(bundle)


def _seal_of(bundle: Path) -> str:
    return sha256((bundle / SUMS_FILE).read_bytes())


def _seal_again(bundle: Path) -> None:
    decide(load_bundle(bundle))  # before anything is removed: this version may not be able to judge it
    (bundle / SUMS_FILE).unlink()
    print(f"{seal(bundle).decision} {bundle}")


if __name__ == "__main__":
    try:
        main()
    except (GateError, OSError) as error:
        sys.exit(f"{error}\nRecord the examples again: make example-bundles")
