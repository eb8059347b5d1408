"""Progress messages of the demo, and running other programs."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

SAY_EVERY_SECONDS = 15


class DemoError(Exception):
    """An error for people: one sentence with what to do next."""


def say(text: str) -> None:
    print(f"demo: {text}", flush=True)


def wait_until(ready: Callable[[], bool], limit_seconds: float, pause_seconds: float = 0.5) -> bool:
    """Polls until `ready` returns true; False once the limit has passed."""
    end = time.monotonic() + limit_seconds
    while not ready():
        if time.monotonic() >= end:
            return False
        time.sleep(pause_seconds)
    return True


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Announces a long step, and shows the elapsed time until it finishes."""
    started = time.monotonic()
    over = threading.Event()
    terminal = sys.stdout.isatty()

    def elapsed() -> str:
        return f"{time.monotonic() - started:.0f} s"

    def tick() -> None:
        while not over.wait(1 if terminal else SAY_EVERY_SECONDS):
            if terminal:
                print(f"\rdemo: {title} ... {elapsed()} ", end="", flush=True)
            else:
                say(f"{title} ... {elapsed()}")

    if terminal:
        print(f"demo: {title} ...", end="", flush=True)
    else:
        say(f"{title} ...")
    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    outcome = "failed"
    try:
        yield
        outcome = "done"
    finally:
        over.set()
        ticker.join()
        start_of_line = "\r" if terminal else ""
        print(f"{start_of_line}demo: {title}: {outcome} in {elapsed()}", flush=True)


def output_of(argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str | None:
    """What a short command prints, or None if it is missing or exits non-zero."""
    try:
        done = subprocess.run(
            argv, env=None if env is None else {**os.environ, **env}, cwd=cwd, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, errors="replace",
        )  # fmt: skip
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def run(
    argv: Sequence[str],
    log: Path,
    what: str,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    feed: bytes | None = None,
) -> None:
    """Runs a command with its output in a log file; a failure becomes one sentence that names the log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    source: dict[str, object] = {"stdin": subprocess.DEVNULL} if feed is None else {"input": feed}
    with log.open("ab") as sink:
        sink.write(f"$ {' '.join(argv)}\n".encode())
        sink.flush()
        try:
            status = subprocess.run(
                argv, stdout=sink, stderr=subprocess.STDOUT, cwd=cwd, check=False,
                env=None if env is None else {**os.environ, **env}, **source,  # type: ignore[call-overload]
            ).returncode  # fmt: skip
        except OSError as error:
            raise DemoError(f"{what} failed: {argv[0]} cannot be started ({error.strerror}).") from error
    if status != 0:
        raise DemoError(f"{what} failed (exit status {status}): {last_line(log)} Read {log} for the rest.")


def last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    line = lines[-1] if lines else ""
    return line if line.endswith((".", "!", "?")) else f"{line}."
