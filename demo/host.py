"""What this machine needs to reach its package sources: proxies, certificates, mirrors.

Containers do not know it, so the VM is given it when it starts. It is detected each time, because
machines differ, and it is never written to a committed file or to the image.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from demo.console import output_of, say

DEBIAN_MIRROR = "http://deb.debian.org/debian"
HOST_FROM_CONTAINER = "host.containers.internal"  # podman's name for this machine

PROXY_NAMES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
CA_DIRECTORIES = (  # where administrators put their own authorities: Debian and Ubuntu, Fedora, SUSE
    Path("/usr/local/share/ca-certificates"),
    Path("/etc/pki/ca-trust/source/anchors"),
    Path("/etc/pki/trust/anchors"),
)
CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS")
SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
)


@dataclass(frozen=True, slots=True)
class HostSettings:
    proxies: dict[str, str] = field(default_factory=dict)
    certificates: tuple[Path, ...] = ()  # certificate authorities besides those that the distribution ships
    debian_mirror: str = DEBIAN_MIRROR
    apt_proxies: dict[str, str] = field(default_factory=dict)  # apt option -> value
    index_url: str = ""  # of Python packages; empty: PyPI
    extra_index_urls: tuple[str, ...] = ()

    @property
    def bundle(self) -> str:
        """This machine's own CA bundle, if tools have to trust more authorities than their own."""
        if not self.certificates:
            return ""
        return next((path for path in SYSTEM_BUNDLES if Path(path).is_file()), "")


def detect() -> HostSettings:
    pip = _pip_settings()
    return HostSettings(
        proxies=_proxies(),
        certificates=_certificates(),
        debian_mirror=_debian_mirror(),
        apt_proxies=_apt_proxies(),
        index_url=_remote(os.environ.get("UV_DEFAULT_INDEX", "") or pip.get("index-url", "")),
        extra_index_urls=tuple(url for url in map(_remote, pip.get("extra-index-url", "").split()) if url),
    )


def seen_from_container(url: str) -> str:
    """A proxy on this machine's loopback address has another name inside a container."""
    parts = urlsplit(url)
    if parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        return url
    say(f"the proxy on {parts.hostname} must listen on the container bridge too, or the VM cannot use it")
    port = f":{parts.port}" if parts.port else ""
    user = parts.netloc.rpartition("@")[0]
    netloc = f"{user}@{HOST_FROM_CONTAINER}{port}" if user else f"{HOST_FROM_CONTAINER}{port}"
    return urlunsplit((parts.scheme, netloc, parts.path, parts.query, parts.fragment))


def _proxies() -> dict[str, str]:
    found = {}
    for name in PROXY_NAMES:
        value = os.environ.get(name) or os.environ.get(name.upper())
        if value:
            found[name] = value
    return found


def _certificates() -> tuple[Path, ...]:
    found = [
        path
        for directory in CA_DIRECTORIES
        if directory.is_dir()
        for path in sorted(directory.rglob("*"))
        if path.suffix in (".crt", ".pem") and path.is_file()
    ]
    system = {str(Path(bundle).resolve()) for bundle in SYSTEM_BUNDLES}
    for name in CA_VARIABLES:
        path = Path(os.environ.get(name) or "/nonexistent").resolve()
        if path.is_file() and str(path) not in system and path not in found:
            found.append(path)
    return tuple(found)


def _debian_mirror() -> str:
    """The mirror this machine installs Debian packages from, if it is a Debian machine."""
    if "ID=debian" not in _read(Path("/etc/os-release")).splitlines():
        return DEBIAN_MIRROR
    sources = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for source in sources:
        for url in re.findall(r"https?://[^\s\]]+", _without_comments(_read(source))):
            if url.rstrip("/").endswith("/debian"):
                return str(url).rstrip("/")
    return DEBIAN_MIRROR


def _apt_proxies() -> dict[str, str]:
    found = {}
    for line in (output_of(["apt-config", "dump"]) or "").splitlines():
        match = re.fullmatch(r'(Acquire::https?::(?:.*::)?Proxy) "(.+)";', line, re.IGNORECASE)
        if match:
            found[match[1]] = match[2]
    return found


def _pip_settings() -> dict[str, str]:
    """pip's own view of its configuration files and PIP_ variables; `global`, `install` and `:env:` alike."""
    pip = [sys.executable, "-m", "pip"] if output_of([sys.executable, "-m", "pip", "-V"]) else _found("pip3")
    found: dict[str, str] = {}
    for line in (output_of([*pip, "config", "list"]) or "").splitlines() if pip else ():
        match = re.fullmatch(r"(?:global|install|:env:)\.([a-z-]+)='(.*)'", line)
        if match:
            found[match[1]] = match[2].replace("\\n", " ")
    return found


def _found(tool: str) -> list[str]:
    path = shutil.which(tool)
    return [path] if path else []


def _remote(url: str) -> str:
    """The URL if the VM can reach it over the network; directories of this machine are of no use to it."""
    return url if url.startswith(("http://", "https://")) else ""


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
