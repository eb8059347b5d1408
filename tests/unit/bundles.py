"""Builds bundles as a run does, without Ansible: open_runs(), Recorder.trip() per gate, close, seal().

The outputs are what the tools printed on the demo's VM (Debian 13, AiiDA 2.9.4, Slurm 24.11). A test takes
healthy_trips(), changes one command with changed(), and looks at what becomes of the decision:

    trips = healthy_trips()
    trips["slurm_smoke"] = changed(trips["slurm_smoke"], "ping", exit=1, output=PING_DOWN)
    bundle = make_bundle(tmp_path, trips)
"""

from __future__ import annotations

import atexit
import copy
import json
import shlex
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from promotion_gate.bundle.baseline import Baseline, write_baseline
from promotion_gate.bundle.recorder import Recorder
from promotion_gate.judge.checks.sqlite import command_sha256
from promotion_gate.judge.identity import identity
from promotion_gate.prove.seal import seal
from promotion_gate.run.fleet import begin_runs, open_runs

PROJECT = Path(__file__).parents[2]
DOCUMENTS = PROJECT / "examples" / "workspace" / "docs"
RUN_ID = "20261124T002930Z"
GATES = ("preflight", "sqlite_smoke", "vm_bootstrap", "slurm_smoke", "contracts")
COMMIT = "5015f7df34521572a104beca6b0288022595b1df"
CONTENT = "1a8affac3ee9775c07a4cbcb6b71f6136a3a3399c93c22645b49784ba034d81c"
SECOND = 1_000_000_000

BEGIN_AND_END = ("identity", "identity_end")
IDENTITY = ["/usr/bin/python3", "-I", "/tmp/scratch/bin/identity.py", "--part", "machine", "--part", "checkout"]

Trip = dict[str, Any]
Trips = dict[str, Trip]


# --- what the hosts are -----------------------------------------------------------------------------------------


def probe(commit: str = COMMIT, content: str = CONTENT, machine: str = "", branch: str = "main") -> str:
    """What the identity program prints; `machine` are its lines about the host."""
    lines = machine + "processor: x86_64 x2 Intel(R) Xeon(R) Processor\n"
    lines += f"top_level: /srv/app\ncommit: {commit}\nrevision: \nbranch: {branch}\ntarget_commit: {commit}\n"
    lines += f"content: {content}\nchanges: none\nmodified: []\nuntracked: none\nuntracked_names: []\n"
    return lines


def dirty(text: str, modified: str = "", untracked: str = "") -> str:
    """A probe of a checkout with a file that is not as the commit has it, or not tracked."""
    for name, value in (("changes: none\nmodified", modified), ("untracked: none\nuntracked_names", untracked)):
        if value:
            key = name.split(":")[0]
            text = text.replace(f"{name}: []", f"{key}: {'d4' * 32}\n{name.split()[-1]}: {json.dumps([value])}")
    return text


def workspace_probe(commit: str = COMMIT, content: str = CONTENT) -> str:
    boot = "boot_id: 0a9c2f4e-7d37-4c0c-8f0b-54b1a3e7a001\nhost_keys: []\n"
    return probe(commit, content, f"machine_id: 3d1219c7c4c5404aaa1f6d2a48adfda4\n{boot}")


def vm_probe(commit: str = COMMIT, content: str = CONTENT, machine_id: str = "77ceb62a43ada30304ea3dd09c8dd263") -> str:
    boot = "boot_id: 5e0f1c52-2b8e-4d5f-9a53-9a1d6f2f9b02\n"
    keys = 'host_keys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIODgzAYfy2sF89QBBFYrkbwIQKhSLM6PZ"]\n'
    own = f"profile: vm-psql\nprofile_digest: {'a1' * 32}\nenv_file: /srv/app/ops/aiida-vm/aiida-vm.env\n"
    own += f"env_file_digest: {'b2' * 32}\nconfig_dir: /home/aiida/.aiida\n"
    return probe(commit, content, f"machine_id: {machine_id}\n{boot}{keys}") + own


