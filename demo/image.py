"""The VM's image: Debian's packages and the files of demo/vm_image/, without any container registry."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path

from demo import podman
from demo.console import run, say, step
from demo.host import HostSettings
from demo.paths import CHECKOUT_ID, DEMO, LOGS

SUITES = ("trixie", "bookworm")
SOURCE = Path(__file__).resolve().parent / "vm_image"
REPOSITORY = f"localhost/promotion-gate-vm-{CHECKOUT_ID}"

PACKAGES = (
    # an operating system that boots and can be reached
    "systemd", "systemd-sysv", "dbus", "libpam-systemd", "openssh-server", "sudo", "iproute2", "procps",
    # what AiiDA's bootstrap expects to find
    "ca-certificates", "curl", "git", "python3", "python3-venv", "rsync",
    # the services, not only their clients
    "postgresql", "rabbitmq-server", "munge", "slurmctld", "slurmd", "slurm-client",
)  # fmt: skip
# Nobody reads them there, and they take a fifth of the image.
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/i18n/*")


def ensure(suite: str, host: HostSettings) -> str:
    """The image's name; it is built unless one with the same definition exists."""
    image = f"{REPOSITORY}:{suite}-{_digest(suite)}"
    if podman.call("image", "exists", image) is not None:
        return image
    podman.ensure_installed({"mmdebstrap": "mmdebstrap"})
    log = LOGS / "image.log"
    tar = DEMO / f"{suite}.tar"
    say(f"the image {image} has to be built: about a minute, once")
    try:
        with step(f"Building a Debian {suite} root file system from {host.debian_mirror}"):
            run(_mmdebstrap(suite, host, tar), log, "mmdebstrap")
        with step("Importing it into podman"):
            change = ("--change", 'CMD ["/sbin/init"]', "--change", "STOPSIGNAL SIGRTMIN+3")
            run(podman.podman("import", *change, str(tar), image), log, "podman import")
    finally:
        podman.remove_tree(tar)
    remove(other_than=image, suite=suite)
    return image


def remove(*, other_than: str = "", suite: str = "") -> None:
    """This checkout's images; podman keeps one that a container still uses."""
    names = podman.call("images", "--noheading", "--format", "{{.Repository}}:{{.Tag}}", REPOSITORY) or ""
    for name in names.split():
        if name != other_than and name.startswith(f"{REPOSITORY}:{suite}"):
            podman.call("rmi", name)


def _mmdebstrap(suite: str, host: HostSettings, tar: Path) -> list[str]:
    rootfs, setup = shlex.quote(f"{SOURCE}/rootfs"), shlex.quote(f"{SOURCE}/setup.sh")
    options = [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    options.append("--dpkgopt=force-confold")  # our files are there first; without a terminal dpkg cannot ask
    options += [f'--aptopt={name} "{value}"' for name, value in host.apt_proxies.items()]
    proxies = [f"{name}={value}" for name, value in host.proxies.items()]  # sudo drops the environment
    return [
        *podman.as_root(), "env", *proxies,
        "mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", *options,
        # Before the packages, because their own set-up reads these files (the database cluster, the munge key) ...
        f"--essential-hook=copy-in {rootfs}/etc /",
        # ... and after them, what needs their users and units.
        # The checkout may have any owner and any umask; in the image the files belong to root and are readable.
        f"--customize-hook=cd {rootfs} && find etc -exec chown root:root \"$1/{{}}\" ';'"
        " -exec chmod u=rwX,go=rX \"$1/{}\" ';'",
        f"--customize-hook=copy-in {setup} /root",
        '--customize-hook=chroot "$1" sh /root/setup.sh',
        '--customize-hook=rm "$1/root/setup.sh"',
        suite, str(tar), host.debian_mirror,
    ]  # fmt: skip


def _digest(suite: str) -> str:
    """The digest of everything that defines the image, and of nothing specific to this machine."""
    digest = hashlib.sha256(repr((suite, PACKAGES, LEFT_OUT)).encode())
    for path in sorted(SOURCE.rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(SOURCE)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
