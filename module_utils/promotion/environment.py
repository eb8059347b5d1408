"""The environment of the commands: the env file, placeholders, and which values in it are secret."""

from __future__ import annotations

import locale
import os
import re
import shlex
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from .parameters import CommandSpec, words
from .redact import secrets_in, secrets_that_are_names
from .running import run_together, start

ENV_FILE_SECONDS = 10.0
PLACEHOLDER = re.compile(r"\{(scratch|python|env:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?|said:(\w+):(\w+))\}")
# Variables whose value is a name that the evidence is about; a secret must not equal one of them.
NAME_VARIABLE = re.compile(
    r"(?:^|_|PG)(?:PROFILE|USER|USERNAME|LOGNAME|HOST|HOSTNAME|DATABASE|DBNAME|NAME|VHOST|LABEL)$", re.I
)
# Prints the variables after sourcing the file; `env` is looked up first, because the file may change PATH.
READ_ENV_FILE = """
__gate_env=$(type -P env) || exit 4
set -a
. "$1" >/dev/null 2>&1 || exit 3
"$__gate_env" -0
"""


# The checkout alone says which repository git looks at, and how. How git reaches a server is up to the environment.
GIT_TRANSPORT = ("GIT_SSH", "GIT_SSL", "GIT_HTTP", "GIT_PROXY", "GIT_ASKPASS", "GIT_LFS", "GIT_AUTHOR", "GIT_COMMITTER")


@lru_cache(maxsize=None)
def utf8_locale() -> str:
    """A UTF-8 locale that this host has, else `C`: with a locale it does not have, every shell warns on stderr."""
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        for name in ("C.UTF-8", "C.utf8", "en_US.UTF-8"):
            try:
                locale.setlocale(locale.LC_CTYPE, name)
            except locale.Error:
                continue
            return name
        return "C"
    finally:
        locale.setlocale(locale.LC_CTYPE, before)


class NotRun(Exception):
    """A command cannot be started; the message says why."""


def read_env_file(path: str) -> tuple[dict[str, str], str | None]:
    """The variables that bash finds in a file, as (variables, error)."""
    if not os.path.exists(path):
        return {}, "there is no such file"
    if not os.path.isfile(path):
        return {}, "it is not a regular file"
    if not os.access(path, os.R_OK):
        return {}, "permission denied"
    text = read_small(path)
    if text.startswith("\ufeff"):
        mark = f"`sed -i '1s/^\\xef\\xbb\\xbf//' {shlex.quote(path)}`"
        return {}, f"it begins with a byte order mark; {mark} removes it"
    if "\r\n" in text:
        return {}, f"its lines end as on Windows (CRLF); `sed -i 's/\\r$//' {shlex.quote(path)}` corrects that"
    base = {name: os.environ[name] for name in ("PATH", "HOME", "USER", "LOGNAME", "TZ") if name in os.environ}
    base = {"PATH": "/usr/bin:/bin", "LC_ALL": utf8_locale(), **base}
    command = start(["bash", "-c", READ_ENV_FILE, "bash", path], "/", base, ENV_FILE_SECONDS)
    run_together([command])
    if command.problem:
        return {}, f"bash cannot be started ({command.problem})"
    if command.timed_out:
        return {}, f"reading it timed out after {ENV_FILE_SECONDS:g} s"
    if command.status != 0:
        return {}, f"bash cannot read it; `bash -n {shlex.quote(path)}` shows why, or its last command fails"
    whole, cut = command.capture.result()
    if cut is not None:
        return {}, "its variables are larger than 1 MiB"
    return changed_variables(base, whole), None


def changed_variables(base: Mapping[str, str], data: bytes) -> dict[str, str]:
    """The variables that `env -0` prints and that are not in the base environment."""
    found = {}
    for entry in data.decode("utf-8", "surrogateescape").split("\0"):
        name, separator, value = entry.partition("=")
        if separator and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and base.get(name) != value:
            found[name] = value
    return {name: value for name, value in found.items() if name not in ("_", "PWD", "OLDPWD", "SHLVL")}


def secrets_in_files(environment: Mapping[str, str], chdir: str, config_dir: str = "") -> list[str]:
    """The passwords that programs find outside their environment: in AiiDA's profiles, ~/.pgpass and ~/.netrc."""
    home = environment.get("HOME") or os.path.expanduser("~")
    folders = [folder for folder in environment.get("AIIDA_PATH", "").split(os.pathsep) if folder] or [home]
    if environment.get("AIIDA_CONFIG_DIR"):
        folders.append(os.path.join(chdir, environment["AIIDA_CONFIG_DIR"]))
    folders += [os.path.expanduser(os.path.join(chdir, folder)) for folder in config_dir.split(os.pathsep) if folder]
    configs = [os.path.join(folder, *below, "config.json") for folder in folders for below in ([".aiida"], [])]
    found = [value for path in configs for value in secrets_in("config", read_small(path))]
    for line in read_small(environment.get("PGPASSFILE") or os.path.join(home, ".pgpass")).splitlines():
        fields = re.split(r"(?<!\\):", line)
        if len(fields) == 5 and not line.startswith("#"):
            found += {fields[4], re.sub(r"\\(.)", r"\1", fields[4])}
    netrc = read_small(environment.get("NETRC") or os.path.join(home, ".netrc"))
    for quoted, plain in re.findall(r'(?<!\S)password\s+(?:"((?:[^"\\\n]|\\.)*)"|(\S+))', netrc):
        found += {quoted or plain, re.sub(r"\\(.)", r"\1", quoted or plain)}
    return found


