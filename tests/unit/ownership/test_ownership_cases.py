"""One document per case, beside what the analysis must report of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from promotion_gate.judge.ownership import Outcome, OwnershipMap, analyse, load_map

CASES = Path(__file__).parent / "cases"
DOCUMENT = "docs/update.md"
# A document that is not text has the ending .bin, so that no editor or formatter corrects it.
DOCUMENTS = {path.stem: path for path in sorted(CASES.iterdir()) if path.suffix in (".md", ".bin")}
NAMES = list(DOCUMENTS)
KEYS = {"why", "fields", "faults", "unreadable"}


@pytest.fixture(scope="module")
def ownership() -> OwnershipMap:
    return load_map((CASES / "map.yml").read_text(encoding="utf-8"), "map.yml")


def expected_of(name: str) -> dict[str, Any]:
    data = yaml.safe_load((CASES / f"{name}.yml").read_text(encoding="utf-8"))
    assert isinstance(data, dict) and data.keys() <= KEYS and data["why"]
    return data


def outcome_of(name: str, ownership: OwnershipMap) -> Outcome:
    # As the gate reads it: line endings are kept, bytes that are not UTF-8 are replaced.
    text = DOCUMENTS[name].read_bytes().decode("utf-8", errors="replace")
    return analyse(ownership, {DOCUMENT: text})


@pytest.mark.parametrize("name", NAMES)
def test_case(name: str, ownership: OwnershipMap) -> None:
    expected = expected_of(name)
    outcome = outcome_of(name, ownership)

    faults = [[str(fault.kind), fault.field, fault.line] for fault in outcome.faults]
    unreadable = expected.get("unreadable", [])
    assert len(outcome.unreadable) == len(unreadable), outcome.unreadable
    for sentence, (line, fragment) in zip(outcome.unreadable, unreadable, strict=True):
        assert sentence.startswith(f"{DOCUMENT}, line {line}: ") and fragment in sentence
    assert faults == expected.get("faults", [])
    if "fields" in expected:
        fields = [
            [field.path, field.requirement, field.type, list(field.owners), field.line] for field in outcome.fields
        ]
        assert fields == expected["fields"]


@pytest.mark.parametrize("name", NAMES)
def test_case_says_what_its_name_says(name: str) -> None:
    expected = expected_of(name)
    if name.startswith("fault-"):
        assert expected["faults"] and not expected.get("unreadable")
    elif name.startswith("unreadable-"):
        assert expected["unreadable"]
    else:
        assert name.startswith("style-") and (expected.get("fields") or expected.get("faults"))


def test_every_file_is_read() -> None:
    read = {path.name for path in DOCUMENTS.values()} | {f"{name}.yml" for name in NAMES} | {"map.yml"}
    assert {path.name for path in CASES.iterdir()} == read


def test_every_sentence_says_what_to_do(ownership: OwnershipMap) -> None:
    for name in NAMES:
        outcome = outcome_of(name, ownership)
        for fault in outcome.faults:
            assert fault.sentence.endswith(".") and ("; " in fault.sentence), fault.sentence
