#!/usr/bin/python
"""Runs the commands of one gate on the target, in one trip, and returns what happened.

Runs on the target's Python 3.9 and newer with the standard library alone.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: gate_commands
short_description: Run a gate's commands in one trip and return their evidence
description:
  - Starts each command in its own session, without standard input, stdout and stderr into one pipe in the order
    printed, measures its wall time with the monotonic clock of the target, and on the time limit ends everything
    that it started (TERM, then KILL), wherever that went.
  - Never fails for what a command does. The result goes to the evidence callback; it is judged later, elsewhere.
  - Known and named secrets are masked before anything is returned.
options:
  gate:
    description: The gate's name, or C(run).
    type: str
    required: true
  event:
    description: What the callback is to do with the result. C(open) and C(close) only carry O(bundle) to it.
    type: str
    choices: [commands, open, close, probe]
    default: commands
  bundle:
    description: The bundle's folder on the controller.
    type: str
  chdir:
    description: Where the commands run. If it does not exist, they are not run, and the result says so.
    type: str
  environment:
    description: Added to the target's environment; goes before what O(env_file) sets.
    type: dict
    default: {}
  env_file:
    description: A file that bash reads, as C(set -a; . FILE) does; its variables are added too. Relative to O(chdir).
    type: str
  scripts:
    description: Scripts to write into C({scratch}/bin) before the commands, text by name.
    type: dict
    default: {}
  commands:
    description: The commands, in order.
    type: list
    elements: dict
    default: []
    suboptions:
      id:
        description: Names the command within its gate.
        type: str
        required: true
      file:
        description: The transcript that it belongs to.
        type: str
        required: true
      run:
        description: A list is argv; a text goes to C(/bin/sh -c) as it stands.
        type: raw
        required: true
      prefix:
        description: Stands before argv; a list, or a text that is split as a shell would.
        type: raw
      path_of_prefix:
        description: Drop the prefix's last word, and if it is an absolute path put its folder first on PATH.
        type: bool
        default: false
      chdir:
        description: Another folder for this command.
        type: str
      environment:
        description: More variables for this command.
        type: dict
        default: {}
      limit_seconds:
        description: How long it may take.
        type: float
        default: 60
      group:
        description: Neighbours of the same group run side by side.
        type: str
      after:
        description: The id of a command that must have exited 0; otherwise this one is not run.
        type: str
      needs_env_file:
        description: Do not run it if O(env_file) could not be read.
        type: bool
        default: false
      kill_leftovers:
        description: End what is still running when the command has exited. A time limit ends everything anyway.
        type: bool
        default: true
  artifacts:
    description: Folders or files to bring back after the commands. Regular files only.
    type: list
    elements: dict
    default: []
    suboptions:
      from:
        description: The folder or file on the target.
        type: str
        required: true
      to:
        description: Its name in the bundle.
        type: str
        required: true
      max_files:
        description: How many files at most.
        type: int
        default: 200
      max_bytes:
        description: How many bytes in all files together.
        type: int
        default: 8388608
      max_file_bytes:
        description: How many bytes of one file.
        type: int
        default: 2097152
  max_output_bytes:
    description: How much of a command's output is kept; head and tail are kept, and the cut is said.
    type: int
    default: 1048576
  secrets:
    description: More values to mask, beside the secrets of the environment and of O(env_file).
    type: list
    elements: str
    default: []
notes:
  - In lists, C(prefix), C(chdir), C(environment) and C(from), C({env:NAME}), C({env:NAME:-default}) and C({scratch})
    are filled in. C({scratch}) is a private folder of this trip, removed afterwards; a text in C(run) finds it as
    C(PROMOTION_SCRATCH).
  - In check mode nothing is run, and each command says so.
author: [The promotion gate's authors]
"""

EXAMPLES = r"""
- name: Ask Slurm for its state
  gate_commands:
    gate: slurm_smoke
    commands:
      - {id: ping, file: 04-slurm-state.log, run: [scontrol, ping], limit_seconds: 30, group: slurm}
      - {id: sinfo, file: 04-slurm-state.log, run: [sinfo, -h, -N], limit_seconds: 30, group: slurm}
  changed_when: false

- name: Run the smoke script with verdi on its PATH
  gate_commands:
    gate: slurm_smoke
    chdir: /srv/application
    env_file: ops/aiida-vm/aiida-vm.env
    commands:
      - id: script
        file: 04-slurm-smoke.log
        prefix: uv run --project apps/api verdi
        path_of_prefix: true
        run: [scripts/aiida-slurm-smoke-vm.sh, --artifact-dir, "{scratch}/smoke", --profile, "{env:AIIDA_PROFILE}"]
        needs_env_file: true
        limit_seconds: 300
    artifacts:
      - {from: "{scratch}/smoke", to: slurm-smoke}
  changed_when: false
"""

