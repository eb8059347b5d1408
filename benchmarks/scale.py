"""How the time and the memory grow with the input: python benchmarks/scale.py [--write]

Each row is measured in a separate process, in CPU seconds, so a busy machine changes little; preparing the input is not
counted. A row that takes more than GROWTH times as long for ten times the input is marked, and the script exits 1.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("tests", "tests/unit", "module_utils")]

from pages import PAGE, printed  # noqa: E402

# Ten times the input may take this many times as long; below FLOOR_SECONDS a measurement means nothing.
GROWTH = 15.0
FLOOR_SECONDS = 0.2
MB = 1_000_000
# Between two runs; even ten thousand of them are all in the past.
APART = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that grows. `ready` creates its input in a directory and returns the call to measure.

    `bound` names what is never exceeded, whatever the input is.
    """

    name: str
    sizes: tuple[int, ...]
    unit: str
    ready: Callable[[Path, int], Callable[[], object]]
    bound: str = ""


# --- what grows -------------------------------------------------------------------------------------------------


def many_commands(folder: Path, size: int) -> dict[str, Any]:
    import bundles

    trips = bundles.healthy_trips()
    more = [bundles.command(f"more{number}", "01-more.log", ["true"], "ok\n") for number in range(size)]
    trips["preflight"]["commands"][-1:-1] = more
    return trips


def recording(folder: Path, size: int) -> Callable[[], object]:
    import bundles

    trips, bundle = many_commands(folder, size), bundles.open_bundle(folder)
    return lambda: bundles.record(bundle, trips, saved_each=True)


def deciding(folder: Path, size: int) -> Callable[[], object]:
    import bundles

    from promotion_gate.prove.seal import seal
    from promotion_gate.prove.verify import verify_bundle

    bundle = bundles.open_bundle(folder)
    bundles.record(bundle, many_commands(folder, size))

    def call() -> None:
        seal(bundle)
        report = verify_bundle(bundle)
        if not report.holds:
            raise SystemExit(f"it does not verify: {report.problem}")

    return call


def events(folder: Path, size: int) -> Callable[[], object]:
    import bundles

    from promotion_gate.bundle.recorder import Recorder

    bundle = bundles.open_bundle(folder)
    bundles.record(bundle, bundles.healthy_trips(), close=False)
    recorder = Recorder(bundle, {"recorder": "evidence", "check": False, "selection": ""})

    def call() -> None:
        for number in range(size):
            recorder.event("failed", "preflight", "here", "a task", f"it failed {number}")

    return call


def hosts(folder: Path, size: int) -> Callable[[], object]:
    import fleets

    from promotion_gate.run.fleet import open_runs

    names = [f"vm-{number:03}" for number in range(size)]
    for number, name in enumerate(names):
        probe = fleets.OTHER_VM.replace("88ceb62a", f"{number:08x}").replace("IODgzAYfy3", f"IODgzA{number:04}")
        fleets.BY_HOST[name] = probe
    run = open_runs(fleets.request(folder / "root", *names))
    return lambda: fleets.played(run, fleets.answers(*names))


def output(folder: Path, size: int) -> Callable[[], object]:
    from test_gate_commands import trip

    return lambda: trip({"run": f"head -c {size * MB} /dev/zero | tr '\\0' x", "limit_seconds": 600})


def recording_output(folder: Path, size: int) -> Callable[[], object]:
    import bundles
    from test_gate_commands import trip

    brought = trip({"run": f"head -c {size * MB} /dev/zero | tr '\\0' x", "limit_seconds": 600})["commands"][0]
    trips, bundle = bundles.healthy_trips(), bundles.open_bundle(folder)
    trips["preflight"]["commands"][1:1] = [brought | {"id": "loud", "file": "01-loud.log"}]
    return lambda: bundles.record(bundle, trips)


def files(folder: Path, size: int) -> Callable[[], object]:
    from test_gate_commands import trip

    many = folder / "many"
    many.mkdir()
    for number in range(size):
        (many / f"{number:06}.log").write_text("x" * 1000, encoding="utf-8")
    return lambda: trip(artifacts=[{"from": str(many), "to": "many"}])


def recording_files(folder: Path, size: int) -> Callable[[], object]:
    import bundles

    trips, bundle = bundles.healthy_trips(), bundles.open_bundle(folder)
    trips["preflight"]["artifacts"] += [bundles.artifact("many", {f"{n:06}.log": "x" * 1000 for n in range(size)})]
    return lambda: bundles.record(bundle, trips)


def runs(folder: Path, size: int, *words: str) -> Callable[[], object]:
    from test_history import many_runs

    from promotion_gate.__main__ import main as promotion_gate

    many_runs(folder, size, APART)
    return lambda: promotion_gate([*words, str(folder)])


