"""Ways in which a new field `quota` has slipped into a document: each must hold, as a fault or as unreadable."""

from __future__ import annotations

from pathlib import Path

import pytest

from promotion_gate.judge.ownership import FaultKind, analyse, load_map

CASES = Path(__file__).parent / "cases"
MAP = load_map((CASES / "map.yml").read_text(encoding="utf-8"), "map.yml")
PLAIN = (CASES / "style-plain.md").read_text(encoding="utf-8")
BULLET = "- `message` (string)"

HIDDEN = [
    "- `message` (string)\n`quota`",
    "- `message` (string)\n  `quota` (integer)",
    "- `message` (string)\n  - `quota` (integer)",
    "- `message`\n  - quota, an integer",
    "- `message` (string) / `quota`",
    "- `message` (string), `quota`",
    "- `message` (string) and `quota`",
    "- `message`, `quota`",
    "- `message` (string), plus quota (integer)",
    "- `message` (string). quota_left (integer) comes later",
    "- `message` (string) \\\n  `quota`: the quota",
    "- `message` (string)\n-`quota`",
    "- `message` (string)\n-\u00a0`quota`",
    "- `message` (string)\n• quota",
    "- `message` (string)\n\n  `quota` (integer)",
    "- `message` (string)\n\n  | Field | Type |\n  |-|-|\n  | `quota` | integer |",
    "- `message` (string)\n\n  > - `quota` (integer)",
    "- `message` (string)\n  - Note: `quota` (integer) too",
    "- `message` (enum)\n  - `quota`: integer",
    "- `message` (object, one of)\n  - `quota`",
    "- `message` — one of:\n  - `quota`",
    "- `message`\n  > `quota` (integer)",
    "- `message` (string)\n- `message.quota`",
    "- `message` (string)\n- $quota",
    "- `message` (string)\n- `$.quota`",
    "- `message` (string)\n- Quota (integer)",
    "- `message` (string)\n- QUOTA: integer",
    '- `message` (string)\n- "quota" (integer)',
    "- `message` (string)\n- <b>quota</b>",
    "- `message` (string)\n- ![quota](x.png)",
    "- `message` (string)\n- **Later:** `quota`",
    "- `message` (string)\n- [quota]: integer",
    "- `message` (string)\n- ```quota```",
    "- `message` (string)\n- ```\n  quota\n  ```",
    "- `message` (string)\n* * *\n- `quota`",
    "- `message` (string)\n\n1) `quota`",
    "- `message` (string)\n\nquota",
    "- `message` (string)\n\nquota\n: integer",
    "- `message` (string)\n\n`quota`",
    "- `message` (string)\n\n**quota**",
    "- `message` (string)\n\nIt also carries `quota` (integer).",
    "- `message` (string)\n\n| `quota` | integer |",
    "- `message` (string)\n\n`quota` | integer\n--- | ---\n`other` | x",
    "- `message` (string)\n\n<p>quota</p>\n",
    "- `message` (string)\n\n### Internal\n\n- `quota`",
    "- `message` (string)\n\n### Extra fields\n\n- `quota`",
    "- `message` (string)\n- `result_ref`\n    - `quota`",
]
NO_FIELD = [
    "- `message` (string), shown to the user",
    "- `message` (string, e.g. `queued`, `done`, or the words of the scheduler)",
    "- `message` (string) – see `tenant_id` above",
    "- `message` (string)\n  set when the state is\n  `failed`, and only then",
    "- `message` (string)\n  - in English",
    "- `message` (string)\n  - Example: `quota exceeded`",
    "- `message` (string)\n\n  Shown to the user.",
    "- `message` (string)\n\n![A diagram](message.svg)\n",
    "- `message` (string)\n\nEvery text is UTF-8.",
    '- `message` (string)\n\n~~~json\n{"quota": 1}\n~~~\n',
    "- `message` (string)<!-- `quota` (integer) -->",
    "- `message` (string) **required when** `state=failed`",
]


@pytest.mark.parametrize("text", HIDDEN)
def test_a_hidden_field_is_seen(text: str) -> None:
    outcome = analyse(MAP, {"docs/update.md": PLAIN.replace(BULLET, text, 1)})
    # That `message` went missing on the way would not show the new field.
    assert outcome.unreadable or any(fault.kind is not FaultKind.GONE for fault in outcome.faults)


@pytest.mark.parametrize("text", NO_FIELD)
def test_what_is_not_a_field_is_none(text: str) -> None:
    outcome = analyse(MAP, {"docs/update.md": PLAIN.replace(BULLET, text, 1)})
    assert (outcome.unreadable, outcome.faults) == ((), ())
