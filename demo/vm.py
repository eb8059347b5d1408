"""The container VM: boots it, gives it this machine's settings, and makes it reachable over SSH."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from demo import image, podman
from demo.console import DemoError, output_of, say, step, wait_until
from demo.host import HostSettings, seen_from_container
from demo.paths import CHECKOUT_ID, UV_CACHE, vm_dir

LABEL = "promotion-gate.checkout"
HOST_NAME = "aiida-vm"  # of every VM: slurm.conf in the image names it
USER = "aiida"
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
BOOT_LIMIT_SECONDS = 120  # seconds are usual; machines under load need more

# Prints a word for each service that does not work yet; needs bash for /dev/tcp.
READINESS = r"""
systemctl is-active --quiet ssh || echo sshd
pg_isready --quiet --host 127.0.0.1 --port 5432 || echo PostgreSQL
{ : >/dev/tcp/127.0.0.1/5672; } 2>/dev/null || echo RabbitMQ
timeout 5 scontrol ping 2>/dev/null | grep -q 'is UP' || echo slurmctld
timeout 5 sinfo --noheader --format=%T 2>/dev/null | grep -Eqx 'idle|mixed|allocated' || echo slurmd
"""


@dataclass(frozen=True, slots=True)
class Vm:
    name: str

    def __post_init__(self) -> None:
        if not NAME_PATTERN.fullmatch(self.name):
            raise DemoError(f"{self.name!r} cannot be the name of a VM: use lower-case letters, digits and hyphens.")

    @property
    def container(self) -> str:
        return f"promotion-gate-{CHECKOUT_ID}-{self.name}"

    @property
    def directory(self) -> Path:
        return vm_dir(self.name)

    @property
    def ssh_config(self) -> Path:
        return self.directory / "ssh_config"

    @property
    def key(self) -> Path:
        return self.directory / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"

    def ssh(self, *command: str) -> list[str]:
        return ["ssh", "-F", str(self.ssh_config), self.name, *command]

    def state(self) -> str:
        """podman's word for it: running, exited, paused ...; empty if there is no such container."""
        return (podman.call("container", "inspect", "--format", "{{.State.Status}}", self.container) or "").strip()

    def container_id(self) -> str:
        return (podman.call("container", "inspect", "--format", "{{.Id}}", self.container) or "").strip()

    def not_ready(self) -> list[str]:
        """The services that do not work."""
        done = podman.execute(self.container, ["bash", "-c", READINESS])
        return done.stdout.split() if done.returncode == 0 else ["the VM itself"]


def ensure(vm: Vm, suite: str, host: HostSettings, uv: Path) -> bool:
    """Makes sure that the VM runs and is reachable; returns whether it was booted.

    A running one is left unchanged: the demo must not repair a fault that the gate is meant to find.
    """
    name = vm.name
    podman.ensure_installed({"podman": "podman"})
    if shutil.which("ssh") is None or shutil.which("git") is None:
        podman.ensure_installed({"ssh": "openssh-client", "git": "git"})
    state = vm.state()
    if state == "running" and vm.ssh_config.is_file():
        missing = vm.not_ready()
        if missing:
            say(f"the VM {name} is up, but some services do not work ({', '.join(missing)}); it is left as it is")
        return False
    if state == "paused":
        raise DemoError(f"The VM {name} is paused: run `podman unpause {vm.container}` and try again.")
    fresh = not state
    if fresh:
        _create(vm, image.ensure(suite, host))
    elif state != "running":
        _start(vm)
    with step(f"Waiting for the VM {name} to boot"):
        _wait_for_boot(vm)
        _hand_in(vm, host, uv)
        _make_reachable(vm)
        ready = wait_until(lambda: not vm.not_ready(), BOOT_LIMIT_SECONDS if fresh else 30)
    if not ready:
        _report_not_ready(vm, fresh)
    return True


def remove(vm: Vm) -> None:
    if vm.state():
        with step(f"Removing the VM {vm.name}"):
            podman.call("rm", "--force", "--volumes", "--time", "0", vm.container)
    podman.remove_tree(vm.directory)


