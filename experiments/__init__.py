"""Measurements beside the package, run from a checkout: `python -m experiments.NAME`."""
