"""Whatever a tool prints: no parser raises, and none says better than the plain reading of the text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parser_cases import READERS, cases

from promotion_gate.judge.parsers import junit, slurm, slurm_jobs, tools, verdi
from promotion_gate.judge.parsers.text import plain

# Pieces that the parsers look for, whole or cut, among escapes and things that end or hide lines.
PIECES = [
    "\n", "\r", "\r\n", "\0", "\x08", "\x0b", "\x85", "\u2028", "\u202e", "\ufeff", " ", "  ", "\t", "|", "+", "=",
    "\x1b[31m", "\x1b[0m", "\x1b[2K", "\x1b[1A", "\x1b]0;", "\x07", "\x1b\\", "\x1b[", "\x1b]", "\x1b", "\x9b", "\x9d",
    " ✔ ", " ✘ ", " ⏺ ", "✔", "version:     AiiDA v2.9.4", "profile:     gate", "storage:     open", "broker:      up",
    "daemon:      Daemon is running with PID 7", ", Broker PID 8 [0 pending, 0 processing]", "Broker is NOT running",
    "Error: ", "Warning: ", "Traceback (most recent call last):", "* ", "gate", "Profile: gate",
    "Daemon is running as PID 7 since now", "Active workers [", "0", "1", "]:", "[OK]", "[Failed]", "[FAILED]: x",
    "Success: all 1 tests succeeded", "Warning: 1 out of 6 tests failed", "Slurmctld(primary) at a is ", "UP", "DOWN",
    "debug*|up|n1|", "debug|down|n1|", "idle", "idle*", "mixed", "drained", "inval", "$", "none", "n/a",
    "NodeName=n1 ", "State=", "IDLE", "+DRAIN", "Partitions=a,b", "Reason=x", "JobId=1 ", "JobState=", "COMPLETED",
    "FAILED", "PENDING", "ExitCode=0:0", "ExitCode=1:0", "1|", "Submitted batch job ", "٣", "9" * 40,
    " M ", "?? ", "R  ", " -> ", '"a\\303\\244"', "## main", "v1.2.3", "slurm-wlm 24.11.5", "a" * 40,
    '<testsuites><testsuite tests="1" failures="0" errors="0" skipped="0">', '<testcase name="a"/>', "</testsuite>",
    "</testsuites>", "<!DOCTYPE x>", "<failure/>", "&x;",
]  # fmt: skip
anything = st.text(st.characters(codec=None, exclude_categories=[]), max_size=60)
spliced = st.lists(st.sampled_from(PIECES) | anything, max_size=30).map("".join)
recorded = st.sampled_from([case.text for case in cases()])


@st.composite
def mangled(draw: st.DrawFn) -> str:
    """A recorded output with something put into it, or a piece of it taken out."""
    text = draw(recorded)
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 80)))
    return text[:start] + draw(spliced) + text[end:]


texts = spliced | mangled()
HOSTILE_PIECES = ["\x1b[", "\x1b]", "\x1b[1", " ✔ ", "|", "x", "\n", "a=b ", "\x1b]0;\x07", "<a>"]


@pytest.mark.parametrize("name", sorted(READERS))
@given(text=texts)
def test_no_text_makes_a_parser_raise(name: str, text: str) -> None:
    READERS[name](text)


@given(text=texts)
def test_a_service_is_up_only_where_a_line_says_so(text: str) -> None:
    rows = plain(text).split("\n")
    for name, service in verdi.status(text).services.items():
        own = [row for row in rows if re.match(rf" ?\S{{1,16}} {name}:", row)]
        told = own or [row for row in rows if name == "broker" and "Broker PID" in row]
        if service.symbol == "up":
            assert told
            assert all("✔" in row or "Broker PID" in row for row in told)
            assert not any(row.lstrip().startswith("✘") for row in own)


@given(text=texts)
def test_a_profile_is_only_what_the_list_names(text: str) -> None:
    rows = [row.rstrip(" \t") for row in plain(text).split("\n")]
    for name in verdi.profile_list(text).names:
        assert f"* {name}" in rows or f"  {name}" in rows


@given(text=texts)
def test_a_daemon_runs_only_where_a_line_says_so(text: str) -> None:
    status = verdi.daemon_status(text)
    if status.running:
        assert "Daemon is running as PID" in plain(text)
        assert not any(row.startswith(("Error: ", "Critical: ")) for row in plain(text).split("\n"))
    if status.workers:
        assert "Active workers [0]:" not in [row.rstrip(" \t") for row in plain(text).split("\n")]


@given(text=texts)
def test_a_computer_test_passes_only_with_its_verdict_and_without_failures(text: str) -> None:
    if verdi.computer_test(text).passed:
        assert "Success: all " in plain(text)
        assert "[failed" not in plain(text).lower()
        assert "tests failed" not in plain(text)


@given(text=texts)
def test_a_controller_is_up_only_where_its_lines_say_so(text: str) -> None:
    rows = [row.rstrip(" \t") for row in plain(text).split("\n")]
    for controller in slurm.ping(text):
        line = f"Slurmctld({controller.role}) at {controller.host} is "
        if controller.up:
            assert line + "UP" in rows
            assert line + "DOWN" not in rows


@given(text=texts)
def test_a_node_is_schedulable_only_where_a_line_says_so(text: str) -> None:
    rows = [row.split("|", 4) for row in plain(text).split("\n") if row.count("|") >= 4]
    good = re.compile(r"(idle|mixed|mix|allocated|alloc|completing|comp|planned|plnd)"
                      r"([+]?(planned|completing|cloud|dynamic_norm)|[-+])*", re.IGNORECASE)  # fmt: skip
    for node in slurm.schedulable_nodes(slurm.nodes(text)):
        own = [row for row in rows if row[2].strip() == node.name]
        assert any(row[1].strip().lower() == "up" and good.fullmatch(row[3].strip()) for row in own)
        assert all(good.fullmatch(row[3].strip()) for row in own)


@given(text=texts)
def test_a_job_is_completed_only_where_a_line_says_so(text: str) -> None:
    if slurm_jobs.job(text).completed:
        assert "COMPLETED" in plain(text)
        assert not re.search(r"JobState=(FAILED|CANCELLED|TIMEOUT|NODE_FAIL)\b", plain(text))


@given(text=texts)
def test_tests_pass_only_where_the_file_has_them(text: str) -> None:
    result = junit.parse(text)
    assert result.passed <= text.count("<testcase")
    if result.problem is not None:
        assert result.passed == 0


@given(text=texts, tool=st.sampled_from(tools.TOOLS))
def test_a_version_is_a_word_of_the_text(text: str, tool: str) -> None:
    version = tools.version(tool, text)
    assert version is None or version in plain(text)


@pytest.mark.parametrize("service", ["profile", "storage", "broker", "daemon"])
@given(data=st.data())
def test_a_bad_line_anywhere_wins_over_a_healthy_status(service: str, data: st.DataObject) -> None:
    healthy = [case for case in cases("verdi_status") if case.path.stem == "2.9-healthy"]
    rows = healthy[0].text.split("\n")
    assert verdi.status("\n".join(rows)).is_up(service)
    bad = data.draw(st.sampled_from([f" ✘ {service}:     down", f" ⏺ {service}:     odd", f" ? {service}: what"]))
    rows.insert(data.draw(st.integers(0, len(rows))), bad)
    assert not verdi.status("\n".join(rows)).is_up(service)


def test_every_node_state_of_slurm_is_known_as_good_or_bad() -> None:
    """The words and suffixes of node_state_string() in Slurm 20.11 to 25.x; only these may take work."""
    states = (
        "ALLOCATED BLOCKED CANCEL_REBOOT CLOUD COMPLETING DOWN DRAINED DRAINING ERROR FAIL FAILING FUTURE IDLE "
        "INVAL MAINT MIXED PERFCTRS PLANNED POWERED_DOWN POWERING_DOWN POWERING_UP POWER_DOWN POWER_UP REBOOT "
        "REBOOT_ISSUED RESERVED RESUME UNDRAIN UNKNOWN ? n/a"
    )
    suffixes = ["", *"*~#%!$@^-+"]
    takes_work = {
        state.lower() + suffix
        for state in states.split()
        for suffix in suffixes
        if slurm.schedulable_nodes(slurm.nodes(f"debug*|up|n1|{(state + suffix).lower()}|none\n"))
    }
    good = {"idle", "mixed", "allocated", "completing", "planned"}
    assert takes_work == {state + suffix for state in good for suffix in ("", "-", "+")}


@pytest.mark.parametrize("name", sorted(READERS))
@pytest.mark.parametrize("piece", HOSTILE_PIECES)
@pytest.mark.parametrize("size", [20_000, pytest.param(2_000_000, marks=pytest.mark.nightly)])
def test_any_amount_is_read(name: str, piece: str, size: int) -> None:
    """That it takes no longer than its length is measured by benchmarks/linear.py."""
    READERS[name](piece * (size // len(piece)))
