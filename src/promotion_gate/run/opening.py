"""Opens a run: checks what the operator set, makes the bundle folder, and writes the first index.

Everything here is known on the controller before the first connection, so a mistake is an input error: one
sentence, no bundle.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from promotion_gate.base.errors import GateError, InputError
from promotion_gate.base.fields import Fields, kind_of
from promotion_gate.base.files import sha256, sync_folder, to_json, write_atomically
from promotion_gate.base.names import BASELINE_FILE, INDEX_FILE, MAP_FILE, POLICY_FILE, UNFINISHED
from promotion_gate.base.policy import GATE_NAMES, Policy, policy_text
from promotion_gate.base.times import RUN_ID_FORMAT, stamp, utc_now
from promotion_gate.bundle.baseline import baselines_to_json, read_baseline_dir
from promotion_gate.bundle.history import latest_moment, newest_run, previous_seal, read_run, root_id
from promotion_gate.bundle.index import INDEX_SCHEMA
from promotion_gate.judge.checks.registry import read_policy
from promotion_gate.judge.ownership.map import shipped_text
from promotion_gate.judge.waivers import check_waivers
from promotion_gate.prove.signing import check_signing_key
from promotion_gate.report.tracker import check_issue_commands
from promotion_gate.run.lock import check_free
from promotion_gate.run.masking import masked
from promotion_gate.run.resume import plan_resume
from promotion_gate.run.settings import check_names, check_run_id, effective
from promotion_gate.run.sharing import check_group, let_in, share


def open_run(request: object) -> dict[str, Any]:
    """Opens a new run or prepares a resume.

    `request` is what roles/gate_common hands over: `variables` (name to value or null), `defined` (names of all
    variables), `groups` (workspace, aiida_vm: lists of hosts, or null for a group that does not exist),
    `workspace_local`, `inventory` (sources), `directory` (where the playbook is). Returns plain data for the plays:
    bundle, run_id, gates to run, effective settings. Raises InputError or GateError with one sentence.
    """
    fields = Fields(request, "the request of roles/gate_common", InputError)
    given = fields.mapping("variables")
    kept: dict[str, Any] | None = None
    if given.get("promotion_resume"):
        root = _evidence_root(_for_root(given), fields.boolean("workspace_local"))
        # The run stays where it was found: a copied or moved folder must not write into the original.
        kept = {**newest_run(root, str(given["promotion_resume"])).settings, "promotion_evidence_root": str(root)}
    settings, policy = checked_settings(fields, kept)
    settings["promotion_waivers"] = list(check_waivers(settings["promotion_waivers"], policy))
    check_signing_key(settings["promotion_signing_key"])
    check_issue_commands(settings)
    check_group(settings["promotion_evidence_group"])
    root = Path(settings["promotion_evidence_root"])
    _writable(root, settings["promotion_evidence_group"])
    check_free(root)
    text = _policy_text(settings, fields)
    if kept is not None:
        return plan_resume(root, settings, text, settings["promotion_policy"])
    return _new_run(root, settings, text)


def checked_settings(
    fields: Fields, kept: Mapping[str, Any] | None = None, optional: tuple[str, ...] = ()
) -> tuple[dict[str, Any], Policy]:
    """The effective settings of a request and its policy. Raises InputError with one sentence."""
    check_names(list(fields.texts("defined")))
    workspace, vm = _hosts(fields)
    settings = effective(fields.mapping("variables"), kept, optional)
    settings["workspace"], settings["vm"] = workspace, vm
    directory = Path(fields.text("directory"))
    settings["inventory"] = [_relative(source, directory) for source in fields.texts("inventory")]
    root = _evidence_root(settings, fields.boolean("workspace_local"))
    settings["promotion_evidence_root"] = str(root)
    settings["promotion_baseline_dir"] = settings["promotion_baseline_dir"] or str(root / "baseline")
    settings["evidence_path"] = _below(str(root), settings["workspace_dir"])
    settings["words"] = words(settings)
    policy = read_policy(_policy_text(settings, fields), settings["promotion_policy"])
    settings["ownership_map"] = _ownership_map(policy)
    return settings, policy


def _ownership_map(policy: Policy) -> str:
    """The application's own map of field owners that the policy names, relative to the checkout; or an empty text."""
    maps = [str(check.limits.get("map") or "") for check in policy.checks() if check.check == "ownership"]
    for name in maps:
        if name and (Path(name).is_absolute() or ".." in Path(name).parts):
            raise InputError(
                f'The ownership map "{name}" of the policy must lie in the checkout: write a relative path.'
            )
    return maps[0] if maps else ""


