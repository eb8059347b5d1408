"""Signs in a failed command's output that the machine is at fault, not the application: no tool, no network, no space.

Such a failure proves nothing about what was to be checked, so it is BLOCKED and not FAIL. A line counts only if the
tool itself prints it; the same words in a diff, in JSON or in the middle of a sentence do not.
"""

from __future__ import annotations

import re

from promotion_gate.judge.parsers.text import LONGEST, lines

# Sources: dash, bash, busybox; uv 0.4 to 0.13; corepack 0.24 to 0.34; pnpm 9, 10; Node.js 18 to 24; pytest 8, 9.
_COULD_NOT_WORK = re.compile(
    r"(?:(?:\S*/)?(?:ba|da|z|k|a)?sh|/?[\w./-]+: line \d+): (?:(?:line )?\d+: )?\S+: "
    r"(?:command |inaccessible or )?not found"
    r"|zsh:(?:\d+:)? command not found: \S+"
    r"|(?:\S*/)?env: .*No such file or directory"
    r"|(?:\S*/)?(?:ba|da|z|k|a)?sh: (?:\d+: )?cannot (?:open|execute) .*"
    # uv prints a separate line if it could not start what it was told to run.
    r"|error: (?:Failed to |Group `|Could not |Unable to |No interpreter |The lockfile |Request failed|Querying )"
    r"|\s*× (?:No solution found|Failed to )"
    r"|(?:E +)?(?:ModuleNotFoundError: )?No module named \S+"
    r"|(?:\S*python\S*: )No module named \S+"
    r"|(?:E +)?ModuleNotFoundError: .*"
    # corepack: a mirror whose signatures are not npm's, or no network
    r"|(?:\w*Error|Internal Error): "
    r"(?:Corepack cannot|Cannot find matching keyid|No compatible signature|Error when performing)"
    r"|\s*ERR_PNPM_(?:NO_IMPORTER|META_FETCH_FAIL|FETCH_|NO_OFFLINE_|NO_SCRIPT|RECURSIVE_EXEC_FIRST_FAIL|UNSUPPORTED_ENGINE|BAD_PM)"
    r"|(?:npm (?:error|ERR!) )?(?:could not determine executable to run|Missing script:)"
    r"|npm (?:error|ERR!) code ENOENT|Usage Error: Couldn't find a script name"
    r"|(?:\s*ERROR +)?(?:Error: )?spawn \S+ ENOENT"
    # Node.js that needs more memory than the machine has, or was built for another one
    r"|FATAL ERROR: .*JavaScript heap out of memory|\S+: \S+: version `GLIBC\S* not found"
    r"|\S*python\S*: can't open file .*"
    r"|.*\bnode_modules\b.*(?:missing|not found|not exist)"
    r"|(?:\w*Error(?: \[ERR_\w+\])?): Cannot find (?:module|package) "
    r"|.*\b(?:ENOTFOUND|EAI_AGAIN|getaddrinfo|Temporary failure in name resolution|Could not resolve host)\b",
)
_NO_SPACE = re.compile(
    r"no space left on device|\bENOSPC\b|out of disk ?space|disk quota exceeded|\bEDQUOT\b"
    r"|(?:disk|file ?system) (?:is )?full\b",
    re.IGNORECASE,
)


def could_not_work(text: str) -> bool:
    """Whether a failed command reports that it could not work at all: no tool, no package, no network, no space."""
    return any(_COULD_NOT_WORK.match(row[:LONGEST]) for row in lines(text)) or no_space(text) is not None


def no_space(text: str, limit: int = 300) -> str | None:
    """The first line that says that a file system is full, bounded; None if there is none."""
    return next((row.strip()[:limit] for row in lines(text) if _NO_SPACE.search(row[:LONGEST])), None)