# --- the module's results ---------------------------------------------------------------------------------------


def command(name: str, file: str, run: Sequence[str] | str, output: str = "", **fields: Any) -> dict[str, Any]:
    """One command of a module's result; `fields` replace what a command that exits 0 has."""
    record: dict[str, Any] = {
        "id": name,
        "file": file,
        "argv": [run] if isinstance(run, str) else list(run),
        "command": run if isinstance(run, str) else shlex.join(run),
        "chdir": "/srv/app",
        "start_ns": 0,
        "duration_ns": SECOND // 10,
        "limit_seconds": 60.0,
        "exit": 0,
        "signal": None,
        "timed_out": False,
        "left_running": False,
        "truncated": False,
        "total_bytes": len(output.encode()),
        "output": output,
        "encoding": "utf-8",
        "not_run": None,
    }
    return {**record, **fields}


def artifact(to: str, files: Mapping[str, str], **fields: Any) -> dict[str, Any]:
    """A directory (or, with the empty name, one file) that a trip brought back."""
    entries = [
        {"path": path, "size": len(text.encode()), "content": text, "encoding": "utf-8", "truncated": False}
        for path, text in files.items()
    ]
    found = {"from": f"/tmp/scratch/{to}", "to": to, "found": True, "error": None, "files": entries}
    return {**found, "refused": [], "truncated": False, **fields}


def trip(gate: str, commands: Sequence[Mapping[str, Any]], artifacts: Sequence[Mapping[str, Any]] = ()) -> Trip:
    """A trip whose first command is the identity of its host; it ends with the same one."""
    on_vm = gate in ("vm_bootstrap", "slurm_smoke")
    commands = [*commands, *({**item, "id": "identity_end"} for item in commands if item["id"] == "identity")]
    env_file = {"path": "/srv/app/ops/aiida-vm/aiida-vm.env", "error": None, "names": ["AIIDA_PATH", "AIIDA_PROFILE"]}
    return {
        "schema": 1,
        "event": "commands",
        "gate": gate,
        "bundle": None,
        "host": {
            "hostname": "aiida-vm" if on_vm else "controller",
            "user": "aiida" if on_vm else "operator",
            "python": "3.13.5",
            "load_average": [0.25, 0.5, 0.75],
            "load_average_after": [0.3, 0.5, 0.75],
        },
        "trip_ns": 3 * SECOND,
        "env_file": env_file if on_vm else None,
        "objections": [],
        "commands": [dict(item) for item in commands],
        "artifacts": [dict(item) for item in artifacts],
    }


def changed(result: Trip, command_id: str, **fields: Any) -> Trip:
    """A copy of a trip in which one command's fields differ."""
    other = copy.deepcopy(result)
    [found] = [item for item in other["commands"] if item["id"] == command_id]
    found.update(fields)
    return other


def elsewhere(trips: Trips, *gates: str, **fields: Any) -> Trips:
    """Copies of trips in which gates ran on something else, from their begin to their end."""
    for gate in gates:
        other = changed(changed(trips[gate], "identity", **fields), "identity_end", **fields)
        trips = {**trips, gate: other}
    return trips


def without(result: Trip, command_id: str) -> Trip:
    """A copy of a trip in which one command has no record."""
    other = copy.deepcopy(result)
    other["commands"] = [item for item in other["commands"] if item["id"] != command_id]
    return other


# --- gate 1 -----------------------------------------------------------------------------------------------------

SPEC_FILES = (
    "docs/process/aiida-vm-bootstrap.md",
    "docs/process/aiida-slurm-smoke-vm.md",
    "docs/adr/ADR-0001-system-of-record-boundaries.md",
    "docs/adr/ADR-0004-runtime-contract-boundary-byo-aiida.md",
)
TOOLS = {
    "node": ("node -v", "v20.20.2\n"),
    "corepack": ("corepack --version", "0.34.6\n"),
    "pnpm": ("pnpm -v", "10.34.9\n"),
    "uv": ("uv --version", "uv 0.13.9 (x86_64-unknown-linux-gnu)\n"),
}