def all_vms() -> list[Vm]:
    """Every VM that this checkout has started."""
    prefix = f"promotion-gate-{CHECKOUT_ID}-"
    names = podman.call("ps", "--all", "--filter", f"label={LABEL}={CHECKOUT_ID}", "--format", "{{.Names}}") or ""
    return [Vm(name.removeprefix(prefix)) for name in names.split() if name.startswith(prefix)]


def _create(vm: Vm, image_name: str) -> None:
    UV_CACHE.mkdir(parents=True, exist_ok=True)
    vm.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with step(f"Starting the VM {vm.name}"):
        done = subprocess.run(
            podman.podman(
                "run", "--detach", "--name", vm.container, "--label", f"{LABEL}={CHECKOUT_ID}",
                "--hostname", HOST_NAME,
                # systemd as init needs its own cgroup and mounts, and only stops on this signal.
                "--systemd=always", "--privileged", "--stop-signal", "SIGRTMIN+3",
                "--publish", f"127.0.0.1:{_free_port()}:22",
                "--volume", f"{UV_CACHE}:/var/cache/uv",
                "--http-proxy=false",  # proxies are set below, where logins see them, too
                *podman.run_options(image_name).arguments(), image_name,
            ),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
    if done.returncode != 0:
        podman.call("rm", "--force", vm.container)
        raise DemoError(f"podman could not start the VM {vm.name}: {done.stdout.strip()}")


def _start(vm: Vm) -> None:
    with step(f"Restarting the VM {vm.name}"):
        if podman.call("start", vm.container) is None:
            raise DemoError(
                f"The VM {vm.name} cannot be restarted (its port may be taken): "
                f"run `python3 -m demo down --name {vm.name}`, then try again."
            )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for_boot(vm: Vm) -> None:
    def booted() -> bool:
        done = podman.execute(vm.container, ["systemctl", "is-system-running"])
        return done.stdout.strip() in ("running", "degraded")

    if not wait_until(booted, BOOT_LIMIT_SECONDS):
        raise DemoError(
            f"The VM {vm.name} did not boot within {BOOT_LIMIT_SECONDS} s: look at `podman logs {vm.container}` "
            f"and `python3 -m demo exec --name {vm.name} systemctl list-jobs`."
        )


def _report_not_ready(vm: Vm, fresh: bool) -> None:
    missing = ", ".join(vm.not_ready())
    if not missing:
        return
    if not fresh:
        say(f"the VM {vm.name} is up, but some services do not work ({missing}); it is left as it is")
        return
    raise DemoError(
        f"The VM {vm.name} booted, but {missing} did not come up: "
        f"look at `python3 -m demo exec --name {vm.name} systemctl --failed`."
    )


def _hand_in(vm: Vm, host: HostSettings, uv: Path) -> None:
    """Gives the VM the settings of this machine that it needs, and the programs that Debian lacks."""
    if host.certificates:
        for number, path in enumerate(host.certificates):
            _put(vm, f"/usr/local/share/ca-certificates/host-{number}.crt", path.read_bytes())
        _do(vm, ["update-ca-certificates"])
    _put(vm, "/etc/environment", _lines(_environment(host)))
    _put(vm, "/etc/apt/apt.conf.d/90host", "".join(f'{name} "{seen_from_container(value)}";\n' for name, value in (
        host.apt_proxies.items())).encode())  # fmt: skip
    _put(vm, "/etc/pip.conf", _pip_conf(host))
    if not _same_size(vm, uv):
        _put(vm, "/usr/local/bin/uv", uv.read_bytes(), mode="0755")
    _do(vm, ["chown", USER, "/var/cache/uv"])  # the host's directory, whoever created it there
    if not vm.key.is_file():
        output_of(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"demo VM {vm.name}", "-f", str(vm.key)])
    public = vm.key.with_suffix(".pub").read_bytes()
    _do(vm, ["install", "-d", "-o", USER, "-g", USER, "-m", "0700", f"/home/{USER}/.ssh"])
    _put(vm, f"/home/{USER}/.ssh/authorized_keys", public)


