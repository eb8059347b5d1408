"""The backstop: a run that promised a decision and did not reach one must not look like success.

It can only ever say HOLD. PROMOTE exists only as a decision file that seal() wrote.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from promotion_gate.base.errors import GateError
from promotion_gate.base.files import read_json
from promotion_gate.base.names import DECISION_JSON, SUMS_FILE
from promotion_gate.report.tracker import said_of


class Backstop:
    """Follows a run from the outside: armed, opened, closed, and whether the recorder met an error."""

    def __init__(self) -> None:
        self._armed = False
        self._bundle: Path | None = None
        self._error: str | None = None
        self.is_closed = False

    def arm(self) -> None:
        self._armed = True

    def opened(self, bundle: Path) -> None:
        self._bundle, self.is_closed = bundle, False

    def closed(self) -> None:
        self.is_closed = True

    def failed(self, error: str) -> None:
        self._error = self._error or error

    def verdict(self) -> str | None:
        """Why the run must end non-zero, or None if a decision was reached or none was promised."""
        if self._error:
            return f"the evidence recorder failed ({self._error}); evidence may be missing."
        if not self._armed:
            return None
        if self._bundle is None:
            return "the deciding play did not run, and no bundle was opened."
        return None if self.record() else f"the deciding play did not run; {self._bundle} has no decision."

    def issue(self, record: Mapping[str, Any]) -> str:
        """What was said of the follow-up issue of the decision `record`."""
        return said_of(self._bundle, record.get("attempt")) if self._bundle else ""

    def record(self) -> dict[str, Any] | None:
        """The decision that this run sealed, or None."""
        if self._bundle is None or not self.is_closed or not (self._bundle / SUMS_FILE).is_file():
            return None
        with contextlib.suppress(GateError):
            record = read_json(self._bundle / DECISION_JSON)
            if isinstance(record, dict) and record.get("decision") in ("PROMOTE", "HOLD"):
                return record
        return None