def preflight() -> Trip:
    log = "01-preflight.log"
    return trip(
        "preflight",
        [
            command("identity", log, IDENTITY, workspace_probe()),
            command("inputs", log, ["inputs.sh", *SPEC_FILES], "".join(f"found {name}\n" for name in SPEC_FILES)),
            command("tools", log, "for tool in ...; do command -v ...; done", ""),
            *(command(f"find_{tool}", log, f"command -v {tool}", f"/usr/bin/{tool}\n") for tool in TOOLS),
            *(command(f"version_{tool}", log, run, output) for tool, (run, output) in TOOLS.items()),
        ],
    )


# --- gate 2 -----------------------------------------------------------------------------------------------------

SMOKE = ("uv", "run", "--frozen", "--project", "apps/api", "python", "scripts/aiida-sqlite-smoke.py")
SMOKE_OUTPUT = """aiida-core 2.9.4, Python 3.11.7
profile sqlite-smoke: core.sqlite_dos in a temporary AIIDA_PATH, no broker
computer localhost: core.local, core.direct
calculation core.arithmetic.add<4>: Finished [0]
sum: 19 + 23 = 42
sqlite smoke: passed in 3.5 s
"""
SMOKE_TIMES = (4 * SECOND, 3 * SECOND + 749_984_376, 3 * SECOND + 552_870_233)


def sqlite_smoke(times: Sequence[int] = SMOKE_TIMES) -> Trip:
    runs = [
        command(f"run_{n}", f"02-sqlite-smoke-run{n}.log", SMOKE, SMOKE_OUTPUT, duration_ns=time, limit_seconds=600.0)
        for n, time in enumerate(times, start=1)
    ]
    here = command("identity", "02-sqlite-smoke-host.log", IDENTITY, workspace_probe())
    return trip("sqlite_smoke", [here, *runs])


def known_good(times: Sequence[int] = SMOKE_TIMES, run_id: str = "20261101T080000Z", **fields: Any) -> Baseline:
    """A baseline that sqlite_smoke() is compared with."""
    values: dict[str, Any] = {
        "recorded_at": "2026-11-01T08:00:00Z",
        "run_id": run_id,
        "source": "recorded",
        "operator": "alice",
        "reason": "first known-good smoke",
        "command_sha256": command_sha256(SMOKE),
        "host_fingerprint": identity(workspace_probe()).timing_fingerprint,
        "commit": COMMIT,
        "times_ns": tuple(times),
    }
    return Baseline(**{**values, **fields})


# --- gate 3 -----------------------------------------------------------------------------------------------------

VERDI = ("uv", "run", "--project", "apps/api", "--group", "aiida", "verdi")
PROFILE_LIST = "Report: configuration folder: /home/aiida/.aiida\n* vm-psql\n"
STATUS = """ ✔ version:     AiiDA v2.9.4
 ✔ config:      /home/aiida/.aiida
 ✔ profile:     vm-psql
 ✔ storage:     Storage for 'vm-psql' [open] @ postgresql+psycopg://aiida_db:***@127.0.0.1:5432/aiida_vm
Warning: RabbitMQ v4.0.5 is not supported and will cause unexpected problems!
Warning: It can cause long-running workflows to crash and jobs to be submitted multiple times.
Warning: See https://github.com/aiidateam/aiida-core/wiki/RabbitMQ-version-to-use for details.
 ✔ broker:      RabbitMQ v4.0.5 @ amqp://aiida_mq:***@127.0.0.1:5672/aiida?heartbeat=600
 ✔ daemon:      Daemon is running with PID 2483
"""
DAEMON_STATUS = """Profile: vm-psql
Daemon is running as PID 2483 since 2026-11-24 00:30:17
Active workers [1]:
  PID    MEM %    CPU %  started
-----  -------  -------  -------------------
 2486     0.51        0  2026-11-24 00:30:17
Log file: /home/aiida/.aiida/daemon/log/aiida-vm-psql.log
Use `verdi daemon [incr | decr] [num]` to increase / decrease the number of workers
"""
VERSIONS = """aiida-core: 2.9.4
python: 3.13.5
slurm: slurm-wlm 24.11.5
postgresql: 17.12 (Debian 17.12-0+deb13u1)
Warning: RabbitMQ v4.0.5 is not supported and will cause unexpected problems!
rabbitmq: 4.0.5
"""

