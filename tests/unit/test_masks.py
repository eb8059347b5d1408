"""A password may be a word that tools print: the verdict on what is left of the evidence is the same, or INVALID."""

from __future__ import annotations

import copy
import re
from collections import Counter
from pathlib import Path
from typing import Any

import bundles
import pytest

from promotion_gate.base.model import Status
from promotion_gate.base.redact import Redactor
from promotion_gate.bundle.load import load_bundle
from promotion_gate.judge import masks
from promotion_gate.judge.decide import decide

FAILURES: dict[str, tuple[str, dict[str, Any]]] = {
    "sqlite_smoke": ("run_2", {"output": "Traceback (most recent call last):\nCritical: it failed\n"}),
    "vm_bootstrap": ("status", {"output": bundles.STATUS.replace("✔ broker", "✘ broker"), "exit": 3}),
    "slurm_smoke": ("sinfo", {"output": "debug*|up|aiida-vm|maintenance|none\n"}),
}


def texts(trips: bundles.Trips) -> list[str]:
    commands = [item["output"] for trip in trips.values() for item in trip["commands"]]
    files = [item["content"] for trip in trips.values() for found in trip["artifacts"] for item in found["files"]]
    return commands + files


def redacted(trips: bundles.Trips, secret: str) -> bundles.Trips:
    """The trips as the target returns them when it knows the secret."""
    redactor, result = Redactor([secret]), copy.deepcopy(trips)
    for trip in result.values():
        for item in trip["commands"]:
            item["output"] = redactor.text(item["output"])
        for found in trip["artifacts"]:
            for item in found["files"]:
                item["content"] = redactor.text(item["content"])
    return result


def failing() -> bundles.Trips:
    trips = bundles.healthy_trips()
    for gate, (command_id, fields) in FAILURES.items():
        trips[gate] = bundles.changed(trips[gate], command_id, **fields)
    return trips


def statuses(root: Path, trips: bundles.Trips) -> dict[str, Status]:
    decision = decide(load_bundle(bundles.closed_bundle(root, trips)))
    return {check.id: check.status for gate in decision.gates for check in gate.checks}


def words() -> list[str]:
    """The hundred most used words of the evidence that are long enough to be masked as a known value, and the worst."""
    found = Counter(re.findall(r"[\w.+-]*\w", "\n".join(texts(bundles.healthy_trips()) + texts(failing()))))
    long = [word for word, _ in found.most_common() if Redactor([word]).text(f"a {word} b") != f"a {word} b"]
    return list(
        dict.fromkeys(["Traceback", "Critical", "Traceback (most recent call last)", "maintenance", *long[:100]])
    )


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Status]]:
    return {
        "healthy": statuses(tmp_path_factory.mktemp("healthy"), bundles.healthy_trips()),
        "failing": statuses(tmp_path_factory.mktemp("failing"), failing()),
    }


@pytest.mark.slow
@pytest.mark.stranger("15.5", "a password that is a word of the evidence masked the failure line: PROMOTE, or HOLD")
@pytest.mark.parametrize(
    ("word", "state"), [*((word, "healthy") for word in words()), *((word, "failing") for word in words()[:20])]
)
def test_the_verdict_on_redacted_evidence_is_the_same_or_invalid(
    tmp_path: Path, raw: dict[str, dict[str, Status]], word: str, state: str
) -> None:
    trips = bundles.healthy_trips() if state == "healthy" else failing()
    found = statuses(tmp_path, redacted(trips, word))
    wrong = {check: status for check, status in found.items() if status not in (raw[state][check], Status.INVALID)}
    assert wrong == {}


@pytest.mark.parametrize(
    ("line", "hides"),
    [
        ("*** (most recent call last):", True),
        ("State=***", True),
        ("password: ***", False),
        ("amqp://aiida:***@127.0.0.1/", False),
        ("Authorization: Bearer ***", False),
        ("no mask", False),
    ],
)
def test_a_mask_hides_something_where_its_place_does_not_say_secret(line: str, hides: bool) -> None:
    assert masks.hides(f"a\n{line}\nb") == hides
