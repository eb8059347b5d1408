"""How long a run takes compared with the spec's gates typed by hand: python benchmarks/against_the_shell.py

On a separate container VM, alternating in one session, so that the machine's other work slows both sides: the commands
of the spec as one sequential shell script over SSH, the gate, gates 3 and 4 alone on both sides, a resume of one gate,
and as many empty Ansible tasks as the gate has. Look at medians and ratios; single times depend on the machine.
The two-machine model runs both sides with the workspace and the controller on one set of this machine's processors
and the VM on another. `--compare` reads the ratios of docs/benchmark.md and names those that moved by more than 20 %;
to be quick it leaves out that model and the empty tasks, and runs gates 3 and 4 alone in the first round only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), *(str(ROOT / "tests" / name) for name in ("faults", "integration", "."))]

from live import ENTER, LIMITS, LiveVm  # noqa: E402
from pages import PAGE, put  # noqa: E402

from demo import podman  # noqa: E402
from demo.console import DemoError  # noqa: E402

MOVED_PERCENT = 20
# How much gate 2 may be slower for what goes on beside it.
DISTURBED_PERCENT = 2
# What is measured under a name that is looked up again.
BEYOND = "of a resume of gate 5 beyond the gate, s"
ALONE, BESIDE = "median of gate 2 alone, s", "median of gate 2 side by side, s"
# The same commands on both sides: neither a job nor a calculation of ours.
SAME = {**LIMITS, "gate_slurm_smoke_submit_job": False, "gate_slurm_smoke_submit_calculation": False}
TOOLS = (
    'for tool in node corepack pnpm uv; do command -v "$tool" >/dev/null || { echo "missing: $tool"; exit 1; }; done; '
    "node -v; pnpm -v; uv --version"
)
SMOKE = "uv run --frozen --project apps/api --group aiida python scripts/aiida-sqlite-smoke.py"
CONTRACTS = (
    "PYTHONPATH=apps/api uv run --project apps/api python apps/api/scripts/export_openapi.py --check && "
    "pnpm -C packages/api-client run generate && "
    "git diff --exit-code -- packages/api-client/src/generated/schema.ts && "
    "uv run pytest apps/api/tests/test_convex_event_relay.py"
)
VERDI = 'uv run --project apps/api --group aiida verdi -p "$AIIDA_PROFILE"'
ON_VM = f"{ENTER} && export PATH=$HOME/app/.venv/bin:$PATH UV_FROZEN=1"
BOOTSTRAP = (
    f"{ON_VM} && scripts/aiida-vm-bootstrap.sh --env-file ops/aiida-vm/aiida-vm.env --sanity-check && "
    f"{VERDI} profile list && {VERDI} status"
)
SLURM = (
    f"{ON_VM} && scripts/aiida-slurm-smoke-vm.sh --artifact-dir $(mktemp -d) && scontrol ping && sinfo && "
    f'{VERDI} computer test "$AIIDA_COMPUTER_LABEL"'
)
VM_GATES = {"3": BOOTSTRAP, "4": SLURM}


@dataclass(slots=True)
class Times:
    """The seconds of each thing measured, one value per round, and what the time of a run of the gate consists of."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    other: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        self.seconds.setdefault(name, []).append(value)

    def note(self, name: str, value: float) -> None:
        self.other.setdefault(name, []).append(value)

    def ratio(self, one: str, other: str) -> float:
        """The median of the ratios of each round that measured both."""
        return statistics.median(self.pairs(one, other))

    def pairs(self, one: str, other: str) -> list[float]:
        return [a / b for a, b in zip(self.seconds[one], self.seconds[other], strict=False)]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    parser.add_argument("--compare", action="store_true", help="say which ratio is not that of the page any more")
    options = parser.parse_args(arguments)
    # As when an operator runs it; otherwise each process on either side would compile its packages again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    live = LiveVm("bench")
    times, quick = Times(), options.compare
    tasks = 0 if quick else tasks_of(live)  # a run that is not counted: it fills the caches
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
        one_round(live, times, tasks, vm_gates=number == 0 or not quick)
    text = page(times, options.rounds)
    print(text)
    if options.compare:
        return compare(times)
    if options.write:
        put("shell", text)
    model = page_of_model(live, options.rounds)
    print(model)
    if options.write:
        put("two machines", model)
    return 0


