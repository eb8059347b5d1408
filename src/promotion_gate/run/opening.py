"""Opens a run: checks what the operator set, creates the bundle folder, and writes the first index.

Everything here is known on the controller before the first connection, so a mistake is an input error: one
sentence, no bundle.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from promotion_gate.base.errors import GateError, InputError
from promotion_gate.base.fields import Fields
from promotion_gate.base.files import sha256, sync_folder, to_json, write_atomically
from promotion_gate.base.model import PolicyRecord
from promotion_gate.base.names import BASELINE_FILE, INDEX_FILE, POLICY_FILE, SHIPPED_POLICY_FILE, UNFINISHED
from promotion_gate.base.policy import Policy, own_files
from promotion_gate.base.times import RUN_ID_FORMAT, stamp, utc_now
from promotion_gate.base.typed import plain
from promotion_gate.bundle.baseline import baselines_to_json, read_baseline_dir
from promotion_gate.bundle.fleet import host_roots, is_fleet
from promotion_gate.bundle.history import read_run
from promotion_gate.bundle.index import INDEX_SCHEMA, Index
from promotion_gate.bundle.newest import Look, latest_moment, looks, newest_run, previous_seal, root_id
from promotion_gate.judge.ownership.map import shipped_text
from promotion_gate.judge.shipped import policy_record, shipped_checklist
from promotion_gate.prove.signing import check_signing_key
from promotion_gate.report.tracker import check_issue_commands
from promotion_gate.run.checked import Given, checked_settings, checklist_text, evidence_root, for_root
from promotion_gate.run.handed import for_the_plays
from promotion_gate.run.kinds import check_run_id
from promotion_gate.run.lock import check_free
from promotion_gate.run.masking import KNOWN, known_secrets, masked
from promotion_gate.run.plan import set_by_operator
from promotion_gate.run.resume import plan_resume
from promotion_gate.run.roles import Role
from promotion_gate.run.settings import VARIABLES, Mistakes
from promotion_gate.run.sharing import check_group, grant_group, share


@dataclass(frozen=True, slots=True)
class Asked:
    """A request whose settings are checked. `host`, unless empty, has its own folder in the evidence root."""

    host: str
    settings: dict[str, Any]
    policy: Policy
    roles: Mapping[str, Role]
    checklist: str
    resumes: bool

    @property
    def root(self) -> Path:
        """The folder that the run goes into."""
        return Path(self.settings["promotion_evidence_root"]) / self.host


def checked_request(
    request: object, host: str = "", kept: Mapping[str, Any] | None = None, resumes: bool | None = None
) -> Asked:
    """Checks what an operator set, before anything is written.

    `request` comes from roles/gate_common: `hosts` (by group the variables of its first host: `values`,
    `errors` of those that cannot be evaluated, `secrets`, the values to mask, and `local`, whether it is this
    machine), `groups` (lists of hosts), `inventory` (sources), `directory` (where the playbook is), `roles` (folders
    that Ansible searches for roles). `kept` are the settings of an earlier run that count where nothing is set; by
    default those of the run that promotion_resume names. Raises InputError with one line per mistake.
    """
    fields = Fields(request, "the request of roles/gate_common", InputError)
    mistakes = Mistakes()
    given = Given(fields)
    mistakes.redactor = given.redactor
    if resumes is None:
        kept = _resumed(given, mistakes)
        resumes = kept is not None
    optional = tuple(VARIABLES) if kept is None and given.first("promotion_resume") else ()
    settings, policy, roles = checked_settings(fields, given, mistakes, kept, optional)
    with mistakes.noting():
        check_signing_key(settings["promotion_signing_key"])
    with mistakes.noting():
        check_issue_commands(settings)
    with mistakes.noting():
        check_group(settings["promotion_evidence_group"])
    mistakes.stop()
    settings[KNOWN] = known_secrets(settings, given.marked)
    checklist = checklist_text(settings["promotion_policy"], fields)
    return Asked(host, settings, policy, roles, checklist, resumes)


def opened(asked: Asked, moment: datetime | None = None) -> dict[str, Any]:
    """Opens a new run, at `moment` if there is one, or prepares a resume.

    Returns plain data for the plays: bundle, run_id, gates to run, effective settings, and what for_the_plays() adds.
    Raises InputError or GateError.
    """
    if asked.resumes:
        run = plan_resume(asked.root, asked.settings, asked.checklist, asked.settings["promotion_policy"])
    else:
        run = new_run(asked.root, asked.settings, asked.policy, asked.checklist, moment)
    return {**run, **for_the_plays(asked.policy, asked.settings, asked.roles, str(run["run_id"]))}


def _resumed(given: Given, mistakes: Mistakes) -> dict[str, Any] | None:
    """The settings of the run to resume; None for a new run, or if the run is not found."""
    resumed = given.first("promotion_resume")
    if resumed:
        with mistakes.noting():
            root = evidence_root(for_root(given), given.local())
            # The run stays where it was found: a copied or moved folder must not write into the original.
            return {**newest_run(root, str(resumed)).settings, "promotion_evidence_root": str(root)}
    return None


def make_root(asked: Asked) -> None:
    """Creates the folder that the run goes into, if it does not exist.

    Raises InputError for a folder that must not hold a run or is not writable, GateError if a run is in progress.
    """
    root = Path(asked.settings["promotion_evidence_root"])
    if is_fleet(root.parent) and root in host_roots(root.parent):
        raise InputError(
            f"promotion_evidence_root {root} is the folder of one host in {root.parent}, which is the evidence root of "
            f"several. Set it to {root.parent}."
        )
    _writable(asked.root, asked.settings["promotion_evidence_group"])
    check_free(asked.root)


def _writable(root: Path, group: str | None) -> None:
    try:
        made = [folder for folder in (root, *root.parents) if not folder.exists()]
        root.mkdir(parents=True, exist_ok=True, mode=0o750)
        share(group, *made)
        if group and not made:
            grant_group(group, root)
        # An unpredictable name, because others may be able to write in there.
        with tempfile.NamedTemporaryFile(dir=root, prefix=UNFINISHED):
            pass
    except FileExistsError:
        raise InputError(f"promotion_evidence_root is {root}, which is a file; it must be a folder.") from None
    except OSError as error:
        raise InputError(
            f"promotion_evidence_root {root} cannot be written ({error.strerror}); make it writable or set another."
        ) from None


def abandon(bundle: Path) -> None:
    """Removes a run that was opened but will never record anything: it would count as the newest one."""
    index = read_run(bundle).index
    if index.attempt == 1 and not index.run and index.state == "open":
        shutil.rmtree(bundle)


def later_than_all(root: Path, there: Sequence[Look]) -> datetime:
    """The opening time of a run opened now. It is later than all others, because it identifies the newest run.

    In the same second as another run it waits for the next second. Raises InputError if the clock went back.
    """
    latest = latest_moment(there)
    now = utc_now()
    if latest and stamp(now) == latest[0]:
        time.sleep(1 - now.microsecond / 1e6)
        now = utc_now()
    if latest and stamp(now) <= latest[0]:
        last, name = latest
        raise InputError(
            f"Run {name} in {root} is of {last}, and the clock of this machine says {stamp(now)}: a run that is opened "
            f"now would not count as newer. Set the clock. If it was wrong when {name} was made, wait until that "
            "moment has passed, or set promotion_evidence_root to a new folder."
        )
    return now


def new_run(
    root: Path, settings: dict[str, Any], policy: Policy, checklist: str, moment: datetime | None = None
) -> dict[str, Any]:
    there = looks(root)
    opened = moment or later_than_all(root, there)
    run_id = settings["promotion_run_id"]
    run_id = check_run_id(run_id) if run_id is not None else opened.strftime(RUN_ID_FORMAT)
    bundle = root / run_id
    baseline_text = baselines_to_json(read_baseline_dir(Path(settings["promotion_baseline_dir"]), root, opened))
    shipped = shipped_checklist(policy.name)
    record = policy_record(settings["promotion_policy"], checklist, shipped)
    index = _first_index(there, run_id, opened, sha256(baseline_text.encode()), policy, masked(settings), record)
    files = {
        POLICY_FILE: checklist,
        **({} if shipped is None else {SHIPPED_POLICY_FILE: shipped}),
        BASELINE_FILE: baseline_text,
        **dict.fromkeys(own_files(policy.checks()), shipped_text()),
        INDEX_FILE: to_json(plain(index)),
    }
    _make_bundle(bundle, files)
    share(settings["promotion_evidence_group"], bundle)
    return {
        "bundle": str(bundle),
        "run_id": run_id,
        "gates": settings["promotion_gates"] or [gate.name for gate in policy.gates],
        "settings": settings,
        "message": "",
    }


def _first_index(
    there: Sequence[Look],
    run_id: str,
    opened: datetime,
    baseline_sha256: str,
    policy: Policy,
    kept: Mapping[str, Any],
    record: PolicyRecord,
) -> Index:
    """The index of a run in which nothing has been collected yet."""
    return Index(
        schema=INDEX_SCHEMA,
        run_id=run_id,
        root_id=root_id(there),
        state="open",
        attempt=1,
        opened_at=stamp(opened),
        evaluated_at=None,
        baseline_sha256=baseline_sha256,
        previous=previous_seal(there, run_id),
        attempts=(),
        probes={},
        run={},
        gates={},
        commands=(),
        artifacts=(),
        artifact_sets=(),
        events=(),
        collector_errors=(),
        withheld=(),
        files=dict.fromkeys(own_files(policy.checks()), sha256(shipped_text().encode())),
        **set_by_operator(policy, kept, record, probes={}),
    )


def _make_bundle(bundle: Path, files: Mapping[str, str]) -> None:
    """Creates the folder of a run with all of its first files or none: a kill never leaves half a run.

    Raises InputError if the run already exists, GateError if the folder cannot be written.
    """
    if os.path.lexists(bundle):
        raise InputError(
            f"There is a run {bundle.name} in {bundle.parent} already. Choose another promotion_run_id, or resume it "
            f"with -e promotion_resume={bundle.name}."
        )
    try:
        draft = Path(tempfile.mkdtemp(dir=bundle.parent, prefix=UNFINISHED))
        try:
            for name, text in files.items():
                write_atomically(draft / name, text)
            draft.rename(bundle)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        sync_folder(bundle.parent)
    except OSError as error:
        raise GateError(f"The bundle {bundle} cannot be written ({error.strerror}).") from None
