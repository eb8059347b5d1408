"""The filter promotion_variables: the gate's variables as a host has them, each evaluated for itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from jinja2 import Undefined

_OURS = re.compile(r"(?:promotion|workspace|aiida_vm|gate)_|__gate_")


def promotion_variables(hostvars: Mapping[str, Any], host: str) -> dict[str, dict[str, Any]]:
    """Values by name, and the error of each variable that cannot be evaluated: one of them does not hide the others."""
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    variables = hostvars[host] if host in hostvars else {}  # noqa: SIM401 (HostVars.get templates all of it)
    for name in variables:
        if _OURS.match(name):
            try:
                values[name] = _plain(variables[name])
            except Exception as error:
                errors[name] = str(error).removeprefix("A captured exception marker was tripped: ")
    return {"values": values, "errors": errors}


def _plain(value: Any) -> Any:
    """Forces what Ansible evaluates late; an undefined variable is an exception as soon as it is looked at."""
    if isinstance(value, Undefined):
        str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Any]:
        return {"promotion_variables": promotion_variables}
