"""The forms in which a document may name an owner: each is read, and anything else about an owner leads to a HOLD."""

from __future__ import annotations

from pathlib import Path

import pytest

from promotion_gate.judge.ownership import analyse, load_map

MAP = load_map((Path(__file__).parent / "cases" / "map.yml").read_text(encoding="utf-8"), "map.yml")
REST = """
## Idempotency key

One row per `event_id`.

## Retry rule

5xx is repeated.

## Tenant boundary

Checked on entry.

## Error semantics

- 400: invalid update
"""
FIELD = "- `tenant_id` (string)"
BULLETS = f"""# Update

## Required fields

- `event_id` (string)
{FIELD}
- `state` (string)
- `result_ref.output_uri` (string)

## Optional fields

- `message` (string)
- `result_ref.summary` (string)
{REST}"""
TABLE = f"""# Update

## Fields

| Field | Type | Required | Owner | Meaning |
|---|---|---|---|---|
| `event_id` | string | yes | — | unique |
| `tenant_id` | string | yes | Convex | |
| `state` | string | yes | execution | |
| `result_ref.output_uri` | string | yes | AiiDA | |
| `message` | string | no | product | |
| `result_ref.summary` | string | no | product | |
{REST}"""


def status(text: str) -> str:
    outcome = analyse(MAP, {"docs/update.md": text})
    return "INVALID" if outcome.unreadable else "FAIL" if outcome.faults else "PASS"


def test_the_documents_themselves_pass() -> None:
    assert status(BULLETS) == status(TABLE) == "PASS"


# What a field's entry says of its owner, which the map does not.
OTHER_OWNER = [
    "- `tenant_id` (string): Redis SoR.",
    "- `tenant_id` (string): Convex SoR. Redis SoR.",
    "- `tenant_id` (string): owner is Redis",
    "- `tenant_id` (string): owned by Redis",
    "- `tenant_id` (string): Redis is the owner",
    "- `tenant_id` (string): Redis is the owner.",
    "- `tenant_id` (string): the owner is Redis",
    "- `tenant_id` (string): Owner Redis",
    "- `tenant_id` (string): (Redis)",
    "- `tenant_id` (string): Redis owns it",
    "- `tenant_id` (string): owner: Convex, Redis",
    "- `tenant_id` (string): owner: Convex and Redis",
    "- `tenant_id` (string): owner: Convex/Redis",
    "- `tenant_id` (string): owner - Redis",
    "- `tenant_id` (string): system of record Redis",
    "- `tenant_id` (string): Redis is the system of record",
    "- `tenant_id` (string): source of truth: Redis",
    "- `tenant_id` (string): kept; SoR = Redis",
    "- `tenant_id` (string): SoR Redis",
    "- `tenant_id` (string): Convex owns it, Redis owns it",
    "- `tenant_id` (string): Owners: Convex, the ledger",
    "- `tenant_id` (string): owned by Convex and the ledger team",
    "- `tenant_id` (string): the ledger team is the owner",
    "- `tenant_id` (string): owner → Redis",
    "- `tenant_id` (string): Redis-owned",
    "- `tenant_id` (string): owner: Convex (Redis in dev)",
    "- `tenant_id` (string): Redis’s: owner",
    "- `tenant_id` (string): co-owner Redis",
    "- `tenant_id` (string): not owned by Convex",
    "- `tenant_id` (string): Convex does not own it",
    "- `tenant_id` (string): previously owned by Convex",
    "- `tenant_id` (string): owning system: Redis",
    "- `tenant_id` (string): Ownership: Redis",
    "- `tenant_id` (string): System-of-record is Redis",
    "- `tenant_id` (string): authoritative in Redis",
    "- `tenant_id` (string): OWNER: REDIS",
    "- `tenant_id` (string): **Owner:** Redis",
    "- `tenant_id` (string): Owner: `Redis`",
    "- `tenant_id` (string): owner:Redis",
    "- `tenant_id` (string)\n  - Owned by Redis",
    "- `tenant_id` (string)\n  - Owner: Redis",
    "- `tenant_id` (string)\n  - Redis SoR",
    "- `tenant_id` (string)\n  - Owner is Redis",
    "- `tenant_id` (string)\n  - SoR: Redis",
    "- `tenant_id` (string)\n  - Redis is the owner",
    "- `tenant_id` (string)\n  - Owners: Redis",
    "- `tenant_id` (string)\n  - the owner is Redis",
    "- `tenant_id` (string)\n  - *Owner* — Redis",
    "- `tenant_id` (string)\n  - Redis",
    "- `tenant_id` (string)\n  - system of record: Redis",
    "- `tenant_id` (string)\n  - Description: owned by Redis",
    "- `tenant_id` (string)\n  - Note: Redis is the SoR",
    "- `tenant_id` (string)\n  - Example: x, owner Redis",
    "- `tenant_id` (string)\n  - Type: string, owner: Redis",
    "- `tenant_id` (string)\n\n  Owned by Redis.",
    "- `tenant_id` (string)\n\n  Redis is its owner.",
    "- `tenant_id` (string)\n\n  Its owner: Redis.",
    "- `tenant_id` (string)\n\n  Note that the SoR is Redis.",
    "- `tenant_id` (string)\n\n  > Owner: Redis",
    "- `tenant_id` (string) owner: Redis",
    "- `tenant_id` (string) [Redis SoR]",
    "- `tenant_id` (string) — Redis SoR",
    "- `tenant_id` (string) {owner: Redis}",
    "- `tenant_id` (string) <br>Owner: Redis",
    "- `tenant_id` (string) *(owner Redis)*",
]


