"""The command line: a thin face of the package's functions. Importing it costs nothing.

Commands import what they need.
"""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point of the `symgrad` command; ends the process with the exit code of what happened."""
    try:
        from symgrad.cli.app import run
    except KeyboardInterrupt:  # while Python still reads modules
        sys.exit(130)
    code = run(sys.argv[1:])
    background = sys.modules.get("symgrad.codegen.background")  # not read by commands that run no kernel
    if background is not None:
        background.leave(code)
    sys.exit(code)
