"""Kernels for the CPU, through llvmlite, so that the user needs no compiler."""
