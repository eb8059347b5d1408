"""The JSON Schemas of docs/schema: real files fit them, and they refuse what the parsers refuse."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import bundles
import jsonschema
import pytest
import schemas
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promotion_gate.base.errors import BundleError, GateError
from promotion_gate.base.files import sha256, to_json
from promotion_gate.base.names import issue_file
from promotion_gate.base.typed import plain
from promotion_gate.bundle.baseline import read_baselines
from promotion_gate.bundle.index import parse_index
from promotion_gate.bundle.recorder import Recorder
from promotion_gate.prove.signoff import make_signoff
from promotion_gate.prove.verify import verify_bundle
from promotion_gate.report.tracker import Commands, hand_over

SCHEMAS = bundles.PROJECT / "docs" / "schema"


@cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    text = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(text)
    return jsonschema.Draft202012Validator(text)


def problems(name: str, data: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator(name).iter_errors(data)]


def read_policy(bundle: Path) -> Any:
    return parsed((bundle / "policy.yml").read_text(encoding="utf-8"))


@cache
def parsed(text: str) -> Any:
    return yaml.safe_load(text)


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
    assert names == {"index", "promotion-decision", "baseline", "policy", "sign-off", "issue", "verify-report", "fleet"}


@pytest.mark.parametrize("name", schemas.TYPES)
def test_a_schema_is_what_its_type_says(name: str) -> None:
    written = (SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8")
    assert written == schemas.text_of(name), "a type was changed: run `make schemas`"


@pytest.mark.slow
@pytest.mark.parametrize("attempt", ["", "attempts/01"], ids=["promote", "hold"])
@pytest.mark.parametrize("name", ["index", "promotion-decision"])
def test_a_real_bundle_fits(resumed: Path, name: str, attempt: str) -> None:
    assert problems(name, read(resumed / attempt / f"{name}.json")) == []


def test_its_baseline_policy_sign_off_and_report_fit(resumed: Path) -> None:
    assert problems("baseline", read(resumed / "baseline.json")) == []
    assert problems("policy", yaml.safe_load((resumed / "policy.yml").read_text(encoding="utf-8"))) == []
    assert problems("sign-off", read(resumed.parent / f"{resumed.name}.signoff.json")) == []
    assert problems("verify-report", verify_bundle(resumed).as_dict()) == []


@pytest.mark.parametrize("command", ["echo https://t.example.org/7", "false", "no-such-tool-anywhere", "sleep 20"])
def test_the_answer_of_a_tracker_fits(tmp_path: Path, command: str) -> None:
    bundle = bundles.hold_bundle(tmp_path, promotion_issue_command=command, promotion_issue_limit_seconds=1)
    hand_over(bundle, Commands(command))
    assert problems("issue", read(issue_file(bundle))) == []


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
        ("schema", 1),
        ("state", "shut"),
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


@pytest.mark.parametrize("change", [{"state": "open"}, {"evaluated_at": None}], ids=str)
def test_an_index_has_the_time_of_its_decision_exactly_when_it_is_closed(resumed: Path, change: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match="evaluated_at must be set in a closed index, and only there"):
        parse_index({**read(resumed / "index.json"), **change})


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


def test_a_gate_of_a_policy_has_hosts(resumed: Path) -> None:
    data = yaml.safe_load((resumed / "policy.yml").read_text(encoding="utf-8"))
    del data["gates"][0]["hosts"]
    assert problems("policy", data) == ["$.gates[0]: 'hosts' is a required property"]


# --- any field of any file, replaced, removed or added ----------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-9, 9) | st.text(max_size=5)
    | st.sampled_from(["closed", "open", "PROMOTE", "0" * 64, "2026-11-24T00:29:30Z", "../x", "preflight"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
PLACES = st.lists(st.integers(0, 10_000), min_size=1, max_size=6)
per_bundle = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
HOW = st.sampled_from(["set", "remove", "add"])
FILES = st.sampled_from(["index", "policy", "baseline"])


def mutate(data: Any, places: list[int], value: Any, how: str) -> Any:
    """A copy of `data` with one thing in it changed: the numbers choose the way down."""
    if not places or not isinstance(data, (dict, list)) or not data:
        return value
    keys = sorted(data) if isinstance(data, dict) else range(len(data))
    key = keys[places[0] % len(keys)]
    copied = data.copy()
    if len(places) == 1 and how == "remove":
        del copied[key]
    elif len(places) == 1 and how == "add" and isinstance(copied, dict):
        copied["extra"] = value
    else:
        copied[key] = mutate(data[key], places[1:], value, how)
    return copied


READERS: dict[str, Callable[[Any], object]] = {
    "index": parse_index,
    "baseline": lambda data: read_baselines(data, "baseline.json"),
}


@per_bundle
@given(st.sampled_from(sorted(READERS)), PLACES, JSON, HOW)
def test_what_its_schema_refuses_is_not_read(resumed: Path, name: str, places: list[int], value: Any, how: str) -> None:
    data = mutate(read(resumed / f"{name}.json"), places, value, how)
    try:
        READERS[name](data)
    except BundleError as error:
        assert str(error).endswith((".", "?")) and "\n" not in str(error)
    else:
        assert problems(name, data) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"attempt": 0}, "index.json: attempt must be from 1 to 999, not 0."),
        ({"attempt": 10**30}, "index.json: attempt does not fit in 64 bits."),
        ({"state": "shut"}, 'index.json: state must be open or closed, not the string "shut".'),
        ({"masked": []}, 'index.json has the unknown key "masked"; did you mean "masks"?'),
        ({"gates": {"preflight": {}}}, "index.json: gates.preflight.attempt is missing."),
        ({"gates": {"Pre": {}}}, 'index.json: gates.Pre must be the name of a gate, not the string "Pre".'),
        ({"events": [{"kind": "failed", "gate": 7, "host": "", "task": "", "message": ""}]},
         "index.json: events[0].gate must be a string, not the number 7."),
        ({"baseline_sha256": "0" * 64 + "\n"}, "index.json: baseline_sha256 must be a SHA-256"),
        ({"run": {"check": 1}}, "index.json: run.check must be true or false, not the number 1."),
        ({"files": []}, "index.json: files must be a mapping, not a list."),
    ],
)  # fmt: skip
def test_what_is_not_read_is_named_with_its_place(resumed: Path, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BundleError) as caught:
        parse_index({**read(resumed / "index.json"), **change})
    assert str(caught.value).startswith(sentence)


def test_what_is_read_is_written_the_same(resumed: Path) -> None:
    data = read(resumed / "index.json")
    assert plain(parse_index(data)) == data


@pytest.mark.slow
@per_bundle
@given(FILES, PLACES, JSON, HOW)
def test_verify_never_raises_and_finds_what_does_not_fit(
    resumed: Path, tmp_path_factory: pytest.TempPathFactory, name: str, places: list[int], value: Any, how: str
) -> None:
    """Also where the digests that the index names were made to fit again."""
    bundle = Path(shutil.copytree(resumed, tmp_path_factory.mktemp("mutated") / resumed.name))
    index = read(bundle / "index.json")
    if name == "policy":
        data = mutate(read_policy(bundle), places, value, how)
        (bundle / "policy.yml").write_text(yaml.safe_dump(data), encoding="utf-8")
        index["policy"]["sha256"] = sha256((bundle / "policy.yml").read_bytes())
    elif name == "baseline":
        data = mutate(read(bundle / "baseline.json"), places, value, how)
        (bundle / "baseline.json").write_text(to_json(data), encoding="utf-8")
        index["baseline_sha256"] = sha256((bundle / "baseline.json").read_bytes())
    else:
        data = index = mutate(index, places, value, how)
    (bundle / "index.json").write_text(to_json(index), encoding="utf-8")
    report = verify_bundle(bundle)
    assert not report.holds or (bundle / "index.json").read_bytes() == (resumed / "index.json").read_bytes()
    if name in READERS and problems(name, data):
        assert "index, policy, baseline" in [finding.name for finding in report.findings if not finding.holds]
    assert not problems("verify-report", report.as_dict())
    shutil.rmtree(bundle.parent)


@pytest.mark.stranger("14.1", "a bundle without the identity of its gates is judged")
def test_a_bundle_of_a_pre_release_is_answered_with_a_sentence(resumed: Path) -> None:
    data = {**read(resumed / "index.json"), "schema": 1}
    with pytest.raises(GateError, match=r"has schema 1, which a pre-release wrote; this gate reads schema 2"):
        parse_index(data)