@pytest.mark.stranger("15.4", "what an entry says of its owner in another form or spelling was passed over")
@pytest.mark.parametrize("entry", OTHER_OWNER)
def test_an_entry_that_names_another_owner_holds(entry: str) -> None:
    assert status(BULLETS.replace(FIELD, entry, 1)) != "PASS"


OWN_OWNER = [
    "- `tenant_id` (string): Convex SoR.",
    "- `tenant_id` (string): owned by Convex",
    "- `tenant_id` (string), owner: Convex",
    "- `tenant_id` (string)\n  - Owner: Convex",
    "- `tenant_id` (string)\n  - Owned by Convex",
    "- `tenant_id` (string)\n  - SoR: Convex",
    "- `tenant_id` (string): Convex is the owner.",
    "- `tenant_id` (string): Convex owns it",
    "- `tenant_id` (string) (owner: Convex)",
    "- `tenant_id` (string): owner is Convex; set on entry",
    "- `tenant_id` (string): the product's own id",
    "- `tenant_id` (string): the tenant that the job belongs to",
    "- `tenant_id` (string): Convex",
    "- `tenant_id` (string)\n\n  Owned by Convex.",
    "- `tenant_id` (string) — SoR: Convex",
    "- `tenant_id` (string) **Owner:** Convex",
    "- `tenant_id` (string), stable and shown to users",
    "- `tenant_id` (string, owner: Convex)",
    "- `tenant_id` (string, product SoR id; stable)",
    "- `tenant_id` (string, product-facing stable id)",
    "- `tenant_id` (string; system of record: Convex)",
]


@pytest.mark.parametrize("entry", OWN_OWNER)
def test_an_entry_that_names_its_owner_is_read(entry: str) -> None:
    assert status(BULLETS.replace(FIELD, entry, 1)) == "PASS"


