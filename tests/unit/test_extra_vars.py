"""Words behind -e that Ansible would drop."""

from __future__ import annotations

import shlex

import pytest
from ansible.parsing.splitter import parse_kv, split_args

from promotion_gate.run.extra_vars import stray_words

CUT = [
    "promotion_reason=known-good sqlite smoke",
    "workspace_sqlite_smoke_command=echo ok",
    "promotion_ticket=gra-1 promotion_reason=first known good",
    "promotion_reason=50% of $HOME is `full`",
    'promotion_reason=a "quoted word" here',
]


@pytest.mark.stranger("15.9", "Ansible keeps the first word of a value behind -e and drops the rest")
@pytest.mark.parametrize("entry", CUT)
def test_the_form_that_is_shown_means_what_was_meant(entry: str) -> None:
    sentence = stray_words(entry, split_args(entry))
    assert sentence is not None
    form = sentence[sentence.rindex("Write -e ") + len("Write ") : -1]
    [option, value] = shlex.split(form)
    assert option == "-e"
    assert stray_words(value, split_args(value)) is None
    if not value.startswith("{"):
        meant = entry.partition("promotion_reason=" if "reason" in entry else "command=")[2]
        assert meant in parse_kv(value).values()


@pytest.mark.parametrize("entry", ["known-good", "foo bar=1"])
def test_a_word_that_is_not_a_variable(entry: str) -> None:
    assert "is not a variable. Write -e NAME=VALUE" in str(stray_words(entry, split_args(entry)))


@pytest.mark.parametrize(
    "entry",
    [
        "a=1",
        "a=1 b=2",
        "a='two words'",
        'a="two words" b=1',
        '{"a": "two words"}',
        "@vars file.yml",
        "a={{ b | c(d) }}",
    ],
)
def test_what_ansible_takes_whole_is_left_alone(entry: str) -> None:
    assert stray_words(entry, split_args(entry)) is None
