"""What Slurm's commands print: scontrol ping, sinfo, scontrol show node, sbatch, and the states of a job.

Source: SchedMD/slurm 20.11 to 25.x: ``src/common/slurm_protocol_defs.c`` (node_state_string with its flag
names, job_state_string), ``src/scontrol/scontrol.c`` (_print_ping), ``src/sinfo/print.c`` and the man pages
sinfo(1), squeue(1), sacct(1); recorded with 24.11.5.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from promotion_gate.judge.parsers.text import lines


@dataclass(frozen=True, slots=True)
class Controller:
    """One controller of ``scontrol ping``: role is primary, backup or backupN."""

    role: str
    host: str
    up: bool


_PING = re.compile(r"Slurmctld\((primary|backup\d*)\) at (\S+) is (UP|DOWN)")


def ping(text: str) -> tuple[Controller, ...]:
    """Read ``scontrol ping`` ("Slurmctld(primary) at HOST is UP", 20.02 and newer).

    A controller that is listed twice is up only if both lines say so.
    """
    found: dict[str, Controller] = {}
    for row in lines(text):
        if match := _PING.fullmatch(row):
            role, host, up = match[1], match[2], match[3] == "UP"
            known = found.get(role)
            found[role] = Controller(role, host, up and (known is None or known.up))
    return tuple(found.values())


# The character after a state, as sinfo(1) explains it. "+" is only used after ALLOCATED.
_SUFFIXES = {
    "*": "NOT_RESPONDING",
    "~": "POWERED_DOWN",
    "#": "POWERING_UP",
    "%": "POWERING_DOWN",
    "!": "POWER_DOWN",
    "$": "MAINTENANCE",
    "@": "REBOOT_REQUESTED",
    "^": "REBOOT_ISSUED",
    "-": "PLANNED",
    "+": "COMPLETING",
}

# Names that sinfo prints instead of a base state, and older or shorter spellings, as (base, flags).
# Compact forms (%t) are those of node_state_string_compact.
_NAMES: dict[str, tuple[str, tuple[str, ...]]] = {
    "ALLOC": ("ALLOCATED", ()),
    "MIX": ("MIXED", ()),
    "COMP": ("COMPLETING", ()),
    "PLND": ("PLANNED", ()),
    "MAINT": ("MAINTENANCE", ()),
    "DRAIN": ("DRAINED", ()),
    "DRNG": ("DRAINING", ()),
    "FAILG": ("FAILING", ()),
    "RESV": ("RESERVED", ()),
    "UNK": ("UNKNOWN", ()),
    "FUTR": ("FUTURE", ()),
    "BLOCK": ("BLOCKED", ()),
    "NPC": ("PERFCTRS", ()),
    "BOOT": ("REBOOT", ()),
    "BOOT^": ("REBOOT", ("REBOOT_ISSUED",)),
    "POW_DN": ("POWER_DOWN", ()),
    "POW_UP": ("POWER_UP", ()),
    "ERR": ("ERROR", ()),
    "PLANNED": ("PLANNED", ()),
}

# The states in which Slurm places work on a node, now or as soon as what runs there has finished (sinfo(1)).
_FREE_STATES = frozenset({"IDLE", "MIXED"})
_BUSY_STATES = frozenset({"ALLOCATED", "COMPLETING", "PLANNED"})
# Flags that do not change that: planned by the backfill scheduler, a job completing, where a node came from.
_HARMLESS_FLAGS = frozenset({"PLANNED", "COMPLETING", "CLOUD", "DYNAMIC_NORM", "DYNAMIC_FUTURE"})
# A power-saving cluster powers such nodes up when work arrives; on a VM that nothing powers up, they are simply off.
# POWER is what 20.11 calls POWERED_DOWN.
_POWER_SAVING_FLAGS = frozenset({"POWER", "POWERED_DOWN", "POWERING_UP"})
# The flags of a node that is being powered up, until its slurmd answers.
_BOOTING_FLAGS = frozenset({"NOT_RESPONDING"})
# What with_all_flags() adds to a node without a readable row in scontrol's output.
_NOT_SHOWN = "NOT_SHOWN"

_WHY_NOT = {
    "BLOCKED": "is blocked by an exclusive topology job",
    "DOWN": "is down",
    "DRAIN": "is set to drain",
    "DRAINED": "is drained",
    "DRAINING": "is draining",
    "ERROR": "is in error",
    "EXTERNAL": "is not managed by this controller",
    "FAIL": "is set to fail",
    "FAILING": "is failing",
    "FUTURE": "is defined for the future only",
    "INVAL": "registered with less than its configuration says",
    "INVALID_REG": "registered with less than its configuration says",
    "MAINTENANCE": "is in a maintenance reservation",
    "NOT_RESPONDING": "does not respond to the controller",
    _NOT_SHOWN: "has no readable row in `scontrol show node`",
    "PERFCTRS": "has its network performance counters in use",
    "POWER": "is powered off",
    "POWERED_DOWN": "is powered off",
    "POWERING_DOWN": "is being powered off",
    "POWERING_UP": "is being powered up",
    "POWER_DOWN": "is about to be powered off",
    "POWER_DRAIN": "is drained to be powered off",
    "POWER_UP": "is about to be powered up",
    "REBOOT": "waits for a reboot",
    "REBOOT_ISSUED": "is rebooting",
    "REBOOT_REQUESTED": "waits for a reboot",
    "RESERVED": "is reserved",
    "UNKNOWN": "has not registered since the controller started",
}


@dataclass(frozen=True, slots=True)
class Node:
    """A node in a partition.

    ``state`` is Slurm's own word in upper case without its suffix ("IDLE", "DRAINED", "MAINTENANCE"),
    ``flags`` what the suffix or the long form adds ("NOT_RESPONDING"). A node may be in several partitions.
    """

    partition: str
    partition_state: str
    name: str
    state: str
    flags: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Nodes:
    """Nodes as listed; ``empty`` are partitions without nodes."""

    nodes: tuple[Node, ...]
    empty: tuple[str, ...]


def nodes(text: str) -> Nodes:
    """Read ``sinfo -h -N -o "%P|%a|%N|%T|%E"`` (20.11 and newer): partition, its state, node, state, reason.

    sinfo shows one flag of a state; :func:`with_all_flags` adds the others.
    """
    found: list[Node] = []
    empty: list[str] = []
    for row in lines(text):
        fields = [field.strip() for field in row.split("|", 4)]
        if len(fields) == 5 and fields[0] and fields[2]:
            partition, available, name, shown, reason = fields
            state, flags = node_state(shown)
            found.append(
                Node(
                    partition=partition.removesuffix("*"),
                    partition_state=available.lower(),
                    name=name,
                    state=state,
                    flags=flags,
                    reason="" if reason.lower() == "none" else reason,
                )
            )
        elif len(fields) == 5 and fields[0] and fields[3].lower() == "n/a":
            empty.append(fields[0].removesuffix("*"))
    return Nodes(tuple(found), tuple(empty))


def node_state(shown: str) -> tuple[str, tuple[str, ...]]:
    """Split a node's state into its word and flags: "idle*", "drng", "IDLE+DRAIN+NOT_RESPONDING", "MAINT*"."""
    shown = shown.strip().upper()
    base, *rest = shown.removesuffix("+").split("+")
    state, flags = _word(base)
    flags += ("COMPLETING",) if shown.endswith("+") else ()
    for item in rest:
        word, more = _word(item)
        flags += ({"MAINT": "MAINTENANCE", "DRAINED": "DRAIN"}.get(word, word), *more)
    return state, tuple(dict.fromkeys(flags))