# Lines of a section on ownership that contradict the map, or that are in none of the forms.
WRONG_LINES = [
    "- `tenant_id`: Redis",
    "- `tenant_id` - Redis",
    "- `tenant_id` → Redis",
    "- tenant_id: Redis",
    "- **tenant_id**: Redis",
    "### Redis\n\n- `tenant_id`",
    "- Redis\n  - `tenant_id`",
    "- Redis: `tenant_id`",
    "- Redis SoR: `tenant_id`, `state`",
    "- Redis owns `tenant_id`.",
    "`tenant_id` is owned by Redis.",
    "| Field | Owner |\n|---|---|\n| `tenant_id` | Redis |",
    "| Field | SoR |\n|---|---|\n| `tenant_id` | Redis |",
    "| Owner | Fields |\n|---|---|\n| Redis | `tenant_id` |",
    "| Redis | `tenant_id` |\n|---|---|\n| Convex | `state` |",
    "- Everything is Redis'.",
    "- The ledger owns `tenant_id`",
    "- `tenant_id`: the ledger",
    "- `tenant_id` belongs to Redis",
    "- `tenant_id` lives in Redis",
    "- `tenant_id`: Convex, Redis",
    "- `tenant_id`: Convex (Redis)",
    "- `tenant_id`: Convex; `state`: Redis",
    "- Convex: `tenant_id`; Redis: `state`",
    "- `tenant_id`, `message`: Convex and the ledger",
    "```yaml\ntenant_id: Redis\n```",
    "<p>tenant_id: Redis</p>",
    "    tenant_id: Redis",
    "> - `tenant_id`: Redis",
    "- [ ] `tenant_id`: Redis",
    "1. `tenant_id`: Redis",
    "### Convex\n\n- `tenant_id`\n- `state`",
    "- Convex:\n  - `tenant_id`\n  - `state`",
    "- `tenant_id`\n  - Redis",
    "- `tenant_id`\n  - Owner: Redis",
    "Redis keeps `tenant_id`.",
    "Everything is owned by Redis.",
    "Redis is the system of record.",
    "Redis is the SoR of all fields.",
    "### Redis SoR\n\n`tenant_id`",
    "### The ledger\n\n- `tenant_id`",
    "#### Owned by Redis\n- `tenant_id`",
    "- Convex does not own `tenant_id`",
    "- FastAPI does not own `tenant_id`, but Redis does",
    "- Execution SoR: `tenant_id`",
    "- Product SoR: `state`",
    "- `tenant_id` (Redis)",
    "- tenant_id = Redis",
    "- Owner of `tenant_id`: Redis",
    "- The owner of `tenant_id` is Redis.",
    "- `tenant_id` moves to Redis",
    "- What users see (`tenant_id`) is Redis SoR (`Redis`).",
    "- What users see (`tenant_id`) is Convex SoR (`Redis`).",
    "- What the ledger sees (`state`) is Product SoR.",
    "~~`tenant_id`: Convex~~",
    "- `tenant_id`: ~~Convex~~ Redis",
    "![x](y)",
]


@pytest.mark.stranger("15.4", "a line of the section Ownership that was not understood was passed over")
@pytest.mark.parametrize("line", WRONG_LINES)
@pytest.mark.parametrize("heading", ["Ownership", "SoR mapping", "Who owns what", "Field owners", "Ownership (SoR)"])
def test_every_line_on_ownership_counts(heading: str, line: str) -> None:
    assert status(f"{BULLETS}\n## {heading}\n\n{line}\n") != "PASS"


RIGHT_LINES = [
    "- `tenant_id`: Convex",
    "- Execution SoR: `state`",
    "- Convex owns `tenant_id`.",
    "- `tenant_id` is owned by Convex",
    "| Field | Owner |\n|---|---|\n| `tenant_id` | Convex |\n| `state` | Execution SoR |",
    "### Convex\n\n- `tenant_id`\n- `message`",
    "### Execution SoR\n\n- `state`\n- `result_ref.output_uri` (string)",
    "- Convex:\n  - `tenant_id`",
    "- Convex SoR: `tenant_id`, `message` and `result_ref.summary`",
    "- FastAPI translates; it owns nothing.",
    "- FastAPI does not own `result_ref`.",
    "See ADR-0001.",
    "- `tenant_id` → Convex",
    "- tenant_id: Convex",
    "- Product SoR (Convex): `tenant_id`",
    "- `state` and `result_ref.output_uri`: AiiDA/Postgres + Slurm",
    "- Owner of `tenant_id`: Convex",
    "- Convex is the system of record for `tenant_id`.",
    "- Convex is the owner of `tenant_id`.",
    "- AiiDA is SoR for `state`.",
    "- `tenant_id` remains Product SoR.",
    "- `event_id`: nobody",
    "- `event_id`: transient",
    "The owners of the fields:\n\n- `tenant_id`: Convex",
    "- `tenant_id`: owner: Convex",
    "- `tenant_id`: owned by Convex",
    "- **Convex**: `tenant_id`",
    "- **Execution SoR:** `state`",
]