def one_round(live: LiveVm, times: Times, tasks: int, vm_gates: bool) -> None:
    """`tasks` empty ones, if any; gates 3 and 4 alone if `vm_gates`."""
    shell(live, times)
    times.add("shell 3+4", sum(times.seconds[f"shell {name}"][-1] for name in "34"))
    before = bytes_of(live)
    gate(live, times)
    times.note("kB over SSH", (bytes_of(live) - before) / 1000)
    if vm_gates:
        times.add("gate 3+4", play(live, promotion_resume="latest", promotion_gates="3,4")[0])
    times.add("resume of gate 5", play(live, promotion_resume="latest", promotion_gates="5")[0])
    of_gate = newest_index(live)["gates"]["contracts"]["duration_ns"] / 1e9
    times.note(BEYOND, times.seconds["resume of gate 5"][-1] - of_gate)
    times.note("MB of the largest process", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000)
    if tasks:
        times.add("empty tasks", floor(live, tasks))


def shell(live: LiveVm, times: Times) -> None:
    """The spec's commands, one after the other."""
    for name, script in (("1", TOOLS), ("2", " && ".join([SMOKE] * 3))):
        times.add(f"shell {name}", here(live, script))
    for name, script in VM_GATES.items():
        times.add(f"shell {name}", there(live, script))
    times.add("shell 5", here(live, CONTRACTS))
    times.add("shell", sum(times.seconds[f"shell {name}"][-1] for name in "12345"))


def here(live: LiveVm, script: str) -> float:
    return timed(["bash", "-c", script], live.workspace, live.environment())


def there(live: LiveVm, script: str) -> float:
    return timed(live.vm.ssh("bash", "-c", shlex.quote(script)), live.workspace, live.environment())


def timed(command: list[str], directory: Path, environment: Mapping[str, str]) -> float:
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=directory, env={**environment, "COREPACK_ENABLE_DOWNLOAD_PROMPT": "0"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"{shlex.join(command)}\n{done.stdout}")
    return time.monotonic() - began


def play(live: LiveVm, **extra: Any) -> tuple[float, list[tuple[float, str]]]:
    """The seconds of one run of the gate, which must promote, and its lines, each with the second it was printed at."""
    began = time.monotonic()
    process = live.started({**SAME, **extra})
    assert process.stdout
    lines = [(time.monotonic() - began, line) for line in process.stdout]
    if process.wait() != 0:
        raise SystemExit("".join(line for _, line in lines))
    return time.monotonic() - began, lines


def gate(live: LiveVm, times: Times, **extra: Any) -> None:
    """One whole run, and what its time consists of; `extra` are -e variables."""
    seconds, lines = play(live, **extra)
    times.add("gate", seconds)
    at = {
        word: [when for when, line in lines if word in line]
        for word in (" s  ", " is open", " starts on ", " after ", "deciding")
    }
    chain = longest_chain(newest_index(live))
    for name, value in (
        ("longest chain of gates", chain),
        ("orchestration", seconds - chain),
        ("of it Ansible's start", at[" s  "][0]),
        ("of it settings and opening", at[" is open"][0] - at[" s  "][0]),
        ("of it asking the hosts", at[" starts on "][0] - at[" is open"][0]),
        ("of it between and around the gates", at[" after "][-1] - at[" starts on "][0] - chain),
        ("of it closing", at["deciding"][0] - at[" after "][-1]),
        ("of it deciding, sealing, verifying", seconds - at["deciding"][0]),
    ):
        times.note(name, value)


def newest_index(live: LiveVm) -> dict[str, Any]:
    index: dict[str, Any] = json.loads(sorted(live.evidence.glob("*/index.json"))[-1].read_text(encoding="utf-8"))
    return index


def longest_chain(index: Mapping[str, Any]) -> float:
    """The seconds of the gates one after the other on the host that took longest, wave by wave."""
    hosts: dict[tuple[int, str], float] = {}
    for planned in index["plan"]:
        key = (planned["wave"], planned["host"])
        hosts[key] = hosts.get(key, 0.0) + index["gates"][planned["gate"]]["duration_ns"] / 1e9
    waves = {wave for wave, _ in hosts}
    return sum(max(seconds for (wave, _), seconds in hosts.items() if wave == this) for this in waves)


