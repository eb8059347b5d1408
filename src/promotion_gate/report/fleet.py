"""The table of a run about several hosts, one line per host."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from promotion_gate.base.escape import harmless, visible
from promotion_gate.bundle.fleet import FleetHost
from promotion_gate.report.progress import COLUMNS

_NONE = "none"


def table_of_fleet(entries: Sequence[FleetHost]) -> Iterator[str]:
    """How many hosts are promoted, and for each its decision, the first cause of a HOLD, and its bundle below."""
    promoted = sum(1 for entry in entries if entry.decision == "PROMOTE")
    word = "PROMOTE" if promoted == len(entries) else "HOLD"
    yield f"{word}  {promoted} of {len(entries)} hosts promote"
    width = max((len(visible(entry.host)) for entry in entries), default=0)
    for entry in entries:
        start = f"  {visible(entry.host):<{width}}  {entry.decision or _NONE:<7}  "
        beside = f"{entry.bundle}" if not entry.cause else f"{visible(entry.cause)}  {entry.bundle}"
        if len(start + beside) <= COLUMNS:
            yield harmless(start + beside)
        else:
            yield harmless(f"{start}{visible(entry.cause)}")
            yield harmless(f"{' ' * len(start)}{entry.bundle}")
