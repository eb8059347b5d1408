"""The wings of src/promotion_gate: imports go down only, no module is part of a circle, Ansible is not imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import bundles

import promotion_gate

PACKAGE = Path(promotion_gate.__file__).parent
# From the lowest up; wings of the same level do not import each other.
FLOORS = (("base",), ("bundle",), ("judge", "report"), ("prove",), ("run",), ("__main__",))
FLOOR = {wing: number for number, wings in enumerate(FLOORS) for wing in wings}
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


def imported(module: str) -> Iterator[str]:
    """The dotted names below the package that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("promotion_gate"):
            base = str(node.module).removeprefix("promotion_gate").lstrip(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}".lstrip(".")
                yield inner if inner in MODULES else base
        elif isinstance(node, ast.Import):
            yield from (a.name.removeprefix("promotion_gate.") for a in node.names if "promotion_gate." in a.name)


def wing(module: str) -> str:
    return module.split(".")[0]


def test_every_module_belongs_to_a_wing() -> None:
    assert {wing(module) for module in MODULES} == {*FLOOR, "__init__"}


def test_imports_go_down_only() -> None:
    upward = [
        f"{module} imports {name}"
        for module in MODULES
        for name in imported(module)
        if name and wing(module) in FLOOR
        if wing(name) != wing(module) and FLOOR[wing(name)] >= FLOOR[wing(module)]
    ]
    assert upward == []


def test_no_import_cycle() -> None:
    arrows = {module: {name for name in imported(module) if name in MODULES} - {module} for module in MODULES}
    while ends := [module for module, names in arrows.items() if not names & arrows.keys()]:
        for module in ends:
            del arrows[module]
    assert sorted(arrows) == []


def test_the_package_knows_no_ansible() -> None:
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert all(not alias.name.startswith("ansible") for alias in node.names), module
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("ansible"), module


def test_files_and_functions_are_short() -> None:
    """A file of 300 lines and a function of 40 can be read in one go."""
    for folder in ("src", "library", "module_utils", "action_plugins", "callback_plugins", "filter_plugins"):
        for path in sorted((bundles.PROJECT / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            assert text.count("\n") <= 300, path
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef):
                    assert (node.end_lineno or 0) - node.lineno < 40, f"{path}: {node.name}"
