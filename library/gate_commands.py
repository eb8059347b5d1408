#!/usr/bin/python
"""Runs the commands of one gate on the target, in one trip, and returns what happened.

Needs only Python 3.9 or newer and its standard library on the target.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: gate_commands
short_description: Run a gate's commands in one trip and return their evidence
description:
  - Starts each command in its own session, without standard input, with stdout and stderr in one pipe in the order
    printed. Measures its wall time with the monotonic clock of the target. At the time limit it terminates everything
    that the command started (TERM, then KILL), even if it was detached.
  - Never fails because of what a command does. The result goes to the evidence callback; it is judged later, elsewhere.
  - Known and named secrets are masked before anything is returned.
options:
  gate:
    description: The gate's name, or C(run).
    type: str
    required: true
  event:
    description: What the callback does with the result. C(open) and C(close) only pass it O(bundle).
    type: str
    choices: [commands, open, close, probe]
    default: commands
  bundle:
    description: The directory of the bundle on the controller.
    type: str
  chdir:
    description: Where the commands run. If it does not exist, they are not run, and the result says so.
    type: str
  environment:
    description: >-
      Added to the target's environment; takes precedence over what O(env_file) sets. What an operator sets belongs in
      O(secrets), since it may contain one.
    type: dict
    default: {}
  env_file:
    description: A file that bash sources, as in C(set -a; . FILE); its variables are added too. Relative to O(chdir).
    type: str
  identity:
    description:
      - Which parts of its identity the gate has. They are reported before the first and after the last command, as
        the commands C(identity) and C(identity_end); with O(event=probe) only before the first.
    type: dict
    suboptions:
      file:
        description: The transcript that they go into.
        type: str
        required: true
      parts:
        description: The parts.
        type: list
        elements: str
        choices: [machine, checkout, profile, env_file, config_dir]
        default: [machine]
      target_branch:
        description: The branch whose head is reported beside that of the checkout in O(chdir).
        type: str
      revision:
        description: A branch to report instead of what is checked out; changes are not reported then.
        type: str
      evidence:
        description: The evidence root, relative to the checkout; what the gate writes there is not a change.
        type: str
      baseline:
        description: The directory of the baselines, relative to the checkout.
        type: str
      profile:
        description: The target profile; by default the AIIDA_PROFILE of O(env_file).
        type: str
      config_dir:
        description: The directory that verdi reads; by default from AIIDA_PATH, else AIIDA_CONFIG_DIR of O(env_file).
        type: str
      limit_seconds:
        description: How long reporting them may take, in seconds.
        type: float
        default: 120
  scripts:
    description: Scripts to write into C({scratch}/bin) before the commands, as a dictionary of name and content.
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
        description: The transcript that it goes into.
        type: str
        required: true
      run:
        description: A list is argv; a string is passed to C(/bin/sh -c) unchanged.
        type: raw
        required: true
      prefix:
        description: Put before argv; a list, or a string that is split as a shell would.
        type: raw
      path_of_prefix:
        description: Drop the prefix's last word. If that is a path, its directory is put first on PATH in any case.
        type: bool
        default: false
      chdir:
        description: A different directory for this command.
        type: str
      environment:
        description: Additional variables for this command.
        type: dict
        default: {}
      limit_seconds:
        description: How long it may take, in seconds.
        type: float
        default: 60
      group:
        description: Consecutive commands of the same group run side by side.
        type: str
      after:
        description: The id of a command that must have exited 0; otherwise this one is not run.
        type: str
      asks:
        description:
          - A name for the service that the command asks. Once another command that asks the same service has exceeded
            its limit, this one is not run; O(silent) has the names from earlier trips.
        type: str
      as_by_hand:
        description: Add to the target's environment only O(environment) and the command's own C(environment).
        type: bool
        default: false
      needs_env_file:
        description: Do not run the command if O(env_file) could not be read.
        type: bool
        default: false
      kill_leftovers:
        description: Kill what is still running when the command has exited. A time limit always kills everything.
        type: bool
        default: true
  artifacts:
    description: Directories or files to bring back after the commands. Regular files only.
    type: list
    elements: dict
    default: []
    suboptions:
      from:
        description: The directory or file on the target.
        type: str
        required: true
      to:
        description: Its name in the bundle.
        type: str
        required: true
      max_files:
        description: The maximum number of files.
        type: int
        default: 200
      max_bytes:
        description: The maximum size of all files together, in bytes.
        type: int
        default: 8388608
      max_file_bytes:
        description: The maximum size of one file, in bytes.
        type: int
        default: 2097152
  max_output_bytes:
    description: How much of a command's output is kept, in bytes. Its head and tail are kept, and the cut is marked.
    type: int
    default: 1048576
  silent:
    description: Which services did not answer in an earlier trip, and what was asked, as in its RV(gate_evidence).
    type: dict
    default: {}
  secrets:
    description:
      - Whatever may contain secrets, as base64 of a JSON object. C(environment) is added to every command's environment
        and takes precedence over O(environment); C(known) lists more values to mask.
      - It is one string, because Ansible would replace each leaf of a C(no_log) dictionary or list, even a C(1) or an
        exit status, in everything that the module returns.
    type: str
notes:
  - In lists, C(prefix), C(chdir), C(environment) and C(from), C({env:NAME}), C({env:NAME:-default}), C({scratch}),
    C({python}) and C({said:ID:KEY}) are filled in, the last one with the value that the command ID printed on its line
    C(KEY) C(:) C(value). C({python}) is the interpreter of this module. C({scratch}) is a private directory of this
    trip, removed afterwards; for a string in C(run) it is in the variable C(PROMOTION_SCRATCH).
  - Commands do not get GIT_DIR or anything else that would make git look at another repository; GIT_OPTIONAL_LOCKS
    is 0, so that git takes no lock in the checkout just to look at it.
  - In check mode nothing is run, and the result of each command says so.
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
    event: {description: As given., type: str}
    gate: {description: As given., type: str}
    bundle: {description: As given., type: str}
    trip_ns: {description: How long the whole trip took., type: int}
    host: {description: Host name, user, Python and load average before and after., type: dict}
    env_file: {description: Its path, the names it sets, and why it could not be read., type: dict}
    objections: {description: Reasons not to rely on the evidence., type: list, elements: str}
    silent: {description: Which services did not answer within a time limit, and what was asked., type: dict}
    commands:
      description: >-
        One entry per command, with what ran and where, start and duration in ns, exit status or signal, whether it
        timed out, left processes behind or was truncated, its output, or why it was not run; C(environment_names) are
        the variables that it was given in addition to the target's own and those of O(env_file).
      type: list
      elements: dict
    artifacts:
      description: One entry per artifact, with its files and their content, and which files were refused and why.
      type: list
      elements: dict
"""