def _environment(host: HostSettings) -> dict[str, str]:
    """/etc/environment: PAM applies it to every session, also to `ssh vm command`, which reads no profile."""
    found = {"LANG": "C.UTF-8"}
    for name, value in host.proxies.items():
        inside = f"{value},localhost,127.0.0.1,{HOST_NAME}" if name == "no_proxy" else seen_from_container(value)
        found[name] = found[name.upper()] = inside
    if host.proxies and "no_proxy" not in found:
        found["no_proxy"] = found["NO_PROXY"] = f"localhost,127.0.0.1,{HOST_NAME}"
    if host.certificates:
        # Python programs and uv have their own list of authorities; the VM's list includes this machine's.
        found["SSL_CERT_FILE"] = found["REQUESTS_CA_BUNDLE"] = "/etc/ssl/certs/ca-certificates.crt"
    if host.index_url:
        found["UV_DEFAULT_INDEX"] = seen_from_container(host.index_url)
    if host.extra_index_urls:
        found["UV_INDEX"] = " ".join(map(seen_from_container, host.extra_index_urls))
    return found


def _pip_conf(host: HostSettings) -> bytes:
    lines = ["[global]"]
    if host.index_url:
        lines.append(f"index-url = {seen_from_container(host.index_url)}")
    if host.extra_index_urls:
        lines.append(f"extra-index-url = {' '.join(map(seen_from_container, host.extra_index_urls))}")
    return "\n".join([*lines, ""]).encode()


def _lines(values: Mapping[str, str]) -> bytes:
    return "".join(f'{name}="{value}"\n' for name, value in values.items()).encode()


def _make_reachable(vm: Vm) -> None:
    """Pins the host key, read through podman instead of the network, and writes the ssh configuration."""
    key = _do(vm, ["cat", "/etc/ssh/ssh_host_ed25519_key.pub"]).split()
    vm.known_hosts.write_text(f"{vm.name} {key[0]} {key[1]}\n")
    quoted = {field: f'"{value}"' for field, value in (("key", vm.key), ("known_hosts", vm.known_hosts))}
    vm.ssh_config.write_text(
        f"# Written by `python3 -m demo up`; removed by `python3 -m demo down`.\n"
        f"Host {vm.name}\n"
        f"    HostName 127.0.0.1\n"
        f"    Port {_published_port(vm)}\n"
        f"    User {USER}\n"
        f"    IdentityFile {quoted['key']}\n"
        f"    IdentitiesOnly yes\n"
        f"    HostKeyAlias {vm.name}\n"
        f"    HostKeyAlgorithms ssh-ed25519\n"
        f"    UserKnownHostsFile {quoted['known_hosts']}\n"
        f"    GlobalKnownHostsFile /dev/null\n"
        f"    StrictHostKeyChecking yes\n"
        f"    BatchMode yes\n"
        f"    ConnectTimeout 10\n"
        # Without these a frozen VM would block the gate forever; with them it takes about ten seconds.
        f"    ServerAliveInterval 3\n"
        f"    ServerAliveCountMax 3\n"
    )
    (vm.directory / "container").write_text(f"{vm.container}\n")
    if not wait_until(lambda: output_of(vm.ssh("true")) is not None, 30):
        raise DemoError(
            f"The VM {vm.name} is running, but SSH does not answer: look at `{shlex.join(vm.ssh('-v', 'true'))}` and "
            f"`python3 -m demo exec --name {vm.name} journalctl -u ssh`."
        )


def _published_port(vm: Vm) -> int:
    ports = json.loads(
        podman.call("container", "inspect", "--format", "{{json .HostConfig.PortBindings}}", vm.container) or "{}"
    )
    return int(ports["22/tcp"][0]["HostPort"])


def _same_size(vm: Vm, uv: Path) -> bool:
    done = podman.execute(vm.container, ["stat", "--format", "%s", "/usr/local/bin/uv"])
    return done.stdout.strip() == str(uv.stat().st_size)


def _put(vm: Vm, path: str, content: bytes, mode: str = "0644") -> None:
    _do(vm, ["sh", "-c", f"cat >{path}.new && chmod {mode} {path}.new && mv {path}.new {path}"], feed=content)


def _do(vm: Vm, argv: list[str], feed: bytes | None = None) -> str:
    done = podman.execute(vm.container, argv, feed)
    if done.returncode != 0:
        raise DemoError(f"`{shlex.join(argv)}` failed in the VM {vm.name}: {done.stdout.strip()}")
    return done.stdout
