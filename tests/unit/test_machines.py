"""junit.xml, ctrf.json and promotion-decision.intoto.json: each fits its format, and none of them hides a HOLD."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as xml

import bundles
import jsonschema
import pytest

from promotion_gate.__main__ import main
from promotion_gate.base.files import sha256
from promotion_gate.base.model import Decision
from promotion_gate.bundle.load import load_bundle
from promotion_gate.judge.decide import decide
from promotion_gate.report.machines import PREDICATE_TYPE, STATEMENT_TYPE, statement
from promotion_gate.report.outcomes import Outcome, suites

EXAMPLES = bundles.PROJECT / "tests" / "bundles" / "0.1.0"
HEALTHY, HELD, RESUMED = EXAMPLES / "root/healthy", EXAMPLES / "held/repaired", EXAMPLES / "root/repaired"
CTRF_SCHEMA = Path(__file__).parent / "formats" / "ctrf-0.0.schema.json"


def record(bundle: Path) -> Any:
    return json.loads((bundle / "promotion-decision.json").read_text(encoding="utf-8"))


def checks(bundle: Path) -> dict[str, Any]:
    return {check["id"]: check for gate in record(bundle)["gates"] for check in gate["checks"]}


@pytest.fixture(scope="module")
def bundle_of_each_kind(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    nothing = tmp_path_factory.mktemp("nothing")
    hostile = tmp_path_factory.mktemp("hostile")
    output = 'x\x00\x1b[31m\ufffe]]><failure type="no"/>&amp; slurmctld is DOWN'
    off = tmp_path_factory.mktemp("off")
    return {
        "PROMOTE": HEALTHY,
        "HOLD": HELD,
        "resumed": RESUMED,
        "nothing was run": bundles.make_bundle(nothing, {}),
        "hostile": bundles.make_bundle(hostile, bundles.trips_with("slurm_smoke", "ping", exit=1, output=output)),
        "a check switched off": bundles.make_bundle(off, gate_slurm_smoke_submit_job="false"),
    }


KINDS = ("PROMOTE", "HOLD", "resumed", "nothing was run", "hostile", "a check switched off")


@pytest.mark.parametrize("kind", KINDS)
def test_junit_says_what_the_record_says(kind: str, bundle_of_each_kind: dict[str, Path]) -> None:
    bundle = bundle_of_each_kind[kind]
    root = xml.parse(bundle / "junit.xml").getroot()
    assert root is not None
    held = record(bundle)["decision"] == "HOLD"
    assert bool(root.findall(".//failure")) == held == bool(int(root.get("failures", "0")))
    for element in [root, *root.findall("testsuite")]:
        for name, tag in (("tests", "testcase"), ("failures", "failure"), ("skipped", "skipped")):
            assert int(element.get(name, "")) == len(element.findall(f".//{tag}"))
    cases = {case.get("name", "").split(":")[0]: case for case in root.iter("testcase")}
    for check_id, check in checks(bundle).items():
        case = cases[check_id]
        failure, skipped = case.find("failure"), case.find("skipped")
        assert (failure is not None) == (check["status"] != "PASS" and not check["cause"]), check_id
        if failure is not None:
            assert failure.get("type") == check["status"]
            assert "unblock: " in (failure.text or "")
        if check["cause"]:
            assert skipped is not None and check["cause"] in skipped.get("message", "")


@pytest.mark.parametrize("kind", KINDS)
def test_ctrf_fits_its_published_schema(kind: str, bundle_of_each_kind: dict[str, Path]) -> None:
    bundle = bundle_of_each_kind[kind]
    schema = json.loads(CTRF_SCHEMA.read_text(encoding="utf-8"))
    report = json.loads((bundle / "ctrf.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker()).validate(report)
    results = report["results"]
    statuses = [test["status"] for test in results["tests"]]
    for status in ("passed", "failed", "skipped"):
        assert results["summary"][status] == statuses.count(status)
    assert results["summary"]["tests"] == len(statuses)
    assert ("failed" in statuses) == (record(bundle)["decision"] == "HOLD") == (not results["environment"]["healthy"])


@pytest.mark.parametrize("kind", KINDS)
def test_the_statement_is_one_of_in_toto(kind: str, bundle_of_each_kind: dict[str, Path]) -> None:
    """Read by in-toto's own package: the statement, its subjects, and the predicate test-result."""
    from google.protobuf import json_format
    from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement

    bundle = bundle_of_each_kind[kind]
    text = (bundle / "promotion-decision.intoto.json").read_text(encoding="utf-8")
    parsed = json_format.Parse(text, statement_pb2.Statement())
    Statement.copy_from_pb(parsed).validate()
    assert (parsed.type, parsed.predicate_type) == (STATEMENT_TYPE, PREDICATE_TYPE)
    predicate = json.loads(text)["predicate"]
    result = json_format.ParseDict(predicate, test_result_pb2.TestResult())
    decision = record(bundle)
    assert result.result == ("PASSED" if decision["decision"] == "PROMOTE" else "FAILED")
    assert bool(result.failed_tests) == any(gate["status"] != "PASS" for gate in decision["gates"])
    assert sorted([*result.passed_tests, *result.warned_tests, *result.failed_tests]) == sorted(checks(bundle))
    digests = {item.name: item.digest["sha256"] for item in result.configuration}
    for name in ("index.json", "policy.yml"):
        assert digests[name] == sha256((bundle / name).read_bytes())


def test_the_statement_is_about_the_commit_and_the_vm() -> None:
    statement, decision = (
        json.loads((HELD / "promotion-decision.intoto.json").read_text(encoding="utf-8")),
        record(HELD),
    )
    assert statement["subject"] == [
        {"name": "commit", "digest": {"gitCommit": decision["commit"]}},
        {"name": "aiida-vm", "digest": {"sha256": decision["vm"]["fingerprint"]}},
    ]


def test_a_run_that_reached_nothing_is_its_own_subject(tmp_path: Path) -> None:
    bundle = load_bundle(bundles.closed_bundle(tmp_path, {}))
    [subject] = statement(bundle, decide(bundle))["subject"]
    assert subject["digest"] == {"sha256": bundle.index_sha256}


def without_failure(decision: Decision) -> bool:
    return not any(suite.count(Outcome.FAILED) for suite in suites(decision))


@pytest.mark.parametrize("change", [{"objections": ("The clock went back.",)}, {"gates": ()}], ids=str)
def test_a_hold_never_looks_green(change: dict[str, Any]) -> None:
    """An objection is a separate failure, and so is a HOLD that no check caused."""
    bundle = load_bundle(HEALTHY)
    decision = decide(bundle)
    assert decision.decision == "PROMOTE" and without_failure(decision)
    assert not without_failure(replace(decision, **change))


def test_show_as_the_summary_of_a_job(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--markdown", str(HELD)]) == 1
    shown = capsys.readouterr().out
    assert shown.startswith("## Promotion gate: HOLD\n")
    assert "`vm_bootstrap.daemon`" in shown and record(HELD)["rerun_command"] in shown
    assert main(["show", "--markdown", str(HEALTHY)]) == 0
    assert capsys.readouterr().out.startswith("## Promotion gate: PROMOTE\n")
