"""What verify would refuse is never sealed: one validation, asked before a decision is written and afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bundles
import pytest

from promotion_gate.base.errors import BundleError, InputError
from promotion_gate.base.files import parse_json, read_json, to_json
from promotion_gate.base.times import parse_duration
from promotion_gate.prove.seal import seal
from promotion_gate.prove.verify import verify_bundle

Index = dict[str, Any]


def _setting(name: str, value: object) -> Callable[[Index], None]:
    def change(index: Index) -> None:
        index["settings"][name] = value

    return change


def _field(name: str, value: object) -> Callable[[Index], None]:
    def change(index: Index) -> None:
        index[name] = value

    return change


CHANGES: dict[str, tuple[Callable[[Index], None], str]] = {
    "opened-x": (_field("opened_at", "x"), "opened_at"),
    "opened-no-day": (_field("opened_at", "2026-02-30T00:00:00Z"), "which is not a time"),
    "opened-later": (_field("opened_at", "2099-01-01T00:00:00Z"), "after its decision"),
    "evaluated-no-day": (_field("evaluated_at", "9999-99-99T00:00:00Z"), "evaluated_at"),
    "age-null": (_setting("evidence_max_age_seconds", None), "evidence_max_age_seconds is None"),
    "age-string": (_setting("evidence_max_age_seconds", "86400"), "evidence_max_age_seconds is '86400'"),
    "age-huge": (_setting("evidence_max_age_seconds", 1e300), "evidence_max_age_seconds is 1e+300"),
    "age-true": (_setting("evidence_max_age_seconds", True), "evidence_max_age_seconds is True"),
    "age-float": (_setting("evidence_max_age_seconds", 86400.0), "evidence_max_age_seconds is 86400.0"),
    "age-longer": (_setting("evidence_max_age_seconds", 10**9), "not promotion_evidence_max_age in seconds"),
    "age-unreadable": (_setting("promotion_evidence_max_age", "for ever"), "write a duration"),
    "other-operator": (_setting("promotion_operator", "mallory"), "settings.promotion_operator is not what"),
    "other-reviewer": (_setting("promotion_reviewer", "mallory"), "settings.promotion_reviewer is not what"),
    "other-ticket": (_setting("promotion_ticket", "gra-1"), "settings.promotion_ticket is not what"),
    "other-waivers": (_setting("promotion_waivers", [{}]), "settings.promotion_waivers is not what"),
    "unknown-field": (_field("note", "x"), "note"),
    "attempt-without-seal": (_field("attempt", 2), "each attempt before this one"),
}


@pytest.mark.stranger("14.10", "seal wrote a PROMOTE that verify refused: opened_at, the age of evidence, the operator")
@pytest.mark.parametrize(("change", "sentence"), CHANGES.values(), ids=CHANGES)
def test_what_verify_refuses_is_not_sealed(tmp_path: Path, change: Callable[[Index], None], sentence: str) -> None:
    bundle = bundles.closed_bundle(tmp_path)
    index = read_json(bundle / "index.json")
    change(index)
    (bundle / "index.json").write_text(to_json(index), encoding="utf-8")
    with pytest.raises(BundleError) as caught:
        seal(bundle)
    assert sentence in str(caught.value)
    assert not (bundle / "SHA256SUMS").exists()


def test_an_unchanged_bundle_is_sealed_and_verifies(tmp_path: Path) -> None:
    bundle = bundles.closed_bundle(tmp_path)
    assert seal(bundle).decision == "PROMOTE"
    assert verify_bundle(bundle).holds


@pytest.mark.stranger("14.10", "the last of two equal keys counted; NaN, Infinity and 1e999 were read")
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": 1, "a": 2}', 'duplicate key "a"'),
        ('{"x": [{"b": 1, "b": 1}]}', 'duplicate key "b"'),
        ("NaN", "NaN is not a finite number"),
        ("[-Infinity]", "-Infinity is not a finite number"),
        ('{"a": 1e999}', "1e999 is not a finite number"),
    ],
)
def test_json_is_read_strictly(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_json(text)
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    with pytest.raises(BundleError, match=problem):
        read_json(tmp_path / "x.json")


def test_ordinary_json_is_read() -> None:
    assert parse_json('{"a": 1.5, "b": [null, true, "x"]}') == json.loads('{"a": 1.5, "b": [null, true, "x"]}')


@pytest.mark.stranger("14.10", "an age of evidence of 999999999 weeks was a traceback")
@pytest.mark.parametrize("text", ["999999999w", "3661d", "9999w"])
def test_no_duration_switches_a_limit_off(text: str) -> None:
    with pytest.raises(InputError, match="of at most ten years"):
        parse_duration(text, "promotion_evidence_max_age")
