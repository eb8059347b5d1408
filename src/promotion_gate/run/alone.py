"""A gate role used alone, in another team's playbook: the same checks judge what it found, without a run.

There is no bundle and no decision, only the findings of one gate. A check that also needs the evidence of another gate
or a baseline is listed as not judged.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from promotion_gate.base.errors import InputError
from promotion_gate.base.fields import Fields
from promotion_gate.base.model import CheckResult, Decision, NotJudged, Status, beside_gates
from promotion_gate.base.policy import GatePolicy, Policy
from promotion_gate.base.typed import plain
from promotion_gate.bundle.load import load_bundle
from promotion_gate.bundle.recorder import Recorder
from promotion_gate.judge.checks.registry import registered
from promotion_gate.judge.decide import decide
from promotion_gate.judge.shipped import read_policy, shipped_checklist
from promotion_gate.run.checked import Given, checklist_text, named_policy
from promotion_gate.run.masking import KNOWN, known_secrets
from promotion_gate.run.opening import new_run
from promotion_gate.run.places import depends_on, places_of
from promotion_gate.run.roles import Role, find_role
from promotion_gate.run.settings import VARIABLES, Mistakes, effective, unset

# A default that the module fills in on the host, so nothing is set here.
_NAMED = re.compile(r"\{env:[^}]*\}")


def judge_alone(request: object) -> dict[str, Any]:
    """Returns the findings of one gate as plain data.

    `request` comes from roles/gate_common/tasks/judge.yml: `role`, its name; `host`, where it ran; `variables` of that
    host, by name; `trip`, the module's result; `directory`, where the playbook is; `roles`, the folders of roles.
    Raises InputError with one line per mistake, or GateError.
    """
    fields = Fields(request, "the request of roles/gate_common", InputError)
    name, host = fields.text("role"), fields.text("host")
    given = Given(Fields({"hosts": {"localhost": {"values": fields.mapping("variables")}}}, fields.where, InputError))
    text, called = _checklist(fields, given)
    whole = read_policy(text, called)
    gate = next((gate for gate in whole.gates if (gate.role or "").rpartition(".")[2] == name), None)
    if gate is None:
        raise InputError(f"The checklist {whole.name} has no gate with the role {name}. Set promotion_policy to one.")
    policy, beyond = _alone(whole, gate)
    role = find_role(name, map(Path, fields.texts("roles")))
    with tempfile.TemporaryDirectory() as root:
        settings = _settings(policy, role, given, host, root)
        run = new_run(Path(root), settings, policy, text)
        recorder = Recorder(Path(run["bundle"]), known=settings[KNOWN])
        recorder.trip({**fields.mapping("trip"), "gate": gate.name}, host)
        recorder.close()
        bundle = replace(load_bundle(Path(run["bundle"])), policy=policy, shipped=None)
        decision = decide(bundle)
        return _findings(decision, (*beyond, *decision.not_judged), name, host)


def _checklist(fields: Fields, given: Given) -> tuple[str, str]:
    """The text and name of the checklist: the shipped one unless promotion_policy names another."""
    called = named_policy(given, None)
    shipped = None if given.first("promotion_policy") else shipped_checklist(Path(called).stem)
    return shipped or checklist_text(called, fields), called


def _alone(whole: Policy, gate: GatePolicy) -> tuple[Policy, tuple[NotJudged, ...]]:
    """The checklist reduced to one gate, and those of its checks that need more than the evidence of that gate."""
    kinds = registered()
    checks = {check.id: check for check in gate.checks if not kinds[check.check].beyond}
    kept = tuple(
        replace(check, needs=tuple(needed for needed in check.needs if needed in checks)) for check in checks.values()
    )
    beyond = tuple(
        NotJudged(check.id, check.title, f"it needs {kinds[check.check].beyond}")
        for check in gate.checks
        if check.id not in checks
    )
    return replace(whole, subject=gate.hosts, gates=(replace(gate, checks=kept),)), beyond


def _settings(policy: Policy, role: Role, given: Given, host: str, root: str) -> dict[str, Any]:
    """The settings of a run, taken from the variables that the role was used with."""
    gate, mistakes = policy.gates[0], Mistakes()
    roles, variables = {gate.name: role}, given.of_group(gate.hosts)
    places = places_of(policy, roles)
    # When a role is used alone, all of its variables count, including those that a run would set.
    found = {setting: variables.get(name) for name, setting in role.taken.items()}
    own = {setting: value for setting, value in found.items() if not unset(value) and not _NAMED.fullmatch(str(value))}
    settings = effective({**given.of_plan(places, mistakes), **own}, None, tuple(VARIABLES), mistakes)
    settings.update(role.settings(variables, mistakes))
    mistakes.stop()
    settings.update(
        hosts={gate.hosts: host},
        workspace=host,
        vm=host,
        places=places,
        inventory=[],
        gate_settings={gate.name: depends_on(gate, roles, places)},
        promotion_gates=None,
        promotion_run_id=None,
        promotion_reviewer="nobody reviews a role that is used alone",
        promotion_evidence_root=root,
        promotion_evidence_group=None,
        promotion_baseline_dir=f"{root}/baseline",
        promotion_waivers=[],
    )
    settings[KNOWN] = known_secrets(settings, given.marked)
    return settings


def _findings(decision: Decision, beyond: tuple[NotJudged, ...], role: str, host: str) -> dict[str, Any]:
    """Passed only if something was judged, all of it passed, and there is no objection to the evidence."""
    [gate] = decision.gates
    against = list(beside_gates(decision.objections))
    judged = [check for check in gate.checks if check.id != f"{gate.name}.evidence"]
    passed = bool(judged) and gate.status is Status.PASS and not against
    status = gate.status if judged else Status.MISSING
    lines = [f"{role} on {host}: {status if status is not Status.PASS or passed else Status.INVALID}"]
    for check in gate.checks:
        lines += _lines(check) if check.status is not Status.PASS and not check.cause else []
    lines += [f"objection: {text}" for text in against]
    lines += [f"not judged: {item.title} ({item.id}): {item.reason}" for item in beyond]
    return {
        "role": role,
        "host": host,
        "status": str(status),
        "passed": passed,
        "checks": [plain(check) for check in gate.checks],
        "objections": against,
        "not_judged": [{"check": item.id, "title": item.title, "reason": item.reason} for item in beyond],
        "message": "\n".join(lines),
    }


def _lines(check: CheckResult) -> list[str]:
    found = [f"{check.status} {check.title} ({check.id})", f"  expected: {check.expected}"]
    return [*found, f"  observed: {check.observed}", *([f"  unblock:  {check.unblock}"] if check.unblock else [])]
