"""Completion of commands and options by argcomplete, which is only imported when it is used."""

from __future__ import annotations

import argparse

from promotion_gate.base.errors import InputError
from promotion_gate.run.arguments import INTERNAL


def complete(parser: argparse.ArgumentParser) -> None:
    """Answers the shell, which set _ARGCOMPLETE, and exits; without argcomplete nothing is completed."""
    try:
        import argcomplete
    except ImportError:
        raise SystemExit(1) from None
    argcomplete.autocomplete(parser, exclude=INTERNAL, always_complete_options="long")


def script(options: argparse.Namespace) -> int:
    """Prints the code for the shell to read. Raises InputError if argcomplete is not installed."""
    try:
        from argcomplete.shell_integration import shellcode
    except ImportError:
        raise InputError("Completion needs argcomplete: `pip install '.[completion]'` in the checkout.") from None
    print(shellcode(["promotion-gate"], shell=options.shell))
    return 0
