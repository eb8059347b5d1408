"""What the collection says of itself agrees with the package: one fact, read in two formats."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml
from bundles import PROJECT

from collection.__main__ import lay_out
from promotion_gate import __version__

OWN = PROJECT / "collection"
PROJECT_TABLE = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read(name: str) -> Any:
    return yaml.safe_load((OWN / name).read_text(encoding="utf-8"))


def test_version_and_description_are_those_of_the_package() -> None:
    galaxy = read("galaxy.yml")
    assert galaxy["version"] == __version__
    assert galaxy["description"] == PROJECT_TABLE["description"]


def test_what_is_built_has_the_same_name_wherever_it_is_named() -> None:
    for path in (OWN / "README.md", PROJECT / "execution-environment.yml", PROJECT / "docs" / "runner.md"):
        named = re.findall(r"gate[-_](?:promotion-)?(\d+\.\d+\.\d+)", path.read_text(encoding="utf-8"))
        assert named and set(named) == {__version__}, path


def test_the_range_of_ansible_core_is_that_of_the_package() -> None:
    (wanted,) = [
        entry for entry in PROJECT_TABLE["optional-dependencies"]["ansible"] if entry.startswith("ansible-core")
    ]
    assert read("meta/runtime.yml")["requires_ansible"].replace("2.19.0", "2.19") == wanted.removeprefix("ansible-core")


def test_the_files_that_an_execution_environment_needs_are_there() -> None:
    named = read("meta/execution-environment.yml")["dependencies"]
    assert (OWN / named["system"]).is_file()
    assert named["python"] == "meta/requirements.txt"  # written by lay_out(), from pyproject.toml


def test_the_readme_names_everything_that_the_collection_has() -> None:
    rows = re.findall(r"^\| (\w+) \| (.*) \|$", (OWN / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    named = {kind: set(re.findall(r"`(\w+)`", names)) for kind, names in rows}
    playbooks = {path.stem.replace("-", "_") for path in (PROJECT / "playbooks").glob("*.yml")} | {"promotion_gate"}
    assert named["Playbooks"] == playbooks
    assert named["Roles"] == {path.name for path in (PROJECT / "roles").iterdir()}
    for kind, folder in (
        ("Module", "library"), ("Actions", "action_plugins"),
        ("Filters", "filter_plugins"), ("Callbacks", "callback_plugins"),
    ):  # fmt: skip
        assert named[kind] == {path.stem for path in (PROJECT / folder).glob("*.py")}


def test_no_link_of_the_collection_leads_nowhere(tmp_path: Path) -> None:
    folder = lay_out(tmp_path / "collection")
    pages = sorted(folder.rglob("*.md"))
    assert len(pages) > 6
    for page in pages:
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), (page.relative_to(folder), link)
