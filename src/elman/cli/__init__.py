"""The command line: one command a file, each parses, calls one function and prints."""

import sys


def main() -> None:
    """Run the command line of this process and end it with the exit code.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (after saving).
    """
    # Even the parser costs something to import, and `import elman.cli` should cost nothing.
    from elman.cli.app import run

    sys.exit(run(sys.argv[1:]))