def _policy_text(settings: Mapping[str, Any], fields: Fields) -> str:
    return policy_text(Path(fields.text("directory")) / str(settings["promotion_policy"]))


def _hosts(fields: Fields) -> tuple[str, str]:
    groups = fields.mapping("groups")
    found = []
    for group, what in (("workspace", "the workspace host"), ("aiida_vm", "the VM")):
        hosts = groups.get(group)
        if hosts is None:
            raise InputError(f'The inventory has no group "{group}". Add it with one host: {what}.')
        if len(hosts) != 1:
            named = ", ".join(map(str, hosts)) or "none"
            raise InputError(f'The group "{group}" must have exactly one host ({what}), it has: {named}.')
        found.append(str(hosts[0]))
    if found[0] == found[1]:
        raise InputError(f"{found[0]} is in both groups, workspace and aiida_vm; they are two hosts.")
    return found[0], found[1]


def _for_root(given: Mapping[str, Any]) -> dict[str, Any]:
    """What finding the evidence root of a resume needs, before the kept settings are known."""
    return {
        name: _text(given, name) or default
        for name, default in (("promotion_evidence_root", None), ("workspace_dir", ""), ("promotion_ticket", "gra-125"))
    }


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{name} must be a text, not {kind_of(value)}.")
    return (value or "").strip()


def _evidence_root(settings: Mapping[str, Any], workspace_local: bool) -> Path:
    given = settings["promotion_evidence_root"]
    if given:
        root = Path(given)
    elif not workspace_local:
        raise InputError(
            "promotion_evidence_root is not set, and the workspace host is not this machine. Set it to a folder "
            "of the controller where the evidence is to be kept."
        )
    elif not settings["workspace_dir"]:
        raise InputError("workspace_dir is not set. Set it in the inventory's group_vars or with -e workspace_dir=...")
    else:
        if not Path(settings["workspace_dir"]).is_dir():
            raise InputError(f"workspace_dir is {settings['workspace_dir']}, and there is no such folder.")
        root = Path(settings["workspace_dir"]) / "investigations" / "artifacts" / settings["promotion_ticket"]
    if not root.is_absolute():
        raise InputError(f'promotion_evidence_root must be an absolute path, not "{root}".')
    return root


def _writable(root: Path, group: str | None) -> None:
    try:
        made = [folder for folder in (root, *root.parents) if not folder.exists()]
        root.mkdir(parents=True, exist_ok=True, mode=0o750)
        share(group, *made)
        if group and not made:
            let_in(group, root)
        # A name that nobody can plant: others may write in there.
        with tempfile.NamedTemporaryFile(dir=root, prefix=UNFINISHED):
            pass
    except FileExistsError:
        raise InputError(f"promotion_evidence_root is {root}, which is a file; it must be a folder.") from None
    except OSError as error:
        raise InputError(
            f"promotion_evidence_root {root} cannot be written ({error.strerror}); make it writable or set another."
        ) from None


def abandon(bundle: Path) -> None:
    """Removes a run that was opened and in which nothing will ever be recorded: it would stand as the newest one."""
    index = read_run(bundle).index
    if index.attempt == 1 and not index.run and index.state == "open":
        shutil.rmtree(bundle)


def _below(path: str, folder: str) -> str:
    """`path` relative to `folder`, or an empty text if it lies elsewhere."""
    if not folder or not Path(path).is_relative_to(folder):
        return ""
    return Path(path).relative_to(folder).as_posix()


def _relative(source: str, directory: Path) -> str:
    path = Path(source)
    return path.relative_to(directory).as_posix() if path.is_relative_to(directory) else source


