"""The lines that a run shows: each gate as it starts and ends, what did not pass, and what still runs."""

from __future__ import annotations

from pathlib import Path

import bundles

from promotion_gate.base.model import Status
from promotion_gate.bundle.index import read_index
from promotion_gate.report.progress import Gate, Progress, Tone
from promotion_gate.run.watching import WATCHERS, judged_so_far, last_times, tell

SMOKE = Gate(4, "slurm_smoke", "AiiDA to Slurm VM smoke", "aiida-vm")


class Screen:
    def __init__(self) -> None:
        self.now = 100.0
        self.lines: list[tuple[str, Tone]] = []
        self.progress = Progress(lambda text, tone: self.lines.append((text, tone)), lambda: self.now)

    @property
    def text(self) -> str:
        return "\n".join(text for text, _ in self.lines)


def test_a_gate_has_a_line_as_it_starts_and_one_as_it_ends() -> None:
    screen = Screen()
    screen.progress.opened("r1", 2, {"slurm_smoke": 12.04})
    screen.now += 1.5
    screen.progress.started(SMOKE)
    screen.progress.started(SMOKE)  # more than one trip
    screen.now += 10
    screen.progress.ended("slurm_smoke", "aiida-vm", "PASS")
    assert [text for text, _ in screen.lines] == [
        "    0.0 s  run r1, attempt 2 is open",
        "    1.5 s  gate 4 starts on aiida-vm: AiiDA to Slurm VM smoke (12.0 s last time)",
        "   11.5 s  gate 4 PASS after 10.0 s",
    ]
    assert screen.lines[-1][1] is Tone.GOOD


def test_what_did_not_pass_is_shown_at_once_with_what_it_means() -> None:
    screen = Screen()
    screen.progress.started(SMOKE)
    screen.progress.ended(
        "slurm_smoke", "aiida-vm", "FAIL", "node aiida-vm is drained, and " * 5 + "(slurm_smoke.node)"
    )
    assert "gate 4 FAIL after 0.0 s: node aiida-vm is drained" in screen.text
    assert "this run will decide HOLD" in screen.text
    assert all(len(line) <= 80 for line in screen.text.splitlines())
    assert screen.lines[-1][1] is Tone.BAD


def test_what_still_runs_is_reported_every_30_seconds_until_it_has_ended() -> None:
    screen = Screen()
    screen.progress.started(SMOKE)
    for _ in range(70):
        screen.now += 1
        screen.progress.tick()
    assert screen.text.count("still runs") == 2
    screen.progress.broken(SMOKE, "it was\nlost \x1b[2J")
    assert "gate 4 did not run to its end on aiida-vm: it was lost \\u001b[2J" in screen.text
    screen.now += 60
    screen.progress.tick()
    assert screen.text.count("still runs") == 2


def test_a_gate_is_judged_before_the_run_has_ended_and_nothing_is_kept(tmp_path: Path) -> None:
    bundle = bundles.open_bundle(tmp_path)
    trips = bundles.trips_with("slurm_smoke", "ping", exit=1, output=bundles.PING_DOWN)
    bundles.record(bundle, {name: trips[name] for name in ("preflight", "vm_bootstrap", "slurm_smoke")}, close=False)
    before = {path.name: path.read_bytes() for path in bundle.iterdir() if path.is_file()}
    assert judged_so_far(bundle, "preflight") == (Status.PASS, None)
    status, check = judged_so_far(bundle, "slurm_smoke")
    assert status is Status.FAIL and check and check.id == "slurm_smoke.controller"
    assert before == {path.name: path.read_bytes() for path in bundle.iterdir() if path.is_file()}


def test_the_time_that_a_gate_took_last_is_of_the_newest_run_that_ran_it(tmp_path: Path) -> None:
    bundles.make_bundle(tmp_path)
    bundle = bundles.open_bundle(tmp_path, "20261125T002930Z")
    (tmp_path / "20261124T232930Z").mkdir()
    (tmp_path / "20261124T232930Z" / "index.json").write_text("{", encoding="utf-8")
    assert set(last_times(bundle)) == {"preflight", "sqlite_smoke", "vm_bootstrap", "slurm_smoke", "contracts"}


def test_a_gate_that_a_resume_re_runs_is_held_against_its_earlier_attempt(tmp_path: Path) -> None:
    before = last_times(bundles.hold_bundle(tmp_path))["slurm_smoke"]
    plan = bundles.opened(bundles.request(tmp_path, promotion_resume="latest"))
    bundle = Path(bundles.begun(plan, bundles.answers())["bundle"])
    assert "slurm_smoke" not in read_index(bundle).gates and last_times(bundle)["slurm_smoke"] == before


def test_a_decision_about_one_of_several_hosts_has_a_line() -> None:
    screen = Screen()
    screen.progress.opened("r1", 1, {}, ("vm-a", "vm-b"))
    screen.progress.decided("vm-a", "PROMOTE")
    screen.progress.decided("vm-b", "HOLD")
    screen.progress.opened("r2", 1, {})
    screen.progress.decided("root", "PROMOTE")  # the end of the run has it
    lines = [("    0.0 s  vm-a: PROMOTE is sealed", Tone.GOOD), ("    0.0 s  vm-b: HOLD is sealed", Tone.BAD)]
    assert [line for line in screen.lines if "sealed" in line[0]] == lines


def test_a_watcher_that_fails_changes_nothing() -> None:
    class Broken:
        def opened(self, bundle: Path) -> None:
            raise ValueError(bundle)

        def recorded(self, bundle: Path, gate: str, host: str) -> None:
            raise AssertionError

        def closed(self) -> None:
            raise KeyError

        def ending(self) -> None:
            raise OSError

        def ended(self) -> None:
            raise RuntimeError

    broken = Broken()
    WATCHERS.append(broken)
    try:
        tell(lambda watcher: watcher.opened(Path("x")))
    finally:
        WATCHERS.remove(broken)
