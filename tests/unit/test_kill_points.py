"""Killed between any two writes: the bundle is readable, decides nothing it has not sealed, and a resume finishes it.

A child process runs what a run does (open, record, close, seal, or a resume of it) and sends itself SIGKILL right
before its Nth change of the file system, until it gets through. After each kill the commands of operators are asked
what they say, and a resume has to end where an uncut run ends. `make test` takes every fifth N, `make nightly` each.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bundles
import fleets
import pytest
import yaml
from fleets import HOSTS

from promotion_gate.__main__ import main
from promotion_gate.base.errors import InputError
from promotion_gate.base.files import list_files, read_file, sha256
from promotion_gate.base.names import ATTEMPTS, FLEET_FILE, SUMS_FILE, UNFINISHED
from promotion_gate.base.times import utc_now
from promotion_gate.bundle.baseline import read_baseline_dir, write_baseline
from promotion_gate.bundle.fleet import read_fleet
from promotion_gate.bundle.history import broken_links, is_sealed, read_run
from promotion_gate.bundle.newest import looks, newest_run, previous_seal
from promotion_gate.prove.check import Wanted, check
from promotion_gate.prove.signoff import make_signoff
from promotion_gate.prove.sound import parse_sums
from promotion_gate.prove.verify import verify_bundle, verify_history
from promotion_gate.run.fleet import open_runs

pytestmark = pytest.mark.slow

COMMANDS = ("check", "verify", "show", "decide")
KEPT_CHECKS = (
    "preflight.branch",
    "sqlite_smoke.p95",
    "vm_bootstrap.checkout",
    "slurm_smoke.script",
    "slurm_smoke.artifacts",
    "contracts.openapi",
)
KEPT_COMMANDS = ("identity", "identity_end", "run_1", "run_2", "run_3", "script", "openapi")
LOGS = dict(list(bundles.SMOKE_LOGS.items())[:2])
OTHER = {"commit": "b" * 40, "content": "b" * 64}
Action = Callable[[Path], object]


# --- the killing ------------------------------------------------------------------------------------------------


def changes(event: str, arguments: tuple[Any, ...], root: Path) -> bool:
    """Whether an audit event of Python is a change of the file system below `root`."""
    if event == "open":
        path, _, flags = arguments
        if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return False
    elif event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink"):
        path = arguments[0]
    else:
        return False
    return isinstance(path, str | bytes | os.PathLike) and os.fsdecode(path).startswith(f"{root}/")


def killed_at(number: int, action: Action, root: Path) -> bool:
    """Runs `action` in a child that is killed right before its change `number`; False if it gets through before it."""
    pid = os.fork()
    if pid == 0:
        child(number, action, root)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the child failed; its traceback is above"
    return False


def child(number: int, action: Action, root: Path) -> None:
    seen = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if changes(event, arguments, root):
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(hook)
        action(root)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


# Every fifth kill point in `make test`, each of them in `make nightly`.
each_or_every_fifth = pytest.mark.parametrize(
    "every", [pytest.param(5, id="every fifth"), pytest.param(1, id="each", marks=pytest.mark.nightly)]
)


def kill_points(action: Action, start: Path, folder: Path, every: int = 1, first: int = 1) -> Iterator[Path]:
    """An evidence root, named like the kill point, for kill points of `action`, which starts from a copy of `start`."""
    number = first
    while True:
        root = Path(shutil.copytree(start, folder / str(number)))
        if not killed_at(number, action, root):
            return
        yield root
        shutil.rmtree(root)
        number += every


# --- what is run ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evidence root with a baseline and a small policy, so that hundreds of kill points take a minute."""
    root = tmp_path_factory.mktemp("start") / "root"
    write_baseline(root / "baseline", bundles.known_good())
    data = yaml.safe_load((bundles.PROJECT / "policies" / "aiida.yml").read_text(encoding="utf-8"))
    trips = small_trips()
    data["name"] = "small"
    for gate in data["gates"]:
        written = {command["file"] for command in trips[gate["name"]]["commands"]}
        gate["checks"] = [entry for entry in gate["checks"] if entry["id"] in KEPT_CHECKS]
        for entry in gate["checks"]:
            entry.pop("needs", None)
        gate["evidence"] = [name for name in gate["evidence"] if name in written or name.endswith("/")]
    (root / "policy.yml").write_text(yaml.safe_dump(data), encoding="utf-8")
    return root


