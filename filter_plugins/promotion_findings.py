"""The filter promotion_findings: judges what a gate's role collected without a run, with promotion_gate.run.alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

try:
    from promotion_gate.base.errors import GateError
    from promotion_gate.run.alone import judge_alone
except ImportError as error:
    MISSING: ImportError | None = error
else:
    MISSING = None


def promotion_findings(request: Mapping[str, Any]) -> dict[str, Any]:
    """The findings as plain data. Raises AnsibleFilterError with the package's sentence."""
    if MISSING:
        raise AnsibleFilterError(
            "The Python that runs Ansible has no package promotion_gate, so nothing can be judged. Install it there: "
            f"`pip install .` in the gate's checkout, or its wheel ({MISSING})."
        )
    plain = json.loads(json.dumps({**request, "variables": dict(request["variables"])}, default=str))
    try:
        return judge_alone(plain)
    except GateError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Any]:
        return {"promotion_findings": promotion_findings}
