"""One run with a decision for each of several hosts: ordinary runs that share the gates not about the subject.

Each host of the checklist's subject has its own folder of runs in the evidence root, with the same bundle that a run
about this host alone would leave. The operator's settings are checked for all of them before the first one is opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promotion_gate.base.errors import BundleError, GateError, InputError
from promotion_gate.base.fields import Fields
from promotion_gate.base.files import read_file, write_atomically
from promotion_gate.base.names import FLEET_FILE
from promotion_gate.base.times import RUN_ID_FORMAT, utc_now
from promotion_gate.bundle.fleet import is_fleet, read_fleet
from promotion_gate.bundle.history import read_run, run_folders
from promotion_gate.bundle.index import Probe
from promotion_gate.bundle.newest import looks, newest_folder, newest_run
from promotion_gate.run.checked import Given, evidence_root, for_root, subject_of
from promotion_gate.run.host_names import host_name_problems
from promotion_gate.run.lock import check_free
from promotion_gate.run.masking import KNOWN
from promotion_gate.run.opening import Asked, abandon, checked_request, later_than_all, make_root, opened
from promotion_gate.run.probing import note_probes
from promotion_gate.run.reopening import archive_of, restore
from promotion_gate.run.resume import answered, begun
from promotion_gate.run.standing import entry_as_verified, host_entry, note_fleet

_WHERE = "the request of roles/gate_common"
_UNDER_WAY = "the run is under way, or was cut off"


def open_runs(request: object) -> dict[str, Any]:
    """Opens a run, or one run for each host of the subject: all of them or none.

    Returns plain data for the plays: `runs`, and the result of in_common(). Raises InputError with one line per
    mistake, or GateError.
    """
    fields = Fields(request, _WHERE, InputError)
    given = Given(fields)
    requests = _by_host(fields, given)
    if not requests:
        one = checked_request(request)
        make_root(one)
        return in_common([opened(one)])
    asked = _checked(requests, given)
    gone = list(_no_longer_listed(asked))  # before fleet.json is rewritten
    found = in_common(_all_or_none(asked))
    return {**found, "message": " ".join([*_crowded(found["plan"], fields), *gone, *_added(asked)])}


def _by_host(fields: Fields, given: Given) -> dict[str, Mapping[str, Any]]:
    """One request for each host with its own folder in the evidence root; none where the root is for a single host.

    An evidence root that has been used for several hosts stays that way.
    """
    hosts, groups = fields.mapping("hosts"), fields.mapping("groups")
    whole = {name: fields.raw(name) for name in fields.names()}
    for group, found in hosts.items():
        if found.get("others"):
            of_host = {**found["others"], str(groups[group][0]): {**found, "others": {}}}
            return {
                str(host): {**whole, "groups": {**groups, group: [host]}, "hosts": {**hosts, group: of_host[host]}}
                for host in groups[group]
            }
    with suppress(InputError):  # reported when all settings are checked
        if is_fleet(evidence_root(for_root(given), given.local())):
            mine = groups.get(subject_of(hosts, fields.text("directory"))) or ()
            return {str(host): whole for host in mine if len(mine) == 1}
    return {}


# --- checking -----------------------------------------------------------------------------------------------------


def _checked(requests: Mapping[str, Mapping[str, Any]], given: Given) -> list[Asked]:
    """Reports all mistakes at once; one that all hosts have is reported once, any other with its host."""
    asked: list[Asked] = []
    wrong: dict[str, list[str]] = {}
    mistakes = list(host_name_problems(list(requests)))
    resumed = None if mistakes else _resumed(given, list(requests))
    for host, request in requests.items():
        try:
            kept, resumes = resumed.kept(host) if resumed else (None, False)
            asked.append(checked_request(request, host, kept, resumes))
        except InputError as error:
            wrong[host] = str(error).splitlines()
    mistakes += [*_each_once(wrong, len(requests)), *_not_the_same(asked)]
    if mistakes:
        raise InputError("\n".join(mistakes))
    known = sorted({secret for one in asked for secret in one.settings[KNOWN]})
    for one in asked:
        one.settings[KNOWN] = known
        if len(asked) > 1:
            one.settings["fleet"] = list(requests)
        if resumed and not one.resumes:
            one.settings.update(promotion_run_id=resumed.run_id, promotion_resume=None)
    return asked


def _each_once(wrong: Mapping[str, Sequence[str]], hosts: int) -> Iterator[str]:
    for sentence in dict.fromkeys(sentence for sentences in wrong.values() for sentence in sentences):
        mine = [host for host, sentences in wrong.items() if sentence in sentences]
        yield sentence if len(mine) == hosts else f"{', '.join(mine)}: {sentence}"


def _not_the_same(asked: Sequence[Asked]) -> Iterator[str]:
    """A sentence for each setting that is not about the subject's hosts but differs between them."""
    for name, value in asked[0].settings.items() if asked else ():
        other = next((one for one in asked[1:] if one.settings.get(name) != value), None)
        if other and not _is_own(name, asked[0]):
            yield f"{name} is not the same on {asked[0].host} and {other.host}; a run has one value of it."