@pytest.mark.stranger("15.4", "a list such as `Execution SoR: field` was taken for an owner without a field")
@pytest.mark.parametrize("line", RIGHT_LINES)
def test_lines_that_agree_with_the_map_are_read(line: str) -> None:
    assert status(f"{BULLETS}\n## Ownership\n\n{line}\n") == "PASS"


ELSEWHERE = [
    "Redis owns `tenant_id`.",
    "`tenant_id`: Redis SoR",
    "The owner of `tenant_id` is Redis.",
    "Redis is the owner of every field.",
    "Owner of `tenant_id`: the ledger",
    "| Field | Owner |\n|---|---|\n| `tenant_id` | Redis |",
    "`tenant_id` (owner: Redis)",
]


@pytest.mark.stranger("15.4", "an owner named outside the sections of fields and owners was passed over")
@pytest.mark.parametrize("line", ELSEWHERE)
def test_an_owner_named_elsewhere_counts(line: str) -> None:
    assert status(f"{BULLETS}\n## Notes\n\n{line}\n") != "PASS"
    assert status(f"{line}\n\n{BULLETS}") != "PASS"


@pytest.mark.stranger("15.4", "owners below a line that is a heading to the eye alone were passed over")
@pytest.mark.parametrize("line", ["**Ownership**", "Owners:", "**Systems of record:**", "Who owns what:", "*Owned by*"])
def test_a_line_that_introduces_owners_is_a_heading(line: str) -> None:
    assert status(f"{BULLETS}\n## Notes\n\n{line}\n\n- `tenant_id`: Redis\n") == "INVALID"
    assert status(f"# Update\n\n{line}\n\n- `tenant_id`: Redis\n\n{BULLETS}") == "INVALID"


PROSE = [
    "**Note**",
    "Redis is only a cache.",
    "Owners of the fields: ADR-0001.",
    "The tenant owns the job.",
    "An update is written only under its own `tenant_id`.",
    "Convex is the system of record for the product.",
]


@pytest.mark.parametrize("line", PROSE)
def test_prose_that_is_not_about_a_field_is_prose(line: str) -> None:
    assert status(f"{BULLETS}\n## Notes\n\n{line}\n") == "PASS"


NAME_CELLS = [
    "`message`<br>`redis_lock`",
    "`message`; `redis_lock`",
    "`message` + `redis_lock`",
    "`message`, `redis_lock`",
    "`message` redis_lock",
    "`message`/`redis_lock`",
    "`message` `redis_lock`",
    "`message`&nbsp;`redis_lock`",
    "message redis_lock",
    "`message`<br/>redis_lock",
    "`message` (`redis_lock`)",
    "`message` (alias redis_lock)",
    "message (was: redis_lock)",
    "`message` and `redis_lock`",
    "`message` or `redis_lock`",
    "`message` | x",
    "`message redis_lock`",
    "`message`\\|`redis_lock`",
    "[`message`](#a) `redis_lock`",
    "`message` ![redis_lock](x)",
    "`message`<b>redis_lock</b>",
    "message → redis_lock",
    "`message`: `redis_lock`",
    "`message` – redis_lock",
]


