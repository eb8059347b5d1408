"""What the case files cannot show: options, and results put together."""

from __future__ import annotations

import pytest
from parser_cases import cases

from promotion_gate.judge.parsers import junit, slurm, slurm_jobs

SINFO = "debug*|up|n1|mixed|none\nbatch|up|n1|mixed|none\nbatch|up|n2|idle~|none\ndown|down|n3|idle|none\n"


def names(found: tuple[slurm.Node, ...]) -> list[str]:
    return [f"{node.partition}/{node.name}" for node in found]


def test_schedulable_nodes_of_all_partitions_or_of_one() -> None:
    listing = slurm.nodes(SINFO)
    assert names(slurm.schedulable_nodes(listing)) == ["debug/n1", "batch/n1"]
    assert names(slurm.schedulable_nodes(listing, "batch")) == ["batch/n1"]
    assert names(slurm.schedulable_nodes(listing, "down")) == []
    assert names(slurm.schedulable_nodes(listing, "bat")) == []


def test_powered_off_nodes_count_only_where_the_cluster_wakes_them() -> None:
    listing = slurm.nodes(SINFO)
    assert names(slurm.schedulable_nodes(listing, power_saving=True)) == ["debug/n1", "batch/n1", "batch/n2"]


def test_flags_that_sinfo_does_not_show_make_a_node_unschedulable() -> None:
    shown = slurm.shown_nodes("NodeName=n1 State=MIXED+RESERVED Partitions=debug,batch \n")
    listing = slurm.with_all_flags(slurm.nodes(SINFO), shown)
    assert names(slurm.schedulable_nodes(listing)) == []
    assert slurm.schedulable(listing.nodes[0]) == (False, "node n1 is reserved")


def test_a_bad_state_that_only_scontrol_shows_counts() -> None:
    shown = slurm.shown_nodes("NodeName=n1 State=DOWN*+DRAIN Partitions=debug \n")
    why = slurm.schedulable(slurm.with_all_flags(slurm.nodes(SINFO), shown).nodes[0])[1]
    assert why == "node n1 is down and does not respond to the controller and is set to drain"


def test_lines_about_other_jobs_are_left_out() -> None:
    text = "41|FAILED|1:0|None\n42|COMPLETED|0:0|None\n"
    assert slurm_jobs.job(text, 42).completed
    assert not slurm_jobs.job(text, 41).completed
    assert not slurm_jobs.job(text, 40).completed
    assert not slurm_jobs.job(text).completed


@pytest.mark.parametrize("state", ["COMPLETING", "RUNNING", "completed", "COMPLETED+", "FAILED", "NEW_STATE"])
def test_only_completed_is_completed(state: str) -> None:
    assert not slurm_jobs.job(f"42|{state}|0:0|None\n").completed


def test_a_junit_file_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    text = next(case.text for case in cases("junit") if case.path.stem == "pytest-ok")
    assert junit.parse(text).problem is None
    monkeypatch.setattr(junit, "MAX_CHARACTERS", len(text) - 1)
    result = junit.parse(text)
    assert result.passed == 0
    assert result.problem is not None


def test_a_junit_file_may_not_be_nested_without_end() -> None:
    assert "nested too deeply" in (junit.parse("<testsuites>" + "<properties>" * 100).problem or "")
