"""Kernels for the CPU, through llvmlite: no compiler is needed on the user's machine."""
