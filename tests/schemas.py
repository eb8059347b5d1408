"""The JSON Schemas of docs/schema, made from the types that read and write the files; `make schemas` writes them."""

from __future__ import annotations

import json
from pathlib import Path

from promotion_gate.base.json_schema import schema
from promotion_gate.base.model import Decision
from promotion_gate.base.policy import Policy
from promotion_gate.bundle.baseline import Baselines
from promotion_gate.bundle.fleet import Fleet
from promotion_gate.bundle.index import Index
from promotion_gate.prove.findings import Printed
from promotion_gate.prove.signoff import SignOffRecord
from promotion_gate.report.issues import IssueRecord

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "schema"
TYPES: dict[str, tuple[type, str]] = {
    "fleet": (Fleet, "fleet.json of an evidence root of several hosts"),
    "baseline": (Baselines, "baseline.json of a bundle: the known-good timings, oldest first"),
    "promotion-decision": (Decision, "promotion-decision.json of a bundle"),
    "sign-off": (SignOffRecord, "<run id>.signoff.json beside a bundle"),
    "issue": (IssueRecord, "<run id>.issue.json beside a bundle"),
    "verify-report": (Printed, "what promotion-gate verify --json prints"),
    "policy": (Policy, "policy.yml of a bundle: the checklist as data"),
    "index": (Index, "index.json of a bundle"),
}


def text_of(name: str) -> str:
    return json.dumps(schema(*TYPES[name]), indent=2) + "\n"


if __name__ == "__main__":
    for name in TYPES:
        (FOLDER / f"{name}.schema.json").write_text(text_of(name), encoding="utf-8")
