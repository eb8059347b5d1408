"""Which gate runs on which host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promotion_gate.base.policy import Policy


def plan_of(policy: Policy, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The gates of a checklist in order, each with its host, as the index keeps them."""
    hosts = {"workspace": settings["workspace"], "aiida_vm": settings["vm"]}
    return [{"gate": gate.name, "host": hosts[gate.hosts], "wave": 1, "chosen": True} for gate in policy.gates]