CONFIG_DIR = "source: AIIDA_PATH\naiida_path: /home/aiida\nconfig: /home/aiida/.aiida\n"
AGES = "postgresql_seconds: 3600\nworker_seconds: 1800\n"


def vm_bootstrap() -> Trip:
    checkout, log, status = "03-vm-checkout.log", "03-vm-bootstrap.log", "03-verdi-status.log"
    script = ["scripts/aiida-vm-bootstrap.sh", "--env-file", "ops/aiida-vm/aiida-vm.env", "--sanity-check"]
    return trip(
        "vm_bootstrap",
        [
            command("identity", checkout, IDENTITY, vm_probe()),
            command("env_profile", log, ["printf", "%s\\n", "vm-psql"], "vm-psql\n"),
            command("bootstrap", log, script, "==> would check profile vm-psql\n==> done\n"),
            command("config_dir", log, ["python3", "-I", "identity.py", "--verdi-folder", ""], CONFIG_DIR),
            command("profile_list", "03-verdi-profile-list.log", [*VERDI, "profile", "list"], PROFILE_LIST),
            command("status", status, [*VERDI, "-p", "vm-psql", "status"], STATUS),
            command("daemon_status", status, [*VERDI, "-p", "vm-psql", "daemon", "status"], DAEMON_STATUS),
            command("ages", status, ["ages.sh", "vm-psql"], AGES),
            command("versions", "03-vm-versions.log", [*VERDI, "-p", "vm-psql", "run", "versions.py"], VERSIONS),
        ],
    )


# --- gate 4 -----------------------------------------------------------------------------------------------------

PING = "Slurmctld(primary) at aiida-vm is UP\n"
PING_DOWN = "Slurmctld(primary) at aiida-vm is DOWN\n"
SINFO = "debug*|up|aiida-vm|idle|none\n"
SHOW_NODES = (
    "NodeName=aiida-vm Arch=x86_64 CoresPerSocket=1  CPUAlloc=0 CPUEfctv=4 CPUTot=4 CPULoad=2.59 NodeAddr=aiida-vm "
    "NodeHostName=aiida-vm Version=24.11.5 RealMemory=1 AllocMem=0 FreeMem=19917 Sockets=4 Boards=1 State=IDLE "
    "ThreadsPerCore=1 TmpDisk=0 Weight=1 Owner=N/A MCS_label=N/A Partitions=debug \n"
)
NO_RESERVATIONS = "No reservations in the system\n"
COMPUTER_TEST = """Report: Testing computer<vm-slurm> for user<aiida@example.org>...
* Opening connection... [OK]
* Checking for spurious output... [OK]
* Getting number of jobs from scheduler... [OK]: 0 jobs found in the queue
* Determining remote user name... [OK]: aiida
* Creating and deleting temporary file... [OK]
* Checking for possible delay from using login shell... [OK]
Success: all 6 tests succeeded
"""
COMPUTER_SHOW = """---------------------------  ------------------------------------
Label                        vm-slurm
PK                           1
Transport type               core.local
Scheduler type               core.slurm
Mpirun command               mpirun -np {tot_num_mpiprocs}
Default memory (kB)/machine
---------------------------  ------------------------------------
"""
JOB_LINE = "JobId=1 JobName=promotion-gate UserId=aiida(1000) Priority=1 JobState={state} Reason=None ExitCode=0:0 \n"
JOB = "Submitted batch job 1\n" + JOB_LINE.format(state="PENDING") + JOB_LINE.format(state="COMPLETED")
SMOKE_LOGS = {
    "20261124T003036-vm-slurm/01-scontrol-ping.log": f"$ scontrol ping\n{PING}[exit 0]\n",
    "20261124T003036-vm-slurm/02-sinfo.log": "$ sinfo\ndebug*       up    1:00:00      1   idle aiida-vm\n[exit 0]\n",
    "20261124T003036-vm-slurm/05-verdi-computer-test.log": f"$ verdi computer test vm-slurm\n{COMPUTER_TEST}[exit 0]\n",
    "20261124T003036-vm-slurm/summary.txt": "01-scontrol-ping.log: exit 0: scontrol ping\nresult: PASSED\n",
}


