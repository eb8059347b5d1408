"""The private directory of one trip on the target: created, filled with the scripts that were sent, and removed."""

from __future__ import annotations

import contextlib
import inspect
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping

from . import checkout, identity, own

# Runs identity.py of this package, whose files are beside it.
LAUNCHER = """import os, sys
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from promotion.identity import main
sys.exit(main())
"""


def make_scratch() -> str:
    """A private directory where programs put temporary files; in the home directory if nothing can be executed there.

    Python itself would quietly use /var/tmp if /tmp is full; a gate has to notice that.
    """
    base = os.environ.get("TMPDIR") or "/tmp"
    usable = os.access(base, os.W_OK | os.X_OK) and not os.statvfs(base).f_flag & os.ST_NOEXEC
    return tempfile.mkdtemp(prefix="promotion-gate-", dir=base if usable else os.path.expanduser("~"))


def write_scripts(scripts: Mapping[str, object], scratch: str) -> None:
    """Writes the scripts that came with the commands, executable for this user only."""
    folder = os.path.join(scratch, "bin")
    os.mkdir(folder, 0o700)
    for name, text in scripts.items():
        path = os.path.join(folder, os.path.basename(str(name)))
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(str(text))
        os.chmod(path, 0o700)


def write_identity(scratch: str) -> None:
    """Writes the identity program. It is run with -I, so that no file of the checkout is imported as a module."""
    folder = os.path.join(scratch, "bin")
    os.mkdir(os.path.join(folder, "promotion"), 0o700)
    texts = {"identity.py": LAUNCHER, "promotion/__init__.py": ""}
    for module in (checkout, identity, own):
        texts["promotion/{}.py".format(module.__name__.rpartition(".")[2])] = inspect.getsource(module)
    for name, text in texts.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as stream:
            stream.write(text)


def remove(scratch: str) -> None:
    """Removes the scratch directory, even what a command made read-only in it or nested too deep for Python."""
    with contextlib.suppress(OSError, RecursionError):
        shutil.rmtree(scratch)
        return
    for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
        with contextlib.suppress(OSError):
            subprocess.run([*command, "--", scratch], stderr=subprocess.DEVNULL, check=False)
