"""The filter promotion_decision: plain data, which is all that a filter may return, and a sentence for an error."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bundles
import pytest
import yaml

from promotion_gate.base.files import read_json

PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.copy:
        content: "{{ (hostvars | promotion_variables(groups)).localhost | to_json }}"
        dest: "{{ playbook_dir }}/found.json"
        mode: "0600"
"""
VARIABLES = """
workspace_dir: /srv/app
workspace_broken: "{{ nowhere }}"
workspace_dsn: postgresql://u:of-a-url-1@h/d
workspace_smoke: "smoke {{ whole }}"
ansible_become_password: "{{ whole }}-and-more"
plain: nothing to see
"""


@pytest.mark.slow
@pytest.mark.stranger("16.12", "a value that only a vault marks as secret")
def test_what_a_vault_or_a_name_marks_is_known(tmp_path: Path) -> None:
    """A single value in a vault, a file that is one, names and URLs, of all of a host's variables and of -e."""
    variables = tmp_path / "group_vars" / "all"
    variables.mkdir(parents=True)
    (tmp_path / "password").write_text("password of the vault\n")
    (tmp_path / "hosts").write_text(f"localhost ansible_connection=local ansible_python_interpreter={sys.executable}\n")
    (tmp_path / "play.yml").write_text(PLAY)
    (variables / "plain.yml").write_text(VARIABLES)
    (variables / "whole.yml").write_text("whole: whole-file-2\nnested: {list: [deep-down-3]}\n")
    ansible = [sys.executable, "-m", "ansible"]
    vault = ["--vault-password-file", str(tmp_path / "password")]
    subprocess.run([*ansible, "vault", "encrypt", *vault, str(variables / "whole.yml")], check=True)
    call = [*ansible, "vault", "encrypt_string", *vault, "inline-value-4", "--name", "inline"]
    inline = subprocess.run(call, capture_output=True, text=True, check=True).stdout
    (variables / "inline.yml").write_text(inline)
    environment = {**os.environ, "ANSIBLE_FILTER_PLUGINS": str(bundles.PROJECT / "filter_plugins")}
    call = [*ansible, "playbook", *vault, "-i", str(tmp_path / "hosts"), "-e", "site_token=extra-var-5", "play.yml"]
    done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    marked = ["deep-down-3", "extra-var-5", "inline-value-4", "of-a-url-1", "whole-file-2", "whole-file-2-and-more"]
    assert found["secrets"] == marked
    assert found["values"]["workspace_smoke"] == "smoke whole-file-2"
    assert list(found["errors"]) == ["workspace_broken"]


@pytest.fixture
def promotion_decision() -> Callable[[str], Any]:
    path = bundles.PROJECT / "filter_plugins" / "promotion_decision.py"
    spec = importlib.util.spec_from_file_location("promotion_decision", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.FilterModule().filters()["promotion_decision"]  # type: ignore[no-any-return]


AnsibleFilterError = importlib.import_module("ansible.errors").AnsibleFilterError


def kinds(value: Any) -> set[type]:
    inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return {type(value)}.union(*(kinds(item) for item in inner))


@pytest.mark.parametrize("make", [bundles.make_bundle, bundles.hold_bundle])
def test_it_is_the_record_as_plain_data(
    tmp_path: Path, promotion_decision: Callable[[str], Any], make: Callable[[Path], Path]
) -> None:
    bundle = make(tmp_path)
    found = promotion_decision(str(bundle))
    assert kinds(found) <= {dict, list, str, int, float, bool, type(None)}
    assert yaml.safe_load(yaml.safe_dump(found)) == json.loads(json.dumps(found)) == found
    assert found == read_json(bundle / "promotion-decision.json")


def test_an_open_bundle_is_an_error_with_a_sentence(tmp_path: Path, promotion_decision: Callable[[str], Any]) -> None:
    with pytest.raises(AnsibleFilterError, match="is still open"):
        promotion_decision(str(bundles.open_bundle(tmp_path)))
