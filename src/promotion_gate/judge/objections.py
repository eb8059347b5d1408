"""Gate 6: what prevents a promotion even if every single check passed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from promotion_gate.base.model import GateResult, Status, did_not_pass
from promotion_gate.base.people import is_person, same_person
from promotion_gate.base.policy import COMPONENTS, GatePolicy
from promotion_gate.bundle.load import Bundle, once
from promotion_gate.judge.identity import Identity, gate_identity, identity, same_machine
from promotion_gate.judge.parsers.text import key_values
from promotion_gate.judge.timing import in_fleet, timing_objections

# A prefix (slurm-wlm) and a Debian revision after the version belong to the package, not to the version; what marks a
# version before the final one does: 2.9.0.dev0, 18beta1, 24.11.0-0rc1 (Slurm), 4.1.0-rc.1 (RabbitMQ), 24.11.0~rc1.
_VERSION = re.compile(
    r"([0-9]{1,9}(?:\.[0-9]{1,9})*)(?:(?:[.~_-]|\+(?=alpha|beta|rc))?0?(alpha|beta|devel|dev|pre|rc|a|b)[.-]?([0-9]{0,9})(?![A-Za-z0-9]))?"
)


def objections(bundle: Bundle, gates: tuple[GateResult, ...]) -> tuple[str, ...]:
    """Yields one sentence per objection; any of them makes the decision HOLD."""
    found = [*_gates(gates), *_run(bundle), *_people(bundle), *_events(bundle), *_machines(bundle)]
    found += [*timing_objections(bundle), *version_objections(bundle)]
    return tuple(dict.fromkeys(found))


def _gates(gates: tuple[GateResult, ...]) -> Iterator[str]:
    """The spec's threshold of gate 6: all gates 1 to 5 pass."""
    for gate in gates:
        failing = [check for check in gate.checks if check.status is not Status.PASS and not check.waived]
        causes = [check.cause or check.id for check in failing]
        if gate.status is not Status.PASS:
            named = ", ".join(dict.fromkeys(causes)) or "it has no check"
            yield did_not_pass(gate, named)


def _run(bundle: Bundle) -> Iterator[str]:
    run = bundle.index.run
    if run.get("check"):
        yield "The run was a rehearsal (--check): nothing was executed, so nothing is proven."
    for error in bundle.index.collector_errors:
        yield f"The recorder met an error, so evidence may be missing: {error}"
    for item in bundle.index.withheld:
        yield (
            f"{item.file} contained a secret that masking had missed ({item.rule}), so it was withheld "
            f"(SHA-256 {item.sha256}). Find out what prints it there, and stop it."
        )


def _people(bundle: Bundle) -> Iterator[str]:
    index = bundle.index
    if not index.operator or not index.reviewer:
        yield "Operator and reviewer must both be named."
    elif not is_person(index.operator) or not is_person(index.reviewer):
        yield "Operator and reviewer must be names that people can read."
    elif same_person(index.operator, index.reviewer):
        yield f"The reviewer is the operator ({index.operator}); another person must review."


def _events(bundle: Bundle) -> Iterator[str]:
    for gate in bundle.index.gates.values():
        yield from gate.objections
    gates = {gate.name for gate in bundle.policy.gates}
    for event in bundle.index.events:
        # What happened in a gate is reported by its check `<gate>.host`.
        if event.kind in ("unreachable", "failed") and event.gate not in gates:
            verb = "could not be reached" if event.kind == "unreachable" else "failed"
            yield f'The run: {event.host} {verb} in the task "{event.task}": {event.message}'
    for item in bundle.index.artifact_sets:
        for refused in item.refused:
            yield f'The artifact "{refused.path}" was refused: {refused.reason}.'