def slurm_smoke() -> Trip:
    state = "04-slurm-state.log"
    script = ["scripts/aiida-slurm-smoke-vm.sh", "--artifact-dir", "/tmp/scratch/slurm-smoke", "--profile", "vm-psql"]
    return trip(
        "slurm_smoke",
        [
            command("identity", state, IDENTITY, vm_probe()),
            command("ping", state, ["scontrol", "ping"], PING),
            command("sinfo", state, ["sinfo", "-a", "-h", "-N", "-o", "%P|%a|%N|%T|%E"], SINFO),
            command("show_nodes", state, ["scontrol", "show", "node", "-o", "-a"], SHOW_NODES),
            command("reservations", state, ["scontrol", "show", "reservation", "-o", "-a"], NO_RESERVATIONS),
            command("script", "04-slurm-smoke.log", script, "result: PASSED\n"),
            command("computer_test", state, [*VERDI, "-p", "vm-psql", "computer", "test", "vm-slurm"], COMPUTER_TEST),
            command("computer_show", state, [*VERDI, "-p", "vm-psql", "computer", "show", "vm-slurm"], COMPUTER_SHOW),
            command("job", "04-slurm-job.log", ["slurm-job.sh", "60", "", "", ""], JOB),
        ],
        [artifact("slurm-smoke", SMOKE_LOGS)],
    )


# --- gate 5 -----------------------------------------------------------------------------------------------------

RELAY_OUTPUT = """============================= test session starts ==============================
collected 2 items

apps/api/tests/test_convex_event_relay.py ..                             [100%]

============================== 2 passed in 0.90s ==============================
"""
JUNIT = (
    '<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" errors="0" '
    'failures="0" skipped="0" tests="2" time="0.925" timestamp="2026-11-24T00:29:59.712306+00:00" hostname="vm">'
    '<testcase classname="tests.test_convex_event_relay" name="test_states_are_mapped[queued-pending]" time="0.001" />'
    '<testcase classname="tests.test_convex_event_relay" name="test_a_refusal_is_final[400]" time="0.003" />'
    "</testsuite></testsuites>"
)


BLOB = "2f7efbeab578c8042531ea7908ee8ffd7589fe46\n"


