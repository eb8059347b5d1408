"""Every recorded output is read as the file beside it says (cases/README.md says how to add one)."""

from __future__ import annotations

import pytest
from parser_cases import CASES, READERS, Case, as_json, cases


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.folder}/{case.path.stem}")
def test_output_is_read_as_expected(case: Case) -> None:
    assert as_json(READERS[case.folder](case.text)) == case.result["expected"]


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.folder}/{case.path.stem}")
def test_case_says_where_it_comes_from(case: Case) -> None:
    assert sorted(case.result) == ["expected", "source"]
    assert case.result["source"].startswith(("recorded: ", "written: "))


def test_every_file_is_a_case_that_is_read() -> None:
    expected = {CASES / "README.md"}
    for case in cases():
        expected |= {case.path, case.path.with_suffix(".json")}
    assert {path for path in CASES.rglob("*") if not path.is_dir()} == expected


def test_every_folder_has_a_parser_with_cases() -> None:
    assert {path.name for path in CASES.iterdir() if path.is_dir()} == set(READERS)
    assert all(cases(folder) for folder in READERS)
