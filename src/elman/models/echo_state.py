"""The echo state network as an estimator: fit, predict, and continue a series in closed loop."""

from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from elman.errors import DataError, NotFittedError, UsageError, nearest
from elman.models.echo_state_data import Series, read_pair, read_series
from elman.models.echo_state_member import Member
from elman.models.echo_state_saved import restore_network, save_network
from elman.models.echo_state_score import SeedScore, errors_of
from elman.models.saved import SavedModel, read_model
from elman.settings import check_settings, describe_settings, fields_of
from elman.settings.reservoir import ReservoirSettings


class EchoStateNetwork:
    """Reservoirs of fixed random units with a readout that ridge regression solves for.

    The readout is solved for in one pass over the data, block by block, in memory that does not grow with the number
    of steps. A series is an array `(steps,)` or `(steps, channels)`; a list of arrays is a list of series.

    Attributes:
        members_: the fitted networks, one for each seed.

    Raises:
        UsageError: there is no such setting.

    Source:
        H. Jaeger, The "Echo State" Approach to Analysing and Training Recurrent Neural Networks, 2001.

    >>> wave = np.sin(np.arange(400) / 5)
    >>> network = EchoStateNetwork(hidden_size=50, warmup_steps=50).fit(wave[:300])
    >>> bool(np.abs(network.generate(100) - wave[300:]).max() < 1e-2)
    True
    """

    members_: list[Member]

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return a setting, each of which is an attribute."""

    def __init__(self, **settings: Any):
        self._set({**_defaults(), **settings})

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return every setting by its name."""
        return {name: getattr(self, name) for name in _defaults()}

    def set_params(self, **settings: Any) -> Self:
        """Change settings, which take effect when the network is fitted again."""
        self._set(settings)
        return self

    def settings(self) -> ReservoirSettings:
        """Return the settings, checked.

        Raises:
            UsageError: names every setting that is wrong.
        """
        return check_settings(ReservoirSettings, self.get_params())

    def fit(self, series: Any, targets: Any = None) -> Self:
        """Solve for the readout.

        Args:
            series: what is read, one series or a list of series.
            targets: a row for each step, in the same form. If not given, the target of each step is the next value of
                the series, and `generate` can continue it.

        Raises:
            UsageError: settings that make no sense, or feedback without targets.
            DataError: data that cannot be learned from: a number that is not finite, series and targets of different
                lengths, or no step after the warm-up.
        """
        settings = self.settings()
        if targets is None and settings.feedback_scaling:
            raise UsageError(
                "Expected targets, since feedback_scaling is above 0, got none.",
                fix="Give fit(series, targets), or leave out feedback_scaling: the next values are the input already.",
            )
        read, wanted = read_pair(series, targets)
        _require_steps(read, settings.warmup_steps)
        if not len(read.arrays[-1]):
            raise DataError("Expected a step with a target in the last series, got none.", fix="Leave it out.")
        self._continues, self._is_flat = targets is None, wanted.is_flat
        self._channels, self._outputs = read.channels, wanted.channels
        self.members_ = [Member.fitted(settings, settings.seed + each, read, wanted) for each in range(settings.seeds)]
        if targets is None:
            for member in self.members_:
                member.fed = torch.from_numpy(wanted.arrays[-1][-1])
        return self

    def predict(self, series: Any, known: Any = None) -> Any:
        """Return the prediction at each step of each series, the mean over the seeds.

        A network with feedback reads its own predictions, one step at a time.

        Args:
            series: as for `fit`.
            known: for a network with feedback, the outputs of the first steps of each series, in the form of the
                targets: they are fed back in place of predictions.

        Returns:
            `(steps,)` or `(steps, outputs)` as the targets were; a list of these for a list of series.

        Raises:
            NotFittedError: the network has not been fitted.
            UsageError: known outputs without feedback.
            DataError: series that cannot be read.
        """
        read = self._read(series)
        given = self._known(known, read)
        found = [np.mean(list(of_seeds), 0) for of_seeds in zip(*self._each(read, given), strict=True)]
        if self._is_flat:
            found = [each[:, 0] for each in found]
        return found if read.is_list else found[0]

    def evaluate(self, series: Any, targets: Any = None, known: Any = None) -> dict[str, SeedScore]:
        """Return the errors at all steps after the warm-up, as mean and deviation over the seeds.

        Args:
            series: as for `fit`.
            targets: as for `fit`; the next values if not given.
            known: as for `predict`.

        Returns:
            `rmse`, `nrmse` (divided by the standard deviation of the targets) and `mae`.

        Raises:
            NotFittedError, UsageError, DataError: as for `predict` and `fit`.
        """
        self._require_fitted()
        read, wanted = read_pair(series, targets)
        self._require_channels(read)
        if wanted.channels != self._outputs:
            raise DataError(
                f"Expected targets of {self._outputs} numbers a step, got {wanted.channels}.",
                fix="Give targets in the form of those of fit.",
            )
        skipped = self._fitted_with.warmup_steps
        _require_steps(read, skipped)
        flat = np.concatenate([each[skipped:] for each in wanted.arrays])
        each = [
            errors_of(np.concatenate([array[skipped:] for array in found]), flat)
            for found in self._each(read, self._known(known, read))
        ]
        return {name: SeedScore.of([errors[name] for errors in each]) for name in each[0]}

    def generate(self, steps: int, series: Any = None) -> Any:
        """Return the continuation of series in closed loop: each prediction is the next input.

        A network with feedback continues its outputs, while its input stays at the last one.

        Args:
            steps: number of values.
            series: to continue, read from a state of zeros; the last series of `fit` if not given. Series of one
                length are read side by side.

        Returns:
            `(steps,)` or `(steps, channels)`, the mean over the seeds; a list of these for a list of series.

        Raises:
            NotFittedError: the network has not been fitted.
            UsageError: it was fitted to targets other than the next values.
            DataError: a series that cannot be read.
        """
        found = list(self.generate_each(steps, series).mean(0))
        if self._is_flat:
            found = [each[:, 0] for each in found]
        return found if series is not None and read_series(series).is_list else found[0]

    def generate_each(self, steps: int, series: Any = None) -> np.ndarray:
        """Return what `generate` averages, `(seeds, series, steps, channels)`."""
        self._require_fitted()
        fitted_with = self._fitted_with
        if not (self._continues or fitted_with.feedback_scaling) or fitted_with.bidirectional:
            raise UsageError(
                "Expected a network that was fitted to the next values and reads forward, got another.",
                fix="Fit it without targets and without bidirectional: fit(series).",
            )
        if fitted_with.feedback_scaling and series is not None:
            raise UsageError(
                "A network with feedback continues the series that it was fitted on alone, got another.",
                fix="Leave out series, or call predict(series, known=…).",
            )
        if isinstance(steps, bool) or not isinstance(steps, Integral) or steps < 0:
            raise UsageError(f"Expected steps to be a whole number of at least 0, got {steps!r}.", fix="Give one.")
        arrays = None if series is None else self._read(series).arrays
        if arrays is not None and not all(map(len, arrays)):
            raise DataError("Expected at least one step to continue from, got none.", fix="Give a longer series.")
        return np.stack([each.generate(int(steps), arrays) for each in self.members_])

    def save(self, folder: str | Path) -> None:
        """Write the model folder.

        It has the settings, the weights, the readout, and the state from which `generate` continues.

        The folder has no code and no pickle.

        Args:
            folder: made if it is missing.

        Raises:
            NotFittedError: the network has not been fitted.
            UsageError: the folder holds an unfinished run, or files of these names that elman did not write.
            ModelError: the folder cannot be written; it is left as it was.
        """
        self._require_fitted()
        save_network(self, folder)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Return the network that `save` wrote.

        Raises:
            ModelError: the folder is missing, damaged, from a later version, or of another task; says which.
        """
        return cls.from_saved(read_model(folder), folder)

    @classmethod
    def from_saved(cls, saved: SavedModel, folder: str | Path) -> Self:
        """Return the network of a folder that was read already, with the errors of `load`."""
        network = cls()
        restore_network(network, saved, folder)
        return network

    def _each(self, read: Series, known: list[np.ndarray] | None) -> list[list[np.ndarray]]:
        """Return the predictions of each network for each series."""
        given: Sequence[np.ndarray | None] = known or [None] * len(read.arrays)
        return [
            [member.predict(array, first) for array, first in zip(read.arrays, given, strict=True)]
            for member in self.members_
        ]

    def _read(self, series: Any) -> Series:
        self._require_fitted()
        read = read_series(series)
        self._require_channels(read)
        return read

    def _known(self, known: Any, read: Series) -> list[np.ndarray] | None:
        if known is None:
            return None
        if not self._fitted_with.feedback_scaling:
            raise UsageError("Only a network with feedback reads known outputs.", fix="Leave out known.")
        given = read_series(known, "known")
        if given.channels != self._outputs or len(given.arrays) != len(read.arrays):
            raise DataError(
                f"Expected known outputs of {len(read.arrays)} series with {self._outputs} numbers a step, got "
                f"{len(given.arrays)} with {given.channels}.",
                fix="Give them in the form of the targets.",
            )
        return given.arrays

    def _require_channels(self, read: Series) -> None:
        if read.channels != self._channels:
            raise DataError(
                f"Expected series of {self._channels} channels, as in fit, got {read.channels}.",
                fix="Give arrays (steps, channels) with the channels of fit.",
            )

    def _require_fitted(self) -> None:
        if not hasattr(self, "members_"):
            raise NotFittedError("This echo state network has not been fitted.", fix="Call fit(series) first.")

    @property
    def _fitted_with(self) -> ReservoirSettings:
        """The settings of the last fit, which may have changed since."""
        return self.members_[0].settings

    def _set(self, settings: Mapping[str, Any]) -> None:
        for name, value in settings.items():
            if name not in _defaults():
                raise UsageError(
                    f"An echo state network has no setting `{name}`.", fix=nearest(name, list(_defaults()))
                )
            setattr(self, name, value)

    def __repr__(self) -> str:
        defaults = _defaults()
        changed = [f"{name}={value!r}" for name, value in self.get_params().items() if value != defaults[name]]
        return f"EchoStateNetwork({', '.join(changed)})"


def _defaults() -> dict[str, Any]:
    return {name: field.get_default() for name, field in fields_of(ReservoirSettings).items()}


def _require_steps(read: Series, warmup_steps: int) -> None:
    longest = max((len(array) for array in read.arrays), default=0)
    if longest <= warmup_steps:
        raise DataError(
            f"Expected a series with more steps than the warm-up of {warmup_steps:,}, got at most {longest:,} with a "
            "target.",
            fix="Give longer series, or a smaller warmup_steps.",
        )


EchoStateNetwork.__doc__ = (
    f"{(EchoStateNetwork.__doc__ or '').rstrip()}\n\n    {describe_settings(ReservoirSettings)}".replace(
        "\nArgs", "\n    Args"
    )
)