def documents(kind: str) -> dict[str, str]:
    """The application's documents of one kind: adr or contracts."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted((DOCUMENTS / kind).glob("*.md"))}


def contracts() -> Trip:
    generate, here = "05-api-client-generate.log", "05-workspace.log"
    schema = "packages/api-client/src/generated/schema.ts"
    export = "PYTHONPATH=apps/api uv run --project apps/api python apps/api/scripts/export_openapi.py --check"
    base = {f"docs/{kind}/{name}": text for kind in ("adr", "contracts") for name, text in documents(kind).items()}
    return trip(
        "contracts",
        [
            command("identity", here, IDENTITY, workspace_probe()),
            command("documents", here, ["base-documents.sh"], "base: 43363815b3c87c8ebd00991024982404941c4b1e\n"),
            command("openapi", "05-openapi-check.log", export, "up to date: apps/api/openapi.json\n"),
            command("generated_before", generate, ["test", "-d", "packages/api-client/node_modules"]),
            command("generate", generate, "pnpm -C packages/api-client run generate", "✨ openapi-typescript 7.13.0\n"),
            command("diff", generate, f"git diff --exit-code -- {schema}"),
            command("diff_head", generate, ["git", "diff", "HEAD", "--exit-code", "--", schema]),
            command("hash_file", generate, ["git", "hash-object", "--", schema], BLOB),
            command("hash_head", generate, ["git", "rev-parse", f"HEAD:./{schema}"], BLOB),
            command(
                "relay",
                "05-convex-relay-tests.log",
                "uv run pytest apps/api/tests/test_convex_event_relay.py",
                RELAY_OUTPUT,
            ),
        ],
        [
            artifact("05-relay-junit.xml", {"": JUNIT}),
            artifact("05-contracts/base", base),
            artifact("05-contracts/docs/contracts", documents("contracts")),
            artifact("05-contracts/docs/adr", documents("adr")),
        ],
    )


# --- whole runs -------------------------------------------------------------------------------------------------


def healthy_trips() -> Trips:
    """All five gates as they pass, by gate name in the order of the play."""
    return {
        "preflight": preflight(),
        "sqlite_smoke": sqlite_smoke(),
        "vm_bootstrap": vm_bootstrap(),
        "slurm_smoke": slurm_smoke(),
        "contracts": contracts(),
    }


def trips_with(gate: str, command_id: str, **fields: Any) -> Trips:
    """healthy_trips() with one command changed; the identity is that of the host in all its gates."""
    trips = healthy_trips()
    if command_id == "identity":
        return elsewhere(trips, *(name for name in trips if host_of(name) == host_of(gate)), **fields)
    return {**trips, gate: changed(trips[gate], command_id, **fields)}


def request(root: Path, **variables: Any) -> dict[str, Any]:
    """What roles/gate_common hands to `promotion-gate open` for an evidence root."""
    given = {
        "workspace_dir": "/srv/app",
        "workspace_sqlite_smoke_command": list(SMOKE),
        "aiida_vm_repo_dir": "/srv/app",
        "promotion_operator": "alice",
        "promotion_reviewer": "bob",
        "promotion_evidence_root": str(root),
        **variables,
    }
    return {
        "hosts": {
            group: {"values": dict(given), "errors": {}, "local": group == "workspace"}
            for group in ("workspace", "aiida_vm")
        },
        "groups": {"workspace": ["workspace-local"], "aiida_vm": ["aiida-vm"]},
        "inventory": [str(PROJECT / "inventory" / "vm")],
        "directory": str(PROJECT),
        "roles": [],
    }


def opened(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The only run that a request opens, and what the plays get of it; by gate where they get it by host."""
    found = open_runs(asked)
    by_gate = {
        name: {gate: given for host in found[name].values() for gate, given in host.items() if given}
        for name in ("handed", "trips")
    }
    return {**found, **found["runs"][0], **by_gate}


def begun(plan: Mapping[str, Any], probes: Mapping[str, Any]) -> dict[str, Any]:
    """The only run of a resume, once its hosts have been probed."""
    found = begin_runs({"plan": plan, "probes": probes})
    return {**found, **found["runs"][0]}


def open_bundle(root: Path, run_id: str = RUN_ID, **variables: Any) -> Path:
    """Opens a run and returns its bundle, ready for a Recorder."""
    return Path(opened(request(root, promotion_run_id=run_id, **variables))["bundle"])


def host_of(gate: str) -> str:
    """The inventory name of the host that a gate runs on."""
    return "aiida-vm" if gate in ("vm_bootstrap", "slurm_smoke") else "workspace-local"


class _InOneGo(Recorder):
    """Writes the index at the close alone, and not after each trip as well: a third of what a bundle costs."""

    def _save(self) -> None:
        if self._index.state == "closed":
            super()._save()


