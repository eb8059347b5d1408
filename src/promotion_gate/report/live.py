"""The running and waiting gates, as lines that stay at the foot of a terminal while everything else scrolls above.

The cursor is never hidden and no mode of the terminal is changed, so there is nothing to restore, however a run ends.
Nothing here raises: if a terminal or a library does something unexpected, the block is lost, not the run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TextIO

from promotion_gate.base.escape import visible
from promotion_gate.report.progress import COLUMNS, Row

# No wider than plain lines, so that a window that is made smaller does not wrap them.
MIN_COLUMNS, MIN_ROWS = 60, 10
# The columns that a host needs for its name, bar and times; hosts are shown side by side if there is room.
_HOST_COLUMNS = 38


def wanted(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether the output is a terminal that supports this and plain text was not requested."""
    plain = environment.get("NO_COLOR") or environment.get("CI") or environment.get("TERM", "dumb") == "dumb"
    try:
        if plain or not stream.isatty() or not (stream.encoding or "").lower().startswith("utf"):
            return False
        return os.get_terminal_size(stream.fileno()).columns >= MIN_COLUMNS and bool(drawn([], 0.0, COLUMNS))
    except Exception:  # no size, no descriptor, no rich
        return False


def drawn(rows: Sequence[Row], elapsed: float, columns: int) -> list[str]:
    """The block: a line for the run, and below it the gates of each host, with bars relative to their last times."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=columns, force_terminal=True, color_system="standard", highlight=False, record=False)
    hosts = list(dict.fromkeys(row.host for row in rows))
    beside = max(1, min(len(hosts), columns // _HOST_COLUMNS))
    grid = Table.grid(expand=True, padding=(0, 2, 0, 0))
    for _ in range(beside):
        grid.add_column(ratio=1)
    for start in range(0, len(hosts), beside):
        cells = [_host(host, [row for row in rows if row.host == host]) for host in hosts[start : start + beside]]
        grid.add_row(*cells)
    with console.capture() as capture:
        console.print(f"{elapsed:7.1f} s  elapsed")
        if hosts:
            console.print(grid)
    return capture.get().splitlines()


def _host(name: str, rows: Sequence[Row]) -> Any:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(expand=True, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True, max_width=18, overflow="ellipsis")
    table.add_column(ratio=1)
    table.add_column(no_wrap=True, justify="right")
    table.add_row(Text(visible(name), style="bold"))
    for row in rows:
        usually = f"{row.last:.0f} s" if row.last is not None else ""
        if row.seconds is None:
            table.add_row(Text(f"  {row.name}", style="dim"), Text("waits", style="dim"), Text(usually, style="dim"))
        else:
            # Without a last time the bar stays empty; a moving one would mean nothing.
            bar = ProgressBar(total=row.last or 1.0, completed=min(row.seconds, row.last) if row.last else 0.0)
            took = f"{row.seconds:.0f} of {usually}" if usually else f"{row.seconds:.0f} s"
            table.add_row(Text(f"{row.id} {row.name}"), bar, Text(took))
    return table


class Foot:
    """Lines at the foot of a terminal. Output to its streams in the meantime appears above them, never interleaved.

    `lock` is the one under which others write to these streams.
    """

    def __init__(self, out: TextIO, other: TextIO, lock: AbstractContextManager[Any]) -> None:
        self._out, self._lock, self._pid = out, lock, os.getpid()
        self._write = out.write
        self._shown = 0  # lines on the screen now
        self._lines: Sequence[str] = ()
        self._at_start = True  # of a line; otherwise a prompt may be waiting
        self._streams = [stream for stream in dict.fromkeys((out, other)) if stream.isatty()]
        for stream in self._streams:
            stream.write = self._above(stream.write, stream.flush)  # type: ignore[method-assign]

    def show(self, lines: Callable[[int], Sequence[str]]) -> bool:
        """Replaces the block by what `lines` returns for the number of columns; returns whether that worked."""
        try:
            with self._lock:
                if not self._streams:  # closed
                    return False
                size = os.get_terminal_size(self._out.fileno())
                fits = size.columns >= MIN_COLUMNS and size.lines >= MIN_ROWS
                made = list(lines(min(size.columns, COLUMNS) - 1)) if fits else []
                self._lines = made if len(made) <= size.lines - 2 else [*made[: size.lines - 3], "  ..."]
                self._erase()
                self._draw()
            return True
        except Exception:
            self.close()
            return False

    def close(self) -> None:
        """Removes the lines; from now on output goes to the streams as before."""
        try:
            with self._lock:
                self._lines = ()
                self._erase()
                for stream in self._streams:
                    vars(stream).pop("write", None)
                self._streams = []
        except Exception:
            self._streams = []

    def _above(self, write: Callable[[str], int], flush: Callable[[], None]) -> Callable[[str], int]:
        def written(text: str) -> int:
            if os.getpid() != self._pid:  # a worker, which has no terminal
                return write(text)
            with self._lock:
                self._quietly(self._erase)
                count = write(text)
                flush()
                self._at_start = text.endswith("\n") if text else self._at_start
                self._quietly(self._draw)
            return count

        return written

    def _quietly(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception:
            self._lines = ()

    def _erase(self) -> None:
        """If interrupted in here, lines of the block may remain; it never removes anybody else's lines."""
        up, self._shown = self._shown, 0
        if up:
            self._write(f"\r\x1b[{up}A\x1b[J")
            self._out.flush()

    def _draw(self) -> None:
        if self._lines and self._at_start:
            self._write("".join(f"{line}\n" for line in self._lines))
            self._shown = len(self._lines)
            self._out.flush()
