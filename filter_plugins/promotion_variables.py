"""The filter promotion_variables: the gate's variables of the hosts, each evaluated separately."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from ansible._internal._datatag._tags import Origin
from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultHelper
from jinja2 import Undefined

from promotion_gate.base.redact import is_secret_name, secrets_in
from promotion_gate.run.checked import subject_of

_OF_ANSIBLE = ("all", "ungrouped")
_OURS = re.compile(r"(?:promotion|workspace|aiida_vm|gate)_|__gate_")


def promotion_variables(hostvars: Any, groups: Mapping[str, Any], directory: str = ".") -> dict[str, Any]:
    """By group the variables of its first host, and those of localhost. The checklist says which groups are used.

    If the group with a decision per host has several hosts, `others` has the variables of each further one.
    """
    first = {str(group): str(hosts[0]) for group, hosts in groups.items() if hosts and group not in _OF_ANSIBLE}
    of_host = {host: _variables(hostvars, host) for host in {*first.values(), "localhost"}}
    found = {group: of_host[host] for group, host in {"localhost": "localhost", **first}.items()}
    several = [group for group in first if len(groups[group]) > 1]
    subject = subject_of(found, directory) if several else ""
    if subject in several:
        others = {str(host): _variables(hostvars, str(host)) for host in groups[subject][1:]}
        found[subject] = {**found[subject], "others": others}
    return found


def _variables(hostvars: Any, host: str) -> dict[str, Any]:
    """Values by name, and the error of each variable that cannot be evaluated, so that one does not hide the others.

    `secrets` are values from all variables of the host: what a vault encrypts, and what a name or a shape gives away.
    """
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    secrets: set[str] = set()
    variables = hostvars[host] if host in hostvars else {}  # noqa: SIM401 (HostVars.get templates all of it)
    for name, raw in (hostvars.raw_get(host) if variables else {}).items():
        secrets.update(_secrets(str(name), raw))
        if not _OURS.match(name) and not is_secret_name(name):
            continue
        try:
            value = _plain(variables[name])
        except Exception as error:
            errors[name] = str(error).removeprefix("A captured exception marker was tripped: ")
            continue
        secrets.update(_secrets(str(name), value))
        if _OURS.match(name):
            values[name] = value
    ours = {name: error for name, error in errors.items() if _OURS.match(name)}
    return {"values": values, "errors": ours, "secrets": sorted(secrets), "local": _is_local(variables)}


def _is_local(variables: Any) -> bool:
    with suppress(AnsibleError):  # of a host that may not be part of the run
        return "ansible_connection" in variables and variables["ansible_connection"] == "local"
    return False


def _secrets(name: str, value: Any) -> Iterator[str]:
    """The secret values in a variable; of a template, only the result can be secret."""
    if VaultHelper.get_ciphertext(value, with_tags=False) is not None or _of_vault_file(value):
        with suppress(AnsibleError):  # of another vault, whose password this run does not have
            yield str(value)
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _secrets(str(key), item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _secrets(name, item)
    elif isinstance(value, str) and "{{" not in value:
        yield from secrets_in(name, str(value))


def _of_vault_file(value: Any) -> bool:
    """Whether a string, number or date comes from a file that is encrypted as a whole."""
    origin = None if isinstance(value, (Mapping, list, tuple)) else Origin.get_tag(value)
    return bool(origin and origin.path and _is_encrypted(origin.path))


@lru_cache(maxsize=1024)
def _is_encrypted(path: str) -> bool:
    try:
        with Path(path).open("rb") as stream:
            return stream.read(16).startswith(b"$ANSIBLE_VAULT;")
    except OSError:
        return False


def _plain(value: Any) -> Any:
    """Forces the evaluation of what Ansible evaluates lazily; an undefined variable raises as soon as it is used."""
    if isinstance(value, Undefined):
        str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Any]:
        return {"promotion_variables": promotion_variables}
