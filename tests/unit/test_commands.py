"""The command line as a stranger meets it: --help, mistakes, completion, archives, and the next step of each answer."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import bundles
import pytest

from promotion_gate import __version__
from promotion_gate.__main__ import COMMANDS, main
from promotion_gate.bundle import archive
from promotion_gate.run.arguments import INTERNAL, SHELLS

EXAMPLES = bundles.PROJECT / "tests" / "bundles" / "0.1.0"
HEALTHY, HELD = EXAMPLES / "root" / "healthy", EXAMPLES / "held" / "repaired"
PUBLIC = sorted({*COMMANDS, "policy"} - {*INTERNAL})
Capture = pytest.CaptureFixture[str]


def asked(capsys: Capture, *arguments: object) -> tuple[int, str, str]:
    try:
        status = main(list(map(str, arguments)))
    except SystemExit as ended:
        status = int(ended.code or 0)
    message = capsys.readouterr()
    return status, message.out, message.err


# --- help and mistakes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", *PUBLIC])
def test_every_help_ends_with_examples_and_exit_statuses(capsys: Capture, name: str) -> None:
    status, out, _ = asked(capsys, *name.split(), "--help")
    end = re.search(r"\nexamples?:\n((?:  .+\n)+)\nexit status: 0 .+\n$", out)
    assert status == 0 and end, out
    assert all("promotion-gate " in line for line in end[1].splitlines())
    assert max(map(len, out.splitlines())) <= 100


def test_help_lists_what_people_call_and_nothing_else(capsys: Capture) -> None:
    _, out, _ = asked(capsys, "--help")
    listed = re.findall(r"^    ([a-z-]+)(?: |$)", out, re.M)
    assert sorted(listed) == sorted(name for name in PUBLIC if " " not in name)
    assert asked(capsys, "--version")[1] == f"promotion-gate {__version__}\n"


@pytest.mark.parametrize("name", INTERNAL)
def test_what_the_plays_call_is_there_all_the_same(capsys: Capture, name: str) -> None:
    assert asked(capsys, name, "--help")[0] == 0 and name in COMMANDS


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["verfy", "x"], 'there is no command "verfy"; did you mean "verify"?'),
        (["zzz"], 'there is no command "zzz" (there are show, diff, history, verify, '),
        (["policy", "lnt"], 'there is no action "lnt"; did you mean "lint"?'),
        (
            ["check", "x", "--polcy-sha256", "3"],
            'there is no argument --polcy-sha256 3; did you mean "--policy-sha256"?',
        ),
        (["show", "x", "--jsn"], 'there is no argument --jsn; did you mean "--json"?'),
        (["show", "x", "y"], "there is no argument y\n"),
        (["completion", "csh"], "invalid choice: 'csh'"),
        (["show", "a\nb\x1b[31m", "--jsn"], "--jsn"),
    ],
)
def test_a_misspelt_word_gets_the_nearest(capsys: Capture, words: list[str], sentence: str) -> None:
    status, out, err = asked(capsys, *words)
    assert (status, out) == (2, "") and sentence in err and "\x1b" not in err
    assert not any(f"'{name}'" in err or f", {name}" in err for name in INTERNAL)


# --- completion ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_is_printed_for_each_shell(capsys: Capture, shell: str) -> None:
    status, out, _ = asked(capsys, "completion", shell)
    assert status == 0 and "promotion-gate" in out


@pytest.mark.parametrize(
    ("line", "offered", "hidden"),
    [
        ("promotion-gate ", {"check", "verify", "history", "policy"}, {"open", "begin", "baseline"}),
        ("promotion-gate check --max", {"--max-age"}, {"--commit"}),
        ("promotion-gate policy ", {"lint", "show", "diff"}, {"verify"}),
    ],
)
def test_the_shell_is_offered_commands_and_options(
    tmp_path: Path, line: str, offered: set[str], hidden: set[str]
) -> None:
    answer = tmp_path / "answer"
    point = {
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
    }
    subprocess.run(
        [sys.executable, "-m", "promotion_gate"], env={**os.environ, **point, "_ARGCOMPLETE_IFS": "\n"}, check=False
    )
    found = {word.strip() for word in answer.read_text(encoding="utf-8").splitlines()}
    assert offered <= found and not hidden & found


def test_completion_without_argcomplete_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setitem(sys.modules, "argcomplete.shell_integration", None)
    status, _, err = asked(capsys, "completion", "bash")
    assert status == 2 and "pip install '.[completion]'" in err


# --- the next step ------------------------------------------------------------------------------------------------


def renamed(bundle: Path) -> Path:
    return bundle.rename(bundle.with_name("copy"))


def with_file(name: str) -> Callable[[Path], Path]:
    def add(bundle: Path) -> Path:
        (bundle / name).write_text("x", encoding="utf-8")
        return bundle

    return add


def without(name: str) -> Callable[[Path], Path]:
    def remove(bundle: Path) -> Path:
        (bundle / name).unlink()
        return bundle

    return remove


def edited(bundle: Path) -> Path:
    (bundle / "01-preflight.log").write_text("x", encoding="utf-8")
    return bundle


def two_files(bundle: Path) -> Path:
    return with_file(".DS_Store")(with_file("03-x.log~")(bundle))


AGAIN = "copy the bundle again from where it was sealed; if this is the original, run the gate again"


@pytest.mark.parametrize(
    ("change", "step"),
    [
        (renamed, "rename the folder to healthy"),
        (with_file(".DS_Store"), ".DS_Store is not part of the bundle: delete it"),
        (two_files, ".DS_Store and 1 other file are not part of the bundle: delete them"),
        (with_file("note.txt"), "note.txt is not part of the bundle: move it out of the folder"),
        (without("01-preflight.log"), AGAIN),
        (edited, AGAIN),
        (without("SHA256SUMS"), "finish the run with a resume, which seals it"),
        (without("index.json"), AGAIN),
        (lambda bundle: bundle.parent, "name the folder of a run: <evidence root>/<run id>"),
        (lambda bundle: bundle / "nowhere", "name the folder of a run: <evidence root>/<run id>"),
    ],
)
def test_what_does_not_verify_has_a_next_step(
    tmp_path: Path, capsys: Capture, change: Callable[[Path], Path], step: str
) -> None:
    bundle = change(Path(shutil.copytree(HEALTHY, tmp_path / "healthy")))
    status, out, _ = asked(capsys, "verify", bundle)
    assert status == 1 and out.splitlines()[-1] == f"  next: {step}", out
    status, out, _ = asked(capsys, "check", bundle)
    assert status == 3 and out.splitlines()[-1].split("next:")[1].strip() == step
    asked(capsys, "verify", bundle, "--json")


def test_check_is_short_lines(capsys: Capture) -> None:
    status, out, _ = asked(capsys, "check", HEALTHY)
    assert status == 0 and max(map(len, out.splitlines()[:-1])) <= 80
    names = re.findall(r"^  ([a-zA-Z -]+):", out, re.M)
    assert names == ["commit", "VM", "ticket", "policy", "sign-off", "not looked at", "next"]
    status, out, _ = asked(capsys, "check", HELD)
    assert status == 1 and "  unblock:       vm_bootstrap.daemon (FAIL), slurm_smoke.node (FAIL)\n" in out
    assert f"`promotion-gate show {HELD}` prints how" in out


# --- a .zip -------------------------------------------------------------------------------------------------------


def zipped(folder: Path, file: Path, *, top: bool = True) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for path in sorted(folder.rglob("*")):
            made.write(path, path.relative_to(folder.parent if top else folder))
    return file


def test_a_zip_is_read_as_it_is(tmp_path: Path, capsys: Capture) -> None:
    for file in (zipped(HEALTHY, tmp_path / "mail.zip"), zipped(HEALTHY, tmp_path / "healthy.zip", top=False)):
        status, out, _ = asked(capsys, "verify", file)
        assert status == 0 and out.splitlines()[-1] == f"VERIFIED {file}, the decision is PROMOTE"
        assert asked(capsys, "check", file)[0] == 0
        assert json.loads(asked(capsys, "show", file, "--json")[1])["decision"] == "PROMOTE"
        assert asked(capsys, "diff", file, HEALTHY)[0] == 0
        assert asked(capsys, "decide", file)[0] == 0
    held = zipped(HELD, tmp_path / "held.zip")
    assert f"`promotion-gate show {held}`" in asked(capsys, "check", held)[1]


@pytest.mark.parametrize("command", [["seal"], ["sign-off", "--name", "bob"], ["issue", "--command", "x"]])
def test_what_writes_wants_the_folder(tmp_path: Path, capsys: Capture, command: list[str]) -> None:
    status, _, err = asked(capsys, *command, zipped(HEALTHY, tmp_path / "mail.zip"))
    assert status == 2 and "mail.zip is an archive; unpack it first and name the folder" in err


def test_what_a_mac_adds_to_a_zip_is_not_part_of_it(tmp_path: Path, capsys: Capture) -> None:
    file = zipped(HEALTHY, tmp_path / "mail.zip")
    with zipfile.ZipFile(file, "a") as made:
        made.writestr("__MACOSX/healthy/._index.json", "x")
    assert asked(capsys, "verify", file)[0] == 0


def test_a_changed_file_in_a_zip_is_found(tmp_path: Path, capsys: Capture) -> None:
    bundle = edited(Path(shutil.copytree(HEALTHY, tmp_path / "healthy")))
    status, out, _ = asked(capsys, "verify", zipped(bundle, tmp_path / "x.zip"))
    assert status == 1 and "01-preflight.log was changed after the seal" in out


Fill = Callable[[zipfile.ZipFile], object]


def hostile() -> Iterator[tuple[str, Fill, str]]:
    def several(*names: str) -> Fill:
        def fill(made: zipfile.ZipFile) -> None:
            for name in names:
                made.writestr(name, "x")

        return fill

    def link(made: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo("run/link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(info, "/etc/passwd")

    yield "climbs", several("../../evil"), "is not a relative, normalised path"
    yield "absolute", several("/etc/evil"), "is not a relative, normalised path"
    yield "inside", several("run/../evil"), "is not a relative, normalised path"
    yield "backslash", several("run\\..\\evil"), "has a character"
    yield "unseen", several("run/a\u202eb"), "has a character"
    yield "link", link, "is a link or a device"
    yield "twice", several("run/a", "run/a"), "is listed twice"
    yield "file-and-folder", several("run/a", "run/a/b"), "cannot be unpacked"
    yield "nothing", lambda made: None, "is empty; it does not contain a bundle"


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("fill", "sentence"), [pytest.param(f, s, id=name) for name, f, s in hostile()])
def test_a_hostile_zip_is_refused_as_a_whole(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    fill: Fill,
    sentence: str,
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    file = tmp_path / "x.zip"
    with zipfile.ZipFile(file, "w") as made:
        fill(made)
    for command in ("verify", "check", "show"):
        status, out, err = asked(capsys, command, file)
        assert (status, out) == (3, "") and sentence in err, err
    assert list(temporary.iterdir()) == [] and sorted(path.name for path in tmp_path.iterdir()) == [
        "temporary",
        "x.zip",
    ]


@pytest.mark.parametrize("limit", ["MAX_TOTAL_BYTES", "MAX_FILE_BYTES", "MAX_FILES", "_MAX_DIRECTORY_BYTES"])
def test_a_zip_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, limit: str) -> None:
    file = tmp_path / "bomb.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for number in range(20):
            made.writestr(f"run/{number}", b"\0" * 100_000)
    monkeypatch.setattr(archive, limit, 50_000 if "BYTES" in limit and "DIRECTORY" not in limit else 10)
    status, _, err = asked(capsys, "verify", file)
    assert status == 3 and ("too large" in err or "larger than" in err), err


@pytest.mark.parametrize(
    "content", [b"", b"PK\x05\x06", b"x" * 100, b"PK\x03\x04" + b"\0" * 40, b"PK\x05\x06" + b"\xff" * 18]
)
def test_what_is_not_a_zip_is_one_sentence(tmp_path: Path, capsys: Capture, content: bytes) -> None:
    file = tmp_path / "x.zip"
    file.write_bytes(content)
    status, out, err = asked(capsys, "verify", file)
    assert (status, out) == (3, "") and len(err.splitlines()) == 1


@pytest.mark.parametrize("at", range(0, 200, 9))
def test_a_damaged_zip_is_never_a_traceback(tmp_path: Path, capsys: Capture, at: int) -> None:
    file = zipped(HEALTHY, tmp_path / "x.zip")
    data = bytearray(file.read_bytes())
    data[len(data) * at // 200] ^= 0xFF
    file.write_bytes(data)
    status, out, err = asked(capsys, "verify", file)
    assert status in (0, 1, 3) and "Traceback" not in out + err and "input cannot be used" not in err
