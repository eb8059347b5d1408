"""Redaction never turns a PASS into something else: the parsers read the same of an output and of the masked output."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from promotion_gate.redact import MASK, Redactor

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
