"""Copies of this checkout to run the gate from, with something missing, or as ansible-runner lays them out."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import ansible_runner
from ground import PROJECT, Ground, Run

PARTS = (
    "promotion-gate.yml",
    "ansible.cfg",
    "group_vars",
    "policies",
    "roles",
    "library",
    "action_plugins",
    "module_utils",
    "filter_plugins",
    "callback_plugins",
)


def checkout(folder: Path, without: str = "") -> Path:
    """A copy of what a run needs of this checkout, but for the file `without`."""
    folder.mkdir(parents=True)
    for part in PARTS:
        source = PROJECT / part
        if source.is_dir():
            # Links are followed: module_utils/ may point into src/.
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / part)
    if without:
        (folder / without).unlink()
    return folder


def through_runner(ground: Ground, folder: Path, **arguments: object) -> Run:
    """Runs the gate as ansible-runner does: a private data folder with the checkout as its project."""
    checkout(folder / "project")
    shutil.copytree(ground.inventory(), folder / "inventory")
    (folder / "env").mkdir()
    settings = {key: value for key, value in ground.environment().items() if key.startswith("ANSIBLE_")}
    settings["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    (folder / "env" / "envvars").write_text(json.dumps(settings), encoding="utf-8")
    result = ansible_runner.run(
        private_data_dir=str(folder),
        playbook="promotion-gate.yml",
        quiet=True,
        **arguments,
    )
    with result.stdout as stream:
        return ground.outcome(int(result.rc), stream.read())
