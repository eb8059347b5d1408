"""What a host more costs in a run of several: python benchmarks/hosts.py [--sizes 1,8,64] [--write]

All hosts are one loopback sshd with many names, and the tools behind it answer with recorded output. Plain Ansible runs
a playbook with as many tasks per host against the same sshd, as many of them over SSH, with the same ansible.cfg.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / name) for name in ("integration", ".")]

from ground import Ground, build, copy_of  # noqa: E402
from grounds import loopback_sshd  # noqa: E402
from pages import PAGE, printed  # noqa: E402

SIZES = (1, 8, 64)
GOAL_SECONDS = 0.02
# What a VM has to do over SSH: the probe and its two gates.
OVER_SSH = 3
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cost:
    """One run: seconds of wall, CPU seconds of the controller (the workspace's gates included) and of the hosts.

    `megabytes` are those of the largest process; `events` and `in_callbacks` say how often Ansible called its callbacks
    and their CPU seconds.
    """

    wall: float
    controller: float
    hosts: float
    megabytes: float
    events: int
    in_callbacks: float
    tasks: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=lambda text: [int(size) for size in text.split(",")], default=SIZES)
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE.relative_to(ROOT)}")
    parser.add_argument("--counted", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.counted:
        return counted(*options.counted)
    printed("hosts", table(options.sizes), options.write)
    return 0


def table(sizes: list[int]) -> Iterator[str]:
    yield (
        "| hosts | run | wall, s | CPU of the controller, s | CPU of the hosts, s | largest process, MB | events | "
        "CPU per event, ms |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    found: dict[str, list[Cost]] = {"the gate": [], "plain Ansible": []}
    with tempfile.TemporaryDirectory() as folder, loopback_sshd(_made(Path(folder) / "sshd")) as sshd:
        template = build(Path(folder) / "template", sshd)
        for size in sizes:
            ground = copy_of(template, Path(folder) / str(size))
            gate = the_gate(ground, size)
            for name, cost in (("the gate", gate), ("plain Ansible", plain(ground, gate.tasks))):
                found[name].append(cost)
                yield (
                    f"| {size} | {name} | {cost.wall:.1f} | {cost.controller:.1f} | {cost.hosts:.1f} | "
                    f"{cost.megabytes:.0f} | {cost.events} | {cost.in_callbacks / cost.events * 1000:.2f} |"
                )
    if len(sizes) > 1:
        yield "\n" + added(found, sizes[-1] - sizes[0])


def added(found: Mapping[str, list[Cost]], hosts: int) -> str:
    """What each of so many hosts more cost, in a sentence."""
    wall, controller = (
        {name: (getattr(costs[-1], field) - getattr(costs[0], field)) / hosts for name, costs in found.items()}
        for field in ("wall", "controller")
    )
    first, last = found["the gate"][0], found["the gate"][-1]
    tasks, tools = last.tasks, (last.hosts - first.hosts) / hosts
    return (
        f"A host has {tasks} tasks, {OVER_SSH} of them over SSH. Each host beyond the first adds\n"
        f"{wall['the gate']:.2f} s of wall, {wall['plain Ansible']:.2f} s in plain Ansible: "
        f"{(wall['the gate'] - wall['plain Ansible']) / tasks:.3f} s more per task (goal: {GOAL_SECONDS}),\n"
        f"of which {tools / tasks / (os.cpu_count() or 1):.3f} s are module and recorded tools on the hosts, which "
        f"share the {os.cpu_count()} processors here. On the controller\nit takes {controller['the gate']:.2f} s of "
        f"CPU, {controller['plain Ansible']:.2f} s in plain Ansible, and "
        f"{(last.megabytes - first.megabytes) / hosts:.2f} MB to the largest process."
    )


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def the_gate(ground: Ground, size: int) -> Cost:
    groups = ground.groups()
    vm = groups["aiida_vm"]["hosts"]["vm"]
    groups["aiida_vm"]["hosts"] = {f"vm-{number:03}": vm for number in range(size)}
    ground.inventory(groups)
    # No baseline: gate 2 holds, and everything runs and is recorded all the same.
    return measured(ground, ground.command("promotion-gate.yml"), 2)


def plain(ground: Ground, tasks: int) -> Cost:
    steps: list[Mapping[str, Any]] = [
        {"name": f"Task {number}", "ansible.builtin.command": {"argv": ["true"]}}
        if number < OVER_SSH
        else {"name": f"Task {number}", "ansible.builtin.set_fact": {f"x{number}": number}}
        for number in range(tasks)
    ]
    playbook = ground.folder / "plain.yml"
    play = {"hosts": "aiida_vm", "gather_facts": False, "strategy": "free", "tasks": steps}
    playbook.write_text(json.dumps([play]), encoding="utf-8")
    command = ground.command("promotion-gate.yml")
    command[1] = str(playbook)
    return measured(ground, command, 0)


def measured(ground: Ground, command: list[str], expected: int) -> Cost:
    """Runs ansible-playbook with its callbacks counted; it must end with the expected status."""
    note = ground.folder / "counted.json"
    output = ground.folder / "output"
    ground.close()  # else its masters would still be known to sshd afterwards
    of_hosts, began = collected(ground.sshd.pid), time.monotonic()
    with output.open("wb") as stream:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, __file__, "--counted", str(note), *command],
            {**ground.environment(), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
            file_actions=[(os.POSIX_SPAWN_DUP2, stream.fileno(), 1), (os.POSIX_SPAWN_DUP2, stream.fileno(), 2)],
        )
        _, status, used = os.wait4(pid, 0)
    wall, text = time.monotonic() - began, output.read_text(encoding="utf-8")
    ground.close()
    time.sleep(1)  # sshd collects the sessions that have ended
    if os.waitstatus_to_exitcode(status) != expected:
        raise SystemExit(text)
    seen = json.loads(note.read_text(encoding="utf-8"))
    return Cost(
        wall,
        used.ru_utime + used.ru_stime,
        collected(ground.sshd.pid) - of_hosts,
        used.ru_maxrss / 1000,
        seen["events"],
        seen["seconds"],
        seen["tasks"],
    )


def collected(pid: int) -> float:
    """The CPU seconds of the processes that this one has collected, and of those that they had collected."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / TICKS


def counted(note: str, program: str, *words: str) -> int:
    """ansible-playbook in this process, with its calls of callbacks and the tasks of a VM counted."""
    from ansible.cli.playbook import main as ansible_playbook
    from ansible.executor.task_queue_manager import TaskQueueManager

    called, seconds, tasks = 0, 0.0, {}
    send = TaskQueueManager.send_callback

    def sent(self: Any, name: str, *arguments: Any, **named: Any) -> None:
        nonlocal called, seconds
        if name == "v2_playbook_on_stats":
            summary = arguments[0].summarize(next(host for host in arguments[0].processed if host.startswith("vm")))
            tasks.update(summary)
        began = time.thread_time()
        try:
            send(self, name, *arguments, **named)
        finally:
            called, seconds = called + 1, seconds + time.thread_time() - began

    TaskQueueManager.send_callback = sent
    sys.argv = [program, *words]
    try:
        ansible_playbook()
        return 0
    finally:
        found = {"events": called, "seconds": seconds, "tasks": sum(tasks.values())}
        Path(note).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
