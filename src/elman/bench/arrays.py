"""Peers on arrays: `jax.lax.scan`, and NumPy for one step at a time."""

import importlib
import importlib.util
import os
from typing import Any

import numpy as np
import torch
from torch import Tensor

from elman.bench.work import Matrices, Side, Work


def step(xp: Any, cell: str, weights: tuple[Any, ...], x: Any, states: tuple[Any, ...]) -> tuple[Any, ...]:
    """Compute the next states from x `(batch, feature)`, in functions that NumPy and JAX share."""
    from_input, from_hidden, bias, memory_bias = weights
    h, columns = states[0], from_hidden.shape[0]
    sigmoid = lambda value: 1.0 / (1.0 + xp.exp(-value))  # noqa: E731
    parts = x @ from_input + bias
    if cell == "lstm":
        i, f, g, o = xp.split(parts + h @ from_hidden, 4, axis=-1)
        c = sigmoid(f) * states[1] + sigmoid(i) * xp.tanh(g)
        return sigmoid(o) * xp.tanh(c), c
    gates = sigmoid(parts[:, : 2 * columns] + h @ from_hidden[:, : 2 * columns])
    z, r = gates[:, :columns], gates[:, columns:]
    memory = from_hidden[:, 2 * columns :]
    if cell == "gru":
        n = xp.tanh(parts[:, 2 * columns :] + (r * h) @ memory)
    else:
        n = xp.tanh(parts[:, 2 * columns :] + r * (h @ memory + memory_bias))
    return (z * h + (1.0 - z) * n,)


def numpy_streaming(work: Work) -> Side:
    """NumPy, one step at a time."""
    layers = [_arrays(matrices) for matrices in work.layers]
    states = [_zeros(work) for _ in layers]
    inputs = work.inputs[:, 0].numpy()

    def run() -> tuple[np.ndarray, None]:
        x = inputs
        for place, weights in enumerate(layers):
            states[place] = step(np, work.case.cell, weights, x, states[place])
            x = states[place][0]
        return x, None

    return Side(run, torch.as_tensor)


def has_jax() -> bool:
    """Return whether JAX is installed."""
    return importlib.util.find_spec("jax") is not None


def jax_scan(work: Work) -> Side:
    """Run `jax.lax.scan`, compiled, on the padded batch with time as its first axis."""
    jax = _jax()
    weights, zeros = _arrays(work.layers[0]), _zeros(work)
    inputs, gradient = (rows.transpose(0, 1).contiguous().numpy() for rows in (work.inputs, work.gradient))

    def outputs(weights: Any, inputs: Any) -> Any:
        def one(states: Any, x: Any) -> Any:
            following = step(jax.numpy, work.case.cell, weights, x, states)
            return following, following[0]

        return jax.lax.scan(one, zeros, inputs)[1]

    def both(weights: Any, inputs: Any, gradient: Any) -> Any:
        found, backward = jax.vjp(outputs, weights, inputs)
        for_weights, for_inputs = backward(gradient)
        return found, (for_inputs, *for_weights)

    is_both = work.case.mode == "forward+backward"
    compiled = jax.jit(both) if is_both else jax.jit(lambda weights, inputs: (outputs(weights, inputs), None))
    given = tuple(map(jax.device_put, (weights, inputs, gradient)[: 2 + is_both]))
    return Side(lambda: jax.block_until_ready(compiled(*given)), lambda rows: _from_jax(work, rows))


def _jax() -> Any:
    """Import JAX on the CPU with as many threads as torch. It reads both settings only once."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("NPROC", str(torch.get_num_threads()))
    return importlib.import_module("jax")


def _from_jax(work: Work, rows: Any) -> Tensor:
    return work.flat(torch.from_numpy(np.array(rows)).transpose(0, 1))


def _arrays(matrices: Matrices) -> tuple[np.ndarray, ...]:
    parts = (matrices.input, matrices.hidden, matrices.bias, matrices.memory_bias)
    return tuple(part.numpy() for part in parts)


def _zeros(work: Work) -> tuple[np.ndarray, ...]:
    count = 2 if work.case.cell == "lstm" else 1
    return tuple(np.zeros((work.case.batch, work.case.hidden_size), np.float32) for _ in range(count))
