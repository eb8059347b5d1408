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
    printed, measures its wall time with the monotonic clock of the target, and ends everything it started on the
    time limit (TERM, then KILL).
  - Never fails for what a command does. The result goes to the evidence callback; it is judged later, elsewhere.
  - Secrets of the environment file are masked before anything is returned.
options:
  gate: {description: The gate's name or C(run)., type: str, required: true}
  event: {description: What the callback is to do., type: str, choices: [commands, open, close, probe], default: commands}
  bundle: {description: The bundle's folder on the controller., type: str}
  chdir: {description: Where the commands run., type: str}
  environment: {description: Added to the target's environment., type: dict, default: {}}
  env_file: {description: A file that bash reads; its variables are added too. Relative to I(chdir)., type: str}
  scripts: {description: Scripts to put into {scratch}/bin before the commands., type: dict, default: {}}
  commands:
    description:
      - The commands. C(id), C(file) and C(run) (a list is argv, a text goes to /bin/sh -c) are required.
      - C(prefix) (list or text) stands before argv; C(path_of_prefix) drops its last word and puts the folder of that
        word on PATH. C(group) runs neighbours side by side. C(needs_env_file), C(after) (an id that must have exited
        0), C(limit_seconds), C(chdir), C(environment), C(kill_leftovers).
    type: list
    elements: dict
    default: []
  artifacts:
    description: Folders or files to bring back, each C(from) and C(to), with C(max_files), C(max_bytes), C(max_file_bytes).
    type: list
    elements: dict
    default: []
  max_output_bytes: {description: Per command; head and tail are kept., type: int, default: 1048576}
notes:
  - In lists, C(chdir), C(environment) and C(from), C({env:NAME}), C({env:NAME:-default}) and C({scratch}) are filled in.
author: [The promotion gate's authors]
"""

EXAMPLES = r"""
- name: Ask Slurm for its controllers
  gate_commands:
    gate: slurm_smoke
    commands:
      - {id: ping, file: 04-slurm-state.log, run: [scontrol, ping], limit_seconds: 30}
"""

RETURN = r"""
gate_evidence:
  description: The trip - host, environment file, one entry per command with its output, artifacts.
  returned: always
  type: dict
"""

import ctypes  # noqa: E402
import os  # noqa: E402
import platform  # noqa: E402
import re  # noqa: E402
import selectors  # noqa: E402
import shlex  # noqa: E402
import shutil  # noqa: E402
import signal  # noqa: E402
import stat  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.promotion_redact import Redactor, secrets_of  # noqa: E402

GRACE_SECONDS = 2.0  # between TERM and KILL
PIPE_SECONDS = 1.0  # how long a child may hold the pipe after its parent has exited
ENV_FILE_SECONDS = 10.0
PR_SET_CHILD_SUBREAPER = 36
MAX_FILES, MAX_BYTES, MAX_FILE_BYTES = 200, 8 * 1024 * 1024, 2 * 1024 * 1024
NAME_VARIABLES = ("PROFILE", "USER", "USERNAME", "HOST", "HOSTNAME", "NAME", "DATABASE", "VHOST", "LABEL")
PLACEHOLDER = re.compile(r"\{(scratch|env:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?)\}")


class NotRun(Exception):
    """A command cannot be started; the text says why."""


# Text ----------------------------------------------------------------------------------------------------------


def decoded(data):
    """Bytes as text and the name of the encoding; what is no UTF-8 is escaped without loss."""
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return data.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace"), "utf-8+backslash"


def whole_words(head, tail):
    """Drops the partial word on each side of a cut: half a secret is not recognised as one."""
    cut = max(head.rfind(b"\n"), head.rfind(b" "))
    start = min([at for at in (tail.find(b"\n"), tail.find(b" ")) if at >= 0] or [len(tail)])
    return head[: cut + 1], tail[start:]


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
        """(bytes, truncated); the cut is said in the middle."""
        tail = bytes(self.tail[-self.half :])
        if len(self.head) + len(tail) == self.total:
            return bytes(self.head) + tail, False
        head, tail = whole_words(bytes(self.head), tail)
        left_out = self.total - len(head) - len(tail)
        return head + "\n[... {} bytes left out ...]\n".format(left_out).encode() + tail, True


# Processes -----------------------------------------------------------------------------------------------------


def adopt_orphans():
    """Makes this process the parent of what its children leave behind, so that it can be found and ended."""
    try:
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError):
        pass  # not Linux: the process group is all there is


def parents():
    """Every process and its parent, from /proc; zombies are left out."""
    found = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        if name.isdigit():
            try:
                with open("/proc/{}/stat".format(name), "rb") as stream:
                    fields = stream.read().rsplit(b")", 1)[1].split()
            except (OSError, IndexError):
                continue
            if fields[0] != b"Z":
                found[int(name)] = int(fields[1])
    return found


def descendants(root):
    """All living descendants of a process."""
    tree, found, front = parents(), set(), {root}
    while front:
        front = {pid for pid, parent in tree.items() if parent in front} - found
        found |= front
    return found


def send(pids, groups, number):
    for kill, targets in ((os.killpg, groups), (os.kill, pids)):
        for target in targets:
            try:
                kill(target, number)
            except (ProcessLookupError, PermissionError):
                pass


def reap():
    """Collects children that have ended; adopted ones become zombies otherwise."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


class Running:
    """One command that was started."""

    def __init__(self, spec, argv, shown, directory, environment, limit_bytes, known):
        self.spec, self.argv, self.shown, self.directory = spec, argv, shown, directory
        self.limit = float(spec.get("limit_seconds") or 60)
        self.capture = Capture(limit_bytes)
        self.timed_out = self.left_running = False
        self.known = known  # what was running below us before
        self.started = time.monotonic_ns()
        self.ended = None
        self.process = subprocess.Popen(
            argv,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        os.set_blocking(self.process.stdout.fileno(), False)

    def read(self):
        """Takes what is in the pipe; False at its end."""
        try:
            data = os.read(self.process.stdout.fileno(), 1 << 20)
        except BlockingIOError:
            return True
        self.capture.add(data)
        return bool(data)

    def note_end(self):
        if self.ended is None and self.process.poll() is not None:
            self.ended = time.monotonic_ns()
        return self.ended is not None


def run_together(commands, ours):
    """Waits for commands that run side by side, within their limits, and ends what they leave behind."""
    selector = selectors.DefaultSelector()
    for command in commands:
        selector.register(command.process.stdout, selectors.EVENT_READ, command)
    open_pipes = set(commands)
    while any(not command.note_end() for command in commands) or open_pipes:
        for key, _ in selector.select(0.02):
            if not key.data.read():
                selector.unregister(key.fileobj)
                open_pipes.discard(key.data)
        now = time.monotonic_ns()
        for command in commands:
            if not command.note_end() and now - command.started > command.limit * 1e9:
                command.timed_out = True
                end_all(command, ours, commands)
        for command in list(open_pipes):
            if command.note_end() and now - command.ended > PIPE_SECONDS * 1e9:
                command.read()
                selector.unregister(command.process.stdout)
                open_pipes.discard(command)
    selector.close()
    for command in commands:
        command.process.stdout.close()
        if command.spec.get("kill_leftovers", True) and not command.timed_out:
            command.left_running = end_leftovers(command, ours, commands)


def others_of(command, commands):
    """The processes of the commands that run beside this one, which must not be ended with it."""
    beside = set()
    for other in commands:
        if other is not command and other.ended is None:
            beside |= {other.process.pid} | descendants(other.process.pid)
    return beside


def left_by(command, ours, commands):
    """What a command has left: its descendants, its session, and orphans that came to us since it started."""
    found = descendants(ours) - command.known - others_of(command, commands)
    return found - {command.process.pid} if command.ended is not None else found


def end_leftovers(command, ours, commands):
    """Ends what outlived a command; says whether there was anything. Short-lived rests get a moment to go."""
    deadline = time.monotonic() + 0.3
    while left_by(command, ours, commands) and time.monotonic() < deadline:
        reap()
        time.sleep(0.02)
    if not left_by(command, ours, commands):
        return False
    end_all(command, ours, commands)
    return True


def end_all(command, ours, commands):
    """TERM to the command's group and everything it left, a grace period, then KILL."""
    group = [command.process.pid]
    send(left_by(command, ours, commands), group, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline:
        command.read()
        command.note_end()
        if command.ended is not None:
            reap()
            if not left_by(command, ours, commands):
                return
        time.sleep(0.02)
    for _ in range(50):  # a process may fork while it is ended
        left = left_by(command, ours, commands)
        send(left, group, signal.SIGKILL)
        command.note_end()
        if command.ended is not None:
            reap()
            if not left_by(command, ours, commands):
                return
        time.sleep(0.02)


# Environment and placeholders ----------------------------------------------------------------------------------


def read_env_file(path):
    """The variables that bash finds in a file: (variables, error)."""
    if not os.path.exists(path):
        return {}, "there is no such file"
    script = 'set -a; . "$1" >/dev/null 2>&1 || exit 3; env -0'
    base = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": os.environ.get("HOME", "/"), "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            ["bash", "-c", script, "bash", path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env=base, timeout=ENV_FILE_SECONDS, check=False, start_new_session=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {}, "reading it did not end within {:g} s".format(ENV_FILE_SECONDS)
    except OSError as error:
        return {}, "bash cannot be started ({})".format(error.strerror)
    if done.returncode != 0:
        reason = "permission denied" if not os.access(path, os.R_OK) else "bash cannot read it (exit {})".format(done.returncode)
        return {}, reason
    found = {}
    for entry in done.stdout.decode("utf-8", "replace").split("\0"):
        name, separator, value = entry.partition("=")
        if separator and name not in ("_", "PWD", "OLDPWD", "SHLVL") and base.get(name) != value:
            found[name] = value
    return found, None


def name_collisions(secrets, environment):
    """Sentences for secrets that equal a name: masking them would blank the evidence. They are not masked."""
    said, harmless = [], dict(secrets)
    for name, value in secrets.items():
        for other, text in environment.items():
            if other not in secrets and text == value and other.rsplit("_", 1)[-1].upper() in NAME_VARIABLES:
                said.append(
                    "{} has the same value as {}; choose a secret that is no name, it cannot be masked.".format(name, other)
                )
                harmless.pop(name, None)
    return said, harmless


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
    return shlex.split(command) if isinstance(command, str) else [str(word) for word in command]


def prepared(spec, params, environment, scratch):
    """argv, shown text, directory and environment of one command, placeholders filled in."""
    env = dict(environment)
    for name, value in (spec.get("environment") or {}).items():
        env[str(name)] = fill(value, environment, scratch)
    directory = fill(spec.get("chdir") or params.get("chdir") or "/", environment, scratch)
    run = spec["run"]
    if isinstance(run, str):
        return ["/bin/sh", "-c", run], run, directory, env
    prefix = words(spec.get("prefix") or [])
    if spec.get("path_of_prefix") and prefix:
        last = prefix.pop()
        if os.path.isabs(last):
            env["PATH"] = os.path.dirname(last) + os.pathsep + env.get("PATH", "")
    argv = [fill(word, env, scratch) for word in prefix + [str(word) for word in run]]
    return argv, " ".join(shlex.quote(word) for word in argv), directory, env


# A trip --------------------------------------------------------------------------------------------------------


class Trip:
    """Runs the commands of one call."""

    def __init__(self, params, scratch):
        self.params, self.scratch, self.began = params, scratch, time.monotonic_ns()
        self.environment = {**os.environ, "LC_ALL": "C.UTF-8", "PROMOTION_SCRATCH": scratch}
        for name, value in (params["environment"] or {}).items():
            self.environment[str(name)] = fill(value, self.environment, scratch)
        self.env_file = self.read_env()
        secrets = secrets_of(self.environment)
        self.objections, masked = name_collisions(secrets, self.environment)
        self.redactor = Redactor(masked)
        self.done = []

    def read_env(self):
        path = self.params.get("env_file")
        if not path:
            return None
        path = os.path.join(self.params.get("chdir") or "/", path)
        found, error = read_env_file(path)
        # What the operator set for the commands (PATH, say) goes before what the file sets.
        for name, value in found.items():
            if name not in (self.params["environment"] or {}):
                self.environment[name] = value
        return {"path": path, "error": error, "names": sorted(found)}

    def run(self, check_mode):
        batch = []
        for spec in self.params["commands"]:
            if batch and (not spec.get("group") or spec.get("group") != batch[0].get("group")):
                self.run_batch(batch, check_mode)
                batch = []
            batch.append(spec)
        if batch:
            self.run_batch(batch, check_mode)

    def run_batch(self, batch, check_mode):
        running = []
        for spec in batch:
            try:
                if check_mode:
                    raise NotRun("check mode")
                running.append(self.start(spec))
            except NotRun as reason:
                self.done.append((spec, None, str(reason)))
        if running:
            run_together(running, os.getpid())
        self.done += [(command.spec, command, None) for command in running]

    def start(self, spec):
        if spec.get("needs_env_file") and self.env_file and self.env_file["error"]:
            raise NotRun("{}: {}".format(self.env_file["path"], self.env_file["error"]))
        if spec.get("after"):
            before = [command for earlier, command, _ in self.done if earlier["id"] == spec["after"]]
            status = before[-1].process.returncode if before and before[-1] else None
            if status != 0:
                raise NotRun("{} did not exit 0 before it".format(spec["after"]))
        argv, shown, directory, env = prepared(spec, self.params, self.environment, self.scratch)
        if not os.path.isdir(directory):
            raise NotRun("there is no folder {}".format(directory))
        known = descendants(os.getpid())
        try:
            return Running(spec, argv, shown, directory, env, self.params["max_output_bytes"], known)
        except OSError as error:
            return self.cannot_start(spec, shown, directory, env, error, known)

    def cannot_start(self, spec, shown, directory, env, error, known):
        """What a shell does: 127 for a command that is not there, 126 for one that cannot be started."""
        status = 127 if isinstance(error, FileNotFoundError) else 126
        script = 'printf "%s\\n" "$1"; exit "$2"'
        name = error.filename or shown.split()[0]
        said = "{}: {}".format(name, "command not found" if status == 127 else error.strerror)
        argv = ["/bin/sh", "-c", script, "sh", said, str(status)]
        return Running(spec, argv, shown, directory, env, self.params["max_output_bytes"], known)

    def command_result(self, spec, command, not_run):
        base = {"id": spec["id"], "file": spec["file"], "limit_seconds": float(spec.get("limit_seconds") or 60)}
        if command is None:
            run = spec["run"]
            shown = run if isinstance(run, str) else " ".join(words(spec.get("prefix") or []) + [str(w) for w in run])
            return dict(base, command=self.redactor.text(shown), argv=[], chdir="", not_run=self.redactor.text(not_run))
        data, truncated = command.capture.result()
        text, encoding = decoded(data)
        status = command.process.returncode
        return dict(
            base,
            command=self.redactor.text(command.shown),
            argv=self.masked_words(command.argv, spec),
            chdir=command.directory,
            start_ns=command.started - self.began,
            duration_ns=(command.ended or time.monotonic_ns()) - command.started,
            exit=status if status is not None and status >= 0 else None,
            signal=-status if status is not None and status < 0 else None,
            timed_out=command.timed_out,
            left_running=command.left_running,
            truncated=truncated,
            total_bytes=command.capture.total,
            output=self.redactor.text(text),
            encoding=encoding,
            not_run=None,
        )

    def masked_words(self, argv, spec):
        """argv redacted as one text: the value of `--password x` is known by the word before it."""
        plain = [spec["run"]] if isinstance(spec["run"], str) else argv
        joined = self.redactor.text("\x00\n".join(plain))
        return joined.split("\x00\n")

    def artifacts(self):
        return [bring_back(spec, self.environment, self.scratch, self.redactor) for spec in self.params["artifacts"]]


def bring_back(spec, environment, scratch, redactor):
    """One folder or file as a list of entries. Regular files only; nothing else is read."""
    result = {"from": "", "to": spec["to"], "found": False, "error": None, "files": [], "refused": [], "truncated": False}
    try:
        source = fill(spec["from"], environment, scratch)
    except NotRun as reason:
        return dict(result, error=str(reason), **{"from": str(spec["from"])})
    result["from"] = source
    if not os.path.lexists(source):
        return dict(result, error="it is not there")
    result["found"] = True
    limits = {
        "files": int(spec.get("max_files") or MAX_FILES),
        "bytes": int(spec.get("max_bytes") or MAX_BYTES),
        "file": int(spec.get("max_file_bytes") or MAX_FILE_BYTES),
    }
    for name, path in paths_below(source, result):
        take(name, path, result, limits, redactor)
    return result


def paths_below(source, result):
    """Names and paths of the entries of a folder, sorted, or the file itself with an empty name."""
    if os.path.isdir(source) and not os.path.islink(source):
        seen = 0
        for root, folders, files in os.walk(source):
            folders.sort()
            for name in sorted(files) + [name for name in folders if os.path.islink(os.path.join(root, name))]:
                seen += 1
                if seen > 10000:
                    result["truncated"] = True
                    return
                path = os.path.join(root, name)
                yield os.path.relpath(path, source), path
    else:
        yield "", source


def take(name, path, result, limits, redactor):
    """Reads one entry into the result, within the limits; what is refused is said."""

    def refuse(reason):
        if len(result["refused"]) < 100:
            shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            result["refused"].append({"path": redactor.text(shown), "reason": reason})

    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return refuse("its name is not UTF-8")
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in name) or "\\" in name:
        return refuse("its name has control characters or a backslash")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        return refuse("it is a link" if os.path.islink(path) else "it cannot be read ({})".format(error.strerror))
    with os.fdopen(os.dup(descriptor), "rb") if stat.S_ISREG(os.fstat(descriptor).st_mode) else _nothing() as stream:
        size = os.fstat(descriptor).st_size
        os.close(descriptor)
        if stream is None:
            return refuse("it is no regular file")
        if len(result["files"]) >= limits["files"] or sum(f["kept"] for f in result["files"]) >= limits["bytes"]:
            result["truncated"] = True
            return None
        room = min(limits["file"], limits["bytes"] - sum(f["kept"] for f in result["files"]))
        data = stream.read(room + 1)
    truncated = len(data) > room
    text, encoding = decoded(whole_words(data[:room], b"")[0] if truncated else data)
    result["files"].append(
        {"path": name, "size": size, "kept": min(len(data), room), "content": redactor.text(text),
         "encoding": encoding, "truncated": truncated}
    )  # fmt: skip
    return None


class _nothing:  # noqa: N801 - a context manager that holds nothing
    def __enter__(self):
        return None

    def __exit__(self, *_):
        return False


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


def make_trip(params, check_mode):
    """The whole trip as plain data."""
    adopt_orphans()
    scratch = tempfile.mkdtemp(prefix="promotion-gate-")
    try:
        load = load_average()
        write_scripts(params["scripts"], scratch)
        trip = Trip(params, scratch)
        trip.run(check_mode)
        return {
            "schema": 1,
            "event": params["event"],
            "gate": params["gate"],
            "bundle": params["bundle"],
            "host": {
                "hostname": platform.node(),
                "user": user_name(),
                "python": platform.python_version(),
                "load_average": load,
                "load_average_after": load_average(),
            },
            "env_file": trip.env_file,
            "objections": trip.objections,
            "commands": [trip.command_result(*entry) for entry in trip.done],
            "artifacts": trip.artifacts(),
            "trip_ns": time.monotonic_ns() - trip.began,
        }
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def bad_command(number, spec):
    """What is wrong with one entry of `commands`, or None."""
    for name in ("id", "file", "run"):
        if not spec.get(name):
            return "commands[{}] needs {}.".format(number, name)
    if not isinstance(spec["run"], (str, list)):
        return "commands[{}]: run must be a list of words or a text.".format(number)
    return None


def main():
    module = AnsibleModule(
        argument_spec={
            "gate": {"type": "str", "required": True},
            "event": {"type": "str", "default": "commands", "choices": ["commands", "open", "close", "probe"]},
            "bundle": {"type": "str"},
            "chdir": {"type": "str"},
            "environment": {"type": "dict", "default": {}},
            "env_file": {"type": "str"},
            "scripts": {"type": "dict", "default": {}},
            "commands": {"type": "list", "elements": "dict", "default": []},
            "artifacts": {"type": "list", "elements": "dict", "default": []},
            "max_output_bytes": {"type": "int", "default": 1048576},
        },
        supports_check_mode=True,
    )
    for number, spec in enumerate(module.params["commands"]):
        problem = bad_command(number, spec)
        if problem:
            module.fail_json(msg=problem)
    try:
        evidence = make_trip(module.params, module.check_mode)
    except OSError as error:
        module.fail_json(
            msg="The gate's commands could not be run on this host: {} ({}). Free space and check the rights.".format(
                error.strerror, error.filename
            )
        )
    module.exit_json(changed=bool(module.params["commands"]) and not module.check_mode, gate_evidence=evidence)


if __name__ == "__main__":
    main()
