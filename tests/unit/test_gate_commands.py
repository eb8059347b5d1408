"""The module: what commands can do to it, what it brings back, and that nothing is left running.

The file is loaded as it is; its parts in module_utils/ are found as `ansible.module_utils.promotion`, as on a target.
"""

from __future__ import annotations

import base64
import errno
import importlib.util
import json
import locale
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from promotion import artifacts, environment, parameters, running, scratch
from promotion import trip as trips
from promotion.text import Capture, decoded
from waiting import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.slow  # processes that are started, waited for and killed
ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "library" / "gate_commands.py"
PATHS = [
    str(Path(__file__).parent),
    str(ROOT / "tests"),
    str(ROOT / "module_utils"),
]  # for processes that import this file


def load() -> ModuleType:
    parts = {name: part for name, part in sys.modules.items() if name == "promotion" or name.startswith("promotion.")}
    sys.modules.update({f"ansible.module_utils.{name}": part for name, part in parts.items()})
    spec = importlib.util.spec_from_file_location("gate_commands", SOURCE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


gate_commands = load()
# For a command whose first output counts and that then hangs: even a busy machine starts a shell within it.
LIMIT_OF_A_HANG = 3.0


def with_defaults(options: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    return {**{name: option.get("default") for name, option in options.items()}, **given}


def trip(*commands: dict[str, Any], check_mode: bool = False, **params: Any) -> dict[str, Any]:
    """Runs a trip as main() does, with the defaults of the argument specification."""
    options = parameters.argument_spec()
    params["commands"] = [
        with_defaults(options["commands"]["options"], {"id": f"c{number}", "file": "x.log", **command})
        for number, command in enumerate(commands)
    ]
    params["artifacts"] = [
        with_defaults(options["artifacts"]["options"], artifact) for artifact in params.get("artifacts", [])
    ]
    params = with_defaults(options, {"gate": "run", **params})
    assert parameters.problem_of(params) is None
    evidence = trips.make_trip(parameters.parameters(params), check_mode)
    assert json.loads(json.dumps(evidence)) == evidence, "only plain data goes back"
    return evidence


def packed(environment: dict[str, Any] | None = None, known: list[str] | None = None) -> str:
    """The parameter `secrets`, as the roles build it."""
    return base64.b64encode(json.dumps({"environment": environment or {}, "known": known or []}).encode()).decode()


def one(run: str | list[str], **spec: Any) -> dict[str, Any]:
    command = trip({"run": run, "limit_seconds": 20, **spec})["commands"][0]
    assert isinstance(command, dict)
    return command


def alive(marker: str) -> list[int]:
    """Processes whose command line has the marker; zombies have none."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.fixture
def marker() -> Iterator[str]:
    """A number of seconds to sleep that nobody else sleeps; no such process may be left."""
    marker = f"86400.{time.monotonic_ns()}"
    yield marker
    left = alive(marker)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, "processes were left running"


# What a command prints and how it ends --------------------------------------------------------------------------


def test_stdout_and_stderr_in_the_order_printed() -> None:
    found = one("echo 1; echo 2 >&2; echo 3; exit 3")
    assert found["output"] == "1\n2\n3\n"
    assert (found["exit"], found["signal"], found["not_run"], found["truncated"]) == (3, None, None, False)
    assert found["total_bytes"] == 6


def test_a_list_is_exact() -> None:
    found = one(["printf", "%s|", "a b", "$HOME", "*", "it's"])
    assert found["output"] == "a b|$HOME|*|it's|"
    assert found["argv"] == ["printf", "%s|", "a b", "$HOME", "*", "it's"]
    assert found["command"] == """printf '%s|' 'a b' '$HOME' '*' 'it'"'"'s'"""


def test_killed_by_a_signal() -> None:
    found = one("kill -SEGV $$")
    assert (found["exit"], found["signal"]) == (None, signal.SIGSEGV)


def test_standard_input_is_empty() -> None:
    assert one("cat; read x; echo $?")["output"] == "1\n"


def test_there_is_no_terminal_to_ask_on() -> None:
    assert one("echo question >/dev/tty")["exit"] != 0


def test_duration_is_the_wall_time_of_the_command_alone() -> None:
    assert one(["sleep", "0.5"])["duration_ns"] >= 0.5e9


def test_duration_ends_with_the_command_not_with_its_pipe(marker: str) -> None:
    """What the child that holds the pipe costs comes after the command."""
    found = trip({"run": f"sleep {marker} &\necho x"})
    command = found["commands"][0]
    after = found["trip_ns"] - command["start_ns"] - command["duration_ns"]
    assert after >= running.PIPE_SECONDS * 1e9


@pytest.mark.parametrize(
    ("run", "status", "message"),
    [
        (["no-such-command-x"], 127, "no-such-command-x: command not found\n"),
        (["./no-such-script"], 127, "./no-such-script: No such file or directory\n"),
        (["/etc/passwd"], 126, "/etc/passwd: Permission denied\n"),
        (["/tmp"], 126, "/tmp: Permission denied\n"),
    ],
    ids=["name", "script", "not-executable", "folder"],
)
def test_what_cannot_be_started_is_reported_as_by_a_shell(run: list[str], status: int, message: str) -> None:
    found = one(run)
    assert (found["exit"], found["output"], found["not_run"]) == (status, message, None)


def test_a_missing_interpreter_is_reported(tmp_path: Path) -> None:
    script = tmp_path / "x.sh"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o700)
    found = one([str(script)])
    assert found["exit"] == 127
    assert "interpreter" in found["output"]


def test_a_folder_that_is_not_there() -> None:
    found = one("pwd", chdir="/no/such/folder")
    assert found["not_run"] == "there is no folder /no/such/folder"
    assert (found["exit"], found["output"]) == (None, "")


@pytest.mark.stranger("13.8", "a missing checkout or environment file was found out gate by gate")
@pytest.mark.parametrize(
    ("chdir", "text", "lacks"),
    [
        ("/no/such/folder", "A=1\n", "the application is not checked out: there is no folder /no/such/folder"),
        ("/", None, "none.env: there is no such file"),
        ("/", "A='unclosed\n", "bash cannot read it"),
    ],
    ids=["checkout", "env-file", "unreadable"],
)
def test_a_probe_tells_what_every_gate_of_the_host_would_lack(
    tmp_path: Path, chdir: str, text: str | None, lacks: str
) -> None:
    path = str(tmp_path / "none.env") if text is None else env_file(tmp_path, text)
    asked = parameters.argument_spec()["identity"]["options"]
    told = with_defaults(asked, {"file": "probe.log", "parts": ["machine"]})
    with pytest.raises(trips.Unusable, match=re.escape(lacks)):
        trip(event="probe", chdir=chdir, env_file=path, identity=told)
    assert trip(event="probe", chdir="/", identity=told)["commands"][0]["exit"] == 0


@pytest.mark.stranger("15.11", "a folder on the VM that is not a Git checkout: 13 checks with a remedy each")
def test_a_probe_of_a_directory_that_is_not_a_checkout_says_so(tmp_path: Path) -> None:
    asked = parameters.argument_spec()["identity"]["options"]
    told = with_defaults(asked, {"file": "probe.log", "parts": ["machine", "checkout"]})
    with pytest.raises(trips.Unusable, match=r"the application is not checked out: .*not a git repository"):
        trip(event="probe", chdir=str(tmp_path), identity=told)
    (tmp_path / "below").mkdir()
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    with pytest.raises(trips.Unusable, match="is not the top level of its Git checkout"):
        trip(event="probe", chdir=str(tmp_path / "below"), identity=told)
    first, *_ = trip({"run": "true"}, chdir=str(tmp_path / "below"), identity=told)["commands"]
    assert "checkout_error: " in first["output"], "in a gate it is a check that says so"


def test_a_nul_in_a_word_is_a_reason() -> None:
    assert "null" in one(["echo", "a\0b"])["not_run"]


# Nasty commands -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_command_that_hangs_and_ignores_term_is_killed_and_its_output_kept(marker: str) -> None:
    run = f"trap 'echo asked' TERM; echo before; while :; do sleep {marker}; done"
    found = one(run, limit_seconds=LIMIT_OF_A_HANG)
    assert found["timed_out"]
    assert found["output"].startswith("before\n")
    assert found["output"].endswith("asked\n"), "TERM comes before KILL"
    assert found["signal"] == signal.SIGKILL


@pytest.mark.slow
def test_term_comes_first_so_that_a_command_can_clean_up(marker: str) -> None:
    found = one(f"trap 'echo cleaned; exit 7' TERM; sleep {marker} & wait", limit_seconds=LIMIT_OF_A_HANG)
    assert (found["timed_out"], found["exit"], found["output"]) == (True, 7, "cleaned\n")


def test_a_child_that_holds_the_pipe(marker: str) -> None:
    found = one(f"sleep {marker} & echo started")
    assert (found["exit"], found["left_running"], found["output"]) == (0, True, "started\n")
    assert not found["timed_out"]


@pytest.mark.slow
def test_a_double_fork_into_another_session_that_ignores_term(marker: str) -> None:
    found = one(f"(setsid sh -c 'trap \"\" TERM; sleep {marker} & sleep {marker}; :' >/dev/null 2>&1 &) & sleep 0.3")
    assert (found["exit"], found["left_running"]) == (0, True)


def test_a_daemon_is_killed_at_the_limit_as_well(marker: str) -> None:
    found = one(f"setsid sleep {marker} >/dev/null 2>&1 & sleep {marker}", limit_seconds=0.5, kill_leftovers=False)
    assert found["timed_out"]


def test_a_command_that_leaves_only_short_lived_rests_left_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "SETTLE_SECONDS", 60.0)  # it is over as soon as they are gone
    found = one("(sleep 0.15) >/dev/null 2>&1 & echo x")
    assert (found["exit"], found["left_running"]) == (0, False)


def test_a_command_that_ended_does_not_wake_the_module_while_another_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is started second has a copy of the first one's pipes: closing them is not enough for epoll."""
    wakes: list[bool] = []

    def counted() -> bool:  # asked once after each wait
        wakes.append(True)
        return False

    monkeypatch.setattr(running, "nobody_listens", counted)
    commands = [running.start(["sh", "-c", script], "/", dict(os.environ), 60) for script in ("true", "sleep 1")]
    running.run_together(commands)
    assert [command.status for command in commands] == [0, 0]
    assert len(wakes) < 500  # five a second, and a few for each end; it was over 50,000


def test_a_daemon_may_stay_where_the_role_says_so(marker: str) -> None:
    second = {"run": f"sleep {marker}1 & kill -9 $PPID; sleep {marker}1", "limit_seconds": 10}
    found = trip({"run": f"setsid sleep {marker}0 >/dev/null 2>&1 &", "kill_leftovers": False}, second)
    assert (found["commands"][0]["exit"], found["commands"][0]["left_running"]) == (0, False)
    left = alive(f"{marker}0")
    assert len(left) == 1, "the daemon must survive its command, and another one that ran wild"
    os.kill(left[0], signal.SIGKILL)
    wait_until(lambda: not alive(f"{marker}0"), "a killed process is gone")


def test_a_command_that_kills_its_parent_is_a_reason_and_leaves_nothing(marker: str) -> None:
    after = {"run": "echo still here"}
    found = trip({"run": f"echo x; sleep {marker} & kill -9 $PPID; sleep {marker}", "limit_seconds": 20}, after)
    first, second = found["commands"]
    assert first["output"].startswith("x\n")
    assert first["exit"] is None
    assert "killed its supervisor" in first["not_run"]
    assert second["output"] == "still here\n"


@pytest.mark.slow
def test_a_fork_storm_is_killed(marker: str) -> None:
    script = f"f() {{ sleep {marker} & sleep 0.01; f & }}; trap '' TERM; f; sleep {marker}"
    assert one(["bash", "-c", script], limit_seconds=0.5)["timed_out"]


def test_a_lot_of_output_is_cut_in_bounded_memory() -> None:
    run = "echo first; head -c 200000000 /dev/zero | tr '\\0' 'x' | fold -w 99; echo; echo last"
    found = one(run, limit_seconds=60)
    assert found["truncated"]
    assert found["exit"] == 0
    assert found["total_bytes"] > 200_000_000
    assert found["output"].startswith("first\nxxx")
    assert found["output"].endswith("x\nlast\n")
    assert len(found["output"]) <= 1048576 + 100
    assert "bytes left out" in found["output"]


@pytest.mark.slow
def test_output_that_never_ends_is_ended_with_what_it_printed() -> None:
    found = one(["yes"], limit_seconds=LIMIT_OF_A_HANG)
    assert (found["timed_out"], found["truncated"]) == (True, True)
    assert found["output"].startswith("y\ny\n")


def test_bytes_that_are_not_utf8_are_kept_without_loss() -> None:
    found = one(["printf", r"\377\376a\\b\303\244"])
    assert found["encoding"] == "utf-8+backslash"
    assert found["output"] == "\\xff\\xfea\\\\bä"


def test_a_nul_and_escapes_are_kept() -> None:
    assert one(["printf", r"a\000b\033[31m"])["output"] == "a\0b\x1b[31m"


@given(st.binary())
def test_decoding_loses_nothing(data: bytes) -> None:
    text, encoding = decoded(data)
    if encoding == "utf-8":
        assert text.encode() == data
    else:
        assert text.encode().decode("unicode_escape").encode("latin-1") is not None
        assert undo(text) == data


def undo(text: str) -> bytes:
    """The bytes behind utf-8+backslash, as docs/evidence.md says how to read it."""
    data, rest = b"", text.encode()
    while rest:
        if rest.startswith(b"\\\\"):
            data, rest = data + b"\\", rest[2:]
        elif rest.startswith(b"\\x"):
            data, rest = data + bytes([int(rest[2:4], 16)]), rest[4:]
        else:
            data, rest = data + rest[:1], rest[1:]
    return data


@given(st.lists(st.binary(max_size=300), max_size=30), st.integers(20, 200))
def test_a_capture_keeps_head_and_tail(chunks: list[bytes], limit: int) -> None:
    capture = Capture(limit)
    for chunk in chunks:
        capture.add(chunk)
    whole = b"".join(chunks)
    head, tail = capture.result()
    assert capture.total == len(whole)
    if len(whole) <= 2 * (limit // 2):
        assert (head, tail) == (whole, None)
    else:
        assert whole.startswith(head)
        assert tail is not None and whole.endswith(tail)
        assert len(head) == len(tail) == limit // 2


def test_a_cut_inside_a_character_does_not_escape_everything() -> None:
    for shift in range(4):
        found = trip({"run": f"printf '%{shift}s'; yes 'ä€😀' | head -n 3000"}, max_output_bytes=2048)["commands"][0]
        assert (found["truncated"], found["encoding"]) == (True, "utf-8")


def test_a_cut_does_not_show_half_a_secret() -> None:
    secret = "correct horse battery 7"
    for shift in range(0, 40, 3):
        run = f"printf '%{1000 + shift}s\\n' '{secret}'; yes '{secret}' | head -n 3000; printf '%{shift}s' ''"
        found = trip({"run": run}, max_output_bytes=2048, environment={"X_SECRET": secret})["commands"][0]
        assert found["truncated"]
        assert "***" in found["output"]
        assert not {"correct", "horse", "battery"} & set(found["output"].split())


# Order, groups, conditions --------------------------------------------------------------------------------------


def test_commands_run_in_order_and_groups_side_by_side(tmp_path: Path) -> None:
    met = f"touch {tmp_path}/$0; until [ -e {tmp_path}/a ] && [ -e {tmp_path}/b ]; do sleep 0.02; done; "
    found = trip(
        {"run": ["sh", "-c", f"{met} echo 1", "a"], "group": "a"},
        {"run": ["sh", "-c", f"{met} exit 4", "b"], "group": "a"},
        {"run": "sleep 86400", "group": "a", "limit_seconds": 0.3},
        {"run": "echo after"},
    )["commands"]
    assert [command["exit"] for command in found] == [0, 4, None, 0]
    assert [command["timed_out"] for command in found] == [False, False, True, False]
    assert found[1]["start_ns"] < found[0]["start_ns"] + found[0]["duration_ns"]
    assert found[3]["start_ns"] >= max(command["start_ns"] + command["duration_ns"] for command in found[:3])


def test_ending_one_of_a_group_leaves_the_others_alone(marker: str, tmp_path: Path) -> None:
    late = tmp_path / "late"
    wait = f"until [ -e {late} ]; do sleep 0.02; done"
    found = trip(
        {"run": f"setsid sleep {marker} >/dev/null 2>&1 & sleep {marker}", "group": "a", "limit_seconds": 0.3},
        {"run": f"(setsid sh -c 'sleep 1; echo late; touch {late}' &); {wait}; echo end", "group": "a"},
    )["commands"]
    assert found[0]["timed_out"]
    assert (found[1]["exit"], found[1]["output"]) == (0, "late\nend\n")


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        ({"run": "true"}, None),
        ({"run": "exit 2"}, "needs first, which exited 2"),
        ({"run": "true", "chdir": "/no/such"}, "needs first, which was not run"),
        ({"run": "kill -9 $$"}, "needs first, which exited None"),
    ],
    ids=["passed", "failed", "not-run", "signal"],
)
def test_after(first: dict[str, Any], reason: str | None) -> None:
    second = trip({"id": "first", **first}, {"run": "echo x", "after": "first"})["commands"][1]
    assert second["not_run"] == reason
    assert second["output"] == ("" if reason else "x\n")


def test_after_something_that_is_not_there() -> None:
    assert one("echo x", after="nobody")["not_run"] == "needs nobody, which did not run before it"


def test_check_mode_runs_nothing(tmp_path: Path) -> None:
    found = trip({"run": f"touch {tmp_path}/made"}, check_mode=True, artifacts=[{"from": "/etc", "to": "x"}])
    assert found["commands"][0]["not_run"] == "check mode"
    assert not list(tmp_path.iterdir())
    assert found["artifacts"] == []


# Environment, placeholders, scratch -----------------------------------------------------------------------------


def env_file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "vm.env"
    path.write_text(text)
    return str(path)


def test_the_env_file_is_read_as_bash_reads_it(tmp_path: Path) -> None:
    text = "A=1\nB=\"x $A\"\nexport C='it'\"'\"'s'\nD=$(echo sub)\nPATH=/opt/x:$PATH\n# E=1\n"
    found = trip({"run": 'echo "$A|$B|$C|$D|${E-unset}"'}, env_file=env_file(tmp_path, text))
    assert found["commands"][0]["output"] == "1|x 1|it's|sub|unset\n"
    assert found["env_file"]["error"] is None
    assert found["env_file"]["names"] == ["A", "B", "C", "D", "PATH"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (None, "there is no such file"),
        ("A='unclosed\n", "bash cannot read it"),
        ("exit 3\n", "bash cannot read it"),
        ("false\n", "bash cannot read it"),
        pytest.param(
            "AIIDA_PROFILE=vm-psql\r\nA=1\r\n",
            "its lines end as on Windows (CRLF); `sed -i 's/\\r$//' ",
            marks=pytest.mark.stranger("15.12", "a CRLF env file: its profile's name ended in a carriage return"),
        ),
        ("\ufeffA=1\n", "it begins with a byte order mark; `sed -i "),
    ],
    ids=["missing", "syntax", "exits", "fails", "crlf", "bom"],
)
def test_an_env_file_that_cannot_be_read(tmp_path: Path, text: str | None, error: str) -> None:
    path = str(tmp_path / "none.env") if text is None else env_file(tmp_path, text)
    found = trip(
        {"run": "echo x", "needs_env_file": True}, {"run": ["echo", "{env:A}"]}, {"run": "echo y"}, env_file=path
    )
    assert found["env_file"]["error"].startswith(error)
    reasons = [command["not_run"] for command in found["commands"]]
    assert reasons[0] == f"{path}: {found['env_file']['error']}"
    assert reasons[1] == "A is not set in the environment file"
    assert (reasons[2], found["commands"][2]["output"]) == (None, "y\n")