def tasks_of(live: LiveVm) -> int:
    """How many tasks a run has, from Ansible's own view of one."""
    process = live.started(SAME, ANSIBLE_STDOUT_CALLBACK="default")
    output = process.communicate()[0]
    if process.returncode != 0:
        raise SystemExit(output)
    return len(re.findall(r"^TASK \[", output, re.MULTILINE))


def floor(live: LiveVm, tasks: int) -> float:
    """ansible-playbook with as many tasks that do nothing, on the same two hosts."""
    folder = live.folder / "floor"
    folder.mkdir(exist_ok=True)
    empty = [{"name": f"Nothing {number}", "ansible.builtin.set_fact": {"x": number}} for number in range(tasks)]
    (folder / "floor.yml").write_text(
        json.dumps([{"hosts": "workspace:aiida_vm", "gather_facts": False, "strategy": "free", "tasks": empty}]),
        encoding="utf-8",
    )
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    command = [
        program,
        str(folder / "floor.yml"),
        "-i",
        str(live.application.inventory),
        "-e",
        f"demo_vm={live.vm.name}",
    ]
    return timed(command, ROOT, {**live.environment(), "ANSIBLE_STDOUT_CALLBACK": "default"})


def bytes_of(live: LiveVm) -> float:
    """How many bytes went through the VM's network until now."""
    shown = live.root("cat /sys/class/net/*/statistics/rx_bytes /sys/class/net/*/statistics/tx_bytes")
    return float(sum(map(int, shown.split())))


