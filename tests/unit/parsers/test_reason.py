"""The reason in each recorded output is the line that a person would quote; what could not work is recognised."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bundles import make_bundle, trips_with
from parser_cases import CASES, Case, cases

from promotion_gate.bundle.load import load_bundle
from promotion_gate.judge.decide import decide
from promotion_gate.judge.parsers.text import last_line, reason

# The outputs whose reason is not their last line, each read and approved; of all the others it is the last line.
APPROVED: dict[str, str] = json.loads(Path(__file__).with_name("reasons.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.folder}/{case.path.stem}")
def test_the_reason_is_the_line_that_a_person_would_quote(case: Case) -> None:
    expected = APPROVED.get(f"{case.folder}/{case.path.stem}")
    found = reason(case.text)
    assert found.startswith(expected) if expected else found == reason(last_line(case.text))


def test_every_approved_reason_is_of_a_case() -> None:
    assert set(APPROVED) <= {f"{case.folder}/{case.path.stem}" for case in cases()}


def output(name: str) -> str:
    return (CASES / "reason" / f"{name}.txt").read_text(encoding="utf-8")


COULD_NOT_WORK = [
    ("contracts", "openapi", 2, "uv-offline", "contracts.openapi", "Failed to download"),
    ("contracts", "openapi", 1, "python-no-fastapi", "contracts.openapi", "No module named 'fastapi'"),
    ("contracts", "generate", 1, "pnpm-no-generator", "contracts.client_generate", "openapi-typescript: not found"),
    ("contracts", "generate", 1, "corepack-signature", "contracts.client_generate", "Corepack cannot download"),
    ("preflight", "version_pnpm", 1, "corepack-keyid", "preflight.pnpm", "Cannot find matching keyid"),
    ("sqlite_smoke", "run_2", 2, "uv-offline", "sqlite_smoke.runs", "Failed to download"),
    ("vm_bootstrap", "profile_list", 2, "uv-no-group", "vm_bootstrap.profile", "Group `nosuch` is not defined"),
]


@pytest.mark.stranger("13.4", "a tool that could not work was FAIL, with its last line as the reason")
@pytest.mark.parametrize(("gate", "command", "status", "message", "check", "shown"), COULD_NOT_WORK)
def test_a_tool_that_could_not_work_is_blocked(
    tmp_path: Path, gate: str, command: str, status: int, message: str, check: str, shown: str
) -> None:
    bundle = make_bundle(tmp_path, trips_with(gate, command, exit=status, output=output(message)))
    found = {c.id: c for g in decide(load_bundle(bundle)).gates for c in g.checks}[check]
    assert found.status == "BLOCKED"
    assert shown in found.observed


def test_a_test_that_fails_stays_a_failure(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path, trips_with("contracts", "openapi", exit=1, output=output("openapi-drift")))
    found = {c.id: c for g in decide(load_bundle(bundle)).gates for c in g.checks}["contracts.openapi"]
    assert (found.status, "drift: apps/api/openapi.json differs" in found.observed) == ("FAIL", True)
