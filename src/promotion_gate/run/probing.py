"""What a host answered when it was asked, before the first gate, what it is and whether it can be used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promotion_gate.base.redact import Redactor
from promotion_gate.bundle.index import Probe
from promotion_gate.judge.parsers.failures import failure_text, trouble

_LONGEST_ANSWER, _LONGEST_PROBLEM = 20_000, 2_000


def probe_of(result: Mapping[str, Any]) -> Probe:
    """The answer in the result of roles/gate_common/tasks/probe.yml, or why there is none.

    As the index keeps it: bounded, and without what looks like a secret.
    """
    redactor, evidence = Redactor(), result.get("gate_evidence")
    commands = evidence.get("commands") if isinstance(evidence, Mapping) else None
    if commands:
        return Probe(redactor.text(str(commands[0]["output"]))[:_LONGEST_ANSWER], "", "")
    said = failure_text(result)
    known = trouble(said)
    kind = "unreachable" if result.get("unreachable") else known.kind if known else "failed"
    return Probe("", kind, redactor.text(" ".join(said.split()))[:_LONGEST_PROBLEM])
