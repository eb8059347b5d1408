"""Bounds on component versions: what gate 3 recorded against `supported_versions` of the policy."""

from __future__ import annotations

import re
from collections.abc import Iterator

from promotion_gate.bounds import within
from promotion_gate.bundle import Bundle
from promotion_gate.checks.registry import key_values

# A Debian epoch (1:4.0.5) stands before the version: the first number with a dot counts, else the first number.
_VERSION = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})+"), re.compile(r"[0-9]{1,9}")


def recorded_versions(bundle: Bundle) -> dict[str, str]:
    """Component to version, from the probe of gate 3 (03-vm-versions.log); a component not found is absent."""
    text = bundle.output("vm_bootstrap", "versions") or ""
    found = {}
    for key, value in key_values(text).items():
        number = _VERSION[0].search(value) or _VERSION[1].search(value)
        if number:
            found[key] = number.group(0)
    return found


def version_objections(bundle: Bundle) -> Iterator[str]:
    recorded = recorded_versions(bundle)
    for component, bounds in bundle.policy.supported_versions.items():
        version = recorded.get(component)
        if version is None:
            yield f"The policy bounds {component} to {bounds}, and its version on the VM is not known."
        elif not within(version, bounds):
            yield f"{component} {version} on the VM is outside {bounds}, which the policy supports."