# --- two machines, modelled ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def two_machines(live: LiveVm) -> Iterator[tuple[set[int], set[int]]]:
    """Keeps this process, and so the controller and the workspace, on one set of processors and the VM on another.

    Raises DemoError with the reason where that is not possible.
    """
    everything = os.sched_getaffinity(0)
    ordered = sorted(everything)
    mine, of_vm = set(ordered[: len(ordered) // 2]), set(ordered[len(ordered) // 2 :])
    if not mine:
        raise DemoError("This machine has a single processor")
    try:
        keep_vm_on(live, of_vm)
        os.sched_setaffinity(0, mine)
        yield mine, of_vm
    finally:
        os.sched_setaffinity(0, everything)
        with contextlib.suppress(DemoError):
            keep_vm_on(live, everything)


def keep_vm_on(live: LiveVm, processors: set[int]) -> None:
    wanted = ",".join(map(str, sorted(processors)))
    if podman.call("update", "--cpuset-cpus", wanted, live.vm.container) is None:
        raise DemoError("podman cannot keep the VM on some of the processors (`podman update --cpuset-cpus` failed)")
    found = live.root("nproc").strip()
    if found != str(len(processors)):
        raise DemoError(f"The VM was to have {len(processors)} processors and has {found}")


def page_of_model(live: LiveVm, rounds: int) -> str:
    """What the two-machine model measured, or why it could not be run, as Markdown."""
    try:
        with two_machines(live) as (mine, of_vm):
            times = modelled(live, rounds)
    except DemoError as error:
        return f"The two-machine model could not be run: {str(error).rstrip('.')}.\n"
    alone, beside = (statistics.median(times.other[name]) for name in (ALONE, BESIDE))
    lost = (beside / alone - 1) * 100
    ratio = ("gate", "shell", "two machines, modelled: the whole run against the shell")
    lines = [
        f"`make bench`: {rounds} rounds, alternating. Controller and workspace on {len(mine)} of the processors,",
        f"the VM on {len(of_vm)} others; `promotion_side_by_side: true`.\n",
        *rows(times, (ratio,)),
        "\n| goal | at most | measured | |\n| --- | --- | --- | --- |",
        goal("the whole run against the shell, two machines", 0.75, times.ratio("gate", "shell")),
        goal("gate 2 side by side, % slower than alone", DISTURBED_PERCENT, lost),
    ]
    return "\n".join(lines) + "\n"


def modelled(live: LiveVm, rounds: int) -> Times:
    times, baselines = Times(), live.folder / "baseline-of-model"
    shutil.rmtree(baselines, ignore_errors=True)
    # Timings of fewer processors are those of another host.
    apart = {"promotion_baseline_dir": str(baselines), "promotion_side_by_side": True}
    live.record_baseline(**apart)
    for number in range(rounds):
        print(f"two machines, round {number + 1} of {rounds}", file=sys.stderr)
        shell(live, times)
        gate(live, times, **apart)
        times.note(BESIDE, smoke_median(live))
        play(live, promotion_resume="latest", promotion_gates="2", **apart)
        times.note(ALONE, smoke_median(live))
    return times


def smoke_median(live: LiveVm) -> float:
    """The median of the newest run's three smokes, in seconds."""
    runs = [command for command in newest_index(live)["commands"] if re.fullmatch("run_[123]", command["id"])]
    return float(statistics.median(command["duration_ns"] for command in runs)) / 1e9


# --- the page -----------------------------------------------------------------------------------------------------

Ratio = tuple[str, str, str]
RATIOS: tuple[Ratio, ...] = (
    ("gate", "shell", "the whole run against the shell"),
    ("gate 3+4", "shell 3+4", "gates 3 and 4 alone"),
    ("resume of gate 5", "shell 5", "a resume of gate 5 against its commands"),
    ("empty tasks", "gate", "as many empty tasks against the whole run"),
)


def page(times: Times, rounds: int) -> str:
    """What was measured, as Markdown."""
    return "\n".join(_page(times, rounds)) + "\n"


def _page(times: Times, rounds: int) -> Iterator[str]:
    yield f"`make bench`: {rounds} rounds, alternating, on {os.cpu_count()} processors ({_processor()}), Linux"
    versions = f"Python {platform.python_version()}, ansible-core {_ansible()}"
    yield f"{platform.release().split('-')[0]}, {versions}. Workspace and VM share the machine.\n"
    yield from rows(times, RATIOS)
    yield "\n| goal | at most | measured | |\n| --- | --- | --- | --- |"
    for name, most, measured in goals(times):
        yield goal(name, most, measured)


def goals(times: Times) -> Iterator[tuple[str, float, float]]:
    """Each goal of a run whose hosts share one machine: its name, its bound, and the median that was measured."""
    middle = {name: statistics.median(values) for name, values in times.other.items()}
    share = statistics.median(a / b for a, b in zip(times.other["orchestration"], times.seconds["gate"], strict=True))
    yield "the whole run against the shell", 1.0, times.ratio("gate", "shell")
    yield "gates 3 and 4 against the shell", 1.3, times.ratio("gate 3+4", "shell 3+4")
    yield "a resume of one gate beyond that gate, s", 2.5, middle[BEYOND]
    yield "orchestration, s", 2.5, middle["orchestration"]
    yield "orchestration, % of the run", 10, share * 100
    yield "asking all hosts, s", 1.5, middle["of it asking the hosts"]
    yield "deciding, sealing, verifying, s", 0.4, middle["of it deciding, sealing, verifying"]
    yield "the largest process, MB", 200, middle["MB of the largest process"]


def goal(name: str, most: float, measured: float) -> str:
    return f"| {name} | {most:g} | {measured:.2f} | {'reached' if measured <= most else 'not reached'} |"


def rows(times: Times, ratios: Sequence[Ratio]) -> Iterator[str]:
    yield "| compared | median ratio | least | most |\n| --- | --- | --- | --- |"
    for one, other, name in ratios:
        if not (pairs := times.pairs(one, other) if one in times.seconds else []):
            continue
        yield f"| {name} | {statistics.median(pairs):.2f} | {min(pairs):.2f} | {max(pairs):.2f} |"
    yield "\n| measured | median | least | most |\n| --- | --- | --- | --- |"
    for name, values in [*((f"{name}, s", v) for name, v in times.seconds.items()), *times.other.items()]:
        yield f"| {name} | {statistics.median(values):.1f} | {min(values):.1f} | {max(values):.1f} |"


def _processor() -> str:
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    found = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def _ansible() -> str:
    from ansible.release import __version__

    return str(__version__)


def compare(times: Times) -> int:
    """Prints each ratio that is more than 20 % off the page's; returns 1 if there is one."""
    text = PAGE.read_text(encoding="utf-8")
    moved = 0
    for one, other, name in RATIOS:
        found = re.search(rf"^\| {re.escape(name)} \| ([0-9.]+) ", text, re.MULTILINE)
        if one not in times.seconds:
            continue
        now = times.ratio(one, other)
        if found is None or abs(now / float(found[1]) - 1) * 100 > MOVED_PERCENT:
            print(f"{name}: {now:.2f}, the page has {found[1] if found else 'nothing'}")
            moved = 1
    return moved


if __name__ == "__main__":
    sys.exit(main())
