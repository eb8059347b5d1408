"""Bounds on component versions: what gate 3 recorded against `supported_versions` of the policy."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from promotion_gate.bundle import Bundle
from promotion_gate.checks.registry import key_values
from promotion_gate.policy import COMPONENTS

# What stands in front (slurm-wlm, a Debian revision behind it) belongs to the package, not to the version.
_VERSION = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})*(?:(?:a|b|rc|alpha|beta|dev)[0-9]{1,9})?")


def recorded_versions(bundle: Bundle) -> dict[str, str]:
    """Component to version, from the probe of gate 3 (03-vm-versions.log); one that is not known is absent.

    A probe that failed, or whose output is cut, says nothing.
    """
    record, text = bundle.index.command("vm_bootstrap", "versions"), bundle.output("vm_bootstrap", "versions")
    if record is None or text is None or record.exit != 0 or record.truncated:
        return {}
    found = {name: _VERSION.search(value) for name, value in key_values(text).items() if name in COMPONENTS}
    return {name: match.group(0) for name, match in found.items() if match}


def version_objections(bundle: Bundle) -> Iterator[str]:
    recorded = recorded_versions(bundle)
    for component, bounds in bundle.policy.supported_versions.items():
        version = recorded.get(component)
        if version is None:
            yield f"The policy bounds {component} to {bounds}, and its version on the VM is not known."
        elif not within(version, bounds):
            yield f"{component} {version} on the VM is outside {bounds}, which the policy supports."


def within(version: str, bounds: str) -> bool:
    """Whether `3.13.5` lies within `>=3.9,<3.14`, as PEP 440 orders versions: 2.9.0rc1 comes before 2.9."""
    try:
        return SpecifierSet(bounds).contains(Version(version), prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return False
