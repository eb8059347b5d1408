"""Whatever a command prints, reading it takes CPU time linear in its length: python benchmarks/linear.py

Each reader gets hostile input, and then four times as much of it. Four times the CPU time is linear, sixteen times
quadratic; above eight the script names the input and exits 1. It measures the CPU time of its own process, so a busy
machine changes little; where the ratio is too high, it measures twice more and takes the smallest.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("tests", "tests/unit", "tests/unit/parsers", "module_utils")]

import test_hostile  # noqa: E402
from parser_cases import READERS  # noqa: E402
from test_parser_properties import HOSTILE_PIECES  # noqa: E402
from test_redact import HOSTILE, SPLIT  # noqa: E402

from promotion_gate.base.redact import Redactor  # noqa: E402
from promotion_gate.bundle.load import load_bundle  # noqa: E402
from promotion_gate.judge.decide import decide  # noqa: E402

SIZE = 100_000
TIMES = 4
LIMIT = 8.0
FLOOR_SECONDS = 0.02  # below this a measurement means nothing, and no reader is slow

# What is read, and the call that reads `times` times its size.
Case = tuple[str, Callable[[int], object]]


def cases() -> Iterator[Case]:
    redactor = Redactor({"X": SPLIT})
    for start, piece, most in HOSTILE:
        yield f"redaction of {start + piece!r:.40}", partial(_redact, redactor, start, piece, most // 8)
    for name, reader in sorted(READERS.items()):
        for piece in HOSTILE_PIECES:
            yield f"{name} of {piece!r}", partial(_read, reader, piece)
    for name, piece in test_hostile.LINES.items():
        yield f"a decision over {name}", partial(_decide, piece)


def _redact(redactor: Redactor, start: str, piece: str, count: int, times: int) -> object:
    return redactor.text(start + piece * (count * times))


def _read(reader: Callable[[str], object], piece: str, times: int) -> object:
    return reader(piece * (SIZE // len(piece) * times))


def _decide(piece: str, times: int) -> object:
    """Includes the time to build the bundle: recording is linear too."""
    with tempfile.TemporaryDirectory() as folder:
        line = piece * (SIZE // 8 // len(piece) * times)
        return decide(load_bundle(test_hostile.bundle_with(line, Path(folder))))


def ratio(call: Callable[[int], object]) -> tuple[float, float]:
    """How many times longer the long text takes, and the CPU seconds that it takes."""
    short, long = _seconds(call, 1), _seconds(call, TIMES)
    return (long / max(short, FLOOR_SECONDS / TIMES), long)


def _seconds(call: Callable[[int], object], times: int) -> float:
    began = time.process_time()
    call(times)
    return time.process_time() - began


def main() -> int:
    slow = 0
    for name, call in cases():
        found, seconds = ratio(call)
        for _ in range(2):
            if found > LIMIT:
                again, seconds = ratio(call)
                found = min(found, again)
        bad = found > LIMIT
        slow += bad
        print(f"{'SLOW' if bad else 'ok':<4} {found:5.1f} times the CPU time, {seconds:6.2f} s: {name}", flush=True)
    print(f"{slow} of them take more than {LIMIT:.0f} times as long for {TIMES} times the text")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
