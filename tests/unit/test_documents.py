"""docs/evidence.md names every file and field, and what is shipped checks host keys."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bundles
import pytest

PROJECT = bundles.PROJECT
EVIDENCE = (PROJECT / "docs" / "evidence.md").read_text(encoding="utf-8")


def section(title: str) -> set[str]:
    """What is in back quotes below a heading."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", EVIDENCE, re.M | re.S)
    assert found, title
    return set(re.findall(r"`([^`\n]+)`", found.group(1)))


def fields(schema: dict[str, Any]) -> Iterator[str]:
    """The names of all fields that a schema has, at any depth."""
    for key, value in schema.items():
        if key in ("properties", "$defs"):
            for name, inner in value.items():
                if key == "properties":
                    yield name
                yield from fields(inner)
        elif isinstance(value, dict):
            yield from fields(value)
        elif isinstance(value, list):
            for inner in value:
                yield from fields(inner) if isinstance(inner, dict) else ()


def first_column(title: str) -> set[str]:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", EVIDENCE, re.M | re.S)
    assert found, title
    cells = re.findall(r"^\| (`[^|]*) \|", found.group(1), re.M)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("index", "index.json"),
        ("promotion-decision", "promotion-decision.json"),
        ("baseline", "baseline.json and policy.yml"),
        ("policy", "baseline.json and policy.yml"),
        ("sign-off", "Sign-off"),
        ("verify-report", "What verify checks"),
    ],
)
def test_each_field_is_named(name: str, title: str) -> None:
    schema = json.loads((PROJECT / "docs" / "schema" / f"{name}.schema.json").read_text(encoding="utf-8"))
    assert sorted(set(fields(schema)) - section(title)) == []


@pytest.mark.parametrize("name", ["index", "promotion-decision"])
def test_no_field_is_named_that_is_not_there(name: str) -> None:
    schema = json.loads((PROJECT / "docs" / "schema" / f"{name}.schema.json").read_text(encoding="utf-8"))
    assert sorted(first_column(f"{name}.json") - set(schema["properties"])) == []


def test_each_file_is_named(tmp_path: Path) -> None:
    bundles.hold_bundle(tmp_path)
    bundle = bundles.resume_bundle(tmp_path)
    names = {name.partition(":")[0] for name in section("Files of a bundle")}
    numbered = {f"02-sqlite-smoke-run{n}.log" for n in (2, 3)}  # `...run1.log` to `run3.log`
    for path in bundle.rglob("*"):
        name = path.relative_to(bundle).as_posix()
        below = [folder for folder in ("slurm-smoke/", "05-contracts/", "attempts/") if f"{name}/".startswith(folder)]
        assert path.is_dir() or below or name in names | numbered, name
    assert {"slurm-smoke/", "05-contracts/", "attempts/NN/", "SHA256SUMS.sig"} <= names


# --- host keys --------------------------------------------------------------------------------------------------

SHIPPED = ("ansible.cfg", "promotion-gate.yml", "inventory", "playbooks", "roles", "demo", "molecule", "docs")
UNCHECKED = re.compile(
    r"StrictHostKeyChecking[\s=]+(?:no|off|accept-new|ask)|UserKnownHostsFile[\s=]+/dev/null"
    r"|host_key_checking\s*[=:]\s*(?:false|no|off|0)",
    re.I,
)


def shipped_texts() -> Iterator[tuple[Path, str]]:
    for name in SHIPPED:
        start = PROJECT / name
        for path in [start] if start.is_file() else sorted(start.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path, path.read_text(encoding="utf-8", errors="replace")


def test_nothing_that_is_shipped_goes_on_without_a_host_key() -> None:
    texts = dict(shipped_texts())
    assert len(texts) > 50
    assert [str(path) for path, text in texts.items() if UNCHECKED.search(text)] == []
    assert re.search(r"^host_key_checking = true$", texts[PROJECT / "ansible.cfg"], re.M)
    assert "StrictHostKeyChecking yes" in texts[PROJECT / "demo" / "vm.py"]
    assert "UserKnownHostsFile" in texts[PROJECT / "demo" / "vm.py"], "the demo pins the key of its own VM"


@pytest.mark.parametrize(
    "line", ["-o StrictHostKeyChecking=no", "StrictHostKeyChecking accept-new", "host_key_checking = False"]
)
def test_the_search_finds_it(line: str) -> None:
    assert UNCHECKED.search(line)


PROMISES = [row for row in EVIDENCE.splitlines() if row.startswith("| ") and re.search(r"`[\w/]*test_\w+\.py`", row)]


@pytest.mark.parametrize("row", PROMISES, ids=[row[2:42] for row in PROMISES])
def test_each_promise_names_a_test_that_exists(row: str) -> None:
    named = row.rpartition("|")[0].rpartition("|")[2]
    files = re.findall(r"`((?:tests/\w+/)?)(test_\w+\.py)`((?:(?:: |, )`\w+`)*)", named)
    assert files
    for folder, file, parts in files:
        text = (PROJECT / (folder or "tests/unit/") / file).read_text(encoding="utf-8")
        tests = re.findall(r"^ *def (test_\w+)", text, re.M)
        assert tests
        for part in re.findall(r"\w+", parts):
            assert any(part in name for name in tests), f"{file} has no test {part}"


def test_there_are_promises() -> None:
    assert len(PROMISES) > 10
