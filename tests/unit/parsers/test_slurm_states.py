"""Which nodes take work: what sinfo, scontrol show node and scontrol show reservation say together."""

from __future__ import annotations

import pytest

from promotion_gate.judge.parsers import slurm, slurm_reservations

ROW = (
    "NodeName=n1 Arch=x86_64 OS=Linux 6.1.0 #1 SMP State=DOWN x RealMemory=1 State={} ThreadsPerCore=1 Partitions=debug"
)
SINFO = "debug*|up|n1|idle|none\n"


def good(sinfo: str, shown: str, reservations: str = "", power_saving: bool = False) -> list[str]:
    listing = slurm.with_all_flags(slurm.nodes(sinfo), slurm.shown_nodes(shown))
    listing = slurm_reservations.with_reservations(listing, slurm_reservations.reservations(reservations))
    return [node.name for node in slurm.schedulable_nodes(listing, power_saving=power_saving)]


@pytest.mark.stranger("15.3", "a node without a readable row of its own in scontrol show node had no flags")
@pytest.mark.parametrize(
    "shown",
    [
        "",
        "Node n1 not found\n",
        ROW.format("IDLE").replace("n1", "n2"),
        "NodeName=n1 Arch=x86_64 Comment=was State=IDLE\n",
        "NodeName=n1 Arch=x86_64 Reason=State=IDLE Partitions=debug\n",
        "NodeName=n1 Arch=x86_64 Extra=a State=IDLE\n",
        "Comment=NodeName=n1 State=IDLE\n",
        " NodeName=n1 State=IDLE\n",
        "NodeName=n1 State= Partitions=debug\n",
        "NodeName=n1 State=IDLE State=DOWN Partitions=debug\n",
        "NodeName=n1 State\n=IDLE\n",
        ROW.format("MIXED+RESERVED") + " Comment=moved, was State=IDLE before",
        ROW.format("IDLE+DRAIN") + " Extra=State=IDLE",
        ROW.format("IDLE") + "\n" + ROW.format("DOWN"),
        ROW.format("IDLE") + " Comment=two\nNodeName=n1 State=DOWN",
    ],
)
def test_a_node_takes_work_by_its_own_row_alone(shown: str) -> None:
    assert good(SINFO, shown) == []


@pytest.mark.parametrize(
    "end",
    [
        "",
        " Reason=State=DOWN [root@now]",
        " Comment=State=DRAIN",
        " Extra=State=FAIL Comment=a Reason=x State=DOWN",
    ],
)
def test_free_text_does_not_take_a_node_away(end: str) -> None:
    assert good(SINFO, ROW.format("IDLE") + end) == ["n1"]


@pytest.mark.stranger(
    "15.7", "flags of usable nodes: where they come from (DYNAMIC_FUTURE), power saving of 20.11, booting"
)
@pytest.mark.parametrize(
    ("sinfo", "state", "always", "power_saving"),
    [
        ("idle", "IDLE+DYNAMIC_FUTURE", True, True),
        ("idle", "IDLE+DYNAMIC_NORM", True, True),
        ("mixed", "MIXED+CLOUD+DYNAMIC_FUTURE+PLANNED", True, True),
        ("idle~", "IDLE+POWER", False, True),
        ("idle~", "IDLE+CLOUD+POWERED_DOWN", False, True),
        ("idle#", "IDLE+CLOUD+NOT_RESPONDING+POWERING_UP", False, True),
        ("allocated#", "ALLOCATED+CLOUD+NOT_RESPONDING+POWERING_UP", False, True),
        ("idle*", "IDLE+CLOUD+NOT_RESPONDING+POWERING_UP", False, True),
        ("idle*", "IDLE+CLOUD+NOT_RESPONDING", False, False),
        ("idle~", "IDLE+CLOUD+POWERED_DOWN+NOT_RESPONDING", False, False),
        ("idle~", "IDLE+POWER+NOT_RESPONDING", False, False),
        ("idle#", "IDLE+POWERED_DOWN+NOT_RESPONDING+POWERING_UP", False, False),
        ("idle%", "IDLE+CLOUD+POWERING_DOWN", False, False),
        ("idle!", "IDLE+CLOUD+POWER_DOWN", False, False),
        ("down~", "DOWN+CLOUD+POWERED_DOWN", False, False),
        ("down#", "DOWN+CLOUD+POWERING_UP+NOT_RESPONDING", False, False),
        ("future", "FUTURE+DYNAMIC_FUTURE", False, False),
        ("drained~", "IDLE+CLOUD+DRAIN+POWERED_DOWN", False, False),
    ],
)
def test_flags(sinfo: str, state: str, always: bool, power_saving: bool) -> None:
    listing = SINFO.replace("|idle|", f"|{sinfo}|")
    assert bool(good(listing, ROW.format(state))) == always
    assert bool(good(listing, ROW.format(state), power_saving=True)) == power_saving


RESERVATION = (
    "ReservationName=m1 StartTime=2026-11-24T00:30:00 EndTime=2026-11-24T02:30:00 Duration=02:00:00 Nodes={} NodeCnt=1 "
    "CoreCnt=2 Features=(null) PartitionName=(null) Flags=SPEC_NODES TRES=cpu=2 Users=root State={} BurstBuffer=(null)"
)


@pytest.mark.stranger("15.3", "a reservation in force over the only node was collected and not judged")
@pytest.mark.parametrize(
    ("nodes", "state", "covers"),
    [
        ("n1", "ACTIVE", True),
        ("n1", "INACTIVE", False),
        ("n1", "INACTIVE BurstBuffer=(null) Comment=was State=ACTIVE", False),
        ("n1", "ACTIVE Comment=was State=INACTIVE", True),
        ("n1", "", True),
        ("n[1-3]", "ACTIVE", True),
        ("n[2-3]", "ACTIVE", False),
        ("n[2,1]", "ACTIVE", True),
        ("n[01-03]", "ACTIVE", False),
        ("n[1-3]x", "ACTIVE", False),
        ("gpu[1-9],n1", "ACTIVE", True),
        ("gpu[1-9],m1", "ACTIVE", False),
        ("n[1-", "ACTIVE", True),
        ("(null)", "ACTIVE", False),
        ("n10", "ACTIVE", False),
        ("ALL", "ACTIVE", True),
    ],
)
def test_a_reservation_in_force_takes_its_nodes(nodes: str, state: str, covers: bool) -> None:
    rows = "No reservations in the system\n" + RESERVATION.format(nodes, state) + "\n"
    assert bool(good(SINFO, ROW.format("IDLE"), rows)) != covers


def test_a_padded_host_list_names_padded_nodes() -> None:
    [found] = slurm_reservations.reservations(RESERVATION.format("r[1-2]n[001-010]", "ACTIVE"))
    assert found.covers("r2n007") and found.covers("r1n010")
    assert not found.covers("r2n7") and not found.covers("r3n007")


@pytest.mark.parametrize("piece", ["OS=a RealMemory=1 ", "a=b ", "State=", "n[1-2],", "[", "NodeName=n1 "])
def test_long_rows_are_read(piece: str) -> None:
    text = "NodeName=n1 " + piece * 20_000
    slurm.shown_nodes(text)
    found = slurm_reservations.reservations("ReservationName=a Nodes=" + piece.strip() * 20_000)
    assert all(isinstance(item.covers("n1"), bool) for item in found)
