"""One trip: runs a gate's commands, in order or side by side, and returns the results as plain data without secrets."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from .artifacts import artifact_result, collect, redacted_artifact
from .environment import (
    NotRun,
    Surroundings,
    fill,
    load_average,
    name_collisions,
    prepared,
    read_env_file,
    secrets_in_files,
    user_name,
    utf8_locale,
    without_other_repositories,
)
from .parameters import ArtifactSpec, CommandSpec, IdentitySpec, Parameters, batches, words
from .processes import PR_SET_CHILD_SUBREAPER, prctl, process_table
from .redact import Redactor, secrets_of
from .running import ALLOWED, Running, run_together, start
from .scratch import make_scratch, remove, write_identity, write_scripts
from .text import plain
from .withhold import withhold

Result = dict[str, Any]


class Unusable(Exception):
    """Nothing can be run on this host; the message says what is missing."""


class Trip:
    """Runs the commands of one trip; `results` and `evidence()` are redacted."""

    def __init__(self, params: Parameters, scratch: str, check_mode: bool) -> None:
        self.params, self.scratch, self.check_mode = params, scratch, check_mode
        self.began = time.monotonic_ns()
        self.host, self.user, self.load = platform.node(), user_name(), load_average()
        self.printed: dict[str, str] = {}
        self.silent = dict(params.silent)
        own, added = dict(os.environ), {"LC_ALL": utf8_locale(), "PROMOTION_SCRATCH": scratch}
        added["GIT_OPTIONAL_LOCKS"] = "0"  # git takes no lock in somebody's checkout just to look at it
        found, self.env_file = self.read_env({**own, **added})
        known = {**own, **added, **found}
        named = {**params.environment, **params.secrets.environment}
        given = {str(name): fill(value, known, scratch) for name, value in named.items()}
        file, given = without_other_repositories(found), without_other_repositories(given)
        self.around = Surroundings(without_other_repositories(own), added, file, given, scratch, self.printed)
        secrets = secrets_of(self.around.known)
        for spec in params.commands:
            secrets += secrets_of({str(name): str(value) for name, value in (spec.environment or {}).items()})
        self.objections, self.names = name_collisions(secrets, self.around.known, self.host, self.user)
        self.known_secrets = [value for _, value in secrets if value not in self.names] + list(params.secrets.known)
        self.learn(self.around.known)
        self.results: list[Result] = []

    def read_env(self, environment: Mapping[str, str]) -> tuple[dict[str, str], Result | None]:
        """The variables of the env file, and what the evidence says about it."""
        path = self.params.env_file
        if not path or self.check_mode:
            return {}, None
        path = os.path.join(fill(self.params.chdir or "/", environment, self.scratch), path)
        found, error = read_env_file(path)
        return found, {"path": path, "error": error, "names": sorted(found)}

    def learn(self, environment: Mapping[str, str]) -> None:
        """Also masks the secrets in the files that programs find with this environment."""
        config_dir = ""
        with contextlib.suppress(NotRun):
            config_dir = self.around.fill(self.params.identity.config_dir or "") if self.params.identity else ""
        found = secrets_in_files(environment, self.params.chdir or "/", config_dir)
        self.known_secrets += [value for value in found if value not in self.names]
        self.redactor = Redactor(self.known_secrets)

    def require_checkout(self) -> None:
        """Raises Unusable if no gate could run its commands: without the checkout or the environment file."""
        directory = self.around.fill(self.params.chdir or "/")
        if not os.path.isdir(directory):
            raise Unusable(f"the application is not checked out: there is no folder {directory}")
        if self.env_file and self.env_file["error"]:
            raise Unusable(f"the environment file {self.env_file['path']}: {self.env_file['error']}")

    def require_repository(self) -> None:
        """Raises Unusable if the directory is not a checkout at all; a checkout that Git refuses is left to a check."""
        rows = self.printed.get("identity", "").splitlines()
        why = next((row.partition(": ")[2] for row in rows if row.startswith("checkout_error: ")), "")
        if "not a git repository" in why or "is not the top level" in why:
            raise Unusable(f"the application is not checked out: {self.redactor.text(why)}")

    def run(self) -> None:
        """Runs all commands, batch by batch."""
        for batch in batches(self.commands()):
            started = []
            for spec in batch:
                result = self.blank(spec)
                self.results.append(result)
                try:
                    started.append((result, self.start(spec, result)))
                except NotRun as reason:
                    result["not_run"] = self.redactor.text(plain(reason))
            run_together([command for _, command in started])
            specs = {spec.id: spec for spec in batch}
            for result, command in started:
                result.update(self.outcome(command))
                whole, cut = command.capture.result()
                self.printed[result["id"]] = "" if cut is not None else whole.decode("utf-8", "surrogateescape")
                asked = specs[result["id"]].asks
                if asked and command.timed_out:
                    self.silent[asked] = f"`{result['command']}` timed out after {command.limit_seconds:g} s"

    def commands(self) -> list[CommandSpec]:
        """The commands, with the identity of the host before the first and after the last of them."""
        told = self.params.identity
        if told is None:
            return list(self.params.commands)
        first = self.identity_command("identity", told)
        last = [] if self.params.event == "probe" else [self.identity_command("identity_end", told)]
        return [first, *self.params.commands, *last]

    def identity_command(self, name: str, told: IdentitySpec) -> CommandSpec:
        """The identity program as a command. An option that needs an unset variable is left out; it reports that."""
        options = {
            "target-branch": told.target_branch,
            "revision": told.revision,
            "evidence": told.evidence,
            "baseline": told.baseline,
            "env-file": self.env_file["path"] if self.env_file else None,
            "profile": told.profile,
            "config-dir": told.config_dir,
        }
        run = [sys.executable, "-I", "{scratch}/bin/identity.py"]
        for part in told.parts:
            run += ["--part", part]
        for option, value in options.items():
            with contextlib.suppress(NotRun):
                run += [f"--{option}", self.around.fill(value)] if value else []
        return CommandSpec(id=name, file=told.file, run=run, limit_seconds=told.limit_seconds)

    def start(self, spec: CommandSpec, result: Result) -> Running:
        """Starts a command and records what is started. Raises NotRun with the reason if it cannot be started."""
        if self.check_mode:
            raise NotRun("check mode")
        if spec.needs_env_file and self.env_file and self.env_file["error"]:
            raise NotRun(f"{self.env_file['path']}: {self.env_file['error']}")
        if spec.asks in self.silent:
            raise NotRun(f"{spec.asks} did not answer ({self.silent[spec.asks]}), so it is not asked again")
        if spec.after:
            self.require(spec.after)
        argv, directory, env = prepared(spec, self.params.chdir, self.around)
        result["environment_names"] = self.added_to(spec, env)
        if env.get("AIIDA_PATH") != self.around.known.get("AIIDA_PATH"):
            self.learn(env)
        shown = [spec.run] if isinstance(spec.run, str) else argv
        result["argv"] = self.redactor.argv(plain(word) for word in shown)
        result["command"] = self.redactor.text(plain(spec.run if isinstance(spec.run, str) else shlex.join(argv)))
        result["chdir"] = self.redactor.text(plain(directory))
        if not os.path.isdir(directory):
            raise NotRun(f"there is no folder {directory}")
        limit = self.params.max_output_bytes
        return start(argv, directory, env, spec.limit_seconds, spec.kill_leftovers, limit)

    def added_to(self, spec: CommandSpec, env: Mapping[str, str]) -> list[str]:
        """The names of the variables that a command gets in addition to the target's own and those of the env file."""
        plain_ones = {**self.around.own, **({} if spec.as_by_hand else self.around.file)}
        return sorted(name for name, value in env.items() if plain_ones.get(name) != value)

    def require(self, earlier: str) -> None:
        """Raises NotRun unless the newest command of that id exited 0."""
        for result in reversed(self.results):
            if result["id"] == earlier:
                if result["exit"] == 0 and not result["timed_out"]:
                    return
                how = "was not run" if result["not_run"] else f"exited {result['exit']}"
                raise NotRun(f"needs {earlier}, which {how}")
        raise NotRun(f"needs {earlier}, which did not run before it")

    def blank(self, spec: CommandSpec) -> Result:
        """The result of a command that was not run."""
        shown = spec.run if isinstance(spec.run, str) else " ".join(words(spec.prefix) + words(spec.run))
        return {
            "id": spec.id,
            "file": spec.file,
            "command": self.redactor.text(shown),
            "argv": [],
            "chdir": "",
            "start_ns": time.monotonic_ns() - self.began,
            "duration_ns": 0,
            "limit_seconds": spec.limit_seconds,
            "environment_names": [],
            "exit": None,
            "signal": None,
            "timed_out": False,
            "left_running": False,
            "truncated": False,
            "total_bytes": 0,
            "output": "",
            "encoding": "utf-8",
            "masks": {},
            "not_run": None,
        }

    def outcome(self, command: Running) -> Result:
        """The result of a command that was started."""
        before = Counter(self.redactor.masks)
        if command.problem and command.exit_status is not None:
            command.capture.add(os.fsencode(command.problem + "\n"))
        text, encoding, truncated = command.capture.shown(self.redactor)
        exit_status, number = command.exit_and_signal()
        reason = command.why_not_run()
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
            "masks": dict(self.redactor.masks - before),
            "not_run": self.redactor.text(plain(reason)) if reason else None,
        }

    def evidence(self) -> Result:
        """The whole trip as plain data, after a last scan for secrets."""
        return withhold(self.collected(), self.redactor.remains)

    def collected(self) -> Result:
        return {
            "schema": 1,
            "event": self.params.event,
            "gate": self.params.gate,
            "bundle": self.params.bundle,
            "host": {
                "hostname": self.host,
                "user": self.user,
                "python": platform.python_version(),
                "load_average": self.load,
                "load_average_after": load_average(),
            },
            "env_file": self.env_file,
            "objections": self.objections,
            "silent": self.silent,
            "commands": self.results,
            "artifacts": [] if self.check_mode else [self.artifact(spec) for spec in self.params.artifacts],
            "trip_ns": time.monotonic_ns() - self.began,
        }

    def artifact(self, spec: ArtifactSpec) -> Result:
        """One directory or file, without secrets."""
        try:
            chdir = self.around.fill(self.params.chdir or "/")
            source = os.path.join(chdir, self.around.fill(spec.source))
        except NotRun as reason:
            return {**artifact_result(spec.source, spec.to), "error": str(reason)}
        return redacted_artifact(collect(source, spec), self.redactor)


def make_trip(params: Parameters, check_mode: bool) -> Result:
    """The whole trip as plain data.

    Raises NotRun for a placeholder of `environment` that is not set, and Unusable for a probe of a host that does not
    have what every gate needs.
    """
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    ALLOWED.update(pid for pid, (parent, _) in process_table().items() if parent == os.getpid())
    scratch = make_scratch()
    try:
        write_scripts(params.scripts, scratch)
        if params.identity:
            write_identity(scratch)
        trip = Trip(params, scratch, check_mode)
        if params.event == "probe" and params.identity:
            trip.require_checkout()
        trip.run()
        if params.event == "probe":
            trip.require_repository()
        return trip.evidence()
    finally:
        remove(scratch)
