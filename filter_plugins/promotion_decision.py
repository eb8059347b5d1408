"""The filter promotion_decision: a thin adapter around promotion_gate.judge.decide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

from promotion_gate.base.errors import GateError
from promotion_gate.bundle.load import load_bundle
from promotion_gate.judge.decide import decide


def promotion_decision(bundle: str) -> dict[str, Any]:
    """Computes the decision of a closed bundle as plain data. Raises AnsibleFilterError with the package's sentence."""
    try:
        return decide(load_bundle(Path(str(bundle)))).as_dict()
    except GateError as error:
        raise AnsibleFilterError(f"promotion_decision: {error}") from error


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Any]:
        return {"promotion_decision": promotion_decision}
