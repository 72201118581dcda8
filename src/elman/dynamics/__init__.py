"""What recurrent layers do over time: how far gradients reach back, and whether states that differ drift apart."""

from elman.dynamics.flow import Flow, flow_of
from elman.dynamics.gradient_norms import GradientNorms, gradient_norms
from elman.dynamics.lyapunov import lyapunov_exponents
from elman.dynamics.observe import observed_layers
from elman.dynamics.trajectory import Layer, Trajectory, layers_of

__all__ = [
    "Flow",
    "GradientNorms",
    "Layer",
    "Trajectory",
    "flow_of",
    "gradient_norms",
    "layers_of",
    "lyapunov_exponents",
    "observed_layers",
]
