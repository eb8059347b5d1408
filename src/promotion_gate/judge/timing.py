"""A gate whose timing is judged (`alone: true`) has its machine to itself, as far as this run is concerned."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from promotion_gate.base.policy import GatePolicy
from promotion_gate.bundle.index import Index, Probe
from promotion_gate.bundle.load import Bundle
from promotion_gate.judge.identity import identity


def crowded(
    host: str,
    timed: AbstractSet[str],
    hosts: Iterable[str],
    settings: Mapping[str, Any],
    probes: Mapping[str, Probe],
) -> bool:
    """Whether gates of another host that run at the same time would disturb a timing on either of them.

    `timed` are the hosts that have a timed gate. `promotion_side_by_side` says whether hosts may overlap; `auto`: only
    if they are known to be two machines and the timed one has a processor to spare, as what the controller does for
    other hosts may be done there.
    """
    choice = settings.get("promotion_side_by_side", "auto")
    if isinstance(choice, bool):
        return not choice and bool(timed) and len(set(hosts)) > 1
    return any(
        bool(mine := timed & {host, other})
        and (shares_load(probes, host, other) is not False or any(_has_one_processor(probes, one) for one in mine))
        for other in set(hosts) - {host}
    )


def _has_one_processor(probes: Mapping[str, Probe], host: str) -> bool:
    return host in probes and identity(probes[host].output).processors == 1


def shares_load(probes: Mapping[str, Probe], host: str, other: str) -> bool | None:
    """Whether two hosts are one machine (a container has the boot id of its host); None where it is not known."""
    one, two = (identity(probes[name].output).boot_id if name in probes else None for name in (host, other))
    return one == two if one and two else None


def _on_one_machine(bundle: Bundle) -> Iterator[tuple[GatePolicy, GatePolicy]]:
    """Every two timed gates of different hosts that are on the same machine."""
    index = bundle.index
    for one, two in itertools.combinations([gate for gate in bundle.policy.gates if gate.alone], 2):
        host, other = index.host_of(one.name), index.host_of(two.name)
        if host and other and host != other and shares_load(index.probes, host, other):
            yield one, two


def had_company(index: Index, gate: str) -> bool:
    """Whether gates of other hosts were run at the same time as this one: in its wave, in the same attempt."""
    mine = next(planned for planned in index.plan if planned.gate == gate)
    attempt = index.gates[gate].attempt
    beside = [planned.gate for planned in index.plan if planned.wave == mine.wave and planned.host != mine.host]
    return any(other in index.gates and index.gates[other].attempt == attempt for other in beside)


def in_fleet(index: Index) -> Iterator[tuple[str, str]]:
    """The host of the subject that this bundle is about, and each other one that the same run decides about."""
    mine, fleet = str(index.settings.get("vm")), index.settings.get("fleet")
    hosts = map(str, fleet) if isinstance(fleet, (list, tuple)) else ()
    return ((mine, host) for host in hosts if host != mine)


def timing_objections(bundle: Bundle) -> Iterator[str]:
    """Two timed gates on one machine disturb each other or wait for each other, so no plan suits both."""
    for one, two in _on_one_machine(bundle):
        yield (
            f"Gate {one.id} and gate {two.id} are both timed (alone), and {bundle.index.host_of(one.name)} and "
            f"{bundle.index.host_of(two.name)} are the same machine. Run both on one host, or remove `alone` from one "
            "of them in the checklist."
        )
    for gate in (gate for gate in bundle.policy.gates if gate.alone and gate.hosts == bundle.policy.subject):
        for mine, host in in_fleet(bundle.index):
            if shares_load(bundle.index.probes, mine, host):
                yield f"Gate {gate.id} is timed (alone) on {mine} and on {host} at once, and they are one machine."


def timing_warnings(bundle: Bundle, gate: GatePolicy) -> Iterator[str]:
    """Says that a gate was timed while others ran on its machine, because an operator asked for it."""
    index, host = bundle.index, bundle.index.host_of(gate.name)
    others = sorted({*(planned.host for planned in index.plan), *(name for _, name in in_fleet(index))} - {host})
    beside = [other for other in others if host and shares_load(index.probes, host, other)]
    if gate.alone and beside and index.settings.get("promotion_side_by_side") is True:
        yield (
            f"promotion_side_by_side is true: this gate was timed while gates of {', '.join(beside)} ran on the same "
            "machine."
        )
