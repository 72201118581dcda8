"""Measurements beside the package, run from a checkout: `python -m experiments.NAME`."""

import sys
from collections.abc import Callable

from elman.errors import ElmanError


def run_module(main: Callable[[], None]) -> None:
    """Run a module for `python -m`: exit code 1 for elman's errors, 130 for Ctrl-C."""
    try:
        main()
    except ElmanError as problem:
        sys.exit(f"error: {problem}")
    except KeyboardInterrupt as stop:
        # A training run reports where it stopped and how to continue.
        sys.stderr.write(f"{str(stop) or 'interrupted'}\n")
        sys.exit(130)
