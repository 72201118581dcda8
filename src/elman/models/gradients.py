"""How the gradient flows through the recurrent layers of a model, on data."""

from elman.dynamics import Flow, flow_of, observed_layers
from elman.models.model import Model
from elman.tasks.rows import rows_named
from elman.tasks.task import Values
from elman.training.gradient_watch import longest_batch


def gradient_flow(
    model: Model,
    values: Values,
    *,
    sequences: int | None = 16,
    steps: int | None = 1_000,
    exponents: int = 5,
    probes: int | None = None,
) -> list[Flow]:
    """Return how the gradient flows through each recurrent layer of a model.

    Args:
        model: fitted.
        values: that its source has read; the batch with the longest sequences among some batches is used.
        sequences: read at most so many of that batch.
        steps: read at most so many of each sequence.
        exponents: number of Lyapunov exponents.
        probes: vectors to follow backward, as for `elman.dynamics.gradient_norms`.

    Raises:
        NotFittedError: the model has not been fitted.
        UsageError: the model has no recurrent layer, or the data have no sequence with a step.
        DataError: data that cannot be read.
    """
    model._require_fitted()
    with rows_named(values):
        encoded = model._encoded(model.task_, values, None)
    data = model.task.source.evaluated(encoded, model.task_.settings)
    batch = longest_batch(data)
    layers = observed_layers(model.model_, lambda: model.task_.read(model.model_, batch), sequences)
    return list(flow_of(layers, steps=steps, exponents=exponents, probes=probes))