def read_small(path: str) -> str:
    """The text of a regular file of at most 1 MiB; empty if it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            return stream.read(1 << 20).decode("utf-8", "replace") if regular else ""
    except (OSError, ValueError):
        return ""


def without_other_repositories(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without GIT_DIR and the like."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith("GIT_") or name.startswith(GIT_TRANSPORT)
    }


def name_collisions(
    secrets: Sequence[tuple[str, str]], environment: Mapping[str, str], host: str, user: str
) -> tuple[list[str], set[str]]:
    """(objections, names that are not masked): masking a secret that equals a name would hide the evidence."""
    secret = {variable for variable, _ in secrets}
    names = {name: value for name, value in environment.items() if NAME_VARIABLE.search(name) and name not in secret}
    names = {**names, "the host's name": host, "the user's name": user}
    sentences = [
        f"{variable} has the same value as {what}: it cannot be masked without hiding evidence. Set another secret."
        for variable, what in sorted(secrets_that_are_names(secrets, names).items())
    ]
    return sentences, set(names.values())


@dataclass(frozen=True)
class Surroundings:
    """The environment that commands run in and that placeholders are filled in from."""

    own: Mapping[str, str]  # the target's own environment
    added: Mapping[str, str]  # what the module adds for its own use
    file: Mapping[str, str]  # what the env file sets
    given: Mapping[str, str]  # what the operator set; takes precedence over the file
    scratch: str
    printed: Mapping[str, str] = field(default_factory=dict)  # by command id, what it printed

    @property
    def known(self) -> dict[str, str]:
        """All variables."""
        return {**self.own, **self.added, **self.file, **self.given}

    def of(self, spec: CommandSpec) -> dict[str, str]:
        """The variables that one command gets, without those of its own `environment`."""
        return {**self.own, **self.given} if spec.as_by_hand else self.known

    def fill(self, text: object, environment: Mapping[str, str] | None = None) -> str:
        """Fills in the placeholders of one string."""
        return fill(text, self.known if environment is None else environment, self.scratch, self.printed)


def key_value(text: str, key: str) -> str | None:
    """The value of the first line `key: value`."""
    return next((row[len(key) + 2 :] for row in text.splitlines() if row.startswith(key + ": ")), None)


def fill(text: object, environment: Mapping[str, str], scratch: str, printed: Mapping[str, str] | None = None) -> str:
    """Fills in the placeholders of one string. Raises NotRun for a variable that is not set."""

    def value(match: re.Match[str]) -> str:
        if match.group(1) == "scratch":
            return scratch
        if match.group(1) == "python":
            return sys.executable
        if match.group(4):
            answer = key_value((printed or {}).get(match.group(4), ""), match.group(5))
            if not answer:
                raise NotRun(f"{match.group(4)} printed no line `{match.group(5)}: ...`")
            return answer
        found: str | None = environment.get(match.group(2)) or match.group(3)
        if found is None:
            raise NotRun(f"{match.group(2)} is not set in the environment file")
        return found

    return PLACEHOLDER.sub(value, str(text))


def prepared(spec: CommandSpec, chdir: str | None, around: Surroundings) -> tuple[list[str], str, dict[str, str]]:
    """(argv, directory, environment) of one command, placeholders filled in."""
    env = around.of(spec)
    for name, value in (spec.environment or {}).items():
        env[str(name)] = around.fill(value)
    directory = around.fill(spec.chdir or chdir or "/")
    if isinstance(spec.run, str):
        return ["/bin/sh", "-c", spec.run], directory, env
    known = {**around.known, **env}  # a placeholder may name a variable that the command itself does not get
    prefix = [around.fill(word, known) for word in words(spec.prefix)]
    if prefix and os.sep in prefix[-1]:
        # Such a program, or a script that it runs, looks itself up on PATH again.
        folder = os.path.dirname(os.path.join(directory, prefix[-1]))
        env["PATH"] = folder + os.pathsep + env.get("PATH", os.defpath)
    if spec.path_of_prefix:
        prefix = prefix[:-1]
    return [*prefix, *(around.fill(word, known) for word in words(spec.run))], directory, env


def load_average() -> list[float]:
    try:
        return [round(value, 2) for value in os.getloadavg()]
    except OSError:
        return []


def user_name() -> str:
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        return str(os.getuid())