def small_trips(**identity: str) -> bundles.Trips:
    """healthy_trips() with a few commands of each gate; `identity` is what the hosts are."""
    trips = bundles.healthy_trips()
    for gate, result in trips.items():
        result["commands"] = [command for command in result["commands"] if command["id"] in KEPT_COMMANDS]
        result["artifacts"] = [bundles.artifact("slurm-smoke", LOGS)] if gate == "slurm_smoke" else []
        probe = bundles.vm_probe if gate in ("vm_bootstrap", "slurm_smoke") else bundles.workspace_probe
        trips[gate] = bundles.elsewhere({gate: result}, gate, output=probe(**identity))[gate]
    return trips


def request(root: Path, **variables: Any) -> dict[str, Any]:
    here = {"promotion_policy": str(root / "policy.yml"), "promotion_baseline_dir": str(root / "baseline")}
    return bundles.request(root, **here, **variables)


def collect_and_seal(run: dict[str, Any], **identity: str) -> None:
    trips = small_trips(**identity)
    bundles.record(Path(run["bundle"]), {gate: trips[gate] for gate in run["gates"]}, saved_each=True)
    assert main(["seal", run["bundle"]]) == 0


def first_run(root: Path, **variables: Any) -> None:
    collect_and_seal(bundles.opened(request(root, promotion_run_id=bundles.RUN_ID, **variables)))


def resume(root: Path, gates: str | None = None, **identity: str) -> list[str]:
    plan = bundles.opened(request(root, promotion_resume="latest", promotion_gates=gates))
    probes = bundles.answers(bundles.workspace_probe(**identity), bundles.vm_probe(**identity))
    run = bundles.begun(plan, probes)
    collect_and_seal(run, **identity)
    return list(run["gates"])


# --- what must be true ------------------------------------------------------------------------------------------


def bundle_of(root: Path) -> Path:
    return root / bundles.RUN_ID


def sayings(bundle: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, bool]:
    """Whether each command of operators says PROMOTE, by exit status and in words."""
    message = {}
    capsys.readouterr()  # what runs printed before
    for name in COMMANDS:
        status = main([name, str(bundle)])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        message[name] = status == 0
        if status != 0:
            assert "PROMOTE" not in printed.out.rstrip().rpartition("\n")[2], f"{name} exits {status}: {printed.out}"
    return message


def tree(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in list_files(folder)}


def names(bundle: Path) -> list[str]:
    """The files of a bundle without those of earlier attempts."""
    return [name for name in list_files(bundle) if not name.startswith(f"{ATTEMPTS}/")]


def outcome(bundle: Path) -> dict[str, Any]:
    """The content of a decision, without what distinguishes one attempt from another."""
    record = json.loads((bundle / "promotion-decision.json").read_text(encoding="utf-8"))
    gates = [(gate["name"], gate["status"], [check["status"] for check in gate["checks"]]) for gate in record["gates"]]
    return {key: record[key] for key in ("decision", "commit", "objections", "run_id", "reviewer")} | {"gates": gates}


def assert_like(bundle: Path, uncut: Path, seals: int) -> None:
    """The bundle is sealed, verifies, and is what an uncut run leaves, with `seals` earlier seals in its attempts."""
    report = verify_bundle(bundle)
    assert report.holds, report.problem
    assert names(bundle) == names(uncut)
    assert outcome(bundle) == outcome(uncut)
    index = read_run(bundle).index
    assert [entry.number for entry in index.attempts] == list(range(1, index.attempt))
    assert len([entry for entry in index.attempts if entry.sha256]) == seals
    assert not [name for name in list_files(bundle) if Path(name).name.startswith(UNFINISHED)]
    assert_nothing_is_lost(bundle, index.attempt)
    assert verify_history(bundle.parent).holds


def assert_nothing_is_lost(bundle: Path, attempt: int) -> None:
    """Every file that an earlier seal names is still there, where it was or where a resume moved it."""
    for path in (bundle / ATTEMPTS).glob(f"*/{SUMS_FILE}"):
        later = [bundle / ATTEMPTS / f"{number:02d}" for number in range(int(path.parent.name), attempt)]
        sums, problem = parse_sums(path.read_bytes())
        assert not problem
        for name, digest in sums.items():
            assert digest in {sha256(read_file(place / name).data) for place in (bundle, *later)}, name


def assert_readable(root: Path) -> None:
    """The history of the evidence root and its baselines can be read; no part of a killed write is in them."""
    assert list(broken_links(root)) == []
    bundle = bundle_of(root)
    if bundle.exists():
        assert newest_run(root, "latest").folder == bundle
        assert verify_history(root).findings[0].holds
    else:
        with pytest.raises(InputError, match="has no run"):
            newest_run(root, "latest")
        assert previous_seal(looks(root), "20261125T000000Z") is None
    assert read_baseline_dir(root / "baseline", root, utc_now())


