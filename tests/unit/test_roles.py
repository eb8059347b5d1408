"""The roles' interface: argument_specs, defaults, README and the inventory template say the same."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import bundles
import pytest
import yaml

from promotion_gate.run.settings import REQUIRED, VARIABLES

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
COMMENTED = re.compile(r"^# ?(\w+):(?:\s|$)", re.MULTILINE)
PYTHON_TYPES = {"str": str, "path": str, "int": int, "bool": bool, "list": list, "dict": dict}


def _yaml(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")) or {})


def _specs(role: Path) -> dict[str, Any]:
    return dict(_yaml(role / "meta" / "argument_specs.yml")["argument_specs"])


def _options(role: Path) -> dict[str, Any]:
    return {name: option for entry in _specs(role).values() for name, option in entry["options"].items()}


def _commented(path: Path) -> set[str]:
    return set(COMMENTED.findall(path.read_text(encoding="utf-8")))


@pytest.fixture(params=ROLES, ids=[role.name for role in ROLES])
def role(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


def test_every_gate_has_a_role() -> None:
    names = {role.name for role in ROLES}
    assert names == {f"gate_{name}" for name in (*bundles.GATES, "common", "decision")}


def test_argument_specs_have_exactly_the_keys_of_defaults(role: Path) -> None:
    defaults = role / "defaults" / "main.yml"
    commented = {name for name in _commented(defaults) if name.startswith(role.name)}
    assert set(_options(role)) == set(_yaml(defaults)) | commented
    assert not set(_yaml(defaults)) & commented


def test_what_is_only_commented_out_in_defaults_is_required(role: Path) -> None:
    commented = {name for name in _commented(role / "defaults" / "main.yml") if name.startswith(role.name)}
    assert {name for name in commented if not _options(role)[name].get("required")} == set()


def test_required_options_have_no_value_of_their_own(role: Path) -> None:
    """They refer to a variable that an operator must set, or stay commented out."""
    defaults = _yaml(role / "defaults" / "main.yml")
    must_be_set = {name for name, variable in VARIABLES.items() if variable.default is REQUIRED}
    for name, option in _options(role).items():
        if option.get("required") and name in defaults:
            assert re.fullmatch(r"\{\{ (\w+) \}\}", defaults[name]), name
            assert defaults[name][3:-3] in must_be_set, name


@pytest.mark.stranger("17.3", "a default stood in the role and nowhere that its documentation reads it from")
def test_argument_specs_have_the_defaults_of_defaults(role: Path) -> None:
    """All that are values; what is unset, or refers to another variable, has none."""
    defaults = _yaml(role / "defaults" / "main.yml")
    values = {name: value for name, value in defaults.items() if value is not None and "{{" not in str(value)}
    assert {name: option["default"] for name, option in _options(role).items() if "default" in option} == values


FALLBACK = re.compile(r"\{\{ (\w+) \| default\((.+), true\) \}\}")


def test_a_role_that_is_used_alone_falls_back_to_the_default_of_a_run(role: Path) -> None:
    for name, value in _yaml(role / "defaults" / "main.yml").items():
        found = FALLBACK.fullmatch(str(value))
        default = VARIABLES[found[1]].default if found and found[1] in VARIABLES else None
        if found and default is not None:
            assert ast.literal_eval(found[2].replace("false", "False")) == default, name


def test_entry_points_are_the_task_files(role: Path) -> None:
    assert set(_specs(role)) == {path.stem for path in (role / "tasks").glob("*.yml")}


def test_options_are_described_and_typed_like_their_defaults(role: Path) -> None:
    defaults = _yaml(role / "defaults" / "main.yml")
    for name, option in _options(role).items():
        assert option["description"].strip(), name
        value = defaults.get(name)
        if value is not None and option["type"] != "raw" and not str(value).startswith("{{"):
            assert type(value) is PYTHON_TYPES[option["type"]], name


def test_names_carry_the_role_and_limits_carry_their_unit(role: Path) -> None:
    for name, option in _options(role).items():
        assert name.startswith(f"{role.name}_")
        assert ("_limit" in name) == name.endswith("_limit_seconds"), name
        assert not name.endswith("_limit_seconds") or option["type"] == "int", name
    internal = role / "vars" / "main.yml"
    if internal.is_file():
        assert all(name.startswith(f"__{role.name}_") for name in _yaml(internal))


def test_the_readme_lists_every_variable_and_no_other(role: Path) -> None:
    rows = re.findall(r"^\| `(gate_\w+)` \|", (role / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(_options(role))


def test_the_inventory_template_shows_every_variable_of_an_operator() -> None:
    shown: set[str] = set()
    for path in (ROOT / "inventory" / "vm" / "group_vars").glob("*.yml"):
        shown |= _commented(path) | set(_yaml(path))
    ours = {name for name in shown if re.match(r"promotion_|workspace_|aiida_vm_|gate_", name)}
    roles = {name for role in ROLES for name in _options(role)}
    assert set(VARIABLES) <= ours <= set(VARIABLES) | roles


def test_the_inventory_template_is_yaml_when_uncommented() -> None:
    for path in (ROOT / "inventory" / "vm" / "group_vars").glob("*.yml"):
        lines = path.read_text(encoding="utf-8").splitlines()
        # Variables with what belongs to them: an example's first line, and the lines set in below it.
        kept = [line[2:] for line in lines if re.match(r"# ( |[a-z_]+:( |$))", line)]
        values = yaml.safe_load("\n".join(kept))
        assert values and all(value is not None for value in values.values()), path.name
