"""The header above each output in a transcript."""

from __future__ import annotations

from promotion_gate.base.times import human_seconds
from promotion_gate.bundle.index import Command


def header(record: Command, encoding: str, total_bytes: int) -> str:
    """The lines above an output; for people, the index is what counts."""
    lines = [
        f"# host: {record.host}",
        f"# directory: {record.directory}",
        f"# command: {record.command}",
        f"# started: {record.started}",
        f"# environment: {', '.join(record.environment_names) or 'nothing is added'}",
    ]
    if record.not_run is not None:
        lines.append(f"# not run: {record.not_run}")
    else:
        ending = record.exit if record.exit is not None else f"killed by signal {record.signal}"
        lines += [f"# duration: {human_seconds(record.duration_ns)}", f"# exit: {ending}"]
    if record.timed_out:
        lines.append(f"# time limit: timed out after {record.limit_seconds} s and was killed")
    if record.left_running:
        lines.append("# left running: processes of this command had to be killed")
    if record.truncated:
        lines.append(f"# truncated: {total_bytes} bytes were printed, head and tail are kept")
    if encoding != "utf-8":
        lines.append(f"# encoding: {encoding}; bytes that are not UTF-8 appear as \\xNN, backslashes are doubled")
    return "".join(" ".join(line.splitlines()) + "\n" for line in lines) + "\n"