def _word(shown: str) -> tuple[str, tuple[str, ...]]:
    if shown in _NAMES:
        return _NAMES[shown]
    bare = shown.rstrip("".join(_SUFFIXES))
    flags = tuple(_SUFFIXES[suffix] for suffix in shown[len(bare) :])
    state, more = _NAMES.get(bare, (bare or "?", ()))
    return state, (*more, *flags)


def schedulable(node: Node, *, power_saving: bool = False) -> tuple[bool, str]:
    """Return whether Slurm places work on the node through this partition, and if not, why, as one sentence.

    A busy node (allocated, completing, planned) counts: it is healthy. ``power_saving`` also counts nodes that the
    cluster powers up when work arrives. Whatever is not known to be good is not schedulable.
    """
    if node.partition_state != "up":
        return False, f"partition {node.partition} is {node.partition_state.upper() or 'in no known state'}"
    allowed = _HARMLESS_FLAGS
    if power_saving:
        booting = "POWERING_UP" in node.flags and not {"POWER", "POWERED_DOWN"} & set(node.flags)
        allowed |= _POWER_SAVING_FLAGS | (_BOOTING_FLAGS if booting else frozenset())
    reasons = [] if node.state in _FREE_STATES | _BUSY_STATES else [node.state]
    reasons += [flag for flag in node.flags if flag not in allowed]
    if not reasons:
        return True, ""
    # Both sinfo and scontrol may report it.
    why = " and ".join(dict.fromkeys(_WHY_NOT.get(word, f"is in the unknown state {word}") for word in reasons))
    because = f" (reason: {node.reason})" if node.reason else ""
    return False, f"node {node.name} {why}{because}"


