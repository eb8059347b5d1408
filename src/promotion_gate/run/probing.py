"""The answers of the hosts when they are asked, before the first gate, who they are and whether they can be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from promotion_gate.base.names import POLICY_FILE
from promotion_gate.base.policy import Policy
from promotion_gate.base.policy_reading import load_policy, policy_text
from promotion_gate.base.redact import Redactor
from promotion_gate.bundle.index import Probe, read_index, write_index
from promotion_gate.bundle.recorder import Recorder
from promotion_gate.judge.parsers.failures import failure_text, trouble
from promotion_gate.run.plan import plan_of

_LONGEST_ANSWER, _LONGEST_PROBLEM = 20_000, 2_000


def probe_of(result: Mapping[str, Any]) -> Probe:
    """The answer in the result of roles/gate_common/tasks/probe.yml, or why there is none.

    In the form that the index keeps: bounded, and without anything that looks like a secret.
    """
    redactor, evidence = Redactor(), result.get("gate_evidence")
    commands = evidence.get("commands") if isinstance(evidence, Mapping) else None
    if commands:
        return Probe(redactor.text(str(commands[0]["output"]))[:_LONGEST_ANSWER], "", "")
    report = failure_text(result)
    known = trouble(report)
    kind = "unreachable" if result.get("unreachable") else known.kind if known else "failed"
    return Probe("", kind, redactor.text(" ".join(report.split()))[:_LONGEST_PROBLEM])


def record_probes(recorder: Recorder, answers: Mapping[str, Probe]) -> None:
    """Records what hosts answered, and the plan: which gates may run together depends on their machines."""
    policy = _policy(recorder.folder)
    recorder.probes(answers, lambda settings, probes: plan_of(policy, settings, probes))


def note_probes(folder: Path, probes: Mapping[str, Probe]) -> None:
    """Notes what the hosts answered in a run that is already open but has nothing recorded yet."""
    index = read_index(folder)
    write_index(folder, replace(index, probes=probes, plan=plan_of(_policy(folder), index.settings, probes)))


def _policy(folder: Path) -> Policy:
    return load_policy(policy_text(folder / POLICY_FILE), POLICY_FILE)