RETURN = r"""
gate_evidence:
  description: The trip.
  returned: always
  type: dict
  contains:
    schema: {description: The version of this format., type: int, sample: 1}
    event: {description: As it was given., type: str}
    gate: {description: As it was given., type: str}
    bundle: {description: As it was given., type: str}
    trip_ns: {description: How long the whole trip took., type: int}
    host: {description: Host name, user, Python and load average before and after., type: dict}
    env_file: {description: Path, the names it sets, and why it could not be read., type: dict}
    objections: {description: Sentences that stand against the evidence., type: list, elements: str}
    commands:
      description: >-
        One entry per command, with what ran and where, start and duration in ns, exit status or signal, whether it was
        timed out, left processes behind or was truncated, its output, or why it was not run.
      type: list
      elements: dict
    artifacts:
      description: One entry per artifact, with its files and their content, and what was refused and why.
      type: list
      elements: dict
"""

import contextlib
import errno
import itertools
import json
import os
import platform
import re
import select
import selectors
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.promotion_redact import Redactor, secrets_of, secrets_that_are_names

GRACE_SECONDS = 2.0  # between TERM and KILL
PIPE_SECONDS = 1.0  # how long a child may hold the pipe after its parent has exited
SETTLE_SECONDS = 0.3  # how long short-lived rests of a command may take to go by themselves
KILL_SECONDS = 3.0  # a process that KILL does not end within this is stuck in the kernel
ENV_FILE_SECONDS = 10.0
TICK_SECONDS = 0.02
MAX_ENTRIES, MAX_DEPTH = 10000, 32  # of a folder that is brought back
CUT_CHARACTERS = 4096  # longer than any secret
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PLACEHOLDER = re.compile(r"\{(scratch|env:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?)\}")
# Variables whose value is a name that the evidence is about; a secret must not equal one of them.
NAME_VARIABLE = re.compile(
    r"(?:^|_|PG)(?:PROFILE|USER|USERNAME|LOGNAME|HOST|HOSTNAME|DATABASE|DBNAME|NAME|VHOST|LABEL)$", re.I
)


class NotRun(Exception):
    """A command cannot be started; the text says why."""


# Text ----------------------------------------------------------------------------------------------------------


def decoded(data, encoding="utf-8"):
    """Bytes as text and the name of the encoding; what is no UTF-8 is escaped without loss."""
    if encoding == "utf-8":
        with contextlib.suppress(UnicodeDecodeError):
            return data.decode("utf-8"), "utf-8"
    return data.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace"), "utf-8+backslash"


