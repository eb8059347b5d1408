"""What the evidence callback believes of a result: what the task asked for, not what the result claims."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "callback_plugins" / "evidence.py"


class Followed:
    """Notes what it is told, by the name of the method."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *values: self.told.append((name, values))


@pytest.fixture
def plugin() -> Any:
    pytest.importorskip("ansible")
    spec = importlib.util.spec_from_file_location("evidence_of_the_test", SOURCE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.CallbackModule.__new__(module.CallbackModule)
    made._following, made._known = Followed(), set()
    return made


def result(asked: dict[str, str], returned: dict[str, str]) -> SimpleNamespace:
    task = SimpleNamespace(action="gate_commands", args=asked, get_vars=dict, _role=None)
    host = SimpleNamespace(get_name=lambda: "vm-a")
    evidence = {"gate_evidence": {"bundle": "/root/vm-b/r1", **returned}}
    return SimpleNamespace(result=evidence, task=task, task_fields={"args": asked}, host=host, task_name="t")


@pytest.mark.parametrize("claimed", ["open", "close", "probe", "other"])
def test_a_host_cannot_open_or_close_a_bundle(plugin: Any, claimed: str) -> None:
    plugin._result(result({}, {"event": claimed, "gate": "slurm_smoke"}))
    [(kind, (what, _, host, _, message))] = plugin._following.told
    assert (kind, what, host) == ("event", "failed", "vm-a")
    assert claimed in message and "commands" in message


def test_what_the_task_asked_for_is_done(plugin: Any) -> None:
    plugin._result(result({"event": "close"}, {"event": "close"}))
    assert [kind for kind, _ in plugin._following.told] == ["close"]
