"""The filter promotion_decision: plain data, which is all that a filter may return, and a sentence for an error."""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bundles
import pytest
import yaml

from promotion_gate.base.files import read_json


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