@pytest.mark.stranger("15.4", "a second name in a table's cell was passed over")
@pytest.mark.parametrize("cell", NAME_CELLS)
def test_name_cells(cell: str) -> None:
    assert status(TABLE.replace("| `message` |", f"| {cell} |", 1)) != "PASS"


OTHER_OWNER_CELLS = [
    "Redis",
    "Convex<br>Redis",
    "Convex; Redis",
    "Convex + Redis",
    "Convex, Redis",
    "Convex (Redis)",
    "~~Convex~~ Redis",
    "Convex Redis",
    "not Convex",
    "Convex?",
    "Convex and the ledger",
    "ledger",
]


@pytest.mark.stranger("15.4", "a second or unknown owner in a table's cell was passed over")
@pytest.mark.parametrize("cell", OTHER_OWNER_CELLS)
def test_bad_owner_cells(cell: str) -> None:
    assert status(TABLE.replace("| Convex |", f"| {cell} |", 1)) != "PASS"


OWN_OWNER_CELLS = [
    "Convex",
    "`Convex`",
    "**Convex**",
    "Convex SoR",
    "product",
    "Product SoR",
    "-",
    "",
    "Convex (SoR)",
    "the product",
]


@pytest.mark.parametrize("cell", OWN_OWNER_CELLS)
def test_good_owner_cells(cell: str) -> None:
    assert status(TABLE.replace("| Convex |", f"| {cell} |", 1)) == "PASS"


WRONG_PROSE_CELLS = [
    "owner: Redis",
    "`redis_lock` (string)",
    "Redis SoR",
    "owned by Redis",
    "Redis is the owner",
    "also `redis_lock`: string",
]


@pytest.mark.stranger("15.4", "an owner or a field in a cell of prose was passed over")
@pytest.mark.parametrize("cell", WRONG_PROSE_CELLS)
def test_bad_prose_cells(cell: str) -> None:
    assert status(TABLE.replace("| unique |", f"| {cell} |", 1)) != "PASS"


OWNER_HEADERS = [
    "Owners",
    "Owner (SoR)",
    "Owned by",
    "Owned By",
    "SoR",
    "System of record",
    "SoR owner",
    "System",
    "Data owner",
    "Owner/SoR",
    "Source of truth",
    "Owning system",
    "Authority",
    "Maintained by",
    "Durable owner",
    "owner(s)",
    "Who",
    "Kept by",
    "Responsible",
    "Master",
    "**Owner**",
    "`Owner`",
    "Owner:",
    "OWNER",
    "Owner ",
    " ownerˢ",
]


@pytest.mark.stranger("15.4", "a column of owners in another spelling was passed over")
@pytest.mark.parametrize("header", OWNER_HEADERS)
def test_a_column_of_owners_is_read_or_refused(header: str) -> None:
    assert status(TABLE.replace("| Owner |", f"| {header} |").replace("| Convex |", "| Redis |")) != "PASS"


HEADERS = [
    ("Owner", "Owner"),
    ("Owner", "**Owner**"),
    ("Owner", "SoR"),
    ("Owner", "System of record"),
    ("Owner", "Owned by"),
    ("Owner", "Source of truth"),
    ("Meaning", "Meaning"),
    ("Meaning", "Description"),
    ("Meaning", "Notes"),
    ("Meaning", "Example"),
    ("Meaning", "Default"),
    ("Meaning", "Constraints"),
    ("Meaning", "Max length"),
    ("Meaning", "Format"),
]


@pytest.mark.parametrize(("before", "header"), HEADERS)
def test_usual_columns_are_read(before: str, header: str) -> None:
    assert status(TABLE.replace(f"| {before} |", f"| {header} |")) == "PASS"


@pytest.mark.stranger("15.4", "a second column of names or owners was passed over")
@pytest.mark.parametrize("second", ["Field", "Path", "Name", "Owner", "SoR", "System of record", "Owned by", "Type"])
def test_a_second_column_of_a_kind_is_refused(second: str) -> None:
    assert status(TABLE.replace("| Meaning |", f"| {second} |")) == "INVALID"
