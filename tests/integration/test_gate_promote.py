"""A healthy VM: the real playbook ends in PROMOTE, and the bundle is whole."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from ground import GATES, PROJECT, Ground, Run

FILES = [
    "01-preflight.log",
    "01-preflight-summary.md",
    "02-sqlite-smoke-run1.log",
    "02-sqlite-smoke-run2.log",
    "02-sqlite-smoke-run3.log",
    "02-sqlite-smoke-summary.md",
    "03-vm-bootstrap.log",
    "03-verdi-profile-list.log",
    "03-verdi-status.log",
    "03-vm-checkout.log",
    "03-vm-bootstrap-summary.md",
    "04-slurm-smoke-summary.md",
    "05-openapi-check.log",
    "05-api-client-generate.log",
    "05-convex-relay-tests.log",
    "05-boundary-notes.md",
    "05-contracts-summary.md",
    "promotion-decision.md",
    "promotion-decision.json",
    "index.json",
    "policy.yml",
    "baseline.json",
    "SHA256SUMS",
]
KEYS = [
    "schema",
    "run_id",
    "decision",
    "decided_at",
    "operator",
    "reviewer",
    "ticket",
    "commit",
    "branch",
    "vm",
    "policy",
    "risks",
    "waivers",
    "not_judged",
    "gates",
    "objections",
    "rerun_command",
]
GATE_KEYS = ["id", "name", "title", "status", "attempt", "duration_seconds", "checks"]
CHECK_KEYS = ["id", "title", "status", "expected", "observed", "evidence", "unblock", "waived"]


@pytest.mark.stranger("13.9", "no bound of a run was stated, and a frozen PostgreSQL took over four minutes")
def test_the_documented_bound_of_each_gate_is_the_sum_of_its_limits(promoted: Run) -> None:
    assert promoted.bundle is not None
    index = json.loads((promoted.bundle / "index.json").read_text(encoding="utf-8"))
    sums = dict.fromkeys(GATES, 0.0)
    for command in index["commands"]:
        sums[command["gate"]] += command["limit_seconds"]
    page = (PROJECT / "docs" / "runbook.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| [1-5] (\w+) \| (\d+) s \|$", page, re.MULTILINE)
    assert {name: float(seconds) for name, seconds in documented} == sums


def test_it_promotes(promoted: Run) -> None:
    assert promoted.status == 0, promoted.output
    assert promoted.decision is not None
    assert promoted.decision["decision"] == "PROMOTE"
    assert "PROMOTE" in promoted.output
    assert "HOLD" not in promoted.output


def test_the_bundle_is_whole(promoted: Run) -> None:
    assert promoted.bundle is not None
    missing = [name for name in FILES if not (promoted.bundle / name).is_file()]
    assert not missing
    empty = [name for name in FILES if not (promoted.bundle / name).read_bytes().strip()]
    assert not empty
    logs = sorted(path.name for path in (promoted.bundle / "slurm-smoke").rglob("*.log"))
    assert logs == ["01-scontrol-ping.log", "02-sinfo.log", "05-verdi-computer-test.log"]
    assert not (promoted.bundle / "follow-up-issue.md").exists()


def test_the_record_has_the_pinned_keys(promoted: Run) -> None:
    record = promoted.decision
    assert record is not None
    assert set(KEYS) <= set(record)
    assert [gate["name"] for gate in record["gates"]] == list(GATES)
    for gate in record["gates"]:
        assert set(GATE_KEYS) <= set(gate)
        assert gate["status"] == "PASS"
        assert gate["checks"]
        for check in gate["checks"]:
            assert set(CHECK_KEYS) <= set(check)
    assert (record["operator"], record["reviewer"]) == ("test-operator", "test-reviewer")
    assert record["objections"] == []
    assert [entry["id"] for entry in record["not_judged"]] == ["slurm_smoke.calculation"]


def test_verify_and_check_agree(promoted: Run) -> None:
    for command in ("verify", "check"):
        done = subprocess.run(
            [sys.executable, "-m", "promotion_gate", command, str(promoted.bundle)],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_bundle_is_for_its_owner_alone(promoted: Run) -> None:
    assert promoted.bundle is not None
    for path in (promoted.bundle, *promoted.bundle.rglob("*")):
        assert path.stat().st_mode & 0o7777 == (0o700 if path.is_dir() else 0o600), path
    for path in (*promoted.bundle.parent.glob("baseline/*"), promoted.bundle.parent / ".promotion-gate.lock"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_nothing_stays_on_the_vm(promoted: Run, healthy_ground: Ground) -> None:
    assert promoted.decision is not None
    listed = sorted(path.relative_to(healthy_ground.vm).parts[0] for path in healthy_ground.vm.iterdir())
    assert listed == [".git", ".gitignore", "docs", "ops", "packages", "scripts"]
    assert [path.name for path in healthy_ground.env_file.parent.iterdir()] == ["aiida-vm.env"]