def _machines(bundle: Bundle) -> Iterator[str]:
    """Gates of different hosts that ran on one machine: a connection that never leaves it, or two names of one host."""
    for (host, gate, one), (other_host, other_gate, other) in _alike(bundle):
        if not bundle.policy.same_machine and not _other_boot(one, other):
            yield (
                f"{host} and {other_host} are the same machine (gate {gate.id} and gate {other_gate.id} ran on it): "
                f"the connection to {other_host} does not leave it, or both names belong to it."
            )
    for mine, other_host, one, other in _alike_in_fleet(bundle):
        if not bundle.policy.same_machine and not _other_boot(one, other):
            yield (
                f"{mine} and {other_host} are the same machine, and this run decides about both: both names belong to "
                f"it, or the connection to {other_host} leads to {mine}. Keep one of them in the inventory."
            )


def clones(bundle: Bundle, gate: GatePolicy) -> Iterator[str]:
    """Warnings for the first gate of a host with the machine id of another host: both were made from one image."""
    for (host, _, one), (other_host, other_gate, other) in _alike(bundle):
        if other_gate is gate and _other_boot(one, other):
            yield _cloned(host, other_host)
    if gate is next(found for found in bundle.policy.gates if found.hosts == bundle.policy.subject):
        for mine, host, one, other in _alike_in_fleet(bundle):
            if _other_boot(one, other):
                yield _cloned(host, mine)


def _cloned(host: str, clone: str) -> str:
    return (
        f"{clone} has the same machine id as {host} but is another machine: both are clones of one image, and evidence "
        f"of one could pass for the other's. On {clone}, run `sudo rm /etc/machine-id && sudo "
        "systemd-machine-id-setup`."
    )


def _alike_in_fleet(bundle: Bundle) -> Iterator[tuple[str, str, Identity, Identity]]:
    """This host and each other one that the run decides about and that says it is the same machine."""
    index = bundle.index
    found = {host: identity(probe.output) for host, probe in index.probes.items() if not probe.problem}
    for mine, host in in_fleet(index):
        if mine in found and host in found and same_machine(found[mine], found[host]):
            yield mine, host, found[mine], found[host]


_Ran = tuple[str, GatePolicy, Identity]


@once
def _alike(bundle: Bundle) -> tuple[tuple[_Ran, _Ran], ...]:
    """Every two hosts that report the same machine, with the first gate that ran on each."""
    seen: dict[str, _Ran] = {}
    for gate in bundle.policy.gates:
        record, now = bundle.index.gates.get(gate.name), gate_identity(bundle, gate.name)
        if record and now:
            seen.setdefault(record.host, (record.host, gate, now))
    pairs = itertools.combinations(seen.values(), 2)
    return tuple((one, other) for one, other in pairs if same_machine(one[2], other[2]))


def _other_boot(one: Identity, other: Identity) -> bool:
    """Whether both are running and were booted separately; an unknown boot may be the same one."""
    return bool(one.boot_id and other.boot_id and one.boot_id != other.boot_id)


def recorded_versions(bundle: Bundle) -> dict[str, str]:
    """Maps components to versions, from the command `versions` of a gate; an unknown one is absent.

    A probe that failed, or whose output was truncated, tells nothing.
    """
    record = bundle.index.of_any_gate("versions")
    text = bundle.output(record.gate, "versions") if record else None
    if record is None or text is None or record.exit != 0 or record.truncated:
        return {}
    found = {name: _VERSION.search(value) for name, value in key_values(text).items() if name in COMPONENTS}
    return {name: match.group(0) for name, match in found.items() if match}


def version_objections(bundle: Bundle) -> Iterator[str]:
    recorded = recorded_versions(bundle)
    for component, bounds in bundle.policy.supported_versions.items():
        version = recorded.get(component)
        if version is None:
            yield f"The policy limits {component} to {bounds}, but its version on the VM is not known."
        elif not within(version, bounds):
            yield f"{component} {version} on the VM is outside {bounds}, the range that the policy supports."


def within(version: str, bounds: str) -> bool:
    """Whether `3.13.5` lies within `>=3.9,<3.14`, as PEP 440 orders versions: 2.9.0rc1 comes before 2.9."""
    found = _VERSION.fullmatch(version)
    if found and found[2]:
        version = f"{found[1]}{found[2].removesuffix('el')}{found[3]}"
    try:
        return SpecifierSet(bounds).contains(Version(version), prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return False
