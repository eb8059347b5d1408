"""Records the example bundles of tests/bundles: a PROMOTE, a HOLD, and that HOLD resumed to a PROMOTE.

They come from the container VM and its real services. So that nothing in them names the machine that recorded them,
everything happens in a clone of the committed state at one fixed place, and the gate runs under a neutral host name.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from demo import host
from demo.console import DemoError, output_of, run, say, step
from demo.paths import CHECKOUT
from demo.podman import remove_tree

PLACE = Path("/tmp/promotion-gate-examples")
BUNDLES = CHECKOUT / "tests" / "bundles"
HOST_NAME = "workspace"
PUBLIC_HOSTS = {"deb.debian.org", "pypi.org", "files.pythonhosted.org", "registry.npmjs.org", "localhost", "127.0.0.1"}

# A neutral host name, machine id and host keys, in a namespace that ends with the command.
NEUTRAL = f"""
hostname {HOST_NAME} && mount --bind "$1" /etc/machine-id || exit 1
[ ! -d /etc/ssh ] || mount -t tmpfs tmpfs /etc/ssh || exit 1
shift && exec "$@"
"""
MACHINE_ID = "0123456789abcdef0123456789abcdef"

ENTER = "cd /home/aiida/app && set -a && . ops/aiida-vm/aiida-vm.env && set +a"
DAEMON = f'{ENTER} && uv run --frozen --project apps/api --group aiida verdi -p "$AIIDA_PROFILE" daemon'
BOOTSTRAP = f"{ENTER} && scripts/aiida-vm-bootstrap.sh --apply --env-file ops/aiida-vm/aiida-vm.env --init-profile"
BREAK = f"sudo scontrol update nodename=ALL state=drain reason=maintenance && {DAEMON} stop --timeout 60"
REPAIR = f"sudo scontrol update nodename=ALL state=resume && {DAEMON} start --timeout 60"
# Other load on this machine must not affect what is recorded: the policy allows slow timings, the time limits are
# long, and the priority is high.
POLICY = ".demo/policy.yml"
PATIENT = {
    "promotion_policy": POLICY,
    "gate_vm_bootstrap_sanity_limit_seconds": 600,
    "gate_vm_bootstrap_verdi_limit_seconds": 600,
    "gate_slurm_smoke_script_limit_seconds": 600,
    "gate_slurm_smoke_query_limit_seconds": 600,
    "gate_slurm_smoke_verdi_limit_seconds": 600,
    "gate_slurm_smoke_job_limit_seconds": 600,
    "gate_slurm_smoke_calculation_limit_seconds": 600,
}
PRIORITY = ("nice", "-n", "-15")
# With the node drained and the daemon stopped neither can finish, so there is no point in waiting for them.
CUT_SHORT = {"gate_slurm_smoke_job_limit_seconds": 20, "gate_slurm_smoke_calculation_limit_seconds": 20}


def record(keep: bool) -> None:
    """Records the bundles and replaces those of this version in tests/bundles."""
    if output_of(["git", "-C", str(CHECKOUT), "status", "--porcelain", "--", ":!tests/bundles"]) != "":
        raise DemoError("There are uncommitted changes: the examples are recorded from a commit, so commit first.")
    _clone()
    python = PLACE / ".venv" / "bin" / "python"
    _must([str(python), "-m", "demo", "up"])
    with step("Bootstrapping the application on the VM"):
        _on_vm(BOOTSTRAP)
    with tempfile.TemporaryDirectory() as folder:
        machine_id = Path(folder, "machine-id")
        machine_id.write_text(f"{MACHINE_ID}\n")
        recorded = Path(folder, "recorded")
        _record_all(recorded, machine_id)
        check_traces(recorded)
        version = json.loads((recorded / "root" / "healthy" / "index.json").read_text())["run"]["gate_version"]
        shutil.rmtree(BUNDLES / version, ignore_errors=True)
        shutil.copytree(recorded, BUNDLES / version)
    say(f"the example bundles of version {version} are in {os.path.relpath(BUNDLES / version, CHECKOUT)}")
    if not keep:
        _must([str(python), "-m", "demo", "down"])
        remove_tree(PLACE)


def _clone() -> None:
    if PLACE.exists():
        with step(f"Bringing {PLACE} up to date"):
            _must(["git", "-C", str(PLACE), "fetch", "--quiet", str(CHECKOUT), "HEAD"])
            _must(["git", "-C", str(PLACE), "reset", "--quiet", "--hard", "FETCH_HEAD"])
    else:
        with step(f"Cloning the commit into {PLACE}"):
            _must(["git", "clone", "--quiet", str(CHECKOUT), str(PLACE)])
    with step("Installing the package there"):
        _must([sys.executable, "-m", "venv", str(PLACE / ".venv")])
        _must([str(PLACE / ".venv" / "bin" / "pip"), "install", "--quiet", "--editable", str(PLACE)])


def _record_all(recorded: Path, machine_id: Path) -> None:
    """Runs the gate on a healthy, a broken and a repaired VM. Raises DemoError if the wrong gates pass."""
    root = PLACE / ".demo" / "workspace" / "investigations" / "artifacts" / "gra-125"
    shutil.rmtree(root, ignore_errors=True)
    shipped = (PLACE / "policies" / "aiida.yml").read_text(encoding="utf-8")
    patient, count = re.subn(r"max_regression_percent: 25\b", "max_regression_percent: 300", shipped)
    if count != 1:
        raise DemoError("policies/aiida.yml has no max_regression_percent: 25, which the examples increase.")
    (PLACE / POLICY).write_text(patient, encoding="utf-8")

    _gate(machine_id, "playbooks/record-baseline.yml", {"promotion_reason": "known-good sqlite smoke of the demo"})
    _gate(machine_id, "promotion-gate.yml", {"promotion_run_id": "healthy", **PATIENT})
    _expect(root / "healthy", not_passed=[])
    _on_vm(BREAK)
    try:
        _gate(machine_id, "promotion-gate.yml", {"promotion_run_id": "repaired", **PATIENT, **CUT_SHORT})
    finally:
        _on_vm(REPAIR)
    _expect(root / "repaired", not_passed=["vm_bootstrap", "slurm_smoke"])
    shutil.copytree(root / "repaired", recorded / "held" / "repaired")
    _gate(machine_id, "promotion-gate.yml", {"promotion_resume": "repaired", **PATIENT})
    _expect(root / "repaired", not_passed=[])
    shutil.copytree(root, recorded / "root", ignore=shutil.ignore_patterns(".*"))


def _expect(bundle: Path, not_passed: list[str]) -> None:
    try:
        record = json.loads((bundle / "promotion-decision.json").read_text())
    except OSError as error:
        raise DemoError(f"The gate left no decision in {bundle}; the reason is in the lines above.") from error
    found = [gate["name"] for gate in record["gates"] if gate["status"] != "PASS"]
    if found != not_passed:
        raise DemoError(f"{bundle}: did not pass: {found}, expected: {not_passed}; the reason is in the lines above.")


def _gate(machine_id: Path, playbook: str, extra: Mapping[str, object]) -> None:
    alone = [*PRIORITY, "unshare", "--mount", "--uts", *(["--user", "--map-root-user"] if os.geteuid() else [])]
    command = [str(PLACE / ".venv" / "bin" / "ansible-playbook"), playbook, "-i", "inventory/container"]
    if extra:
        command += ["-e", json.dumps(extra)]
    say(f"$ {' '.join(os.path.relpath(word, PLACE) if word.startswith('/') else word for word in command)}")
    # The exit status is not checked: a HOLD may be the wanted result.
    subprocess.run([*alone, "sh", "-c", NEUTRAL, "sh", str(machine_id), *command], cwd=PLACE, env=_env(), check=False)


def _on_vm(command: str) -> None:
    ssh = ["ssh", "-F", str(PLACE / ".demo" / "vm" / "aiida-vm" / "ssh_config"), "aiida-vm", command]
    run(ssh, PLACE / ".demo" / "logs" / "examples.log", "A command on the VM")


def _must(command: Sequence[str]) -> None:
    status = subprocess.run(command, cwd=PLACE if PLACE.is_dir() else None, env=_env(), check=False).returncode
    if status != 0:
        raise DemoError(f"`{' '.join(command)}` exited {status}; the reason is in the lines above.")


def _env() -> dict[str, str]:
    """The environment without the personal directories on PATH, which would be recorded."""
    standard = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {**os.environ, "PATH": standard, "ANSIBLE_CONFIG": str(PLACE / "ansible.cfg")}


def check_traces(recorded: Path) -> None:
    """Raises DemoError if a bundle names this machine: its directories, its proxies and package sources."""
    traces = _traces()
    found = [
        f"{path.relative_to(recorded)} has {trace}"
        for path in sorted(recorded.rglob("*"))
        if path.is_file()
        for trace in sorted(traces)
        if re.search(rb"(?<![\w.-])" + re.escape(trace.encode()) + rb"(?![\w-])", path.read_bytes())
    ]
    if found:
        raise DemoError(f"The bundles name this machine, so they cannot be committed: {'; '.join(found)}.")


def _traces() -> set[str]:
    settings = host.detect()
    urls = [
        *settings.proxies.values(), *settings.apt_proxies.values(), *settings.extra_index_urls,
        settings.index_url, settings.debian_mirror, output_of(["npm", "config", "get", "registry"]) or "",
    ]  # fmt: skip
    hosts = {urlsplit(url.strip()).hostname or "" for url in urls} - PUBLIC_HOSTS
    return {str(CHECKOUT), str(Path.home()), *map(str, settings.certificates), *hosts} - {""}
