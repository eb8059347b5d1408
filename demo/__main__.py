"""``python3 -m demo``: the container VM and the workspace of the embedded default."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from demo import examples, host, image, matrix, podman, tools, vm, workspace
from demo.console import DemoError, say
from demo.lock import alone
from demo.paths import CHECKOUT, DEFAULT_VM, DEMO

TIMED = {"sqlite_smoke.p95"}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    try:
        return int(options.act(options))
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted; run the same command again to go on", file=sys.stderr)
        return 130


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The parsed command line. Of `run`, arguments that the demo does not know are for ansible-playbook."""
    parser = _parser()
    options, more = parser.parse_known_args(arguments)
    if more and options.act is not _run:
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    options.ansible = [word for word in more if word != "--"]
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m demo", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(act=globals()[f"_{name}"])
        return added

    def named(added: argparse.ArgumentParser, default: str | None = DEFAULT_VM) -> None:
        added.add_argument("--name", default=default, help=f"which VM ({default or 'all of them'})")

    for name, text in (
        ("up", "create and start the VM and the workspace"),
        ("run", "up, then the promotion gate; more arguments are for ansible-playbook"),
    ):
        added = command(name, text)
        named(added)
        added.add_argument(
            "--application",
            choices=workspace.APPLICATIONS,
            default="plain",
            help="which example application: plain, or grown, with its own kind of environment, smoke and lock",
        )
        added.add_argument(
            "--suite", choices=image.SUITES, default=image.SUITES[0], help="the Debian release of the VM"
        )
    named(command("down", "remove the VMs, the image and .demo/; with --name that VM only"), None)
    command("status", "show the VMs and the workspaces")
    added = command("examples", "record tests/bundles again, in a clone of the commit in /tmp (about 10 minutes)")
    added.add_argument("--keep", action="store_true", help="keep the clone and its VM for the next time")
    added = command("matrix", "run the main integration tests on each supported ansible-core, on a VM of their own")
    added.add_argument("--keep", action="store_true", help="keep the VM for the next time")
    for name, text in (
        ("ssh", "a shell or a command over SSH"),
        ("exec", "a command as root in the container"),
    ):
        added = command(name, text)
        named(added)
        added.add_argument("command", nargs=argparse.REMAINDER)
    return parser


def _up(options: argparse.Namespace) -> int:
    machine = _bring_up(options)
    say(f"the VM {machine.name} is up: ssh -F {machine.ssh_config} {machine.name}")
    return 0


def _bring_up(options: argparse.Namespace) -> vm.Vm:
    machine = vm.Vm(options.name)
    with alone():
        settings = host.detect()
        uv = tools.ensure(settings)
        booted = vm.ensure(machine, options.suite, settings, uv)
        application = workspace.APPLICATIONS[options.application]
        commit = workspace.ensure(application)
        workspace.put_on(machine, commit, application)
        if booted:
            for installed in workspace.APPLICATIONS.values():
                if workspace.has_profile(machine, installed):
                    workspace.start_daemon(machine, installed)
    return machine


def _run(options: argparse.Namespace) -> int:
    machine = _bring_up(options)
    playbook = _ansible_playbook()
    application = workspace.APPLICATIONS[options.application]
    common = ["-i", str(application.inventory), "-e", f"demo_vm={machine.name}"]
    if not any((application.evidence / "baseline").glob("*")):
        say("no known-good sqlite timings yet: recording them first")
        reason = "-e", '{"promotion_reason": "first run of the demo on this machine"}'
        status = _ansible([playbook, "playbooks/record-baseline.yml", *common, *reason])
        if status != 0:
            raise DemoError("The known-good sqlite timings could not be recorded; the reason is in the lines above.")
    first = [] if workspace.has_profile(machine, application) else ["-e", "aiida_vm_first_run=true"]
    status = _ansible([playbook, "promotion-gate.yml", *common, *first, *options.ansible])
    bundles = sorted(path for path in application.evidence.glob("*") if (path / "index.json").is_file())
    if bundles:
        say(f"the evidence is in {os.path.relpath(bundles[-1], CHECKOUT)}")
        if status != 0 and _held_for_time_alone(bundles[-1] / "promotion-decision.json"):
            say("HOLD only because the sqlite smoke was slower than its known-good timings allow, as happens when the")
            say("machine is busy. Run gate 2 again once it is idle:")
            say("$ .venv/bin/python -m demo run -e promotion_resume=latest")
    return status


def _held_for_time_alone(record: Path) -> bool:
    """Whether a decision is HOLD only because of the one check that compares times."""
    if not record.is_file():
        return False
    gates = json.loads(record.read_text(encoding="utf-8"))["gates"]
    return {check["id"] for gate in gates for check in gate["checks"] if check["status"] != "PASS"} == TIMED


def _ansible(command: list[str]) -> int:
    say("$ " + " ".join(os.path.relpath(word, CHECKOUT) if word.startswith("/") else word for word in command))
    # In a world-writable checkout Ansible ignores the ansible.cfg beside the playbook, so it is named.
    environment = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg")}
    return subprocess.run(command, cwd=CHECKOUT, env=environment, check=False).returncode


def _ansible_playbook() -> str:
    beside = Path(sys.executable).parent / "ansible-playbook"
    own = CHECKOUT / ".venv" / "bin" / "ansible-playbook"
    found = next((str(path) for path in (beside, own) if path.is_file()), shutil.which("ansible-playbook"))
    if found is None:
        raise DemoError("ansible-playbook not found: run `make demo`, which installs it into .venv first.")
    return found


def _down(options: argparse.Namespace) -> int:
    if not shutil.which("podman"):
        podman.remove_tree(DEMO)
        return 0
    with alone():
        for machine in vm.all_vms() if options.name is None else [vm.Vm(options.name)]:
            vm.remove(machine)
        if options.name is None:
            image.remove()
            podman.remove_tree(DEMO)
            say("the VMs, the image and .demo/ were removed")
    return 0


def _status(_options: argparse.Namespace) -> int:
    machines = vm.all_vms() if shutil.which("podman") else []
    if not machines:
        say("no VM; `python3 -m demo up` creates one")
    for machine in machines:
        state = machine.state()
        missing = machine.not_ready() if state == "running" else []
        health = f"not working: {', '.join(missing)}" if missing else "all services work"
        say(f"{machine.name}: {state}{', ' + health if state == 'running' else ''} (container {machine.container})")
        say(f"    ssh -F {machine.ssh_config} {machine.name}")
    workspace.tell()
    return 0


def _examples(options: argparse.Namespace) -> int:
    examples.record(options.keep)
    return 0


def _matrix(options: argparse.Namespace) -> int:
    return matrix.check(options.keep)


def _ssh(options: argparse.Namespace) -> int:
    machine = vm.Vm(options.name)
    if not machine.ssh_config.is_file():
        raise DemoError(f"There is no VM {options.name}: run `python3 -m demo up --name {options.name}`.")
    return subprocess.run(machine.ssh(*options.command), check=False).returncode


def _exec(options: argparse.Namespace) -> int:
    machine = vm.Vm(options.name)
    if machine.state() != "running":
        raise DemoError(f"The VM {options.name} is not running: run `python3 -m demo up --name {options.name}`.")
    terminal = ["--interactive", "--tty"] if sys.stdin.isatty() and sys.stdout.isatty() else []
    command = podman.podman("exec", *terminal, machine.container, *(options.command or ["bash"]))
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
