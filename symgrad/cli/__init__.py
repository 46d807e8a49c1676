"""The command line: a thin face of the package's functions. Importing it costs nothing.

Commands import what they need.
"""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point of the `symgrad` command; ends the process with the exit code of what happened."""
    from symgrad.cli.app import run

    sys.exit(run(sys.argv[1:]))
