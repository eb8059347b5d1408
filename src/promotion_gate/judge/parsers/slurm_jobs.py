"""A Slurm job from its submission to its end, in the forms in which sbatch, scontrol, squeue and sacct show it.

Source: SchedMD/slurm 20.11 to 25.x, job_state_string of ``src/common/slurm_protocol_defs.c`` and the man pages
squeue(1) and sacct(1); recorded with 24.11.5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from promotion_gate.judge.parsers.slurm import one_value
from promotion_gate.judge.parsers.text import lines, number

_ERROR = re.compile(
    r"(?:sinfo|scontrol|sbatch|squeue|sacct|scancel|slurm_\w+)(?: error)?: |Slurm accounting storage is disabled"
)
# The states that a job passes through (squeue(1)); every other one is final.
_LIVE_STATES = frozenset(
    (
        *("COMPLETING", "CONFIGURING", "PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESIZING"),
        *("RESV_DEL_HOLD", "RUNNING", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED", "SUSPENDED"),
    )
)
_SUBMITTED = re.compile(r"Submitted batch job (\d+)(?: on cluster \S+)?")
_EXIT = re.compile(r"(\d{1,9}):(\d{1,9})")


@dataclass(frozen=True, slots=True)
class Submission:
    """``sbatch``: the job's id, None unless exactly one was printed."""

    job_id: int | None
    errors: tuple[str, ...]


def submission(text: str) -> Submission:
    """Read ``sbatch`` ("Submitted batch job N")."""
    rows = lines(text)
    ids = {match[1] for row in rows if (match := _SUBMITTED.fullmatch(row))}
    return Submission(number(next(iter(ids))) if len(ids) == 1 else None, _errors(rows))


def _errors(rows: list[str]) -> tuple[str, ...]:
    return tuple(row for row in rows if _ERROR.match(row))


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it was seen, once or several times.

    ``states`` are the states in the order seen, each change once; ``state`` is the last of them, ``reason`` the last
    one shown ("" for None). ``completed`` only if the only final state seen is COMPLETED, of one job, with exit
    status 0 if one is shown.
    """

    states: tuple[str, ...]
    state: str | None
    reason: str
    completed: bool

    @property
    def ended(self) -> bool:
        """Whether the last state is a final one, whichever."""
        return self.state is not None and self.state not in _LIVE_STATES


def job(text: str, job_id: int | None = None) -> Job:
    """Read the lines about a job that a probe prints while it waits, in any of these forms.

    ``scontrol show job -o ID``; ``sacct -n -P -X -o JobIDRaw,State,ExitCode,Reason``;
    ``squeue -h -o "%i|%T|%r"`` (20.11 and newer). With *job_id*, lines about other jobs are left out.
    """
    seen = [item for row in lines(text) if (item := _job_line(row)) is not None and job_id in (None, item[0])]
    ids = {item[0] for item in seen}
    states = [item[1] for item in seen]
    changes = tuple(state for i, state in enumerate(states) if i == 0 or states[i - 1] != state)
    exits = [item[3] for item in seen if item[3] is not None]
    ends = {state for state in states if state not in _LIVE_STATES}
    return Job(
        states=changes,
        state=changes[-1] if changes else None,
        reason=next((item[2] for item in reversed(seen) if item[2]), ""),
        completed=(
            len(ids) == 1 and ends == {"COMPLETED"} and changes[-1] == "COMPLETED" and exits[-1:] in ([], [(0, 0)])
        ),
    )


def _job_line(row: str) -> tuple[int | None, str, str, tuple[int, int] | None] | None:
    """One line as (job id, state, reason, (exit code, signal)), or None if it is not about a job."""
    if row.startswith("JobId="):
        state, reason = one_value(row, "JobState") or "?", one_value(row, "Reason") or ""
        return number(one_value(row, "JobId") or ""), state, _reason(reason), _exit(one_value(row, "ExitCode") or "")
    fields = [field.strip() for field in row.split("|")]
    if len(fields) < 3 or not fields[0].isascii() or not fields[0].isdigit():
        return None
    # sacct prints "CANCELLED by UID".
    state = (fields[1].split() or ["?"])[0]
    code = _exit(fields[2])
    rest = fields[3:] if code else fields[2:]
    return number(fields[0]), state, _reason("|".join(rest).strip("|")), code


def _exit(text: str) -> tuple[int, int] | None:
    match = _EXIT.fullmatch(text)
    return (int(match[1]), int(match[2])) if match else None


def _reason(text: str) -> str:
    return "" if text in ("None", "(null)") else text
