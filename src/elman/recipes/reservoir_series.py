"""Series on which reservoirs are compared: Lorenz, NARMA-10, and a memory of noise."""

import numpy as np

# The largest Lyapunov exponent of the Lorenz system with its usual parameters, per unit of time.
LORENZ_EXPONENT = 0.9056
LORENZ_STEP = 0.02


def lorenz(steps: int, *, step: float = LORENZ_STEP, start: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> np.ndarray:
    """Return the Lorenz system, `(steps, 3)`, after 1,000 steps that are left out.

    x' = 10·(y - x), y' = x·(28 - z) - y, z' = x·y - 8/3·z

    Args:
        steps: number of rows.
        step: units of time between two rows; each is two steps of the integration.
        start: the first point.

    Source:
        E. N. Lorenz, Deterministic Nonperiodic Flow, 1963, equations 25 to 27. It is integrated by the Runge-Kutta
        method of fourth order.
    """

    def slope(point: np.ndarray) -> np.ndarray:
        x, y, z = point
        return np.array([10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z])

    point, size, found = np.array(start), step / 2, np.empty((steps, 3))
    for row in range(-1000, steps):
        for _ in range(2):
            one = slope(point)
            two = slope(point + size / 2 * one)
            three = slope(point + size / 2 * two)
            four = slope(point + size * three)
            point = point + size / 6 * (one + 2 * two + 2 * three + four)
        if row >= 0:
            found[row] = point
    return found


def narma(steps: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return noise, `(steps,)`, and the output of NARMA-10 at each step, `(steps,)`.

    y(t + 1) = 0.3·y(t) + 0.05·y(t)·Σ y(t - i) + 1.5·u(t - 9)·u(t) + 0.1, the sum over i from 0 to 9. The output at
    step t is y(t + 1), which depends on the noise up to step t.

    Args:
        steps: number of values.
        seed: of the noise, uniform from 0 to 0.5.

    Source:
        A. F. Atiya, A. G. Parlos, New Results on Recurrent Network Training: Unifying the Algorithms and Accelerating
        Convergence, 2000, equation 86.
    """
    noise = np.random.default_rng(seed).uniform(0.0, 0.5, steps)
    known = np.zeros(steps + 1)
    for now in range(9, steps):
        before = known[now - 9 : now + 1]
        known[now + 1] = 0.3 * known[now] + 0.05 * known[now] * before.sum() + 1.5 * noise[now - 9] * noise[now] + 0.1
    return noise, known[1:]


def delayed(steps: int, delays: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return noise, `(steps,)`, and the noise 1 to `delays` steps before, `(steps, delays)`.

    Args:
        steps: number of values.
        delays: the largest delay.
        seed: of the noise, uniform from -0.5 to 0.5.
    """
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, steps + delays)
    windows = np.lib.stride_tricks.sliding_window_view(noise, delays + 1)
    return noise[delays:], windows[:, -2::-1].copy()
