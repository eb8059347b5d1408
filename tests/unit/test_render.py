"""What a VM prints is data: it is shown to the letter in Markdown, and never as Markdown."""

from __future__ import annotations

import re
from pathlib import Path

import bundles
import pytest
from markdown_it import MarkdownIt

from promotion_gate.base.files import read_json
from promotion_gate.report.render import cell, fenced, linked, md, sentence, told
from promotion_gate.report.show import text_of


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words", "plain words"),
        ("two\nlines\tand a tab", "two lines and a tab"),
        ("[x](javascript:1) <b>", r"\[x\](javascript:1) \<b\>"),
        ("| cell | `code` #1", r"\| cell \| \`code\` `#`1"),
        ("\x1b[31mred\x1b[0m", r"\\u001b\[31mred\\u001b\[0m"),
        ("right\u202eleft", r"right\\u202eleft"),
        ("{{ 7 * 7 }}", r"\{\{ 7 \* 7 \}\}"),
        ("&lt;b&gt; &#x202e;", r"\&lt;b\&gt; \&\#x202e;"),
        ("see https://evil.example or www.evil.example", r"see https\://evil.example or www\.evil.example"),
        ("ask @example/team or @ann", "ask `@`example/team or `@`ann"),
        ("ann@example.org", "ann`@`example.org"),
        ("an @ alone, a # too", r"an @ alone, a \# too"),
        ("@@ann @#1 `@ann` #@", r"`@@`ann `@#`1 \``@`ann\` \#@"),
        ("#12, example/app#12", "`#`12, example/app`#`12"),
        ("GH-12 gh-1 HIGH-5", "GH`-`12 gh`-`1 HIGH-5"),
        ("&#38;", r"\&`#`38;"),
        ("1. one", r"1\. one"),
        ("- - x", r"\- - x"),
        ("1.5 s", "1.5 s"),
        ("snake_case_words", "snake_case_words"),
        ("_emphasis_ and __init__", r"\_emphasis\_ and \_\_init\_\_"),
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


def test_a_command_of_an_unblock_sentence_keeps_its_blanks() -> None:
    assert (
        sentence("Run\n  `cd '/srv/my  app' &&\n  ls`,  then re-run.\n")
        == "Run `cd '/srv/my  app' && ls`, then re-run."
    )


def test_a_mention_beside_a_command_calls_nobody_and_the_command_stays() -> None:
    assert sentence("Ask @ann: `ssh ann@vm # GH-12 #12`") == "Ask `@`ann: `ssh ann@vm # GH-12 #12`"
    assert sentence("@ann: `ls`") == "`@`ann: `ls`"
    assert sentence("`ls`@ann") == "`ls` `@`ann"


def test_signs_as_code_leave_the_text_what_it_was() -> None:
    text = "`@ann` @@x #12 [@#1](x) `` GH-1 &#38; a@b.c"
    [_, inline, _] = MarkdownIt("gfm-like", {"linkify": False}).parse(md(text))
    assert inline.children is not None
    assert "".join(token.content for token in inline.children) == text
    assert [token.content for token in inline.children if token.type == "code_inline"] == [
        *"@",
        "@@",
        "#",
        "@#",
        *"-#@",
    ]


def test_nobody_is_called_by_what_a_vm_prints(tmp_path: Path) -> None:
    output = "slurm_load_ctl_conf error: @example-org/admins see #123, GH-12"
    bundle = bundles.make_bundle(tmp_path, bundles.trips_with("slurm_smoke", "ping", exit=1, output=output))
    text = (bundle / "follow-up-issue.md").read_text(encoding="utf-8")
    assert output in text
    assert "@example" not in re.sub(r"`[^`\n]+`", "", text)


def test_a_stray_back_quote_does_not_make_code() -> None:
    assert sentence("a ` b") == r"a \` b"


@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("a  b", "```\na  b\n```"),
        ("x ``` y", "````\nx ``` y\n````"),
        ("a\n```\nb", "````\na\n```\nb\n````"),
        ("a\tb\x1b[0m", "```\na\tb\\u001b[0m\n```"),
    ],
)
def test_a_command_is_in_its_block_unchanged(text: str, block: str) -> None:
    assert fenced(text) == block


def test_the_command_that_is_to_be_pasted_keeps_its_blanks(tmp_path: Path) -> None:
    root = tmp_path / "evidence  root `of` us"
    bundle = bundles.hold_bundle(root)
    command = str(read_json(bundle / "promotion-decision.json")["rerun_command"])
    assert str(root) in command
    for name in ("promotion-decision.md", "follow-up-issue.md"):
        assert f"```\n{command}\n```" in (bundle / name).read_text(encoding="utf-8")
    assert f"re-run:  {command}" in text_of(read_json(bundle / "promotion-decision.json"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words, a number 1.5 s and snake_case", "plain words, a number 1.5 s and snake_case"),
        ("Finished [0], p95 * 100 <= 7", "`Finished [0], p95 * 100 <= 7`"),
        ("root@vm", "`root@vm`"),
        ("the line of `verdi -p NAME status` shows it up", "the line of `verdi -p NAME status` shows it up"),
        ("a | b", r"a \| b"),
    ],
)
def test_what_would_need_escapes_is_code(text: str, shown: str) -> None:
    assert told(text) == shown


@pytest.mark.parametrize("text", ["[OK] *x*", "`a` b", "a ``", "a | b", "a\\| b `|`", "|", "`", "\\"])
def test_a_cell_shows_its_text_and_ends_where_it_should(text: str) -> None:
    page = MarkdownIt("gfm-like", {"linkify": False}).parse(f"| a | b |\n| --- | --- |\n| {cell(text)} | next |\n")
    cells = [token for token in page if token.type == "inline"]
    assert [token.content for token in cells[:2]] == ["a", "b"] and cells[3].content == "next" and len(cells) == 4
    assert "".join(token.content for token in cells[2].children or ()) == text


def test_evidence_is_linked_and_bounded() -> None:
    names = ["04-a.log", "slurm-smoke/20261125T202525-vm/01 (x).log", "c/d.log", "e", "f"]
    assert linked(names) == (
        "[`04-a.log`](./04-a.log), [`slurm-smoke/.../01 (x).log`](./slurm-smoke/20261125T202525-vm/01%20%28x%29.log), "
        "[`c/d.log`](./c/d.log) and 2 more"
    )
