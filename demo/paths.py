"""Paths. Everything that the demo creates is below .demo/ in the checkout."""

from __future__ import annotations

import hashlib
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
DEMO = CHECKOUT / ".demo"
BIN = DEMO / "bin"  # wrappers of the tools that the machine lacks
TOOLS = DEMO / "tools"
LOGS = DEMO / "logs"
UV_CACHE = DEMO / "uv-cache"  # shared by all VMs, so that wheels are downloaded once
WORKSPACE = DEMO / "workspace"  # of the plain application
EXAMPLE = CHECKOUT / "examples" / "workspace"
INVENTORY = CHECKOUT / "inventory" / "container"

DEFAULT_VM = "aiida-vm"

# Two checkouts on one machine must not take each other's containers.
CHECKOUT_ID = hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:8]


def vm_dir(name: str) -> Path:
    return DEMO / "vm" / name
