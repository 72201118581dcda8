"""Gradient flossing: Lyapunov exponents of recurrent layers are pushed towards 0 before the training."""

import torch
from torch import Tensor, nn

from elman.dynamics.observe import observed_layers
from elman.dynamics.trajectory import Layer, Trajectory, unit_vectors
from elman.errors import UsageError
from elman.nn.recurrent import Recurrent
from elman.settings.training import RunSettings
from elman.tasks.task import Data, Task

SEQUENCES, STEPS = 4, 100
# A direction that a step takes away has no exponent to push.
SMALLEST = 1e-12


def floss(model: nn.Module, task: Task, data: Data, settings: RunSettings) -> list[float]:
    """Change the recurrent layers of a model by gradient flossing, if the settings ask for it.

    Each of `flossing_steps` steps of Adam, with the learning rate of the settings, lowers the mean of the squares of
    the `flossing_exponents` largest Lyapunov exponents of each layer and direction, along the first 100 steps of four
    sequences of the first minibatch.

    Args:
        model: before the training.
        task: reads the minibatch.
        data: the training set.
        settings: of the run.

    Returns:
        The loss before each step.

    Raises:
        UsageError: the model has no recurrent layer that is trained.

    Source:
        R. Engelken, Gradient Flossing: Improving Gradient Descent through Dynamic Control of Jacobians, 2023, equation
        7 and section 3. Difference: it is done before the training only.
    """
    if not settings.flossing_steps:
        return []
    batch = data.read(data.plan(0)[0])
    layers = observed_layers(model, lambda: task.read(model, batch), SEQUENCES, dtype=torch.float32)
    trained = [
        weight
        for module in model.modules()
        if isinstance(module, Recurrent)
        for weight in module.parameters()
        if weight.requires_grad
    ]
    if not trained:
        raise UsageError(
            "Gradient flossing expects recurrent layers that are trained, got none.",
            fix="Leave out flossing_steps (--flossing-steps).",
        )
    optimizer = torch.optim.Adam(trained, settings.learning_rate)
    found = []
    for _ in range(settings.flossing_steps):
        optimizer.zero_grad()
        live = [layer._replace(weights=weights_named(model, layer)) for layer in layers]
        losses = [flossing_loss(layer, settings.flossing_exponents) for layer in live]
        loss = torch.stack(losses).sum()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    optimizer.zero_grad()
    return found


def weights_named(model: nn.Module, layer: Layer) -> dict[str, Tensor]:
    """Return the weights of an observed layer as they are now, with their gradients."""
    name, _, own = layer.name.rpartition(".")
    module = model.get_submodule(name)
    assert isinstance(module, Recurrent)
    number, _, direction = own.removeprefix("layer").partition("_")
    return module.weights(int(number), bool(direction))


def flossing_loss(layer: Layer, count: int) -> Tensor:
    """Return the mean square of the largest Lyapunov exponents, as a function of the weights.

    Args:
        layer: with weights that may have gradients.
        count: number of exponents, at most the width of the state.
    """
    trajectory = Trajectory(layer, STEPS)
    count = min(count, trajectory.width)
    rows = len(trajectory.lengths)
    state = trajectory.states[0]
    vectors = unit_vectors(rows, count, trajectory.width).to(state)
    total = state.new_zeros(rows, count)
    with torch.enable_grad():
        for time in range(trajectory.lengths[0]):
            running = trajectory.running(time)
            state, pushed = _step(trajectory, state[:running], vectors[:running], time)
            found = torch.linalg.qr(pushed.transpose(1, 2))
            vectors = found.Q.transpose(1, 2)
            growth = found.R.diagonal(dim1=1, dim2=2).abs().clamp(min=SMALLEST).log()
            total = total + torch.cat([growth, growth.new_zeros(rows - running, count)])
        exponents = total / torch.tensor(trajectory.lengths).to(total).unsqueeze(1)
        return exponents.square().mean()


def _step(trajectory: Trajectory, state: Tensor, vectors: Tensor, time: int) -> tuple[Tensor, Tensor]:
    """Return the states after a step, and J·v of each vector, both with gradients."""
    rows, count = vectors.shape[:2]
    before = state.repeat_interleave(count, 0)
    if not before.requires_grad:
        before.requires_grad_()
    sequences = torch.arange(rows).repeat_interleave(count)
    after = trajectory.step(before, torch.full((rows * count,), time), sequences)
    probe = torch.zeros_like(after, requires_grad=True)
    (pulled,) = torch.autograd.grad(after, before, probe, create_graph=True)
    (pushed,) = torch.autograd.grad(pulled, probe, vectors.flatten(0, 1), create_graph=True)
    return after[::count], pushed.view_as(vectors)
