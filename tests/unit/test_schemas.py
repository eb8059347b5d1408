"""The JSON Schemas of docs/schema: real files fit them, and they refuse what the parsers refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bundles
import jsonschema
import pytest
import yaml

from promotion_gate.bundle import load_bundle
from promotion_gate.errors import GateError
from promotion_gate.index import parse_index
from promotion_gate.recorder import Recorder
from promotion_gate.signoff import make_signoff
from promotion_gate.verify import verify_bundle

SCHEMAS = bundles.PROJECT / "docs" / "schema"


def validator(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def problems(name: str, data: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator(name).iter_errors(data)]


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("resumed")
    bundles.make_bundle(root, run_id="20261101T000000Z")
    risk = {"risk": "RabbitMQ 4 is not supported", "mitigation": "watch the daemon"}
    bundles.hold_bundle(root, "20261102T000000Z", promotion_risks=[risk])
    bundle = bundles.resume_bundle(root)
    make_signoff(bundle, "bob")
    return bundle


def test_every_schema_is_read_by_a_test() -> None:
    names = {path.name.removesuffix(".schema.json") for path in SCHEMAS.iterdir()}
    assert names == {"index", "promotion-decision", "baseline", "policy", "sign-off", "verify-report"}


@pytest.mark.parametrize("attempt", ["", "attempts/01"], ids=["promote", "hold"])
@pytest.mark.parametrize("name", ["index", "promotion-decision"])
def test_a_real_bundle_fits(resumed: Path, name: str, attempt: str) -> None:
    assert problems(name, read(resumed / attempt / f"{name}.json")) == []


def test_its_baseline_policy_sign_off_and_report_fit(resumed: Path) -> None:
    assert problems("baseline", read(resumed / "baseline.json")) == []
    assert problems("policy", yaml.safe_load((resumed / "policy.yml").read_text(encoding="utf-8"))) == []
    assert problems("sign-off", read(resumed.parent / f"{resumed.name}.signoff.json")) == []
    assert problems("verify-report", verify_bundle(resumed).as_dict()) == []


def test_a_run_without_evidence_and_an_open_one_fit(tmp_path: Path) -> None:
    assert problems("index", read(bundles.open_bundle(tmp_path) / "index.json")) == []
    bundle = bundles.make_bundle(tmp_path, {}, run_id="20261125T002930Z")
    assert problems("promotion-decision", read(bundle / "promotion-decision.json")) == []


def test_gates_that_were_not_reached_fit(tmp_path: Path) -> None:
    bundle = bundles.open_bundle(tmp_path)
    recorder = Recorder(bundle)
    recorder.event("unreachable", "vm_bootstrap", "aiida-vm", "Run the commands", "timed out")
    recorder.event("failed", None, "localhost", "Some task", "no message")
    recorder.error("disk full")
    assert problems("index", read(bundle / "index.json")) == []


INDEX_FIELDS = ("schema", "run_id", "state", "attempt", "opened_at", "ticket", "operator", "reviewer")


@pytest.mark.parametrize("field", INDEX_FIELDS)
def test_schema_and_parser_want_the_same_fields_of_an_index(resumed: Path, field: str) -> None:
    data = {key: value for key, value in read(resumed / "index.json").items() if key != field}
    assert problems("index", data)
    with pytest.raises(GateError, match=field):
        parse_index(data)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema", 2),
        ("state", "shut"),
        ("state", "open"),
        ("evaluated_at", None),
        ("attempt", "1"),
        ("files", {"../x": "0" * 64}),
        ("files", {"/x": "0" * 64}),
        ("commands", [{}]),
        ("gates", {"preflight": {}}),
        ("artifacts", [{"gate": "preflight", "file": "/x", "source": "", "size": 1, "truncated": False}]),
        ("collector_errors", [7]),
    ],
)
def test_schema_and_parser_refuse_the_same_index(resumed: Path, field: str, value: object) -> None:
    data = {**read(resumed / "index.json"), field: value}
    assert problems("index", data)
    with pytest.raises(GateError):
        parse_index(data)


def test_an_unknown_field_does_not_fit(resumed: Path) -> None:
    for name, file in (("index", "index.json"), ("promotion-decision", "promotion-decision.json")):
        assert problems(name, {**read(resumed / file), "extra": 1})


@pytest.mark.parametrize("key", ["name", "title", "gates", "schema"])
def test_schema_and_parser_want_the_same_fields_of_a_policy(resumed: Path, tmp_path: Path, key: str) -> None:
    data = yaml.safe_load((resumed / "policy.yml").read_text(encoding="utf-8"))
    del data[key]
    assert problems("policy", data)
    (tmp_path / "policy.yml").write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(GateError):
        bundles.open_bundle(tmp_path / "root", promotion_policy=str(tmp_path / "policy.yml"))


def test_the_gates_of_a_policy_stand_in_order(resumed: Path) -> None:
    data = yaml.safe_load((resumed / "policy.yml").read_text(encoding="utf-8"))
    assert problems("policy", {**data, "gates": data["gates"][::-1]})
    assert problems("policy", {**data, "gates": data["gates"][:4]})
    assert load_bundle(resumed).policy.gates[0].name == data["gates"][0]["name"]
