"""What a VM prints is data: it is shown to the letter in Markdown, and never as Markdown."""

from __future__ import annotations

import pytest

from promotion_gate.render import code, md, sentence


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words", "plain words"),
        ("two\nlines\tand a tab", "two lines and a tab"),
        ("[x](javascript:1) <b>", r"\[x\](javascript:1) \<b\>"),
        ("| cell | `code` #1", r"\| cell \| \`code\` \#1"),
        ("\x1b[31mred\x1b[0m", r"\\u001b\[31mred\\u001b\[0m"),
        ("right\u202eleft", r"right\\u202eleft"),
        ("{{ 7 * 7 }}", r"\{\{ 7 \* 7 \}\}"),
        ("&lt;b&gt; &#x202e;", r"\&lt;b\&gt; \&\#x202e;"),
        ("see https://evil.example or www.evil.example", r"see https\://evil.example or www\.evil.example"),
        ("1. one", r"1\. one"),
        ("- - x", r"\- - x"),
        ("1.5 s", "1.5 s"),
        ("$$\\color{red}x$$", r"\$\$\\color\{red\}x\$\$"),
        ("tag\U000e0041", r"tag\\udb40\\udc41"),
        ("bell\x07 csi\x9b31m nul\x00", r"bell\\u0007 csi\\u009b31m nul\\u0000"),
    ],
)
def test_text_is_shown_to_the_letter(text: str, shown: str) -> None:
    assert md(text) == shown


def test_commands_of_an_unblock_sentence_stay_as_they_run() -> None:
    text = "On vm, run `sudo scontrol update nodename=n_1 state=resume` (or *wait*)."
    assert sentence(text) == r"On vm, run `sudo scontrol update nodename=n_1 state=resume` (or \*wait\*)."


def test_a_stray_back_quote_makes_no_code() -> None:
    assert sentence("a ` b") == r"a \` b"


def test_a_fence_cannot_be_closed_from_inside() -> None:
    assert "```" not in code("x ``` y")