def words(settings: Mapping[str, Any]) -> dict[str, str]:
    """What unblock sentences can name; {verdi} and its like are commands that run as they stand on the VM."""
    repo, env_file = settings["aiida_vm_repo_dir"] or "", settings["aiida_vm_env_file"]
    env_path = env_file if Path(env_file).is_absolute() else f"{repo}/{env_file}"
    call = settings["aiida_vm_verdi"]
    verdi = call if isinstance(call, str) else shlex.join(call)
    profile = settings["aiida_vm_profile"]
    enter = f"cd {shlex.quote(repo)} && set -a && . {shlex.quote(env_path)} && set +a && "
    name = shlex.quote(profile) if profile else '"$AIIDA_PROFILE"'
    wrapper = verdi.rsplit(maxsplit=1)[0] + " " if " " in verdi else ""
    return {
        "vm": settings["vm"],
        "repo": repo,
        "env_file": env_file,
        "env_path": env_path,
        "profile": profile or "the AIIDA_PROFILE of the environment file",
        "verdi": f"{enter}{verdi} -p {name}",
        "verdi_list": f"{enter}{verdi} profile list",
        # [v]: the shell that runs this has the pattern on its own command line and must not be ended by it.
        "kill_daemon": f'{enter}pkill -KILL -f "[v]erdi -p "{name}" daemon (start-circus|worker)"',
        "smoke_by_hand": f"{enter}{wrapper}scripts/aiida-slurm-smoke-vm.sh --profile {name}",
        "computer": settings["gate_slurm_smoke_computer_label"] or '"$AIIDA_COMPUTER_LABEL"',
        "workspace": settings["workspace"],
        "workspace_dir": settings["workspace_dir"],
        "branch": settings["workspace_target_branch"],
        "inventory": " -i ".join(settings["inventory"]) or "inventory/vm",
    }


def _later_than_all(root: Path) -> datetime:
    """When a run that is opened now is opened: the newest run is found by that, so it is later than every other.

    Within the second of another run it waits for the next one. Raises InputError where the clock went back.
    """
    latest = latest_moment(root)
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


def _new_run(root: Path, settings: dict[str, Any], checklist: str) -> dict[str, Any]:
    opened = _later_than_all(root)
    run_id = settings["promotion_run_id"]
    run_id = check_run_id(run_id) if run_id is not None else opened.strftime(RUN_ID_FORMAT)
    bundle = root / run_id
    baseline_text = baselines_to_json(read_baseline_dir(Path(settings["promotion_baseline_dir"])))
    kept = masked(settings)
    index = {
        "schema": INDEX_SCHEMA,
        "run_id": run_id,
        "root_id": root_id(root),
        "state": "open",
        "attempt": 1,
        "opened_at": stamp(opened),
        "evaluated_at": None,
        "ticket": kept["promotion_ticket"],
        "operator": kept["promotion_operator"],
        "reviewer": kept["promotion_reviewer"],
        "risks": kept["promotion_risks"],
        "waivers": kept["promotion_waivers"],
        "settings": kept,
        "policy": {"path": settings["promotion_policy"], "sha256": sha256(checklist.encode())},
        "baseline_sha256": sha256(baseline_text.encode()),
        "previous": previous_seal(root, run_id),
        "attempts": [],
        "probes": {},
        "run": {},
        "gates": {},
        "commands": [],
        "artifacts": [],
        "artifact_sets": [],
        "events": [],
        "collector_errors": [],
        # The default map of field owners: an input of the decision that comes from the gate, not from a host.
        "files": {MAP_FILE: sha256(shipped_text().encode())},
    }
    files = {
        POLICY_FILE: checklist,
        BASELINE_FILE: baseline_text,
        MAP_FILE: shipped_text(),
        INDEX_FILE: to_json(index),
    }
    _make_bundle(bundle, files)
    share(settings["promotion_evidence_group"], bundle)
    return {
        "bundle": str(bundle),
        "run_id": run_id,
        "gates": list(GATE_NAMES),
        "settings": settings,
        "said": "",
    }


def _make_bundle(bundle: Path, files: Mapping[str, str]) -> None:
    """Makes the folder of a run with its first files, all of them or none: killed at any moment, there is no half run.

    Raises InputError for a run that is there already, GateError where the folder cannot be written.
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
