"""What a fault of a VM must come to: HOLD with the right check named, and its sentences' commands repair it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from fnmatch import fnmatch

import outcomes
from faults_of_vm import Fault
from ground import Run
from live import LiveVm, commands_of
from matrix import BY_COMMANDS, NOT_TRIED

MOST_RESUMES = 3


def judge(live: LiveVm, fault: Fault, held: Run, restore: Callable[[], object], table: str = "vm") -> None:
    """Records the row, repairs the VM, resumes, and only then reports what was wrong with the gate.

    Where the commands repair it, nothing else is put back before the resume: a PROMOTE is then their doing.
    """
    outcomes.record(table, fault.name, held, fault.check)
    failing = held.failing() if held.decision else []
    named = held.check(fault.check) if fault.check in failing else None
    if named and fault.repaired_by == BY_COMMANDS:
        repaired, transcript = follow(live, fault, held)
        restore()
    else:
        restore()
        repaired, transcript = live.resume(**fault.extra), []
    promoted = repaired.word == "PROMOTE" and repaired.status == 0
    outcomes.record(table, fault.name, held, fault.check, unblocked=fault.repaired_by if promoted else NOT_TRIED)

    assert held.status == 2, held.output
    assert held.word == "HOLD", held.output
    assert named is not None, f"{fault.check} is not among {failing}"
    assert named["status"] == fault.status, named
    assert fault.says in str(named["observed"]), named["observed"]
    expected = (fault.check, *fault.also, "*.host")
    others = [name for name in failing if not any(fnmatch(name, pattern) for pattern in expected)]
    assert others == [], [(name, held.check(name)["observed"]) for name in others]
    assert promoted, "\n".join([*transcript, repaired.output])


def follow(live: LiveVm, fault: Fault, held: Run) -> tuple[Run, list[str]]:
    """Pastes every command of the sentences about the VM there, and resumes; also returns what they printed.

    Each must exit 0, and none may break what worked before. A sentence may have no command: a cluster that is busy with
    what the fault left wants a re-run and nothing else.
    """
    transcript, run = [], held
    for _ in range(MOST_RESUMES):
        broken = set(run.failing())
        on_vm = [name for name in run.failing() if name.startswith(("vm_bootstrap.", "slurm_smoke."))]
        for command in (c for name in on_vm for c in commands_of(str(run.check(name)["unblock"]))):
            done = live.shell(command)
            transcript.append(f"$ {command}\n{done.stdout}{done.stderr}")
            assert done.returncode == 0, "\n".join(transcript)
        run = live.resume(**fault.extra)
        if run.status == 0 or run.decision is None:
            break
        worse = [name for name in run.failing() if name not in broken]
        assert not worse, "\n".join([*transcript, run.output])
    return run, transcript


def waited_once(held: Run) -> None:
    """What does not answer costs one limit of verdi: its calls waited side by side, and none came later.

    The application's bootstrap may ask the service too (the grown one asks PostgreSQL in its dry run), before them.
    """
    assert held.bundle is not None
    index = json.loads((held.bundle / "index.json").read_text(encoding="utf-8"))
    late = [c for c in index["commands"] if c["timed_out"] and c["id"] != "bootstrap"]
    assert {command["gate"] for command in late} == {"vm_bootstrap"}, late
    begins = [datetime.fromisoformat(command["started"].replace("Z", "+00:00")) for command in late]
    ends = [began + timedelta(microseconds=c["duration_ns"] / 1000) for began, c in zip(begins, late, strict=True)]
    assert max(begins) < min(ends), late
    asked = [command for command in index["commands"] if command["id"] in ("script", "computer_test", "calculation")]
    assert asked and all("is not asked again" in str(command["not_run"]) for command in asked), asked
    limits = sum(command["limit_seconds"] for command in index["commands"] if command["gate"] == "vm_bootstrap")
    assert index["gates"]["vm_bootstrap"]["duration_ns"] <= limits * 1e9, "the bound that docs/runbook.md states"