def _is_own(name: str, asked: Asked) -> bool:
    """Whether a setting is about the host of the subject."""
    policy, place = asked.policy, asked.settings["places"][asked.policy.subject]
    gates = [gate.name for gate in policy.gates if gate.hosts == policy.subject]
    of_roles = {public for gate in gates if gate in asked.roles for public in asked.roles[gate].public}
    derived = {"evidence_path", "baseline_path"} if place == "workspace" else set()
    return name in {"hosts", "vm", KNOWN, *of_roles, *derived} or bool(place and name.startswith(f"{place}_"))


@dataclass(frozen=True, slots=True)
class _Resumed:
    """The run to resume, and the hosts that have a part in it; a host added since then starts a new run."""

    root: Path
    run_id: str
    hosts: tuple[str, ...]

    def kept(self, host: str) -> tuple[dict[str, Any], bool]:
        """The settings used where nothing is set, and whether the host has a run to resume."""
        resumes = host in self.hosts
        before = newest_run(self.root / (host if resumes else self.hosts[0]), self.run_id).settings
        if not resumes:
            before = {name: value for name, value in before.items() if name.startswith(("promotion_", "workspace_"))}
        return {**before, "promotion_evidence_root": str(self.root)}, resumes


def _resumed(given: Given, hosts: Sequence[str]) -> _Resumed | None:
    """Raises InputError where there is no run to resume."""
    wanted = given.first("promotion_resume")
    if not wanted:
        return None
    root = evidence_root(for_root(given), given.local())
    newest = [newest_folder(root / host) for host in hosts if run_folders(root / host)]
    run_id = str(wanted) if wanted != "latest" or not newest else max(newest, key=_opened_at).name
    mine = [host for host in hosts if run_id in {folder.name for folder in run_folders(root / host)}]
    if not mine:
        newest_run(newest[0].parent if newest else root / hosts[0], run_id)  # explains why there is none
    return _Resumed(root, run_id, tuple(mine))


def _opened_at(folder: Path) -> str:
    with suppress(BundleError):
        return read_run(folder).index.opened_at
    return ""


# --- opening ------------------------------------------------------------------------------------------------------


def _all_or_none(asked: Sequence[Asked]) -> list[dict[str, Any]]:
    """Opens the runs under one name; fleet.json lists them as undecided until they are decided."""
    root, group = asked[0].root.parent, asked[0].settings["promotion_evidence_group"]
    for one in asked:
        make_root(one)
    check_free(root)
    moment = max((later_than_all(one.root, looks(one.root)) for one in asked if not one.resumes), default=utc_now())
    run_id = next((one.settings["promotion_run_id"] for one in asked if not one.resumes), None)
    run_id = run_id or next((newest_folder(one.root).name for one in asked if one.resumes), None)
    bundles = [one.root / (run_id or moment.strftime(RUN_ID_FORMAT)) for one in asked]
    before = read_file(root / FLEET_FILE)
    runs: list[dict[str, Any]] = []
    try:
        note_fleet(root, [host_entry(bundle, None, _UNDER_WAY) for bundle in bundles], group)
        for one in asked:
            runs.append({**opened(one, moment), "host": one.host})
    except BaseException:
        for run in runs:
            _undo(run)
        if before.problem:
            (root / FLEET_FILE).unlink(missing_ok=True)
        else:
            write_atomically(root / FLEET_FILE, before.data)
        raise
    return runs


def _undo(run: Mapping[str, Any]) -> None:
    folder = Path(run["bundle"])
    with suppress(GateError, OSError):
        if run["gates"] is not None:
            abandon(folder)
        elif run["revoked"]:
            restore(folder, archive_of(folder, run["attempt"]))


