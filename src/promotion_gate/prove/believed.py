"""Reads the decision of a sealed bundle, which is verified before anything in it is trusted."""

from __future__ import annotations

import os
from pathlib import Path

from promotion_gate.base.errors import BundleError
from promotion_gate.base.model import Decision
from promotion_gate.base.names import INDEX_FILE
from promotion_gate.bundle.history import is_sealed
from promotion_gate.prove.verify import verify_bundle


def believed(bundle: Path, lost: bool = False) -> Decision:
    """The decision of a sealed bundle, which is verified before anything in it is trusted.

    With `lost` a HOLD counts even if files of its earlier attempts are missing, because it is sealed in that case too.
    """
    if not is_sealed(bundle):
        if not os.path.lexists(bundle / INDEX_FILE):
            raise BundleError(f"{bundle} is not a bundle; name the folder of a run, which holds {INDEX_FILE}.")
        raise BundleError(
            f"{bundle} is not sealed, so there is no decision: it is running, or was cut off. Finish it with a resume."
        )
    report = verify_bundle(bundle)
    holds = report.decision is not None and report.decision.decision == "HOLD" and lost and report.holds_but("attempts")
    if not (report.holds or holds) or report.decision is None:
        step = f". Next: {report.advice}." if report.advice else ""
        raise BundleError(f"{bundle} does not verify, so it decides nothing: {report.problem}{step}")
    return report.decision