def record(bundle: Path, trips: Mapping[str, Trip], close: bool = True, saved_each: bool = False) -> None:
    """Records trips into an open bundle, as the callback does; `saved_each` also writes the index when it does."""
    recorder = (_InOneGo if close and not saved_each else Recorder)(
        bundle, {"recorder": "evidence", "check": False, "selection": ""}
    )
    for gate, result in trips.items():
        recorder.trip(result, host_of(gate))
    if close:
        recorder.close()


def closed_bundle(root: Path, trips: Mapping[str, Trip] | None = None, run_id: str = RUN_ID, **variables: Any) -> Path:
    """A bundle that is collected and not yet sealed; a known-good baseline is there unless one was written before.

    In an evidence root without anything, what is as healthy_trips() has it is copied from a bundle that was recorded
    before: its times are older than the test.
    """
    rest = dict(healthy_trips() if trips is None else trips)
    if (root.exists() and any(root.iterdir())) or variables:
        if not (root / "baseline").exists():
            write_baseline(root / "baseline", known_good())
        bundle = open_bundle(root, run_id, **variables)
    else:
        healthy = healthy_trips()
        template = _recorded(run_id, tuple(gate for gate in rest if rest[gate] == healthy.get(gate)))
        bundle = _copied(template, root)
        rest = {gate: trip for gate, trip in rest.items() if trip != healthy.get(gate)}
    record(bundle, rest)
    return bundle


@cache
def _recorded(run_id: str, gates: tuple[str, ...]) -> Path:
    """An open bundle in a separate evidence root, in which these gates are recorded as healthy, to be copied."""
    root = Path(tempfile.mkdtemp(prefix="bundle-"))
    atexit.register(shutil.rmtree, root)
    write_baseline(root / "baseline", known_good())
    bundle = open_bundle(root, run_id)
    record(bundle, {gate: trip for gate, trip in healthy_trips().items() if gate in gates}, close=False)
    return bundle


def _copied(bundle: Path, root: Path) -> Path:
    """A copy of the only run of an evidence root in another one: it was opened there."""
    shutil.copytree(bundle.parent, root, dirs_exist_ok=True)
    index = root / bundle.name / "index.json"
    index.write_text(index.read_text(encoding="utf-8").replace(str(bundle.parent), str(root)), encoding="utf-8")
    return index.parent


def make_bundle(root: Path, trips: Mapping[str, Trip] | None = None, run_id: str = RUN_ID, **variables: Any) -> Path:
    """A sealed bundle: PROMOTE with healthy_trips(), which is the default."""
    bundle = closed_bundle(root, trips, run_id, **variables)
    seal(bundle)
    return bundle


def hold_bundle(root: Path, run_id: str = RUN_ID, **variables: Any) -> Path:
    """A sealed HOLD: the Slurm controller is down."""
    return make_bundle(root, trips_with("slurm_smoke", "ping", exit=1, output=PING_DOWN), run_id, **variables)


def answers(workspace: str | None = None, vm: str | None = None) -> dict[str, Any]:
    """What the probe of a resume brings back: what each host is, by default what it is in healthy_trips().

    An empty text is a host that does not answer.
    """
    outputs = {
        "workspace-local": workspace_probe() if workspace is None else workspace,
        "aiida-vm": vm_probe() if vm is None else vm,
    }
    gone = {"unreachable": True, "msg": "Connection timed out"}
    return {
        host: {"gate_evidence": {"commands": [{"output": text}]}} if text else gone for host, text in outputs.items()
    }


def resume_bundle(
    root: Path,
    trips: Mapping[str, Trip] | None = None,
    sealed: bool = True,
    workspace: str | None = None,
    **variables: Any,
) -> Path:
    """Resumes the newest run of `root` with what both hosts are in healthy_trips(), and seals it again."""
    plan = opened(request(root, promotion_resume="latest", **variables))
    run = begun(plan, answers(workspace))
    bundle = Path(run["bundle"])
    record(bundle, {gate: (trips or healthy_trips())[gate] for gate in run["gates"]})
    if sealed:
        seal(bundle)
    return bundle