def test_an_env_file_that_hangs(tmp_path: Path, marker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "ENV_FILE_SECONDS", 0.5)
    found = trip({"run": "echo x"}, env_file=env_file(tmp_path, f"sleep {marker} & sleep {marker}\n"))
    assert found["env_file"]["error"] == "reading it timed out after 0.5 s"


def test_the_env_file_is_found_beside_the_commands(tmp_path: Path) -> None:
    env_file(tmp_path, "A=1\n")
    found = trip({"run": ["echo", "{env:A}"]}, env_file="vm.env", chdir=str(tmp_path))
    assert found["commands"][0]["output"] == "1\n"
    assert found["env_file"]["path"] == str(tmp_path / "vm.env")


@pytest.mark.stranger("15.7", "LC_ALL was set to a locale that the host may not have: every shell warned of it")
def test_the_locale_is_one_that_the_host_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def only(category: int, name: str | None = None) -> str:
        if name in (None, "C", "en_US.UTF-8"):
            return "C"
        raise locale.Error("unsupported locale setting")

    monkeypatch.setattr(locale, "setlocale", only)
    environment.utf8_locale.cache_clear()
    assert environment.utf8_locale() == "en_US.UTF-8"
    environment.utf8_locale.cache_clear()


def test_what_the_operator_sets_goes_before_the_env_file(tmp_path: Path) -> None:
    found = trip(
        {"run": "echo $A $B", "environment": {"B": "mine-{env:A}"}},
        environment={"A": 5},
        env_file=env_file(tmp_path, "A=1\nB=2\n"),
    )
    assert found["commands"][0]["output"] == "5 mine-5\n"