def _no_longer_listed(asked: Sequence[Asked]) -> Iterator[str]:
    """A sentence for each host of the newest run that is not part of this one."""
    root, now = asked[0].root.parent, {one.host for one in asked}
    with suppress(BundleError):
        for item in read_fleet(root).hosts if is_fleet(root) else ():
            if item.host not in now:
                yield f"{item.host} is no longer in the inventory, so this run does not decide about it."


def _crowded(plan: Sequence[Mapping[str, Any]], fields: Fields) -> Iterator[str]:
    """A sentence where Ansible cannot work on all hosts of the plan at the same time."""
    hosts = len({entry["host"] for entry in plan})
    forks = fields.integer("forks") if fields.has("forks") else hosts
    if forks < hosts:
        yield (
            f"Ansible works on {forks} of the {hosts} hosts at once (forks), so hosts wait for one another, and one "
            f"that hangs delays others. Run with -f {hosts}, or set forks = {hosts} in ansible.cfg."
        )


def _added(asked: Sequence[Asked]) -> Iterator[str]:
    if any(one.resumes for one in asked):
        for one in asked:
            if not one.resumes:
                yield f"{one.host} has no part in the run that is resumed yet, so all its gates are run."


def in_common(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the plays get of the runs: their gates, each once, and by host the input of its gates and of its probe.

    What all runs have in common, including the settings of the shared gates, is taken from the first run.
    """
    found: dict[str, Any] = {"plan": [], "handed": {}, "trips": {}, "asked": {}, "worktrees": {}}
    for run in runs:
        for entry in run["plan"]:
            found["plan"] += [entry] if entry not in found["plan"] else []
            for name in ("handed", "trips"):
                mine = found[name].setdefault(entry["host"], {})
                mine.setdefault(entry["name"], run[name].get(entry["name"], {}))
        for name in ("asked", "worktrees"):
            found[name] = {**run[name], **found[name]}
    kept = [{name: value for name, value in run.items() if name not in found} for run in runs]
    resumes = any(run["gates"] is None for run in runs)
    return {
        "runs": [{"host": "", "kept": False, **run} for run in kept],
        "resumes": resumes,
        "settings": runs[0]["settings"],
        "message": "",
        **found,
    }


# --- a resume, once the hosts were probed -------------------------------------------------------------------------


def begin_runs(request: object) -> dict[str, Any]:
    """Chooses the gates that each run of a resume re-runs; a run that needs none is kept as it is.

    `request` has `plan`, as open_runs() returned it, and `probes`, the results of the probe by host. Raises InputError
    where nothing needs to be re-run.
    """
    fields = Fields(request, _WHERE, InputError)
    plan, probes = fields.mapping("plan"), answered(fields)
    runs = [_begun(run, probes) for run in plan["runs"]]
    if all(run["kept"] for run in runs):
        raise InputError(_nothing_to_do(plan, [Path(run["bundle"]) for run in runs]))
    messages = [": ".join(filter(None, (run["host"], run["message"]))) for run in runs if run["message"]]
    return {**plan, "runs": runs, "message": "\n".join(messages)}


def _nothing_to_do(plan: Mapping[str, Any], bundles: Sequence[Path]) -> str:
    """Why a resume does not begin. fleet.json, if there is one, lists the decisions as they are."""
    run_id, root = bundles[0].name, bundles[0].parent.parent
    if not plan["runs"][0]["host"]:
        return (
            f"Nothing of run {run_id} needs a re-run: all gates passed and their evidence is fresh. Ask "
            f"`promotion-gate check {bundles[0]}` whether the decision still holds."
        )
    note_fleet(root, map(entry_as_verified, bundles), plan["settings"]["promotion_evidence_group"])
    return (
        f"Nothing of run {run_id} needs a re-run on any host: all gates passed and their evidence is fresh. Ask "
        f"`promotion-gate check BUNDLE` of the bundles in {root / FLEET_FILE} whether the decisions still hold."
    )


def _begun(run: dict[str, Any], probes: Mapping[str, Probe]) -> dict[str, Any]:
    """One of several runs, with its gates; a run opened by this resume is new and only records the probes."""
    if run["gates"] is not None:
        note_probes(Path(run["bundle"]), probes)
        return run
    kept = {**run, "gates": [], "kept": True, "message": "Nothing needs a re-run; its decision stays."}
    return begun(run, probes) or kept