def plain(text):
    """Text that can be sent as JSON: what the file system gave as undecodable bytes stands as \\xNN."""
    return str(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def without_broken_edges(data, at_start, at_end):
    """Bytes without the UTF-8 character that a cut has split, so that the rest is still valid."""
    if at_start:
        for _ in range(3):
            if data and 0x80 <= data[0] < 0xC0:
                data = data[1:]
    if at_end:
        for back in range(1, min(4, len(data) + 1)):
            if data[-back] >= 0xC0:
                return data[:-back]
    return data


# Text is redacted before it is cut: half a secret would not be recognised as one. What a cut leaves at the very edge of
# the buffer may still be such a half, so a piece longer than any secret goes, up to the end of its line.


def before_cut(text):
    """Redacted text without the piece before a cut."""
    reach = min(CUT_CHARACTERS, len(text) // 2)
    text = text[: len(text) - reach]
    return text[: text.rfind("\n", len(text) - reach) + 1] or text


def after_cut(text):
    """Redacted text without the piece after a cut."""
    reach = min(CUT_CHARACTERS, len(text) // 2)
    return text[max(reach, text.find("\n", reach, 2 * reach) + 1) :]


class Capture:
    """Keeps head and tail of a stream in bounded memory."""

    def __init__(self, limit):
        self.half = max(limit // 2, 1)
        self.head, self.tail, self.total = bytearray(), bytearray(), 0

    def add(self, data):
        self.total += len(data)
        room = self.half - len(self.head)
        if room > 0:
            self.head += data[:room]
            data = data[room:]
        self.tail += data
        if len(self.tail) > 4 * self.half:
            del self.tail[: -self.half]

    def result(self):
        """(all, None), or (head, tail) with something left out between them."""
        if self.total <= 2 * self.half:
            return bytes(self.head + self.tail), None
        return bytes(self.head), bytes(self.tail[-self.half :])

    def shown(self, redactor):
        """(text, encoding, truncated): redacted, a cut is said in the middle."""
        head, tail = self.result()
        if tail is None:
            text, encoding = decoded(head)
            return redactor.text(text), encoding, False
        head = without_broken_edges(head, False, True)
        tail = without_broken_edges(tail, True, False)
        encoding = decoded(head + b"\n" + tail)[1]
        head, tail = decoded(head, encoding)[0], decoded(tail, encoding)[0]
        head, tail = before_cut(redactor.text(head)), after_cut(redactor.text(tail))
        left_out = self.total - len(head.encode()) - len(tail.encode())
        return "{}\n[... about {} bytes left out ...]\n{}".format(head, left_out, tail), encoding, True


# Processes -----------------------------------------------------------------------------------------------------
#
# This process starts a small supervisor for each command, and the supervisor starts the command. The supervisor is a
# "child subreaper": whatever the command leaves behind, however it detached itself, becomes the supervisor's child.
# So the descendants of a supervisor are exactly what its command started, and they can be found and ended. This
# process only reads pipes, looks at the clock and sends signals; if a command kills its supervisor, it notices.
# Nothing tells a program on the target that the connection was cut or the controller's process was killed, except that
# nobody holds the other end of its standard output any more. So that is looked at, and then everything is ended: the
# next run must not measure the leftovers of this one.


def prctl(option, value):
    """Sets a Linux process option; elsewhere the process group is all there is."""
    try:
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        pass


def process_table():
    """pid -> (parent, state) of every process, from /proc."""
    table = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        if name.isdigit():
            try:
                with open("/proc/{}/stat".format(name), "rb") as stream:
                    state, parent = stream.read().rsplit(b")", 1)[1].split()[:2]
            except (OSError, IndexError, ValueError):
                continue
            table[int(name)] = (int(parent), state.decode())
    return table


def descendants(root, table):
    """All living descendants of a process."""
    children = {}
    for pid, (parent, _) in table.items():
        children.setdefault(parent, []).append(pid)
    found, front = set(), [root]
    while front:
        for pid in children.get(front.pop(), []):
            if pid not in found:
                found.add(pid)
                front.append(pid)
    return {pid for pid in found if table[pid][1] != "Z"}


def send(number, pids, group=None):
    """Sends a signal to processes and to a group; those that have gone do not matter."""
    if group:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def supervise(argv, directory, environment, output, report):
    """The supervisor's whole life: starts the command, reports how it went, and waits to be ended. Never returns."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: end_own_family())
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # nothing stays behind when the module is killed
        started = time.monotonic_ns()
        try:
            child = subprocess.Popen(
                argv,
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            tell(report, {"error": why_not_started(error, argv, directory), "started": started})
            os._exit(0)
        os.close(output)
        tell(report, {"pid": child.pid, "started": started})
        wait_for(child.pid, report)
    finally:
        os._exit(0)


def wait_for(pid, report):
    """Reports the end of the command, then collects what it left until this process is killed."""
    while True:
        try:
            ended, status = os.waitpid(-1, 0)
        except ChildProcessError:
            signal.pause()
            continue
        if ended == pid:
            tell(report, {"status": status, "ended": time.monotonic_ns()})


def tell(report, message):
    os.write(report, json.dumps(message).encode() + b"\n")


def end_own_family():
    """Again and again: a process may fork while it is ended, and its child comes to us."""
    until = time.monotonic() + KILL_SECONDS
    while time.monotonic() < until:
        family = descendants(os.getpid(), process_table())
        if not family:
            break
        send(signal.SIGKILL, family)
    os._exit(0)


def why_not_started(error, argv, directory):
    """[exit status or null, sentence]: what a shell says of a command that cannot be started; null: no folder."""
    reason = error.strerror if isinstance(error, OSError) else str(error)
    if isinstance(error, OSError) and error.filename == directory:
        return [None, "cannot enter the folder {}: {}".format(directory, reason)]
    if not isinstance(error, OSError):  # a NUL byte in a word
        return [None, reason]
    found = os.path.join(directory, argv[0])
    if error.errno != errno.ENOENT:
        return [126, "{}: {}".format(argv[0], reason)]
    if os.sep in argv[0] and os.path.exists(found):
        return [127, "{}: the interpreter of its first line is not there".format(argv[0])]
    return [127, "{}: {}".format(argv[0], reason if os.sep in argv[0] else "command not found")]


class Running:
    """One command that was started, from here to its end: run, drain the pipe, settle, TERM, KILL, over."""

    def __init__(self, argv, directory, environment, limit_seconds, kill_leftovers, max_bytes):
        self.limit_seconds, self.kill_leftovers = limit_seconds, kill_leftovers
        self.capture = Capture(max_bytes)
        self.pid = self.status = self.ended = self.problem = None
        self.exit_status = None  # of a command that could not be started
        self.timed_out = self.left_running = self.lost = False
        self.messages = b""
        self.started = time.monotonic_ns()
        self.phase, self.until = "run", self.started + int(limit_seconds * 1e9)
        self.output, output = os.pipe()
        self.report, report = os.pipe()
        self.supervisor = os.fork()
        if self.supervisor == 0:
            os.close(self.output)
            os.close(self.report)
            supervise(argv, directory, environment, output, report)
        os.close(output)
        os.close(report)
        self.pipes = {self.output, self.report}
        for descriptor in self.pipes:
            os.set_blocking(descriptor, False)

    def read(self, descriptor):
        """Takes what is in a pipe; at its end the pipe is closed."""
        try:
            data = os.read(descriptor, 1 << 18)
        except BlockingIOError:
            return
        if descriptor == self.output:
            self.capture.add(data)
        else:
            self.messages += data
            self.take_messages()
        if not data:
            self.close(descriptor)
            if descriptor == self.report and self.ended is None and self.problem is None:
                self.lost = True

    def close(self, descriptor):
        if descriptor in self.pipes:
            self.pipes.discard(descriptor)
            os.close(descriptor)

    def take_messages(self):
        while b"\n" in self.messages:
            line, self.messages = self.messages.split(b"\n", 1)
            message = json.loads(line)
            self.started = message.get("started", self.started)
            self.pid = message.get("pid", self.pid)
            self.status = message.get("status", self.status)
            self.ended = message.get("ended", self.ended)
            if "error" in message:
                self.exit_status, self.problem = message["error"]
                self.ended = time.monotonic_ns()

    def go(self, phase, seconds):
        self.phase, self.until = phase, time.monotonic_ns() + int(seconds * 1e9)

    def step(self):
        """Does what the phase asks for now; one phase per call."""
        late = time.monotonic_ns() >= self.until
        getattr(self, "step_" + self.phase)(late)

    def step_run(self, late):
        if self.lost:
            self.terminate()
        elif self.ended is not None:
            self.go("drain", PIPE_SECONDS)
        elif late:
            self.timed_out = True
            self.terminate()

    def step_drain(self, late):
        if late or self.output not in self.pipes:
            self.go("settle" if self.kill_leftovers else "over", SETTLE_SECONDS)

    def step_settle(self, late):
        if not self.family():
            self.go("over", 0)
        elif late:
            self.left_running = True
            self.terminate()

    def step_term(self, late):
        if self.gone():
            self.go("over", 0)
        elif late:
            self.go("kill", KILL_SECONDS)

    def step_kill(self, late):
        """Again and again: a process may fork while it is ended."""
        if late or self.gone():
            self.go("over", 0)
        else:
            send(signal.SIGKILL, self.family(), self.group())

    def step_over(self, late):
        """Nothing is left to do."""

    def gone(self):
        return (self.ended is not None or self.lost) and not self.family()

    def terminate(self):
        send(signal.SIGTERM, self.family(), self.group())
        self.go("term", GRACE_SECONDS)

    def group(self):
        """The command's process group; once the command was collected its number may belong to somebody else."""
        return self.pid if self.ended is None and not self.lost else None

    def family(self):
        """What the command has running. A supervisor that was killed has left its children to us."""
        table = process_table()
        if not table:
            return {self.pid} if self.pid and self.ended is None else set()
        if not self.lost:
            return descendants(self.supervisor, table)
        collect_orphans(table)
        ours = {pid for pid, (parent, _) in table.items() if parent == os.getpid()} - SUPERVISORS - ALLOWED
        return {pid for pid in ours if table[pid][1] != "Z"}.union(*(descendants(pid, table) for pid in ours))

    def finish(self):
        """Ends the supervisor; a daemon that may stay goes on without it."""
        for _ in range(16):  # what is still in the pipe; a daemon that stays may go on writing
            if self.output in self.pipes:
                self.read(self.output)
        if not self.kill_leftovers and not self.lost:
            ALLOWED.update(self.family())
        for descriptor in list(self.pipes):
            self.close(descriptor)
        SUPERVISORS.discard(self.supervisor)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.supervisor, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.supervisor, 0)


SUPERVISORS = set()
ALLOWED = set()  # what may run: children from before the first command, daemons that may stay


def collect_orphans(table):
    """Zombies that came to us from a supervisor that was killed."""
    for pid, (parent, state) in table.items():
        if parent == os.getpid() and state == "Z" and pid not in SUPERVISORS:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def nobody_listens():
    """Whether the other end of standard output is closed: there is nobody to give the result to."""
    poll = select.poll()
    poll.register(1, 0)  # 0: the kernel reports the end of a pipe or socket without being asked
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def run_together(commands):
    """Waits for commands that run side by side, within their limits, and ends what they must not leave behind.

    Once nobody listens, ends the commands at once, and then this process.
    """
    with selectors.DefaultSelector() as selector:
        for command in commands:
            for descriptor in command.pipes:
                selector.register(descriptor, selectors.EVENT_READ, command)
        while any(command.phase != "over" for command in commands):
            quiet = all(command.phase in ("run", "over") for command in commands)
            for key, _ in selector.select(0.2 if quiet else TICK_SECONDS):
                key.data.read(key.fd)
                if key.fd not in key.data.pipes:
                    selector.unregister(key.fd)
            alone = nobody_listens()
            for command in commands:
                if alone and command.phase in ("run", "drain", "settle"):
                    command.terminate()
                command.step()
    for command in commands:
        command.finish()
    if nobody_listens():
        sys.exit(1)  # as on TERM: the scratch folder is removed on the way


def start(argv, directory, environment, limit_seconds, kill_leftovers=True, max_bytes=1 << 20):
    """Starts one command under its supervisor."""
    command = Running(argv, directory, environment, limit_seconds, kill_leftovers, max_bytes)
    SUPERVISORS.add(command.supervisor)
    return command


# Environment and placeholders ----------------------------------------------------------------------------------

# Prints the variables after reading the file; `env` is looked up before, as the file may change PATH.
READ_ENV_FILE = """
__gate_env=$(type -P env) || exit 4
set -a
. "$1" >/dev/null 2>&1 || exit 3
"$__gate_env" -0
"""


def read_env_file(path):
    """The variables that bash finds in a file: (variables, error)."""
    if not os.path.exists(path):
        return {}, "there is no such file"
    if not os.path.isfile(path):
        return {}, "it is no regular file"
    if not os.access(path, os.R_OK):
        return {}, "permission denied"
    base = {name: os.environ[name] for name in ("PATH", "HOME", "USER", "LOGNAME", "TZ") if name in os.environ}
    base = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **base}
    command = start(["bash", "-c", READ_ENV_FILE, "bash", path], "/", base, ENV_FILE_SECONDS)
    run_together([command])
    if command.problem:
        return {}, "bash cannot be started ({})".format(command.problem)
    if command.timed_out:
        return {}, "reading it did not end within {:g} s".format(ENV_FILE_SECONDS)
    if command.status != 0:
        return {}, "bash cannot read it; `bash -n {}` shows why, or its last command fails".format(shlex.quote(path))
    whole, cut = command.capture.result()
    if cut is not None:
        return {}, "its variables are larger than 1 MiB"
    return changed_variables(base, whole), None


def changed_variables(base, data):
    """What `env -0` prints and the bare environment does not have."""
    found = {}
    for entry in data.decode("utf-8", "surrogateescape").split("\0"):
        name, separator, value = entry.partition("=")
        if separator and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and base.get(name) != value:
            found[name] = value
    return {name: value for name, value in found.items() if name not in ("_", "PWD", "OLDPWD", "SHLVL")}


def name_collisions(secrets, environment, host, user):
    """(sentences, the other secrets): masking a secret that equals a name would blank the evidence."""
    names = {name: value for name, value in environment.items() if NAME_VARIABLE.search(name) and name not in secrets}
    names = {**names, "the host's name": host, "the user's name": user}
    said = [
        "{} has the same value as {}: it cannot be masked without hiding evidence. Set another secret.".format(
            secret, what
        )
        for secret, what in sorted(secrets_that_are_names(secrets, names).items())
    ]
    return said, {name: value for name, value in secrets.items() if value not in names.values()}


def fill(text, environment, scratch):
    """Replaces the placeholders of one text. Raises NotRun for a variable that is not set."""

    def value(match):
        if match.group(1) == "scratch":
            return scratch
        found = environment.get(match.group(2)) or match.group(3)
        if found is None:
            raise NotRun("{} is not set in the environment file".format(match.group(2)))
        return found

    return PLACEHOLDER.sub(value, str(text))


def words(command):
    """A command as a list: a text is split as a shell would."""
    return shlex.split(command) if isinstance(command, str) else [str(word) for word in command or []]


def prepared(spec, chdir, environment, scratch):
    """(argv, directory, environment) of one command, placeholders filled in."""
    env = dict(environment)
    for name, value in (spec["environment"] or {}).items():
        env[str(name)] = fill(value, environment, scratch)
    directory = fill(spec["chdir"] or chdir or "/", environment, scratch)
    run = spec["run"]
    if isinstance(run, str):
        return ["/bin/sh", "-c", run], directory, env
    prefix = words(spec["prefix"])
    if spec["path_of_prefix"] and prefix:
        last = fill(prefix.pop(), env, scratch)
        if os.path.isabs(last):
            env["PATH"] = os.path.dirname(last) + os.pathsep + env.get("PATH", os.defpath)
    return [fill(word, env, scratch) for word in prefix + words(run)], directory, env


def batches(commands):
    """Neighbours of the same group belong together; a command without a group stands alone."""
    found = []
    for spec in commands:
        if found and spec["group"] and found[-1][0]["group"] == spec["group"]:
            found[-1].append(spec)
        else:
            found.append([spec])
    return found


# A trip --------------------------------------------------------------------------------------------------------


class Trip:
    """Runs the commands of one call; what stands in `results` and `evidence()` is redacted."""

    def __init__(self, params, scratch, check_mode):
        self.params, self.scratch, self.check_mode = params, scratch, check_mode
        self.began = time.monotonic_ns()
        self.host, self.user, self.load = platform.node(), user_name(), load_average()
        self.environment = {**os.environ, "LC_ALL": "C.UTF-8", "PROMOTION_SCRATCH": scratch}
        found, self.env_file = self.read_env()
        known = {**self.environment, **found}
        given = {str(name): fill(value, known, scratch) for name, value in (params["environment"] or {}).items()}
        # What the operator set for the commands (PATH, say) goes before what the file sets.
        self.environment.update({**found, **given})
        secrets = secrets_of(self.environment)
        for spec in params["commands"]:
            secrets.update(secrets_of({str(name): str(value) for name, value in (spec["environment"] or {}).items()}))
        self.objections, masked = name_collisions(secrets, self.environment, self.host, self.user)
        self.redactor = Redactor([*masked.values(), *(params["secrets"] or [])])
        self.results = []

    def read_env(self):
        path = self.params["env_file"]
        if not path or self.check_mode:
            return {}, None
        path = os.path.join(fill(self.params["chdir"] or "/", self.environment, self.scratch), path)
        found, error = read_env_file(path)
        return found, {"path": path, "error": error, "names": sorted(found)}

    def run(self):
        for batch in batches(self.params["commands"]):
            started = []
            for spec in batch:
                result = self.blank(spec)
                self.results.append(result)
                try:
                    started.append((result, self.start(spec, result)))
                except NotRun as reason:
                    result["not_run"] = self.redactor.text(plain(reason))
            run_together([command for _, command in started])
            for result, command in started:
                result.update(self.outcome(command))

    def start(self, spec, result):
        """Starts a command and notes what is started; raises NotRun with the reason if it cannot be."""
        if self.check_mode:
            raise NotRun("check mode")
        if spec["needs_env_file"] and self.env_file and self.env_file["error"]:
            raise NotRun("{}: {}".format(self.env_file["path"], self.env_file["error"]))
        if spec["after"]:
            self.require(spec["after"])
        argv, directory, env = prepared(spec, self.params["chdir"], self.environment, self.scratch)
        shown = [spec["run"]] if isinstance(spec["run"], str) else argv
        result["argv"] = self.redactor.argv(plain(word) for word in shown)
        result["command"] = self.redactor.text(plain(spec["run"] if isinstance(spec["run"], str) else shlex.join(argv)))
        result["chdir"] = self.redactor.text(plain(directory))
        if not os.path.isdir(directory):
            raise NotRun("there is no folder {}".format(directory))
        limit = self.params["max_output_bytes"]
        return start(argv, directory, env, spec["limit_seconds"], spec["kill_leftovers"], limit)

    def require(self, earlier):
        """Raises NotRun unless the newest command of that id exited 0."""
        for result in reversed(self.results):
            if result["id"] == earlier:
                if result["exit"] == 0 and not result["timed_out"]:
                    return
                how = result["not_run"] or "exited {}".format(result["exit"])
                raise NotRun("needs {}, which {}".format(earlier, "was not run" if result["not_run"] else how))
        raise NotRun("needs {}, which did not run before it".format(earlier))

    def blank(self, spec):
        """The result of a command that was not run."""
        run = spec["run"]
        shown = run if isinstance(run, str) else " ".join(words(spec["prefix"]) + words(run))
        return {
            "id": spec["id"],
            "file": spec["file"],
            "command": self.redactor.text(shown),
            "argv": [],
            "chdir": "",
            "start_ns": time.monotonic_ns() - self.began,
            "duration_ns": 0,
            "limit_seconds": spec["limit_seconds"],
            "exit": None,
            "signal": None,
            "timed_out": False,
            "left_running": False,
            "truncated": False,
            "total_bytes": 0,
            "output": "",
            "encoding": "utf-8",
            "not_run": None,
        }

    def outcome(self, command):
        """What a command that was started has to show."""
        if command.problem and command.exit_status is not None:
            command.capture.add(os.fsencode(command.problem + "\n"))
        text, encoding, truncated = command.capture.shown(self.redactor)
        exit_status, number = exit_and_signal(command)
        return {
            "start_ns": command.started - self.began,
            "duration_ns": (command.ended or time.monotonic_ns()) - command.started,
            "exit": exit_status,
            "signal": number,
            "timed_out": command.timed_out,
            "left_running": command.left_running,
            "truncated": truncated,
            "total_bytes": command.capture.total,
            "output": text,
            "encoding": encoding,
            "not_run": self.redactor.text(plain(reason)) if (reason := why_not_run(command)) else None,
        }

    def evidence(self):
        """The whole trip as plain data."""
        return {
            "schema": 1,
            "event": self.params["event"],
            "gate": self.params["gate"],
            "bundle": self.params["bundle"],
            "host": {
                "hostname": self.host,
                "user": self.user,
                "python": platform.python_version(),
                "load_average": self.load,
                "load_average_after": load_average(),
            },
            "env_file": self.env_file,
            "objections": self.objections,
            "commands": self.results,
            "artifacts": [] if self.check_mode else [self.artifact(spec) for spec in self.params["artifacts"]],
            "trip_ns": time.monotonic_ns() - self.began,
        }

    def artifact(self, spec):
        try:
            chdir = fill(self.params["chdir"] or "/", self.environment, self.scratch)
            source = os.path.join(chdir, fill(spec["from"], self.environment, self.scratch))
        except NotRun as reason:
            return {**artifact_result(spec["from"], spec["to"]), "error": str(reason)}
        found = bring_back(source, spec["to"], spec["max_files"], spec["max_bytes"], spec["max_file_bytes"])
        return redacted_artifact(found, self.redactor)


def exit_and_signal(command):
    """(exit status, signal): one of them is None; both are for a command whose end nobody saw."""
    if command.problem is not None:
        return command.exit_status, None
    if command.status is None:
        return None, None
    if os.WIFSIGNALED(command.status):
        return None, os.WTERMSIG(command.status)
    return os.WEXITSTATUS(command.status), None


def why_not_run(command):
    """A reason why the exit status says nothing, or None."""
    if command.problem is not None and command.exit_status is None:
        return command.problem
    if command.lost:
        return "it ended the process that watched over it, so its exit status is unknown; what it left was ended"
    return None


# Artifacts -----------------------------------------------------------------------------------------------------


def artifact_result(source, to):
    return {"from": source, "to": to, "found": False, "error": None, "files": [], "refused": [], "truncated": False}


def bring_back(source, to, max_files, max_bytes, max_file_bytes):
    """One folder or file as a list of entries. Only regular files are read; what is refused is said."""
    result = artifact_result(source, to)
    if not os.path.lexists(source):
        result["error"] = "it is not there"
        return result
    result["found"] = True
    bytes_left = max_bytes
    for name, path in paths_below(source, result):
        reason = why_refused(name, path)
        if not reason and (len(result["files"]) >= max_files or bytes_left <= 0):
            result["truncated"] = True
            reason = "there are more than {} files or {} bytes".format(max_files, max_bytes)
        entry = None
        if not reason:
            entry, reason = read_entry(name, path, min(max_file_bytes, bytes_left))
        if entry:
            bytes_left -= entry["kept"]
            result["files"].append(entry)
        elif len(result["refused"]) < 100:
            result["refused"].append({"path": plain(name), "reason": reason})
    return result


def paths_below(source, result):
    """(name, path) of the entries of a folder, sorted, or the file itself with an empty name."""
    if os.path.islink(source) or not os.path.isdir(source):
        yield "", source
        return
    folders, seen = [("", source)], 0
    while folders:  # no recursion: a hostile tree may be deeper than Python's stack
        prefix, folder = folders.pop(0)
        try:
            with os.scandir(folder) as found:
                entries = sorted(itertools.islice(found, MAX_ENTRIES - seen), key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            result["error"] = "{} cannot be read ({})".format(plain(prefix) or "it", error.strerror)
            continue
        seen += len(entries)
        for entry in entries:
            name = os.path.join(prefix, entry.name)
            if not entry.is_dir(follow_symlinks=False):
                yield name, entry.path
            elif name.count(os.sep) < MAX_DEPTH:
                folders.append((name, entry.path))
            else:
                result["truncated"] = True
        if seen >= MAX_ENTRIES:
            result["truncated"] = True
            return


def why_refused(name, path):
    """Why an entry is not brought back, or None."""
    try:
        name.encode("utf-8")
        mode = os.lstat(path).st_mode
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    except OSError as error:
        return "it cannot be read ({})".format(error.strerror)
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in name) or "\\" in name:
        return "its name has control characters or a backslash"
    if stat.S_ISLNK(mode):
        return "it is a link"
    return None if stat.S_ISREG(mode) else "it is no regular file"


def read_entry(name, path, room):
    """(entry, None) or (None, reason). Links and pipes that took the file's place meanwhile are not followed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return None, "it is no regular file"
            data = stream.read(room + 1)
    except OSError as error:
        return None, "it cannot be read ({})".format(error.strerror)
    truncated = len(data) > room
    kept = without_broken_edges(data[:room], False, True) if truncated else data
    text, encoding = decoded(kept)
    entry = {"path": name, "size": status.st_size, "kept": len(kept), "content": text, "encoding": encoding}
    return {**entry, "truncated": truncated}, None


def redacted_artifact(found, redactor):
    """The same without secrets; a file whose name holds one is refused, since it could not be named."""
    files, refused = [], [{**entry, "path": redactor.text(entry["path"])} for entry in found["refused"]]
    for entry in found["files"]:
        shown = redactor.text(entry["path"])
        if shown == entry["path"]:
            content = redactor.text(entry["content"])
            files.append({**entry, "content": before_cut(content) if entry["truncated"] else content})
        else:
            refused.append({"path": shown, "reason": "its name holds a secret"})
    error = redactor.text(found["error"]) if found["error"] else None
    return {**found, "from": redactor.text(plain(found["from"])), "error": error, "files": files, "refused": refused}


# The module ----------------------------------------------------------------------------------------------------


def load_average():
    try:
        return [round(value, 2) for value in os.getloadavg()]
    except OSError:
        return []


def user_name():
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        return str(os.getuid())


def write_scripts(scripts, scratch):
    folder = os.path.join(scratch, "bin")
    os.mkdir(folder, 0o700)
    for name, text in (scripts or {}).items():
        path = os.path.join(folder, os.path.basename(str(name)))
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(str(text))
        os.chmod(path, 0o700)


def make_scratch():
    """A private folder where programs put temporary files; in the home folder if nothing can be run there.

    Python itself would quietly take /var/tmp for a /tmp that is full; a gate has to see that.
    """
    base = os.environ.get("TMPDIR") or "/tmp"
    usable = os.access(base, os.W_OK | os.X_OK) and not os.statvfs(base).f_flag & os.ST_NOEXEC
    return tempfile.mkdtemp(prefix="promotion-gate-", dir=base if usable else os.path.expanduser("~"))


def remove(scratch):
    """Removes the scratch folder, also what a command made read-only in it or deeper than Python can follow."""
    with contextlib.suppress(OSError, RecursionError):
        shutil.rmtree(scratch)
        return
    for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
        with contextlib.suppress(OSError):
            subprocess.run([*command, "--", scratch], stderr=subprocess.DEVNULL, check=False)


def make_trip(params, check_mode):
    """The whole trip as plain data. Raises NotRun for a placeholder of `environment` that is not set."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    ALLOWED.update(pid for pid, (parent, _) in process_table().items() if parent == os.getpid())
    scratch = make_scratch()
    try:
        write_scripts(params["scripts"], scratch)
        trip = Trip(params, scratch, check_mode)
        trip.run()
        return trip.evidence()
    finally:
        remove(scratch)


def problem_of(params):
    """What is wrong with the parameters, beyond their types, or None."""
    for number, spec in enumerate(params["commands"]):
        where = "commands[{}] ({})".format(number, spec["id"])
        if not isinstance(spec["run"], (str, list)) or not spec["run"]:
            return "{}: run must be a list of words or a text, and not empty.".format(where)
        if not 0 < spec["limit_seconds"] < 7 * 86400:
            return "{}: limit_seconds must be above 0 and below a week.".format(where)
        try:
            words(spec["prefix"])
        except (ValueError, TypeError):
            return "{}: prefix must be a list of words or a text with balanced quotes.".format(where)
    if params["max_output_bytes"] < 1024:
        return "max_output_bytes must be at least 1024."
    return None


def argument_spec():
    text, flag = {"type": "str"}, {"type": "bool", "default": False}
    command = {
        "id": {"type": "str", "required": True},
        "file": {"type": "str", "required": True},
        "run": {"type": "raw", "required": True},
        "prefix": {"type": "raw"},
        "path_of_prefix": flag,
        "chdir": text,
        "environment": {"type": "dict", "default": {}},
        "limit_seconds": {"type": "float", "default": 60},
        "group": text,
        "after": text,
        "needs_env_file": flag,
        "kill_leftovers": {"type": "bool", "default": True},
    }
    artifact = {
        "from": {"type": "str", "required": True},
        "to": {"type": "str", "required": True},
        "max_files": {"type": "int", "default": 200},
        "max_bytes": {"type": "int", "default": 8 * 1024 * 1024},
        "max_file_bytes": {"type": "int", "default": 2 * 1024 * 1024},
    }
    return {
        "gate": {"type": "str", "required": True},
        "event": {"type": "str", "default": "commands", "choices": ["commands", "open", "close", "probe"]},
        "bundle": text,
        "chdir": text,
        "environment": {"type": "dict", "default": {}},
        "env_file": text,
        "scripts": {"type": "dict", "default": {}},
        "commands": {"type": "list", "elements": "dict", "default": [], "options": command},
        "artifacts": {"type": "list", "elements": "dict", "default": [], "options": artifact},
        "max_output_bytes": {"type": "int", "default": 1048576},
        "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
    }


def main():
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    # What was handed in may hold secrets (an environment); so it is not returned, for -vvv would show it.
    invocation = {"module_args": {"gate": module.params["gate"], "event": module.params["event"]}}
    problem = problem_of(module.params)
    if problem:
        module.fail_json(msg=problem, invocation=invocation)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))  # so that commands are ended and the scratch folder is removed
    try:
        evidence = make_trip(module.params, module.check_mode)
    except NotRun as reason:
        module.fail_json(msg="environment: {}.".format(reason), invocation=invocation)
    except OSError as error:
        module.fail_json(
            msg="The gate's commands could not be run on this host: {} ({}). Free space and check the rights.".format(
                error.strerror, error.filename
            ),
            invocation=invocation,
        )
    except Exception as error:  # whatever a host may come up with: a sentence, no traceback
        known = secrets_of({str(name): str(value) for name, value in module.params["environment"].items()})
        said = Redactor(known).text("{}: {}".format(type(error).__name__, error))
        module.fail_json(
            msg="The gate's commands could not be run on this host ({}).".format(said), invocation=invocation
        )
    ran = any(command["not_run"] is None for command in evidence["commands"])
    module.exit_json(changed=ran, gate_evidence=evidence, invocation=invocation)


if __name__ == "__main__":
    main()