def test_placeholders_with_defaults_and_scratch() -> None:
    found = trip(
        {"run": ["echo", "{env:NO_SUCH:-x y}", "{env:NO_SUCH:-}", "{other}", "{scratch}"]},
        {"run": 'test "$PROMOTION_SCRATCH" = "$S" && echo same', "environment": {"S": "{scratch}"}},
        {"run": "echo {scratch}"},
    )["commands"]
    scratch = found[0]["argv"][-1]
    assert found[0]["output"] == f"x y  {{other}} {scratch}\n"
    assert found[1]["output"] == "same\n"
    assert found[2]["output"] == "{scratch}\n"
    assert not Path(scratch).exists()


def test_scripts_are_there_for_us_alone_and_go_again() -> None:
    found = trip(
        {"run": ["{scratch}/bin/hello.sh", "you"]},
        {"run": 'stat -c %a "$PROMOTION_SCRATCH" "$PROMOTION_SCRATCH/bin/hello.sh"'},
        {"run": 'mkdir -p "$PROMOTION_SCRATCH/a/b"; chmod 0 "$PROMOTION_SCRATCH/a/b" "$PROMOTION_SCRATCH/a"'},
        scripts={"hello.sh": "#!/bin/sh\necho hello $1\n", "../../escape.sh": "x"},
    )["commands"]
    assert found[0]["output"] == "hello you\n"
    assert found[1]["output"] == "700\n700\n"
    assert not Path(found[0]["argv"][0]).parent.parent.exists()