def schedulable_nodes(listing: Nodes, partition: str = "", *, power_saving: bool = False) -> tuple[Node, ...]:
    """Return the schedulable nodes, of one partition if named.

    A node has the same state in all its partitions; if the listing contradicts itself, the worse line counts.
    """
    bad = {
        node.name
        for node in listing.nodes
        if not schedulable(replace(node, partition_state="up"), power_saving=power_saving)[0]
    }
    return tuple(
        node
        for node in listing.nodes
        if partition in ("", node.partition)
        and node.name not in bad
        and schedulable(node, power_saving=power_saving)[0]
    )


_FIELD = re.compile(r"(?:^| )([A-Za-z_]+)=(\S*)")
# In the order of slurm_sprint_node_table(): every field before the state is one word, except the OS.
_NODE_ROW = re.compile(
    r"NodeName=(\S+)(?: +(?!(?:State|Reason|Comment|Extra)=)[A-Za-z_]+=\S*)* +State=(\S+)(?= |$)(.*)"
)
_FREE_TEXT = re.compile(r" (?:Reason|Comment|Extra)=")


def shown_nodes(text: str) -> tuple[Node, ...]:
    """Read ``scontrol show node -o``, which has all flags of a state (sinfo shows only one of them).

    A node is listed once for each of its partitions, with ``partition_state`` empty: it is not shown here. Free text
    (reason, comment, extra) says nothing about the state, whatever words it contains.
    """
    found: list[Node] = []
    for row in lines(text):
        match = _NODE_ROW.fullmatch(_without_os(row))
        facts = _FREE_TEXT.split(match[3], maxsplit=1)[0] if match else ""
        if match is None or one_value(f"State={match[2]}{facts}", "State") is None:
            continue
        state, flags = node_state(match[2])
        reason = row.partition(" Reason=")[2]
        for partition in (one_value(facts, "Partitions") or "").split(","):
            found.append(Node(partition, "", match[1], state, flags, reason.strip()))
    return tuple(found)


def _without_os(row: str) -> str:
    """The row without the description of the operating system, which contains blanks (and `=`)."""
    before, found, after = row.partition(" OS=")
    _, memory, rest = after.partition(" RealMemory=")
    return f"{before} RealMemory={rest}" if found and memory else row


def one_value(row: str, key: str) -> str | None:
    """The value of ``key=value``; None if the key is absent or occurs with different values."""
    values = {match[2] for match in _FIELD.finditer(row) if match[1] == key}
    return next(iter(values)) if len(values) == 1 else None


def with_all_flags(listing: Nodes, shown: Iterable[Node]) -> Nodes:
    """Add to the nodes of sinfo what ``scontrol show node`` says about them: MIXED may be MIXED+RESERVED.

    A node without a readable row there is not schedulable, because not all of its flags are known.
    """
    flags: dict[str, tuple[str, ...]] = {}
    for node in shown:
        odd = () if node.state in _FREE_STATES | _BUSY_STATES else (node.state,)
        flags[node.name] = (*flags.get(node.name, ()), *odd, *node.flags)
    return flagged(listing, {node.name: flags.get(node.name, (_NOT_SHOWN,)) for node in listing.nodes})


def flagged(listing: Nodes, flags: Mapping[str, tuple[str, ...]]) -> Nodes:
    nodes = [
        replace(node, flags=tuple(dict.fromkeys((*node.flags, *flags.get(node.name, ()))))) for node in listing.nodes
    ]
    return replace(listing, nodes=tuple(nodes))
