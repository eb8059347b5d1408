"""Which gates run at the same time: a gate whose timing is judged has its machine to itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import bundles
import pytest

from promotion_gate.bundle.index import Probe
from promotion_gate.bundle.load import load_bundle
from promotion_gate.bundle.recorder import Recorder
from promotion_gate.judge.decide import decide
from promotion_gate.judge.shipped import read_policy, shipped_checklist
from promotion_gate.judge.timing import had_company
from promotion_gate.run.plan import plan_of
from promotion_gate.run.probing import probe_of, record_probes

POLICY = read_policy(shipped_checklist("aiida") or "", "aiida")
GATES = [gate.name for gate in POLICY.gates]
SPLIT = {"preflight": 1, "sqlite_smoke": 1, "vm_bootstrap": 2, "slurm_smoke": 2, "contracts": 2}
TOGETHER = dict.fromkeys(GATES, 1)
HOSTS = {"workspace": "here", "aiida_vm": "vm"}
BOOT = "boot_id: 0a9c2f4e-7d37-4c0c-8f0b-54b1a3e7a001\n"
OTHER = "boot_id: 5e0f1c52-2b8e-4d5f-9a53-9a1d6f2f9b02\n"


def waves(choice: object, here: str, there: str) -> dict[str, int]:
    settings = {"hosts": HOSTS, "promotion_gates": None, "promotion_side_by_side": choice}
    probes = {host: Probe(text, "", "") for host, text in (("here", here), ("vm", there)) if text}
    return {planned.gate: planned.wave for planned in plan_of(POLICY, settings, probes)}


@pytest.mark.parametrize(
    ("choice", "here", "there", "expected"),
    [
        ("auto", BOOT, OTHER, TOGETHER),
        ("auto", BOOT, BOOT, SPLIT),
        ("auto", BOOT, "", SPLIT),
        ("auto", BOOT, "machine_id: 1\n", SPLIT),
        (False, BOOT, OTHER, SPLIT),
        (True, BOOT, BOOT, TOGETHER),
        ("auto", f"{BOOT}processor: x86_64 x1 AMD EPYC\n", OTHER, SPLIT),
        ("auto", f"{BOOT}processor: x86_64 x2 AMD EPYC\n", f"{OTHER}processor: x86_64 x1\n", TOGETHER),
        (True, f"{BOOT}processor: x86_64 x1\n", OTHER, TOGETHER),
    ],
    ids=[
        "two-machines",
        "one-machine",
        "not-probed",
        "boot-unknown",
        "never",
        "always",
        "timed-has-one-processor",
        "other-has-one-processor",
        "always-on-one-processor",
    ],
)
def test_what_would_disturb_a_timed_gate_waits_for_it(
    choice: object, here: str, there: str, expected: dict[str, int]
) -> None:
    assert waves(choice, here, there) == expected


def test_what_is_chosen_is_in_the_plan() -> None:
    settings = {"hosts": HOSTS, "promotion_gates": ["slurm_smoke"], "promotion_side_by_side": "auto"}
    assert [item.gate for item in plan_of(POLICY, settings, {}) if item.chosen] == ["slurm_smoke"]


@pytest.mark.parametrize(("word", "kept"), [("auto", "auto"), ("True", True), (False, False), ("no", False)])
def test_the_setting_is_kept_as_it_is_meant(tmp_path: Path, word: object, kept: object) -> None:
    run = bundles.opened(bundles.request(tmp_path, promotion_side_by_side=word))
    assert run["settings"]["promotion_side_by_side"] == kept


def test_the_recorder_plans_again_once_a_host_has_answered(tmp_path: Path) -> None:
    recorder = Recorder(bundles.open_bundle(tmp_path))
    for host, output in (("workspace-local", bundles.workspace_probe()), ("aiida-vm", bundles.vm_probe())):
        assert {planned.wave for planned in load_index(recorder.folder)} == {1, 2}
        record_probes(recorder, {host: probe_of({"gate_evidence": {"commands": [{"output": output}]}})})
    assert {planned.wave for planned in load_index(recorder.folder)} == {1}


def load_index(folder: Path) -> Any:
    return load_bundle(folder).index.plan


def decided(tmp_path: Path, same: bool, choice: object = "auto", *alone: str) -> Any:
    """The decision of a healthy bundle whose hosts are one machine, with these gates timed beside gate 2."""
    bundle = load_bundle(bundles.make_bundle(tmp_path, bundles.healthy_trips()))
    here = Probe(bundles.workspace_probe(), "", "")
    probes = {"workspace-local": here, "aiida-vm": here if same else Probe(bundles.vm_probe(), "", "")}
    settings = {**bundle.index.settings, "promotion_side_by_side": choice}
    gates = tuple(replace(gate, alone=gate.alone or gate.name in alone) for gate in bundle.policy.gates)
    index = replace(bundle.index, probes=probes, settings=settings)
    return decide(replace(bundle, index=index, policy=replace(bundle.policy, gates=gates)))


def test_two_timed_gates_on_one_machine_hold(tmp_path: Path) -> None:
    sentence = (
        "Gate 2 and gate 4 are both timed (alone), and workspace-local and aiida-vm are the same machine. Run both "
        "on one host, or remove `alone` from one of them in the checklist."
    )
    assert sentence in decided(tmp_path / "one", True, "auto", "slurm_smoke").objections
    assert sentence not in decided(tmp_path / "two", False, "auto", "slurm_smoke").objections
    assert sentence not in decided(tmp_path / "same-host", True, "auto", "contracts").objections


def test_a_gate_had_company_if_another_host_ran_gates_in_its_wave_and_attempt(tmp_path: Path) -> None:
    index = load_bundle(bundles.make_bundle(tmp_path, bundles.healthy_trips())).index
    assert not had_company(index, "sqlite_smoke"), "the hosts' machines are unknown, so there were two waves"
    together = replace(index, plan=tuple(replace(planned, wave=1) for planned in index.plan))
    assert had_company(together, "sqlite_smoke")
    resumed = replace(together.gates["sqlite_smoke"], attempt=2)
    assert not had_company(replace(together, gates={**together.gates, "sqlite_smoke": resumed}), "sqlite_smoke")


def test_a_timing_that_was_disturbed_on_request_is_a_warning(tmp_path: Path) -> None:
    def warnings(decision: Any) -> list[str]:
        return [
            text for gate in decision.gates for check in gate.checks for text in check.warnings if "side_by" in text
        ]

    assert warnings(decided(tmp_path / "asked", True, True)) == [
        "promotion_side_by_side is true: this gate was timed while gates of aiida-vm ran on the same machine."
    ]
    assert not warnings(decided(tmp_path / "auto", True))
    assert not warnings(decided(tmp_path / "two", False, True))