def opening(folder: Path, size: int) -> Callable[[], object]:
    import bundles
    from test_history import many_runs

    many_runs(folder, size, APART)
    return lambda: bundles.open_bundle(folder, run_id="20990101T000000Z")


def with_file(name: str, line: Callable[[int], str]) -> Callable[[Path, int], Callable[[], object]]:
    """The healthy example bundle with one file that is `size` MB large, for verify."""

    def ready(folder: Path, size: int) -> Callable[[], object]:
        import bundles

        from promotion_gate.prove.verify import verify_bundle

        bundle = bundles.make_bundle(folder)
        text = (bundle / name).read_text(encoding="utf-8")
        more = "".join(line(number) for number in range(size * MB // len(line(0))))
        (bundle / name).write_text(
            text.replace('"commands": [', f'"commands": [{more}', 1) if "json" in name else text + more
        )
        return lambda: verify_bundle(bundle)

    return ready


def _sum(number: int) -> str:
    return f"{number:064x}  zz/{number:08}\n"


def _command(number: int) -> str:
    return json.dumps({"id": f"c{number:08}", "gate": "preflight", "file": "01-preflight.log"}) + ","


ROWS = (
    Row("record a gate of many commands", (100, 1_000, 10_000), "commands", recording),
    Row("seal and verify a bundle of many commands", (100, 1_000, 10_000), "commands", deciding),
    Row("record events beside results", (10, 100), "events", events, "the index is written for each"),
    Row("record and decide a run of several hosts", (1, 8, 64), "hosts", hosts),
    Row("run a command that prints, on the host", (2, 20, 200), "MB", output, "1 MB of a command's output is kept"),
    Row("record what it printed, on the controller", (2, 20, 200), "MB", recording_output, "the same"),
    Row("bring back files, on the host", (100, 1_000, 10_000), "files", files, "200 files"),
    Row(
        "record brought files, on the controller",
        (100, 1_000, 10_000),
        "files",
        recording_files,
        "1,000 files",
    ),
    Row("open a run beside earlier ones", (100, 1_000, 10_000), "runs", opening),
    Row("history", (100, 1_000, 10_000), "runs", lambda folder, size: runs(folder, size, "history")),
    Row(
        "check latest",
        (100, 1_000, 10_000),
        "runs",
        lambda folder, size: runs(folder, size, "check", "latest", "--root"),
    ),
    Row("verify with a long SHA256SUMS", (1, 5, 50), "MB", with_file("SHA256SUMS", _sum), "refused above 8 MB"),
    Row("verify with a long index.json", (1, 10, 100), "MB", with_file("index.json", _command), "refused above 32 MB"),
)


# --- measuring --------------------------------------------------------------------------------------------------


def measured(row: Row, size: int) -> tuple[float, float]:
    """The CPU seconds and the peak memory in MB of one size, in a separate process."""
    command = [sys.executable, __file__, "--row", str(ROWS.index(row)), "--size", str(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{row.name}, {size} {row.unit}:\n{done.stderr}")
    seconds, peak = map(float, done.stdout.split()[-2:])
    return seconds, peak


def measure(row: Row, size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        call = row.ready(Path(folder), size)
        before, began = _peak(), time.process_time()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            call()
        print(time.process_time() - began, max(_peak() - before, 0))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def table(largest: int) -> Iterator[str]:
    yield "| what | input | CPU, s | more memory, MB | bound |\n| --- | --- | --- | --- | --- |"
    for row in ROWS:
        sizes = [size for size in row.sizes if size <= largest]
        found = [measured(row, size) for size in sizes]
        seconds = [seconds for seconds, _ in found]
        slow = len(sizes) > 1 and too_slow(sizes, seconds)
        input_ = ", ".join(f"{size:,}" for size in sizes)
        yield (
            f"| {row.name}{' **grows faster than its input**' if slow else ''} | {input_} {row.unit} | "
            f"{', '.join(f'{value:.2f}' for value in seconds)} | {', '.join(f'{peak:.0f}' for _, peak in found)} | "
            f"{row.bound} |"
        )


def too_slow(sizes: Sequence[int], seconds: Sequence[float]) -> bool:
    """Whether the last step took longer than GROWTH allows for what the input grew by."""
    grown = seconds[-1] / max(seconds[-2], FLOOR_SECONDS / 10)
    return seconds[-1] > FLOOR_SECONDS and grown > GROWTH * (sizes[-1] / sizes[-2]) / 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=10_000, help="leave out larger inputs")
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE.relative_to(ROOT)}")
    parser.add_argument("--row", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row is not None:
        measure(ROWS[options.row], options.size)
        return 0
    lines = printed("scale", table(options.largest), options.write)
    return int(any("grows faster" in line for line in lines))


if __name__ == "__main__":
    sys.exit(main())
