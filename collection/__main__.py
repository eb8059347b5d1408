"""Builds the collection's tarball from the files of the checkout: `python -m collection [FOLDER]`, by default build/.

A collection requires other names for its plugin folders, no dash in the name of a playbook, and full names for what is
its own where Ansible does not search the collection by itself. Nothing else is changed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parents[1]
OWN = PROJECT / "collection"
NAME = "gate.promotion"
# From the checkout's folder to the collection's.
FOLDERS = {
    "roles": "roles",
    "policies": "policies",
    "library": "plugins/modules",
    "action_plugins": "plugins/action",
    "module_utils": "plugins/module_utils",
    "filter_plugins": "plugins/filter",
    "callback_plugins": "plugins/callback",
    "playbooks": "playbooks",
    "group_vars": "playbooks/group_vars",
}
FILES = {"promotion-gate.yml": "playbooks/promotion-gate.yml", "LICENSE": "LICENSE"}
# The sections of CHANGELOG.md and those of antsibull-changelog. A changed limit can change a decision.
SECTIONS = {
    "Added": "major_changes",
    "Changed": "minor_changes",
    "Deprecated": "deprecated_features",
    "Removed": "removed_features",
    "Fixed": "bugfixes",
    "Security": "security_fixes",
    "Limits": "breaking_changes",
}
# Beside the playbooks: a callback in plugins/ would have to be enabled by whoever runs them.
BESIDE_PLAYBOOKS = {"playbooks/callback_plugins/evidence.py": "../../plugins/callback/evidence.py"}


def lay_out(folder: Path) -> Path:
    """Writes the collection into `folder`, which must not exist yet."""
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "__init__.py", "__main__.py")
    shutil.copytree(OWN, folder, ignore=ignored)
    for source, target in FOLDERS.items():
        # Links are followed: redaction has one source, in src/.
        skipped = shutil.ignore_patterns("__pycache__", "*.pyc", "group_vars" if source == "playbooks" else "")
        shutil.copytree(PROJECT / source, folder / target, ignore=skipped, dirs_exist_ok=True)
    for source, target in FILES.items():
        shutil.copyfile(PROJECT / source, folder / target)
    for path, target in BESIDE_PLAYBOOKS.items():
        (folder / path).parent.mkdir()
        (folder / path).symlink_to(target)
    for playbook in (folder / "playbooks").glob("*-*.yml"):
        playbook.rename(playbook.with_name(playbook.name.replace("-", "_")))
    _name_in_full(folder)
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (folder / "meta" / "requirements.txt").write_text("\n".join(project["dependencies"]) + "\n", encoding="utf-8")
    version = yaml.safe_load((OWN / "galaxy.yml").read_text(encoding="utf-8"))["version"]
    changes = changelog((PROJECT / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    (folder / "changelogs" / "changelog.yaml").write_text(yaml.safe_dump(changes, width=160), encoding="utf-8")
    _without_dead_links(folder)
    return folder


def _without_dead_links(folder: Path) -> None:
    """Links to what only the checkout has, such as docs/, become plain text."""
    for page in folder.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        for link, shown, target in re.findall(r"(\[([^]]+)\]\((?!https?:|#)([^)#]+)[^)]*\))", text):
            if not (page.parent / target).exists():
                text = text.replace(link, shown)
        page.write_text(text, encoding="utf-8")


def _name_in_full(folder: Path) -> None:
    """Roles and the module are found by their short names within the collection; these are not."""
    filters = "|".join(path.stem for path in sorted((folder / "plugins" / "filter").glob("*.py")))
    utils = f"ansible_collections.{NAME}.plugins.module_utils.promotion"
    for pattern, found, full in (
        ("plugins/modules/*.py", r"\bansible\.module_utils\.promotion\b", utils),
        ("roles/*/*/*.yml", rf"(?<=\| )({filters})\b", rf"{NAME}.\1"),
        ("playbooks/*.yml", rf"(?<=\| )({filters})\b", rf"{NAME}.\1"),
    ):
        for path in folder.glob(pattern):
            path.write_text(re.sub(found, full, path.read_text(encoding="utf-8")), encoding="utf-8")


def changelog(text: str, version: str) -> dict[str, object]:
    """CHANGELOG.md in the form of antsibull-changelog; unreleased entries belong to `version`, dated today."""
    releases: dict[str, dict[str, object]] = {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading = re.match(r"\[(.+?)\](?: - (\S+))?", part)
        if heading is None:
            raise SystemExit(f"CHANGELOG.md: the heading {part.splitlines()[0]!r} is not [version] - date.")
        changes = {
            SECTIONS[title]: [_as_rst(entry) for entry in re.split(r"^- ", body, flags=re.MULTILINE)[1:]]
            for title, body in re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", part, re.MULTILINE | re.DOTALL)
        }
        release = {"changes": changes, "release_date": heading[2] or date.today().isoformat()}
        releases[version if heading[1] == "Unreleased" else heading[1]] = release
    return {"ancestor": None, "releases": releases}


def _as_rst(entry: str) -> str:
    text = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", " ".join(entry.split()))
    return text.replace("`", "``")


def build(folder: Path) -> Path:
    """The tarball in `folder`, built by ansible-galaxy from a layout beside it."""
    layout = folder / "collection"
    shutil.rmtree(layout, ignore_errors=True)
    lay_out(layout)
    galaxy = Path(sys.executable).with_name("ansible-galaxy")
    subprocess.run([galaxy, "collection", "build", layout, "--output-path", folder, "--force"], check=True)
    return max(folder.glob(f"{NAME.replace('.', '-')}-*.tar.gz"), key=lambda path: path.stat().st_mtime)


if __name__ == "__main__":
    build(Path(sys.argv[1] if len(sys.argv) > 1 else PROJECT / "build"))
