"""Redaction never turns a PASS into something else: the parsers read the same of an output and of the masked output."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from promotion_gate.base.redact import MASK, Redactor
from promotion_gate.judge.ownership import OwnershipMap, analyse, load_map

sys.path.insert(0, str(Path(__file__).parent / "parsers"))
from parser_cases import READERS, Case, as_json, cases

# What an environment file may well hold beside these outputs.
SECRETS = {"AIIDA_DB_PASSWORD": "hunter2hunter2", "AIIDA_RABBITMQ_PASSWORD": "change-me-broker", "X_TOKEN": "aiida"}


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.folder}/{case.path.stem}")
def test_a_masked_output_is_read_as_the_output(case: Case) -> None:
    masked = Redactor(SECRETS).text(case.text)
    assert as_json(READERS[case.folder](masked)) == masked_like(as_json(READERS[case.folder](case.text)))


def masked_like(result: object) -> object:
    """The expected result with the one thing that is masked in it: the password of a broker's URL."""
    return json.loads(json.dumps(result).replace("guest:guest@", f"guest:{MASK}@"))


OWNERSHIP = Path(__file__).parent / "ownership" / "cases"
SECRET_FIELDS = """# Update

## Required fields

| Field | Type | Owner |
| --- | --- | --- |
| event_id | string | AiiDA |
| access_token | string | Convex |

## Optional fields

- `client_secret`: string, optional
- **apiKey**: string; optional, the key of the caller
- password (string, optional)
"""


@pytest.fixture(scope="module")
def ownership() -> OwnershipMap:
    return load_map((OWNERSHIP / "map.yml").read_text(encoding="utf-8"), "map.yml")


DOCUMENTS = {path.stem: path.read_bytes().decode("utf-8", "replace") for path in sorted(OWNERSHIP.glob("*.md"))}


@pytest.mark.parametrize("text", [SECRET_FIELDS, *DOCUMENTS.values()], ids=["secrets", *DOCUMENTS])
def test_a_masked_contract_is_analysed_as_the_contract(text: str, ownership: OwnershipMap) -> None:
    masked = Redactor(SECRETS).text(text)
    assert analyse(ownership, {"docs/update.md": masked}) == analyse(ownership, {"docs/update.md": text})