def finish(root: Path, identity: dict[str, str]) -> list[str]:
    """A resume as the operator calls it, and the gates that it ran; if nothing was cut off, it says so."""
    try:
        return resume(root, **identity)
    except InputError as error:
        assert "needs a re-run: all gates passed" in str(error)
        assert is_sealed(bundle_of(root))
        return []


# --- the tests --------------------------------------------------------------------------------------------------


@each_or_every_fifth
def test_a_first_run(every: int, start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uncut = Path(shutil.copytree(start, tmp_path / "uncut"))
    first_run(uncut)
    for root in kill_points(first_run, start, tmp_path, every):
        assert_readable(root)
        bundle = bundle_of(root)
        if not bundle.exists():
            first_run(root)  # the same run id is still free: there is no half-written run
        else:
            message = sayings(bundle, capsys)
            assert message == dict.fromkeys(COMMANDS, is_sealed(bundle))
            finish(root, {})
        assert_like(bundle, bundle_of(uncut), seals=0)
    assert int(root.name) >= 70
    assert len(read_baseline_dir(uncut / "baseline", uncut, utc_now())) == 2


def later(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(start, tmp_path_factory.mktemp("later") / "root"))


@pytest.fixture(scope="module")
def promoted(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evidence root with a sealed PROMOTE."""
    root = later(start, tmp_path_factory)
    first_run(root)
    return root


@pytest.fixture(scope="module")
def promoted_twice(promoted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after a resume."""
    root = later(promoted, tmp_path_factory)
    resume(root, "1,4")
    return root


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@pytest.fixture(scope="module")
def signed(start: Path, key: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed PROMOTE of a run that signs; so does its resume."""
    root = later(start, tmp_path_factory)
    first_run(root, promotion_signing_key=str(key))
    return root


@pytest.fixture(scope="module")
def cut_off(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A first run that was killed after two gates, in the middle of the third."""
    folder = tmp_path_factory.mktemp("cut")
    for root in kill_points(first_run, start, folder):
        if (bundle_of(root) / "03-vm-checkout.log").exists():
            return root
    raise AssertionError("no kill point leaves gate 3 half recorded")


@pytest.fixture(scope="module")
def half_reopened(promoted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A resume of a PROMOTE that was killed while it moved the old records away."""
    folder = tmp_path_factory.mktemp("half")
    for root in kill_points(lambda root: resume(root, "3,4"), promoted, folder):
        bundle = bundle_of(root)
        if (bundle / "04-slurm-smoke.log").exists() and not (bundle / "03-vm-checkout.log").exists():
            return root
    raise AssertionError("no kill point leaves the bundle half reopened")


RESUMES: dict[str, tuple[str, str | None, dict[str, str], int]] = {
    "of chosen gates": ("promoted", "3,4", {}, 65),
    "of what became stale": ("promoted", None, OTHER, 100),
    "of a resume": ("promoted_twice", "4", {}, 65),
    "with a signing key": ("signed", "4", {}, 65),
    "of a run that was killed": ("cut_off", None, {}, 65),
    "of a resume that was killed": ("half_reopened", None, {}, 65),
}


@each_or_every_fifth
@pytest.mark.parametrize(("earlier", "again", "identity", "at_least"), RESUMES.values(), ids=RESUMES)
def test_a_resume(
    every: int,
    earlier: str,
    again: str | None,
    identity: dict[str, str],
    at_least: int,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before: Path = request.getfixturevalue(earlier)
    untouched, attempts = tree(bundle_of(before)), read_run(bundle_of(before)).index.attempt
    stands = is_sealed(bundle_of(before))
    uncut = Path(shutil.copytree(before, tmp_path / "uncut"))
    gates = resume(uncut, again, **identity)
    seals = len([entry for entry in read_run(bundle_of(uncut)).index.attempts if entry.sha256])
    standing = 0
    # Resumes write much the same files, so that each starts at another point: together they meet more of them.
    first = 1 + list(RESUMES.values()).index((earlier, again, identity, at_least)) % every
    for root in kill_points(lambda root: resume(root, again, **identity), before, tmp_path, every, first):
        assert_readable(root)
        bundle = bundle_of(root)
        message = sayings(bundle, capsys)
        if stands and tree(bundle) == untouched:
            # Nothing has been touched yet: the earlier decision is valid, and all commands agree on it.
            assert message == dict.fromkeys(COMMANDS, True)
            standing += 1
            resume(root, again, **identity)
        else:
            sealed_anew = is_sealed(bundle) and (not stands or read_run(bundle).index.attempt > attempts)
            assert message == dict.fromkeys(COMMANDS, sealed_anew)
            assert set(finish(root, identity)) <= set(gates), "what was kept is not run again"
        assert_like(bundle, bundle_of(uncut), seals)
        assert earlier != "signed" or verify_bundle(bundle, require_signature=True).holds
    assert int(root.name) >= at_least
    # One rename ends the earlier decision; before it come the lock and the empty folder that the seal goes to.
    assert standing <= 10


@each_or_every_fifth
def test_sealing_with_a_key_is_never_seen_unsigned(
    every: int, start: Path, key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    closed = Path(shutil.copytree(start, tmp_path / "closed"))
    run = bundles.opened(request(closed, promotion_run_id=bundles.RUN_ID, promotion_signing_key=str(key)))
    bundles.record(Path(run["bundle"]), small_trips(), saved_each=True)
    for root in kill_points(seal_of, closed, tmp_path, every):
        bundle = bundle_of(root)
        assert sayings(bundle, capsys) == dict.fromkeys(COMMANDS, is_sealed(bundle))
        assert verify_bundle(bundle, require_signature=True).holds == is_sealed(bundle)
        finish(root, {})
        assert verify_bundle(bundle, require_signature=True).holds
    assert int(root.name) >= 20


def seal_of(root: Path) -> None:
    assert main(["seal", str(bundle_of(root))]) == 0


def test_opening_a_second_run(promoted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Until the second run exists the first one counts; from then on it does not."""
    second = "20261125T000000Z"
    for root in kill_points(lambda root: open_second(root, second), promoted, tmp_path):
        there = (root / second).exists()
        assert main(["check", "latest", "--root", str(root)]) == (3 if there else 0)
        capsys.readouterr()
        assert verify_history(root).holds
        assert newest_run(root, "latest").folder.name == (second if there else bundles.RUN_ID)
        if not there:
            open_second(root, second)
        previous = read_run(root / second).index.previous
        assert previous is not None
        assert previous.run_id == bundles.RUN_ID
    assert int(root.name) >= 10


def open_second(root: Path, run_id: str) -> None:
    bundles.opened(request(root, promotion_run_id=run_id))


def test_signing_off(promoted: Path, key: Path, tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    allowed.write_text(f"bob {key.with_suffix('.pub').read_text(encoding='utf-8')}", encoding="utf-8")
    wanted = Wanted(sign_off=True, allowed_signers=allowed)
    for root in kill_points(lambda root: sign_off_of(root, key), promoted, tmp_path):
        bundle = bundle_of(root)
        report = verify_bundle(bundle)
        assert report.holds, "a sign-off changes nothing in the bundle"
        assert check(bundle, wanted).status == 3, "half a sign-off counts for nothing"
        sign_off_of(root, key)
        assert check(bundle, wanted).status == 0
    assert int(root.name) >= 4


def sign_off_of(root: Path, key: Path) -> None:
    make_signoff(bundle_of(root), "bob", str(key))


# --- several hosts ----------------------------------------------------------------------------------------------


def fleet_request(root: Path, **variables: Any) -> Any:
    variables |= {"promotion_policy": str(root / "policy.yml"), "promotion_baseline_dir": str(root / "baseline")}
    return fleets.request(root, *HOSTS, **variables)


def fleet_trips() -> dict[tuple[str, str], bundles.Trip]:
    """small_trips() of each host."""
    found = {}
    for gate, trip in small_trips().items():
        for host in HOSTS if gate in ("vm_bootstrap", "slurm_smoke") else ("workspace-local",):
            own = {"output": fleets.BY_HOST[host]} if host in fleets.BY_HOST else {}
            found[gate, host] = bundles.elsewhere({gate: trip}, gate, **own)[gate]
    return found


def fleet_run(root: Path) -> None:
    run = open_runs(fleet_request(root, promotion_run_id=bundles.RUN_ID))
    assert fleets.played(run, fleets.answers(*HOSTS), fleet_trips()).promotes


def fleet_resume(root: Path, gates: str | None = None) -> None:
    run = open_runs(fleet_request(root, promotion_resume="latest", promotion_gates=gates))
    assert fleets.played(run, fleets.answers(*HOSTS), fleet_trips()).promotes


def finish_fleet(root: Path) -> None:
    """What the operator does: a resume if a run is there, else the same run again."""
    if any(bundle.exists() for bundle in bundles_of(root)):
        try:
            fleet_resume(root)
        except InputError as error:
            assert "needs a re-run on any host: all gates passed" in str(error)
    else:
        fleet_run(root)


def bundles_of(root: Path) -> list[Path]:
    return [root / host / bundles.RUN_ID for host in HOSTS]


def assert_no_false_promote(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command, of each host and of the whole root, says PROMOTE only of what is sealed."""
    noted = {item.host: item.decision for item in read_fleet(root).hosts} if (root / FLEET_FILE).exists() else {}
    for bundle in bundles_of(root):
        sealed = is_sealed(bundle)
        assert noted.get(bundle.parent.name) != "PROMOTE" or sealed
        if bundle.exists():
            assert sayings(bundle, capsys) == dict.fromkeys(COMMANDS, sealed)
            assert main(["check", "latest", "--root", str(bundle.parent)]) == (0 if sealed else 3)
            assert verify_bundle(bundle).holds == sealed
    assert main(["check", "latest", "--root", str(root)]) in (2, 3), "nobody speaks for all"
    capsys.readouterr()


def assert_fleet_like(root: Path, uncut: Path, seals: tuple[int, int]) -> None:
    for bundle, other, earlier in zip(bundles_of(root), bundles_of(uncut), seals, strict=True):
        assert_like(bundle, other, earlier)
    assert {item.host: item.decision for item in read_fleet(root).hosts} == dict.fromkeys(HOSTS, "PROMOTE")
    assert read_baseline_dir(root / "baseline", root / HOSTS[0], utc_now())


# Much of what is written is as in a run about one host, so `make test` takes fewer of these.
each_or_some = pytest.mark.parametrize(
    "every", [pytest.param(23, id="some"), pytest.param(1, id="each", marks=pytest.mark.nightly)]
)


@each_or_some
def test_a_run_about_several_hosts(every: int, start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Killed between two bundles, too: as they are opened, as one is sealed and the other is not, before fleet.json."""
    uncut = Path(shutil.copytree(start, tmp_path / "uncut"))
    fleet_run(uncut)
    seen = set()
    for root in kill_points(fleet_run, start, tmp_path, every):
        assert_no_false_promote(root, capsys)
        seen.add(tuple((bundle.exists(), is_sealed(bundle)) for bundle in bundles_of(root)))
        sealed = {bundle: tree(bundle) for bundle in bundles_of(root) if is_sealed(bundle)}
        finish_fleet(root)
        assert {bundle: tree(bundle) for bundle in sealed} == sealed, "what is sealed stays as it is"
        assert_fleet_like(root, uncut, (0, 0))
    none, half, done = (False, False), (True, False), (True, True)
    assert {(half, half), (done, half)} <= seen
    assert every > 1 or {(none, none), (half, none), (done, done)} <= seen
    assert int(root.name) >= 120


@each_or_some
def test_a_resume_about_several_hosts(
    every: int, start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """vm-b is re-run; vm-a is looked at, needs nothing, and has its decision afterwards, wherever it was killed."""
    before = Path(shutil.copytree(start, tmp_path / "before"))
    down = bundles.changed(fleet_trips()["slurm_smoke", "vm-b"], "script", exit=1)
    run = open_runs(fleet_request(before, promotion_run_id=bundles.RUN_ID))
    assert not fleets.played(run, fleets.answers(*HOSTS), {**fleet_trips(), ("slurm_smoke", "vm-b"): down}).promotes
    uncut = Path(shutil.copytree(before, tmp_path / "uncut"))
    fleet_resume(uncut)
    promoted, held = bundles_of(before)
    for root in kill_points(fleet_resume, before, tmp_path, every, first=5):
        bundle, other = bundles_of(root)
        if tree(other) != tree(held):  # before, it is the HOLD that it was
            assert_no_false_promote(root, capsys)
        stands = is_sealed(bundle)
        finish_fleet(root)
        # What had been revoked when the run was killed is sealed once more, from the same evidence.
        assert_fleet_like(root, uncut, (0 if stands else 1, 1))
        assert not stands or tree(bundle) == tree(promoted), "its decision stays, byte for byte"
        assert {gate.attempt for gate in read_run(bundle).index.gates.values()} == {1}, "nothing of vm-a is run again"
    assert int(root.name) >= 60
