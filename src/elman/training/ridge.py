"""Ridge regression, which `elman.nn.ridge` has."""

from elman.nn.ridge import RecursiveLeastSquares, Solution, Sums, cross_validate, joined

__all__ = ["RecursiveLeastSquares", "Solution", "Sums", "cross_validate", "joined"]