def test_scratch_is_removed_when_the_trip_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(trips.Trip, "evidence", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trip({"run": "echo x"})
    assert not list(tmp_path.iterdir())


def test_the_prefix_puts_its_folder_on_the_path(tmp_path: Path) -> None:
    verdi = tmp_path / "bin" / "verdi"
    verdi.parent.mkdir()
    verdi.write_text("#!/bin/sh\necho verdi $*\n")
    verdi.chmod(0o700)
    found = trip(
        {"run": ["-p", "x", "status"], "prefix": str(verdi)},
        {"run": ["sh", "-c", "verdi from-path"], "prefix": str(verdi), "path_of_prefix": True},
        {"run": ["sh", "-c", "echo $0"], "prefix": "env A=1 verdi", "path_of_prefix": True},
        {"run": ["x"], "prefix": ["echo", "a b"]},
    )["commands"]
    assert [command["output"] for command in found] == ["verdi -p x status\n", "verdi from-path\n", "sh\n", "a b x\n"]
    assert found[2]["argv"][:2] == ["env", "A=1"]


# Redaction ------------------------------------------------------------------------------------------------------


def test_no_secret_of_the_env_file_comes_back(tmp_path: Path) -> None:
    secret = "Tr0ub4dor&3 'x"
    text = f'AIIDA_DB_PASSWORD="{secret}"\nAIIDA_PROFILE=vm_profile\n'
    artifact = tmp_path / "out"
    artifact.mkdir()
    (artifact / "log").write_text(f"it was {secret}\n")
    (artifact / f"named {secret}").write_text("x")
    found = trip(
        {"run": 'echo "$AIIDA_DB_PASSWORD"; echo "url amqp://guest:guest@h/"'},
        {"run": ["echo", "--db-password", "{env:AIIDA_DB_PASSWORD}"]},
        {"run": ["no-such-{env:AIIDA_DB_PASSWORD}"]},
        {"run": "pwd", "chdir": f"/no/{secret}"},
        {"run": f"printf '\\377%s' \"{secret}\""},
        env_file=env_file(tmp_path, text),
        artifacts=[{"from": str(artifact), "to": "x"}],
    )
    assert secret not in json.dumps(found, ensure_ascii=False)
    assert "Tr0ub4dor" not in json.dumps(found)
    assert found["commands"][0]["output"] == "***\nurl amqp://guest:***@h/\n"
    assert found["commands"][1]["argv"] == ["echo", "--db-password", "***"]
    assert found["artifacts"][0]["files"][0]["content"] == "it was ***\n"
    assert found["artifacts"][0]["refused"] == [{"path": "named ***", "reason": "its name holds a secret"}]


def test_a_secret_that_equals_a_name_is_an_objection_and_not_masked(tmp_path: Path) -> None:
    text = "AIIDA_PROFILE=vm_profile\nAIIDA_DB_PASSWORD=vm_profile\nAIIDA_MQ_PASSWORD=another-one-1\n"
    found = trip({"run": "echo vm_profile another-one-1"}, env_file=env_file(tmp_path, text))
    assert found["commands"][0]["output"] == "vm_profile ***\n"
    assert len(found["objections"]) == 1
    assert "AIIDA_DB_PASSWORD" in found["objections"][0]
    assert "AIIDA_PROFILE" in found["objections"][0]
    assert "vm_profile" not in found["objections"][0]


def test_an_error_of_an_artifact_shows_no_secret(tmp_path: Path) -> None:
    (tmp_path / "x-secret-9").write_text("x")
    wanted = [{"from": str(tmp_path / "x-secret-9" / "below"), "to": "x"}]
    assert "x-secret-9" not in json.dumps(trip(secrets=packed(known=["x-secret-9"]), artifacts=wanted))


def test_given_secrets_are_masked() -> None:
    assert trip({"run": "echo x-secret-9"}, secrets=packed(known=["x-secret-9"]))["commands"][0]["output"] == "***\n"


SECRET_FILES = {
    ".pgpass": "vm:5432:db:aiida:pg\\:pass-1\n",
    ".netrc": 'machine a login b password net-rc-22\nmachine c\n  login d\n  password "quoted rc 3"\n',
    ".aiida/config.json": json.dumps({"profiles": {"p": {"storage": {"config": {"database_password": "aiida-pw-4"}}}}}),
    "elsewhere/.aiida/config.json": json.dumps({"profiles": {"p": {"broker_password": "broker-pw-5"}}}),
}


@pytest.mark.stranger("16.12", "a password that only a file beside the environment holds")
def test_passwords_of_files_beside_the_environment_are_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIIDA_PATH", "AIIDA_CONFIG_DIR", "PGPASSFILE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, text in SECRET_FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    values = ["pg:pass-1", "net-rc-22", "quoted rc 3", "aiida-pw-4", "broker-pw-5"]
    told = with_defaults(
        parameters.argument_spec()["identity"]["options"],
        {"file": "i.log", "parts": ["machine"], "config_dir": "elsewhere/.aiida"},
    )
    run = ["printf", "<%s>", *values]
    found = trip({"run": run}, chdir=str(tmp_path), secrets=packed({"A": "b"}), identity=told)
    assert [one["output"] for one in found["commands"] if one["id"] == "c0"] == ["<***>" * len(values)]


# Artifacts ------------------------------------------------------------------------------------------------------


def collect(source: Path, **limits: int) -> dict[str, Any]:
    limits = {"max_files": 200, "max_bytes": 1 << 20, "max_file_bytes": 1 << 20, **limits}
    return artifacts.collect(str(source), parameters.ArtifactSpec(str(source), "to", **limits))


def test_a_folder_comes_back_whole(tmp_path: Path) -> None:
    (tmp_path / "run-1").mkdir()
    (tmp_path / "run-1" / "a.log").write_text("a\n")
    (tmp_path / "run-1" / "empty.log").write_text("")
    (tmp_path / "ünïcode ‮.txt").write_bytes(b"\xff")
    found = collect(tmp_path)
    assert [(file["path"], file["size"], file["content"], file["encoding"]) for file in found["files"]] == [
        ("ünïcode ‮.txt", 1, "\\xff", "utf-8+backslash"),
        ("run-1/a.log", 2, "a\n", "utf-8"),
        ("run-1/empty.log", 0, "", "utf-8"),
    ]
    assert (found["found"], found["error"], found["refused"], found["truncated"]) == (True, None, [], False)


def test_a_single_file(tmp_path: Path) -> None:
    (tmp_path / "x.xml").write_text("<x/>")
    found = collect(tmp_path / "x.xml")
    assert [(file["path"], file["content"]) for file in found["files"]] == [("", "<x/>")]


def test_what_is_not_a_regular_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("outside")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret" / "key")
    (folder / "linked-folder").symlink_to(tmp_path / "secret")
    os.mkfifo(folder / "pipe")
    (folder / "new\nline").write_text("x")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff")).write_text("x")
    (folder / "good").write_text("x")
    found = collect(folder)
    assert [file["path"] for file in found["files"]] == ["good"]
    assert {entry["path"]: entry["reason"] for entry in found["refused"]} == {
        "link": "it is a link",
        "linked-folder": "it is a link",
        "pipe": "it is not a regular file",
        "new\nline": "its name has control characters or a backslash",
        "\\xff": "its name is not UTF-8",
    }
    assert "outside" not in json.dumps(found)


def test_a_source_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    found = collect(tmp_path / "link")
    assert (found["files"], found["refused"]) == ([], [{"path": "", "reason": "it is a link"}])


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    found = collect(tmp_path / "none")
    assert (found["found"], found["error"]) == (False, "it is not there")


def test_a_bomb_is_bounded_and_reported(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number:02}").write_bytes(b"line\n" * 20)
    with (tmp_path / "99-sparse").open("wb") as stream:
        stream.truncate(1 << 40)
    many = collect(tmp_path, max_files=10)
    assert (len(many["files"]), many["truncated"], len(many["refused"])) == (10, True, 21)
    big = collect(tmp_path, max_bytes=250)
    assert sum(file["kept"] for file in big["files"]) <= 250
    assert big["truncated"]
    sparse = collect(tmp_path / "99-sparse", max_file_bytes=1000)
    assert sparse["files"][0]["truncated"]
    assert sparse["files"][0]["size"] == 1 << 40
    assert sparse["files"][0]["kept"] <= 1000


# Parameters and the real Ansible --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run": []}, "commands[0] (x): run must be"),
        ({"run": 5}, "commands[0] (x): run must be"),
        ({"limit_seconds": 0}, "commands[0] (x): limit_seconds"),
        ({"limit_seconds": float("nan")}, "commands[0] (x): limit_seconds"),
        ({"prefix": "'unclosed"}, "commands[0] (x): prefix"),
    ],
    ids=["empty", "number", "limit", "nan", "prefix"],
)
def test_bad_parameters_are_named(change: dict[str, Any], message: str) -> None:
    command = {"id": "x", "run": ["true"], "limit_seconds": 1.0, "prefix": None, **change}
    problem = parameters.problem_of({"commands": [command], "max_output_bytes": 2048, "secrets": None})
    assert problem is not None and problem.startswith(message)


