"""Slurm's reservations that are in force, and how they affect nodes.

Source: SchedMD/slurm 20.11 to 25.x, ``scontrol show reservation -o``; recorded with 24.11.5.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from promotion_gate.judge.parsers.slurm import Nodes, flagged, one_value
from promotion_gate.judge.parsers.text import lines, number


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation that is in force now; ``nodes`` is Slurm's host list expression ("n[1-3],gpu01")."""

    name: str
    nodes: str
    flags: tuple[str, ...]

    def covers(self, node: str) -> bool:
        """Return whether the node is in the list; a list that cannot be read covers every node."""
        items = re.split(r",(?![^\[]*\])", self.nodes)
        return self.nodes.upper() == "ALL" or any(_in_hosts(item, node) for item in items)


_RESERVATION = re.compile(r"ReservationName=(\S+)(?= |$)(.*)")


def reservations(text: str) -> tuple[Reservation, ...]:
    """Read ``scontrol show reservation -o``: the reservations in force, except those without nodes (licenses).

    One whose state cannot be read counts as in force, and one whose nodes cannot be read covers all nodes.
    """
    found = []
    for row in lines(text):
        if match := _RESERVATION.fullmatch(row):
            facts = match[2].partition(" Comment=")[0]
            nodes = one_value(facts, "Nodes")
            if one_value(facts, "State") != "INACTIVE" and nodes not in ("", "(null)"):
                flags = tuple((one_value(facts, "Flags") or "").split(","))
                found.append(Reservation(match[1], nodes or "[", flags))
    return tuple(found)


def tells_reservations(text: str) -> bool:
    """Return whether ``scontrol show reservation`` answered: with reservations, or that there are none."""
    rows = [row for row in lines(text) if row]
    return not rows or any(row.startswith(("ReservationName=", "No reservations in")) for row in rows)


def _in_hosts(item: str, node: str) -> bool:
    """Return whether one item of a host list ("n[01-03,7]", "n1") names the node."""
    *pieces, last = re.split(r"\[([\d,-]+)\]", item)
    if re.search(r"[\[\]]", "".join([*pieces[::2], last])):
        return True
    pattern = "".join(rf"{re.escape(literal)}(\d+)" for literal in pieces[::2]) + re.escape(last)
    match = re.fullmatch(pattern, node)
    return match is not None and all(_in_ranges(r, n) for r, n in zip(pieces[1::2], match.groups(), strict=True))


def _in_ranges(ranges: str, digits: str) -> bool:
    for item in ranges.split(","):
        low, _, high = item.partition("-")
        ends = number(low), number(high or low), number(digits)
        if None in ends:
            return True
        first, final, value = (end or 0 for end in ends)
        if first <= value <= final and len(digits) >= len(low):
            return True
    return False


def with_reservations(listing: Nodes, found: Iterable[Reservation]) -> Nodes:
    """Add the flags that a reservation in force gives its nodes: slurmctld itself sets them only some time later."""
    known = tuple(found)
    flags: dict[str, tuple[str, ...]] = {}
    for node in {node.name for node in listing.nodes}:
        mine = [item for item in known if item.covers(node)]
        maintenance = ("MAINTENANCE",) if any("MAINT" in item.flags for item in mine) else ()
        flags[node] = (*maintenance, "RESERVED") if mine else ()
    return flagged(listing, flags)