import signal
import sys

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.promotion.environment import NotRun
from ansible.module_utils.promotion.parameters import argument_spec, parameters, problem_of, secrets
from ansible.module_utils.promotion.redact import Redactor, secrets_of
from ansible.module_utils.promotion.trip import Unusable, make_trip


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    # The parameters may contain secrets (in an environment), so they are not returned: -vvv would show them.
    invocation = {"module_args": {"gate": module.params["gate"], "event": module.params["event"]}}
    problem = problem_of(module.params)
    if problem:
        module.fail_json(msg=problem, invocation=invocation)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))  # so that commands are killed and scratch is removed
    try:
        evidence = make_trip(parameters(module.params), module.check_mode)
    except NotRun as reason:
        module.fail_json(msg=f"environment: {reason}.", invocation=invocation)
    except Unusable as reason:
        module.fail_json(msg=f"{reason}.", invocation=invocation)
    except OSError as error:
        module.fail_json(
            msg=f"The gate's commands could not be run on this host: {error.strerror} ({error.filename}). "
            "Free space and check the rights.",
            invocation=invocation,
        )
    except Exception as error:  # whatever happens on a host: a sentence, no traceback
        given = {**module.params["environment"], **secrets(module.params["secrets"]).environment}
        known = [value for _, value in secrets_of({str(name): str(value) for name, value in given.items()})]
        message = Redactor(known).text(f"{type(error).__name__}: {error}")
        module.fail_json(msg=f"The gate's commands could not be run on this host ({message}).", invocation=invocation)
    ran = any(command["not_run"] is None for command in evidence["commands"])
    module.exit_json(changed=ran, gate_evidence=evidence, invocation=invocation)


if __name__ == "__main__":
    main()
