"""Bounds on component versions: what gate 3 recorded against `supported_versions` of the policy."""

from __future__ import annotations

import re
from collections.abc import Iterator

from promotion_gate.bundle import Bundle
from promotion_gate.checks.registry import key_values

_BOUND = re.compile(r"(>=|<=|==|!=|<|>)\s*(\d+(?:\.\d+)*)")


def recorded_versions(bundle: Bundle) -> dict[str, str]:
    """Component to version, from the probe of gate 3 (03-vm-versions.log); a component not found is absent."""
    text = bundle.output("vm_bootstrap", "versions") or ""
    found = {}
    for key, value in key_values(text).items():
        number = re.search(r"\d+(?:\.\d+)+|\d+", value)
        if number:
            found[key.replace("_", "-")] = number.group(0)
    return found


def within(version: str, bounds: str) -> bool:
    """Whether `3.13.5` lies within `>=3.9,<3.14`; missing parts count as 0."""
    mine = _parts(version)
    tests = {
        ">=": lambda a, b: a >= b, "<=": lambda a, b: a <= b, "==": lambda a, b: a == b,
        "!=": lambda a, b: a != b, "<": lambda a, b: a < b, ">": lambda a, b: a > b,
    }  # fmt: skip
    return all(tests[operator](mine, _parts(bound)) for operator, bound in _BOUND.findall(bounds))


def _parts(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in version.split(".")][:4]
    return tuple(numbers + [0] * (4 - len(numbers)))


def version_objections(bundle: Bundle) -> Iterator[str]:
    recorded = recorded_versions(bundle)
    for component, bounds in bundle.policy.supported_versions.items():
        version = recorded.get(component)
        if version is None:
            yield f"The policy bounds {component} to {bounds}, and its version on the VM is not known."
        elif not within(version, bounds):
            yield f"{component} {version} on the VM is outside {bounds}, which the policy supports."
