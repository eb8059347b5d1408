"""The shipped map against the three surfaces, and what one document alone cannot show."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from promotion_gate.judge.ownership import FaultKind, Outcome, OwnershipMap, analyse, load_map, shipped_map
from promotion_gate.judge.ownership.map import shipped_text

SURFACES = Path(__file__).parent / "surfaces"
ADR = "docs/adr/ADR-0004-runtime-contract-boundary-byo-aiida.md"
PROJECTION = "docs/contracts/projection-update.md"
SUBMIT = "docs/contracts/command-submit-job.md"


@pytest.fixture
def documents() -> dict[str, str | None]:
    return {
        name: (SURFACES / name).read_text(encoding="utf-8") for name in (s.document for s in shipped_map().surfaces)
    }


def edited(documents: dict[str, str | None], name: str, before: str, after: str) -> dict[str, str | None]:
    text = documents[name]
    assert text is not None and before in text
    return {**documents, name: text.replace(before, after, 1)}


def kinds(outcome: Outcome) -> list[tuple[FaultKind, str]]:
    return [(fault.kind, fault.field) for fault in outcome.faults]


def map_with(before: str, after: str) -> OwnershipMap:
    text = shipped_text()
    assert before in text
    return load_map(text.replace(before, after, 1), "ops/contract-fields.yml")


def test_the_shipped_map_fits_the_three_surfaces(documents: dict[str, str | None]) -> None:
    outcome = analyse(shipped_map(), documents)
    assert (outcome.faults, outcome.unreadable, outcome.changes) == ((), (), ())
    mapped = {(surface.name, path) for surface in shipped_map().surfaces for path in surface.fields}
    assert {(field.surface, field.path) for field in outcome.fields} == mapped
    field = next(field for field in outcome.fields if field.path == "resource_shape.cpu")
    assert (field.type, field.owners, field.document, field.line) == ("integer", ("execution",), SUBMIT, 22)


@pytest.mark.parametrize(("text", "word"), [(None, "is not there"), ("", "is empty"), ("\ufeff \r\n", "is empty")])
def test_a_document_that_is_missing_is_one_fault(documents: dict[str, str | None], text: str | None, word: str) -> None:
    outcome = analyse(shipped_map(), {**documents, PROJECTION: text})
    assert [(fault.kind, fault.surface, fault.document) for fault in outcome.faults] == [
        (FaultKind.DOCUMENT_MISSING, "ProjectionUpdate", PROJECTION)
    ]
    assert word in outcome.faults[0].sentence


def test_no_documents_at_all_is_a_fault_of_each_surface() -> None:
    assert kinds(analyse(shipped_map(), {})) == [(FaultKind.DOCUMENT_MISSING, "")] * 3


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        ("[product, execution]", [FaultKind.TWO_OWNERS]),
        ("", [FaultKind.NO_OWNER]),
        ("fastapi", [FaultKind.FORBIDDEN_OWNER]),
        ("redis", [FaultKind.FORBIDDEN_OWNER]),
        ("[product, redis]", [FaultKind.TWO_OWNERS, FaultKind.FORBIDDEN_OWNER]),
    ],
)
def test_owners_of_the_map_are_judged(documents: dict[str, str | None], owner: str, expected: list[FaultKind]) -> None:
    ownership = map_with("display_message: product", f"display_message: {owner}")
    outcome = analyse(ownership, documents)
    assert kinds(outcome) == [(kind, "display_message") for kind in expected]
    assert {fault.line for fault in outcome.faults} == {29}


def test_a_projection_may_not_mirror_aiida_even_if_the_map_gives_it_an_owner(
    documents: dict[str, str | None],
) -> None:
    ownership = map_with("display_message: product", "display_message: product\n    node_pk: execution")
    changed = edited(documents, PROJECTION, "## Optional fields\n\n", "## Optional fields\n\n- `node_pk` (integer)\n")
    outcome = analyse(ownership, changed)
    assert kinds(outcome) == [(FaultKind.MIRRORS_AIIDA, "node_pk")]
    # The same name in a command is not a mirror.
    command = edited(documents, SUBMIT, "## Optional fields\n\n", "## Optional fields\n\n- `node_pk` (integer)\n")
    assert kinds(analyse(ownership, command)) == [(FaultKind.NO_OWNER, "node_pk"), (FaultKind.GONE, "node_pk")]


def test_changes_against_the_base_come_new_fields_first(documents: dict[str, str | None]) -> None:
    now = edited(documents, SUBMIT, "- `requested_by.session_id` (string)\n", "- `priority` (integer)\n")
    now = edited(now, SUBMIT, "- `job_id` (string, stable and shown to users)\n", "")
    now = edited(now, SUBMIT, "## Optional fields\n\n", "## Optional fields\n\n- `job_id` (integer)\n")
    outcome = analyse(shipped_map(), now, documents)
    assert outcome.compared
    assert [(change.kind, change.field, change.before, change.after) for change in outcome.changes] == [
        ("added", "priority", "", "optional"),
        ("moved", "job_id", "required", "optional"),
        ("retyped", "job_id", "string", "integer"),
        ("removed", "requested_by.session_id", "optional", ""),
    ]
    assert [change.line for change in outcome.changes] == [35, 31, 31, None]


def test_a_document_that_is_new_is_all_new_fields(documents: dict[str, str | None]) -> None:
    outcome = analyse(shipped_map(), documents, {**documents, PROJECTION: None})
    assert {(change.kind, change.surface) for change in outcome.changes} == {("added", "ProjectionUpdate")}
    assert len(outcome.changes) == 16


def test_a_base_that_cannot_be_read_is_reported_and_changes_no_verdict(documents: dict[str, str | None]) -> None:
    outcome = analyse(shipped_map(), documents, {**documents, PROJECTION: "\0"})
    assert (outcome.faults, outcome.unreadable, outcome.changes) == ((), (), ())
    assert len(outcome.base_unreadable) == 1 and PROJECTION in outcome.base_unreadable[0]


def test_without_a_base_nothing_is_called_compared(documents: dict[str, str | None]) -> None:
    assert not analyse(shipped_map(), documents).compared


@pytest.mark.parametrize(("digests", "word"), [({ADR: "b" * 64}, "changed since"), ({}, "no longer exists")])
def test_an_adr_that_changed_since_the_review_is_a_fault(
    documents: dict[str, str | None], digests: dict[str, str], word: str
) -> None:
    ownership = map_with("adr_digests: {}", f"adr_digests: {{{ADR}: {'a' * 64}}}")
    outcome = analyse(ownership, documents, adr_digests=digests)
    assert [(fault.kind, fault.document) for fault in outcome.faults] == [(FaultKind.ADR_CHANGED, ADR)]
    assert word in outcome.faults[0].sentence
    assert analyse(ownership, documents, adr_digests={ADR: "a" * 64}).faults == ()


def test_adrs_that_were_not_collected_are_unreadable(documents: dict[str, str | None]) -> None:
    ownership = map_with("adr_digests: {}", f"adr_digests: {{{ADR}: {'a' * 64}}}")
    assert len(analyse(ownership, documents).unreadable) == 1


def test_an_outcome_is_plain_data(documents: dict[str, str | None]) -> None:
    outcome = analyse(shipped_map(), {**documents, SUBMIT: None, PROJECTION: "\0"}, documents, {})
    data = outcome.as_dict()
    assert json.loads(json.dumps(data)) == data
    assert data["faults"][0]["kind"] == "document_missing" and data["unreadable"] and data["changes"]


def test_the_map_in_the_documents_is_one() -> None:
    page = Path(__file__).parents[3] / "docs" / "contract-documents.md"
    [example] = re.findall(r"^```yaml\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    found = load_map(example, "owners.yml")
    assert [surface.name for surface in found.surfaces] == ["SubmitJobCommand"]