def test_the_documentation_lists_exactly_the_options() -> None:
    """DOCUMENTATION is what people read, argument_spec what holds: names, types and defaults are the same."""

    def compare(documented: dict[str, Any], options: dict[str, Any], where: str) -> None:
        assert sorted(documented) == sorted(options), where
        for name, option in options.items():
            told = documented[name]
            for key in ("type", "default", "required", "choices", "elements"):
                assert told.get(key) == option.get(key), f"{where}{name}: {key}"
            if "options" in option:
                compare(told["suboptions"], option["options"], f"{name}.")

    compare(yaml.safe_load(gate_commands.DOCUMENTATION)["options"], parameters.argument_spec(), "")
    assert yaml.safe_load(gate_commands.EXAMPLES)
    assert "gate_evidence" in yaml.safe_load(gate_commands.RETURN)


def ad_hoc(tmp_path: Path, arguments: dict[str, Any], *options: str) -> tuple[int, str]:
    """Runs the module through the real ansible, as a play would."""
    how = ["-c", "local", "-i", "localhost,", "-e", f"ansible_python_interpreter={sys.executable}", *options]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ansible",
            "adhoc",
            "localhost",
            "-m",
            "gate_commands",
            "-a",
            json.dumps(arguments),
            *how,
        ],
        cwd=tmp_path,
        env={
            **os.environ,
            "ANSIBLE_LIBRARY": str(ROOT / "library"),
            "ANSIBLE_MODULE_UTILS": str(ROOT / "module_utils"),
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_NOCOLOR": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_through_the_real_ansible(tmp_path: Path) -> None:
    arguments = {
        "gate": "run",
        "environment": {"DB_PASSWORD": "hunter2hunter2"},
        "commands": [
            {"id": "a", "file": "a.log", "run": ["echo", "{env:DB_PASSWORD}"]},
            {"id": "b", "file": "a.log", "run": "echo $DB_PASSWORD; exit 3", "limit_seconds": "30"},
        ],
    }
    status, message = ad_hoc(tmp_path, arguments)
    assert status == 0, message
    evidence = json.loads(message[message.index("{") : message.rindex("}") + 1])["gate_evidence"]
    assert [(command["exit"], command["output"]) for command in evidence["commands"]] == [(0, "***\n"), (3, "***\n")]
    assert evidence["trip_ns"] > 0


@pytest.mark.slow
def test_bad_parameters_through_the_real_ansible(tmp_path: Path) -> None:
    command = {"id": "a", "file": "a.log", "run": "true", "limit": 5}
    status, message = ad_hoc(tmp_path, {"gate": "run", "commands": [command]})
    assert status != 0
    assert "limit" in message
    assert "Traceback" not in message


DRIVER = """
import json, sys
sys.path[:0] = {tests!r}
import test_gate_commands
test_gate_commands.trip({{"run": "touch {ready}; trap '' TERM; {work}", "limit_seconds": 60}})
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT], ids=["term", "kill", "ctrl-c"])
@pytest.mark.parametrize(
    "work",
    ["sleep {marker} & sleep {marker}", "while :; do (sleep {marker} & sleep {marker} &) ; done"],
    ids=["sleeps", "goes-on-forking"],
)
def test_nothing_stays_when_the_module_is_killed(tmp_path: Path, marker: str, work: str, number: int) -> None:
    """Ansible hands a Ctrl-C on to the whole process group of the module, its supervisors included."""
    ready = tmp_path / "ready"
    driver = DRIVER.format(tests=PATHS, ready=ready, work=work.format(marker=marker))
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", driver], env=environment, process_group=0) as process:
        wait_until(lambda: ready.exists() and alive(f"sleep\0{marker}"), "the command runs")
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        process.wait()
    # The supervisor outlives the module by as long as it takes to end its family; it has the marker in its command
    # line too, and so has the command's shell.
    wait_until(lambda: not alive(marker), "the supervisor has ended its family")


def test_a_full_folder_for_temporary_files_is_not_evaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_arguments: Any) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(OSError, match="No space left"):
        scratch.make_scratch()


@pytest.mark.parametrize("place", ["noexec", "nowhere"])
def test_where_nothing_can_be_run_the_home_folder_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere") if place == "nowhere" else tempfile.gettempdir())
    if place == "noexec":
        monkeypatch.setattr(os, "statvfs", lambda _path: SimpleNamespace(f_flag=os.ST_NOEXEC))
    assert Path(scratch.make_scratch()).parent == tmp_path


CUT_OFF = """
import json, sys
sys.path[:0] = {tests!r}
import test_gate_commands
test_gate_commands.trip(
    {{"run": "trap 'touch {cleaned}; exit' TERM; touch {ready}; sleep {marker} & wait", "limit_seconds": 60}},
    {{"run": "touch {second}"}},
)
"""


def test_nothing_stays_when_the_connection_is_cut(tmp_path: Path, marker: str) -> None:
    """The other end of standard output is closed: commands get TERM, so that they can clean up, and the trip ends."""
    ready, cleaned, second = tmp_path / "ready", tmp_path / "cleaned", tmp_path / "second"
    names = {"ready": ready, "cleaned": cleaned, "second": second, "marker": marker}
    driver = CUT_OFF.format(tests=PATHS, **names)
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", driver], env=environment, stdout=subprocess.PIPE) as process:
        wait_until(lambda: ready.exists() and alive(f"sleep\0{marker}"), "the command runs")
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=PATIENCE_SECONDS) == 1
    assert not alive(f"sleep\0{marker}")
    assert cleaned.exists()
    assert not second.exists(), "the next command was started although nobody listens"
    assert not list(tmp_path.glob("promotion-gate-*")), "the scratch folder is left"


@pytest.mark.parametrize("place", ["a file", "nowhere"])
def test_a_result_that_goes_to_a_file_is_awaited(tmp_path: Path, place: str) -> None:
    target = tmp_path / "out" if place == "a file" else Path(os.devnull)
    code = f"import sys; sys.path[:0] = {PATHS!r}; import test_gate_commands as t; "
    code += "sys.exit(t.one('sleep 0.3; exit 5')['exit'])"
    with target.open("wb") as stream:
        assert subprocess.run([sys.executable, "-c", code], stdout=stream, check=False, timeout=60).returncode == 5


# What a command is given, and what is not asked again -------------------------------------------------------------


@pytest.mark.stranger("13.3", "what the gate added to a command's environment stood nowhere")
def test_what_a_command_is_given_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.setenv("KEPT", "same")
    found = trip(
        {"run": ["env"]},
        {"run": ["env"], "as_by_hand": True, "environment": {"OWN": "1"}},
        environment={"OF_OPERATOR": "1", "KEPT": "same"},
        env_file=env_file(tmp_path, "A=1\n"),
    )["commands"]
    assert found[0]["environment_names"] == ["GIT_OPTIONAL_LOCKS", "LC_ALL", "OF_OPERATOR", "PROMOTION_SCRATCH"]
    assert "\nA=1\n" in f"\n{found[0]['output']}"
    assert found[1]["environment_names"] == ["OF_OPERATOR", "OWN"]
    for name in ("A=", "LC_ALL=", "PROMOTION_SCRATCH="):
        assert f"\n{name}" not in f"\n{found[1]['output']}"


def test_what_a_command_printed_can_be_given_to_the_next() -> None:
    found = trip(
        {"id": "asked", "run": "echo noise; echo 'folder: /a b'; echo 'folder: /c'"},
        {"run": ["echo", "{said:asked:folder}"], "environment": {"X": "{said:asked:folder}"}},
        {"run": ["echo", "{said:asked:other}"]},
    )["commands"]
    assert found[1]["output"] == "/a b\n"
    assert found[2]["not_run"] == "asked printed no line `other: ...`"


@pytest.mark.stranger("13.9", "with PostgreSQL frozen every call of verdi was waited for, over four minutes")
def test_who_did_not_answer_is_not_asked_again() -> None:
    first = trip(
        {"run": ["true"], "asks": "verdi"},
        {"run": ["sleep", "30"], "asks": "verdi", "limit_seconds": 0.2},
        {"run": ["true"], "asks": "verdi"},
        {"run": ["true"], "asks": "slurm"},
        {"run": ["true"]},
    )
    not_run = [command["not_run"] for command in first["commands"]]
    assert not_run[2] == "verdi did not answer (`sleep 30` timed out after 0.2 s), so it is not asked again"
    assert not_run[:2] + not_run[3:] == [None] * 4
    later = trip({"run": ["true"], "asks": "verdi"}, {"run": ["true"]}, silent=first["silent"])["commands"]
    assert [command["not_run"] is None for command in later] == [False, True]


def test_a_relative_program_of_the_checkout_is_on_the_path(tmp_path: Path) -> None:
    verdi = tmp_path / "bin" / "verdi"
    verdi.parent.mkdir()
    verdi.write_text("#!/bin/sh\necho verdi $*\n")
    verdi.chmod(0o700)
    found = trip({"run": ["sh", "-c", "verdi x"], "prefix": "bin/verdi", "path_of_prefix": True}, chdir=str(tmp_path))
    assert found["commands"][0]["output"] == "verdi x\n"
