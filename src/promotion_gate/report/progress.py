"""Progress of a run as lines for a terminal: one when a gate starts or finishes, and one every 30 s while it runs."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from promotion_gate.base.escape import visible

COLUMNS = 80
STILL_SECONDS = 30.0


class Tone(Enum):
    PLAIN = "plain"
    GOOD = "good"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Gate:
    """What is shown for a gate of the plan."""

    id: int
    name: str
    title: str
    host: str


@dataclass(frozen=True, slots=True)
class Row:
    """A gate that runs or waits: the seconds since it started (None while it waits), and those of its last run."""

    host: str
    name: str
    id: int | None
    seconds: float | None
    last: float | None


@dataclass(slots=True)
class _Running:
    gate: Gate
    since: float
    told: float


class Progress:
    """Reports gates through `say`. `clock` returns seconds; the first line is at 0.0 s."""

    def __init__(self, say: Callable[[str, Tone], None], clock: Callable[[], float]) -> None:
        self._say, self._clock = say, clock
        self._began = clock()
        self._running: dict[tuple[str, str], _Running] = {}
        self._last: Mapping[str, float] = {}
        self._fleet: Collection[str] = ()
        self._waiting: dict[tuple[str, str], None] = {}  # in the order of the plan

    @property
    def elapsed(self) -> float:
        return self._clock() - self._began

    def rows(self) -> list[Row]:
        """The running gates, then the waiting ones."""
        now = self._clock()
        running = [
            Row(host, name, entry.gate.id, now - entry.since, self._last.get(name))
            for (host, name), entry in list(self._running.items())
        ]
        return running + [Row(host, name, None, None, self._last.get(name)) for host, name in list(self._waiting)]

    def wait_for(self, gates: Iterable[tuple[str, str]]) -> None:
        """Host and gate of everything that will run."""
        self._waiting |= dict.fromkeys(gates)

    def opened(self, run_id: str, attempt: int, last: Mapping[str, float], fleet: Collection[str] = ()) -> None:
        """`last`: by gate, the seconds that it took last time; `fleet`: the hosts to decide about, if several."""
        self._last, self._fleet = last, fleet
        again = f", attempt {attempt}" if attempt > 1 else ""
        self._line(f"run {run_id}{again} is open")

    def step(self, text: str) -> None:
        """Reports what the run does between the gates."""
        self._line(text)

    def started(self, gate: Gate) -> None:
        key = (gate.host, gate.name)
        self._waiting.pop(key, None)
        if key not in self._running:
            now = self._clock()
            self._running[key] = _Running(gate, now, now)
            last = self._last.get(gate.name)
            usually = f" ({last:.1f} s last time)" if last is not None else ""
            self._line(f"gate {gate.id} starts on {gate.host}: {gate.title}{usually}")

    def ended(self, name: str, host: str, status: str, reason: str = "") -> None:
        """The evidence of a gate is on disk; `reason` is one sentence about what did not pass."""
        running = self._running.pop((host, name), None)
        if running:
            taken = self._clock() - running.since
            where, of_one = (f" on {host}" if self._fleet else ""), (f" for {host}" if host in self._fleet else "")
            line = f"gate {running.gate.id} {status}{where} after {taken:.1f} s"
            if status == "PASS":
                self._line(line, Tone.GOOD)
            else:
                self._line(f"{line}: {reason}" if reason else line, Tone.BAD)
                self._note(f"this run will decide HOLD{of_one}; gates that do not rest on it still run", Tone.BAD)

    def decided(self, host: str, word: str) -> None:
        """The decision about one of several hosts is sealed; that of a single one is the end of the run."""
        if host in self._fleet:
            self._line(f"{host}: {word} is sealed", Tone.GOOD if word == "PROMOTE" else Tone.BAD)

    def broken(self, gate: Gate, message: str) -> None:
        """Something happened instead of a result: a task failed, or the host was unreachable."""
        self._running.pop((gate.host, gate.name), None)
        self._waiting.pop((gate.host, gate.name), None)
        self._line(f"gate {gate.id} did not run to its end on {gate.host}: {message}", Tone.BAD)

    def tick(self) -> None:
        """Call this periodically: reports what is still running, at most every 30 s for each gate."""
        now = self._clock()
        for running in list(self._running.values()):
            if now - running.told >= STILL_SECONDS:
                running.told = now
                last = self._last.get(running.gate.name)
                usually = f", {last:.0f} s last time" if last is not None else ""
                self._line(
                    f"gate {running.gate.id} still runs on {running.gate.host} ({now - running.since:.0f} s{usually})"
                )

    def _line(self, text: str, tone: Tone = Tone.PLAIN) -> None:
        self._wrapped(f"{self.elapsed:7.1f} s  ", text, tone)

    def _note(self, text: str, tone: Tone) -> None:
        self._wrapped(" " * 11, text, tone)

    def _wrapped(self, start: str, text: str, tone: Tone) -> None:
        lines = textwrap.wrap(visible(text), COLUMNS - len(start), break_long_words=False, break_on_hyphens=False) or [
            ""
        ]
        self._say("\n".join([start + lines[0], *(" " * len(start) + line for line in lines[1:])]), tone)
